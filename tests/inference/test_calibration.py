"""Tests of the calibration."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from mne_mc2sleep.inference.calibration import (
    calibrate,
    fit_temperature,
)


def synthetic(rng, n_epochs=20_000):
    """Return log-posteriors and stages drawn by them: perfectly calibrated."""
    posteriors = log_softmax(2 * rng.standard_normal((n_epochs, 5)), axis=1)
    cumulative = np.exp(posteriors).cumsum(axis=1)
    return posteriors, (rng.random((n_epochs, 1)) > cumulative).sum(axis=1).clip(max=4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fit_temperature_recovers_a_known_temperature(temperature):
    """Overconfident posteriors need as much softening as they were sharpened by."""
    posteriors, stages = synthetic(np.random.default_rng(0))
    found = fit_temperature(log_softmax(posteriors * temperature, axis=1), stages)
    assert found == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_ignores_unscored_epochs():
    """Epochs without a stage have no say in the calibration."""
    posteriors, stages = synthetic(np.random.default_rng(0), n_epochs=200)
    expected = fit_temperature(posteriors[::2], stages[::2])
    stages[1::2] = -1
    assert fit_temperature(posteriors, stages) == expected


@pytest.mark.parametrize(
    ("is_right", "bound"), [(True, 0.1), (False, 10.0)], ids=["right", "wrong"]
)
def test_fit_temperature_has_bounds(is_right, bound):
    """A network that is always right, or always wrong, does not get to extremes."""
    posteriors, _ = synthetic(np.random.default_rng(0), n_epochs=50)
    chosen = posteriors.argmax(axis=1) if is_right else posteriors.argmin(axis=1)
    found = fit_temperature(posteriors, chosen)
    assert found == pytest.approx(bound, rel=1e-3)
    assert 0.1 <= found <= 10


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_calibrate_is_a_softmax_by_the_temperature(temperature):
    """Rows sum to one, and no stage changes."""
    posteriors, _ = synthetic(np.random.default_rng(0), n_epochs=20)
    found = calibrate(posteriors, temperature)
    np.testing.assert_allclose(found, softmax(posteriors / temperature, axis=1))
    np.testing.assert_array_equal(found.argmax(1), posteriors.argmax(1))
