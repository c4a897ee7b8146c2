"""How good a hypnogram is, by the metrics of the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from ._constants import STAGES, UNSCORED

if TYPE_CHECKING:
    from numpy.typing import NDArray


def score_stages(
    reference: NDArray[np.int8], predicted: NDArray[np.int8]
) -> dict[str, float]:
    """Compare two sequences of stages epoch by epoch.

    Parameters
    ----------
    reference, predicted : array of int of shape (n_epochs,)
        The expert's stages and the stager's, -1 where unscored. Epochs that either
        left unscored do not count.

    Returns
    -------
    scores : dict
        ``n_epochs`` that counted, ``accuracy``, ``macro_f1`` over the stages that the
        reference holds, Cohen's ``kappa``, and ``f1_WAKE`` ... ``f1_REM`` (NaN for a
        stage that neither holds).

    Raises
    ------
    ValueError
        If the lengths differ or no epoch is scored in both.
    """
    reference, predicted = np.asarray(reference), np.asarray(predicted)
    if reference.shape != predicted.shape:
        raise ValueError(
            f"The reference has {reference.size} epochs and the prediction "
            f"{predicted.size}; both must cover the same recording."
        )
    scored = (reference != UNSCORED) & (predicted != UNSCORED)
    if not scored.any():
        raise ValueError("No epoch is scored in both hypnograms: nothing to compare.")
    reference, predicted = reference[scored], predicted[scored]
    labels = range(len(STAGES))
    f1 = f1_score(
        reference, predicted, labels=labels, average=None, zero_division=np.nan
    )
    present = np.isin(labels, reference)
    return {
        "n_epochs": int(scored.sum()),
        "accuracy": float(accuracy_score(reference, predicted)),
        "macro_f1": float(f1[present].mean()),
        "kappa": cohen_kappa(reference, predicted),
        **{f"f1_{stage}": float(f1[i]) for i, stage in enumerate(STAGES)},
    }


def cohen_kappa(reference: NDArray[np.int8], predicted: NDArray[np.int8]) -> float:
    """Return Cohen's kappa; 1 where both agree on one single stage throughout."""
    if len(np.union1d(reference, predicted)) == 1:
        return 1.0
    return float(cohen_kappa_score(reference, predicted))


def expected_calibration_error(
    probabilities: NDArray[np.float64], stages: NDArray[np.int8], n_bins: int = 15
) -> float:
    """Return how far the top probability is from the accuracy (Guo et al. 2017).

    Parameters
    ----------
    probabilities : array of shape (n_epochs, 5)
        Calibrated probabilities.
    stages : array of int of shape (n_epochs,)
        The expert's stages, -1 where unscored.
    n_bins : int
        Equal bins of the top probability.

    Returns
    -------
    error : float
        Mean absolute difference, weighted by the epochs of each bin.
    """
    scored = stages != UNSCORED
    probabilities, stages = probabilities[scored], stages[scored]
    confidence = probabilities.max(axis=1)
    gap = (probabilities.argmax(axis=1) == stages) - confidence
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    return float(np.abs(np.bincount(bins, weights=gap)).sum() / len(stages))
