"""The pictures of agreement and confidence."""

import numpy as np
import pytest
from yasa import Hypnogram

from mne_mc2sleep.metrics import reliability_bins, risk_coverage
from mne_mc2sleep.viz import plot_confusion_matrix, plot_reliability, plot_risk_coverage


def test_a_cell_has_the_share_of_its_row_and_the_count():
    """Of three epochs of N2 two are found; an unscored epoch does not count."""
    ax = plot_confusion_matrix([0, 2, 2, 2, -1], [0, 2, 2, 3, 0], show=False).axes[0]
    texts = [text.get_text() for text in ax.texts[10:15]]
    assert texts == ["0 %\n0", "0 %\n0", "67 %\n2", "33 %\n1", "0 %\n0"]
    shares = ax.images[0].get_array()
    np.testing.assert_allclose(shares[2], [0, 0, 200 / 3, 100 / 3, 0])
    np.testing.assert_array_equal(shares[4], 0)
    assert ax.get_title() == "4 epochs, accuracy 75.0%, kappa 0.56"


def test_a_hypnogram_is_compared_by_position(hypno, stages):
    """Its start does not matter, and epochs without EEG do not count."""
    other = Hypnogram.from_integers(stages, start="2024-01-01 22:00")
    fig = plot_confusion_matrix(other, hypno, show=False)
    assert fig.axes[0].get_title().startswith("9 epochs, accuracy 100.0%")


@pytest.fixture
def drawn():
    """Return random probabilities, and stages that have little to do with them."""
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.full(5, 0.4), size=200), rng.integers(-1, 5, size=200)


def test_the_reliability_curve_is_that_of_the_bins(drawn):
    """Without the empty ones; the epochs of all bins are below."""
    above, below = plot_reliability(*drawn, n_bins=10, show=False).axes
    counts, edges, _ = below.patches[0].get_data()
    bins = reliability_bins(*drawn, n_bins=10)
    np.testing.assert_array_equal(counts, bins["n_epochs"])
    np.testing.assert_allclose(edges, np.linspace(0, 1, 11))
    bins = bins.dropna()
    np.testing.assert_array_equal(above.lines[1].get_xdata(), bins["confidence"])
    np.testing.assert_array_equal(above.lines[1].get_ydata(), bins["accuracy"])
    # The area of a marker is the weight of its bin.
    areas, n_epochs = above.collections[-1].get_sizes(), bins["n_epochs"]
    np.testing.assert_allclose(areas / areas.max(), n_epochs / n_epochs.max())


def test_the_share_left_to_a_human_is_what_is_not_covered(drawn):
    ax = plot_risk_coverage(*drawn, show=False).axes[0]
    curve = risk_coverage(*drawn)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), 100 - 100 * curve["coverage"])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * curve["accuracy"])
