"""Calibrate probabilities by a temperature."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from .._constants import UNSCORED

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_temperature(
    log_posteriors: NDArray[np.float64], stages: NDArray[np.int8]
) -> float:
    """Find the temperature of the least negative log-likelihood (Guo et al. 2017).

    ``log_posteriors`` (n_epochs, 5) are of nights that were not trained on; ``stages``
    are -1 where unscored. The temperature divides log-posteriors; it is 0.1 to 10.
    """
    scored = stages != UNSCORED
    log_posteriors, stages = log_posteriors[scored], stages[scored]

    def negative_log_likelihood(log_temperature: float) -> float:
        calibrated = log_softmax(log_posteriors / np.exp(log_temperature), axis=-1)
        return -calibrated[np.arange(len(stages)), stages].mean()

    found = minimize_scalar(negative_log_likelihood, bounds=(log(0.1), log(10)))
    return float(np.exp(found.x))


def calibrate(
    log_posteriors: NDArray[np.float64], temperature: float
) -> NDArray[np.float64]:
    """Return calibrated probabilities of shape (n_epochs, 5)."""
    return softmax(log_posteriors / temperature, axis=-1)
