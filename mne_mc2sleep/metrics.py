"""How good a hypnogram is, by the metrics of the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from ._constants import EPOCH_DURATION, STAGES, UNSCORED

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pandas import DataFrame
    from yasa import Hypnogram


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
    probabilities: DataFrame | NDArray[np.float64],
    reference: NDArray[np.int8],
    n_bins: int = 15,
) -> float:
    """Return how far the top probability is from the accuracy (Guo et al. 2017).

    Parameters
    ----------
    probabilities, reference, n_bins
        As for `reliability_bins`.

    Returns
    -------
    error : float
        Mean absolute difference, weighted by the epochs of each bin.
    """
    bins = reliability_bins(probabilities, reference, n_bins)
    gap = (bins["accuracy"] - bins["confidence"]).abs()
    return float((gap * bins["n_epochs"]).sum() / bins["n_epochs"].sum())


def reliability_bins(
    probabilities: DataFrame | NDArray[np.float64],
    reference: NDArray[np.int8],
    n_bins: int = 15,
) -> DataFrame:
    """Compare confidence and accuracy, bin by bin (Guo et al. 2017).

    Parameters
    ----------
    probabilities : DataFrame | array of shape (n_epochs, 5)
        Calibrated probabilities, as `MC2SleepClassifier.predict_proba` gives them.
        Epochs that it left ``UNS`` do not count.
    reference : array of int of shape (n_epochs,)
        The expert's stages, -1 where unscored.
    n_bins : int
        Equal bins of the top probability.

    Returns
    -------
    bins : DataFrame of shape (n_bins, 5)
        ``lower`` and ``upper`` edge, ``n_epochs``, mean ``confidence`` and ``accuracy``
        (both NaN in an empty bin).

    Raises
    ------
    ValueError
        If the lengths differ or no epoch is scored in both.
    """
    confidence, is_right = _confidence(probabilities, reference)
    members = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    epochs = pd.DataFrame({"confidence": confidence, "accuracy": is_right})
    means = epochs.groupby(members).mean().reindex(range(n_bins))
    edges = np.arange(n_bins + 1) / n_bins
    counts = np.bincount(members, minlength=n_bins)
    return pd.DataFrame(
        {"lower": edges[:-1], "upper": edges[1:], "n_epochs": counts, **means}
    )


def risk_coverage(
    probabilities: DataFrame | NDArray[np.float64], reference: NDArray[np.int8]
) -> DataFrame:
    """Tell how accurate the stager is if the least certain epochs go to a human.

    Parameters
    ----------
    probabilities : DataFrame | array of shape (n_epochs, 5)
        As for `reliability_bins`.
    reference : array of int of shape (n_epochs,)
        The expert's stages, -1 where unscored.

    Returns
    -------
    curve : DataFrame
        One row for each top probability that occurs, falling: of the epochs whose
        ``confidence`` is at least that, the share of all (``coverage``, up to 1) and
        the ``accuracy``. One minus that is the risk of Geifman and El-Yaniv (2017).

    Raises
    ------
    ValueError
        If the lengths differ or no epoch is scored in both.
    """
    confidence, is_right = _confidence(probabilities, reference)
    order = np.argsort(-confidence, kind="stable")
    n_kept = np.arange(1, order.size + 1)
    curve = pd.DataFrame(
        {
            "confidence": confidence[order],
            "coverage": n_kept / order.size,
            "accuracy": np.cumsum(is_right[order]) / n_kept,
        }
    )
    # No threshold tells epochs of one confidence apart: they are kept or left together.
    return curve.drop_duplicates("confidence", keep="last", ignore_index=True)


def epochs_to_review(hypno: Hypnogram, share: float = 0.1) -> DataFrame:
    """List the epochs that a human should look at first.

    Parameters
    ----------
    hypno : Hypnogram
        What `MC2SleepClassifier.predict` returned.
    share : float
        Share of the epochs to list, from 0 to 1. `risk_coverage` tells on scored nights
        what a share brings.

    Returns
    -------
    epochs : DataFrame
        One row for each listed epoch, the least certain first: ``epoch`` (from 0),
        ``onset`` in seconds from the recording's start, ``stage``, ``confidence`` (its
        probability), and the ``second`` most probable stage. Epochs that hold no EEG
        are not listed: no stage can be read from them.

    Raises
    ------
    ValueError
        If the hypnogram has no probabilities, or ``share`` is not from 0 to 1.
    """
    if hypno.proba is None:
        raise ValueError(
            "The hypnogram has no probabilities ('proba'): pass one that "
            "MC2SleepClassifier.predict returned."
        )
    if not 0 <= share <= 1:
        raise ValueError(f"'share' must be from 0 to 1, not {share}.")
    proba = hypno.proba[list(STAGES)].to_numpy()
    ranks = np.argsort(-proba, axis=1)
    epochs = pd.DataFrame(
        {
            "epoch": np.arange(len(proba)),
            "onset": np.arange(len(proba)) * EPOCH_DURATION,
            "stage": np.array(STAGES)[ranks[:, 0]],
            "confidence": proba.max(axis=1),
            "second": np.array(STAGES)[ranks[:, 1]],
        }
    )
    # The epochs that hold no EEG have all their probability in the column UNS.
    epochs = epochs[proba.sum(axis=1) > 0]
    n_listed = round(share * len(epochs))
    return epochs.nsmallest(n_listed, "confidence").reset_index(drop=True)


def _confidence(
    probabilities: DataFrame | NDArray[np.float64], reference: NDArray[np.int8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the top probability of each scored epoch, and 1 where it is right."""
    if isinstance(probabilities, pd.DataFrame):
        probabilities = probabilities[list(STAGES)].to_numpy()
    probabilities, reference = np.asarray(probabilities), np.asarray(reference)
    if len(probabilities) != reference.size:
        raise ValueError(
            f"There are probabilities of {len(probabilities)} epochs and stages of "
            f"{reference.size}; both must cover the same recording."
        )
    # The epochs that hold no EEG have all their probability in the column UNS.
    scored = (reference >= 0) & (probabilities.sum(axis=1) > 0)
    if not scored.any():
        raise ValueError("No epoch has both a stage and probabilities to compare.")
    probabilities, reference = probabilities[scored], reference[scored]
    is_right = probabilities.argmax(axis=1) == reference
    return probabilities.max(axis=1), is_right.astype(np.float64)
