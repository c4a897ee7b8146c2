"""The pictures of confidence."""

import numpy as np
import pytest

from mne_mc2sleep.metrics import reliability_bins, risk_coverage
from mne_mc2sleep.viz import plot_reliability, plot_risk_coverage


@pytest.fixture
def drawn():
    """Return random probabilities, and stages that have little to do with them."""
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.full(5, 0.4), size=200), rng.integers(-1, 5, size=200)


def test_the_reliability_curve_is_that_of_the_bins(drawn):
    """Without the empty ones."""
    ax = plot_reliability(*drawn, n_bins=10, show=False).axes[0]
    bins = reliability_bins(*drawn, n_bins=10).dropna()
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), bins["confidence"])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), bins["accuracy"])


def test_the_area_of_a_marker_is_the_weight_of_its_bin(drawn):
    """The largest marker is that of the fullest bin."""
    ax = plot_reliability(*drawn, n_bins=10, show=False).axes[0]
    n_epochs = reliability_bins(*drawn, n_bins=10).dropna()["n_epochs"]
    areas = ax.collections[-1].get_sizes()
    np.testing.assert_allclose(areas / areas.max(), n_epochs / n_epochs.max())


def test_the_epochs_of_each_bin_are_below(drawn):
    """Empty bins too."""
    ax = plot_reliability(*drawn, show=False).axes[1]
    counts, edges, _ = ax.patches[0].get_data()
    np.testing.assert_array_equal(counts, reliability_bins(*drawn)["n_epochs"])
    np.testing.assert_allclose(edges, np.linspace(0, 1, 16))


def test_the_calibration_error_is_the_title():
    """Certain and right: none."""
    fig = plot_reliability(np.eye(5), np.arange(5), show=False)
    assert fig.axes[0].get_title() == "Expected calibration error 0.000"


def test_the_share_left_to_a_human_is_what_is_not_covered(drawn):
    """In percent."""
    ax = plot_risk_coverage(*drawn, show=False).axes[0]
    curve = risk_coverage(*drawn)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), 100 - 100 * curve["coverage"])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * curve["accuracy"])
