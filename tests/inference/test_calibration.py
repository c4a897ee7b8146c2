"""Tests of the calibration."""

import numpy as np
import pytest
from scipy.special import log_softmax

from mne_mc2sleep.inference.calibration import fit_temperature


def draw(n_epochs):
    """Return log-posteriors and stages drawn by them: perfectly calibrated."""
    rng = np.random.default_rng(0)
    posteriors = log_softmax(2 * rng.standard_normal((n_epochs, 5)), axis=1)
    cumulative = np.exp(posteriors).cumsum(axis=1)
    return posteriors, (rng.random((n_epochs, 1)) > cumulative).sum(axis=1).clip(max=4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fit_temperature_recovers_a_known_temperature(temperature):
    posteriors, stages = draw(20_000)
    found = fit_temperature(log_softmax(posteriors * temperature, axis=1), stages)
    assert found == pytest.approx(temperature, rel=0.05)


def test_fit_temperature_ignores_unscored_epochs():
    posteriors, stages = draw(200)
    expected = fit_temperature(posteriors[::2], stages[::2])
    stages[1::2] = -1
    assert fit_temperature(posteriors, stages) == expected


@pytest.mark.parametrize(("sign", "bound"), [(1, 0.1), (-1, 10.0)])
def test_fit_temperature_has_bounds(sign, bound):
    """Where the network is always right, or always wrong."""
    posteriors, _ = draw(50)
    found = fit_temperature(posteriors, (sign * posteriors).argmax(axis=1))
    assert found == pytest.approx(bound, rel=1e-3)
    assert 0.1 <= found <= 10
