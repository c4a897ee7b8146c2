"""Metrics of agreement and calibration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pandas import DataFrame
from sklearn.metrics import accuracy_score, cohen_kappa_score, f1_score

from ._constants import EPOCH_DURATION, STAGES, UNSCORED

if TYPE_CHECKING:
    from mne import Annotations
    from yasa import Hypnogram

    AnyStages: TypeAlias = Hypnogram | Annotations | ArrayLike | str | os.PathLike
    Probabilities: TypeAlias = Hypnogram | DataFrame | NDArray[np.float64]


def as_stages(stages: Any) -> NDArray[np.int8]:
    """Convert a hypnogram in any form to positions in ``STAGES``, -1 where unscored.

    The start of a hypnogram is ignored: its first epoch comes first.
    """
    # This needs no MNE, which is not installed everywhere networks are trained.
    is_plain = isinstance(stages, np.ndarray) and stages.dtype.kind == "i"
    if is_plain and stages.ndim == 1 and np.isin(stages, range(-2, len(STAGES))).all():
        return np.maximum(stages, UNSCORED).astype(np.int8)
    from .io.hypnograms import stages_on_grid

    return stages_on_grid(stages)


def score_stages(reference: AnyStages, predicted: AnyStages) -> dict[str, float]:
    """Compare two hypnograms epoch by epoch.

    Parameters
    ----------
    reference, predicted : Hypnogram | Annotations | path-like | array-like
        The stages of the scorer and of the stager, compared by position. Epochs that
        are unscored in one of them do not count.

    Returns
    -------
    scores : dict
        ``n_epochs`` that count, ``accuracy``, Cohen's ``kappa``, ``macro_f1`` over the
        stages of the reference, ``f1_WAKE`` ... ``f1_REM`` (NaN if in neither).
    """
    reference, predicted = as_stages(reference), as_stages(predicted)
    if reference.shape != predicted.shape:
        raise ValueError(
            f"The reference has {reference.size} epochs and the prediction "
            f"{predicted.size}; both must cover the same recording."
        )
    scored = (reference != UNSCORED) & (predicted != UNSCORED)
    if not scored.any():
        raise ValueError("No epoch is scored in both hypnograms: nothing to compare.")
    reference, predicted = reference[scored], predicted[scored]
    options = {"labels": range(len(STAGES)), "average": None, "zero_division": np.nan}
    f1 = f1_score(reference, predicted, **options)
    # Kappa is 0 / 0 where both have one and the same stage throughout.
    is_constant = len(np.union1d(reference, predicted)) == 1
    kappa = 1.0 if is_constant else cohen_kappa_score(reference, predicted)
    return {
        "n_epochs": int(scored.sum()),
        "accuracy": float(accuracy_score(reference, predicted)),
        "kappa": float(kappa),
        "macro_f1": float(f1[np.unique(reference)].mean()),
        **{f"f1_{stage}": float(f1[i]) for i, stage in enumerate(STAGES)},
    }


def expected_calibration_error(
    probabilities: Probabilities, reference: AnyStages, n_bins: int = 15
) -> float:
    """Compute the expected calibration error (Guo et al. 2017).

    Parameters
    ----------
    probabilities, reference, n_bins
        As for `reliability_bins`.

    Returns
    -------
    error : float
        The mean absolute difference of confidence and accuracy over all epochs.
    """
    bins = reliability_bins(probabilities, reference, n_bins)
    gap = (bins["accuracy"] - bins["confidence"]).abs()
    return float((gap * bins["n_epochs"]).sum() / bins["n_epochs"].sum())


def reliability_bins(
    probabilities: Probabilities, reference: AnyStages, n_bins: int = 15
) -> DataFrame:
    """Compare confidence and accuracy, bin by bin (Guo et al. 2017).

    Parameters
    ----------
    probabilities : Hypnogram | DataFrame | array of shape (n_epochs, 5)
        From `MC2SleepClassifier.predict` or ``predict_proba``. Unscored epochs do not
        count.
    reference
        As in `score_stages`.
    n_bins : int
        The number of equal bins of the confidence, which is the largest probability.

    Returns
    -------
    bins : DataFrame of shape (n_bins, 5)
        ``lower`` and ``upper`` edge, ``n_epochs``, and their mean ``confidence`` and
        ``accuracy``, NaN in an empty bin.
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


def risk_coverage(probabilities: Probabilities, reference: AnyStages) -> DataFrame:
    """Compute the accuracy of the most confident epochs (Geifman and El-Yaniv 2017).

    Parameters
    ----------
    probabilities, reference
        As for `reliability_bins`.

    Returns
    -------
    curve : DataFrame
        One row for each ``confidence`` that occurs, in descending order: the share
        (``coverage``) and the ``accuracy`` of the epochs with at least this confidence.
    """
    confidence, is_right = _confidence(probabilities, reference)
    order = np.argsort(-confidence, kind="stable")
    n_kept = np.arange(1, order.size + 1)
    curve = pd.DataFrame({"confidence": confidence[order]})
    curve["coverage"] = n_kept / order.size
    curve["accuracy"] = np.cumsum(is_right[order]) / n_kept
    # No threshold separates epochs of the same confidence.
    return curve.drop_duplicates("confidence", keep="last", ignore_index=True)


def check_proba(hypno: Hypnogram) -> None:
    """Raise if a hypnogram has no probabilities, or not of epochs of 30 s."""
    if hypno.proba is None:
        raise ValueError(
            "The hypnogram has no probabilities ('proba'): pass one that "
            "MC2SleepClassifier.predict returned."
        )
    check_step(hypno)


def check_step(hypno: Hypnogram) -> None:
    """Raise if the epochs of a hypnogram do not last 30 s."""
    if (step := pd.Timedelta(hypno.freq).total_seconds()) != EPOCH_DURATION:
        raise ValueError(
            f"The hypnogram must have epochs of {EPOCH_DURATION:g} s, got {step:g} s "
            "instead. Pass one that MC2SleepClassifier.predict returned."
        )


def epochs_to_review(hypno: Hypnogram, share: float = 0.1) -> DataFrame:
    """List the epochs to review by hand, the least confident first.

    Parameters
    ----------
    hypno : Hypnogram
        From `MC2SleepClassifier.predict`.
    share : float
        The share of the scored epochs to list, from 0 to 1; see `risk_coverage`.

    Returns
    -------
    epochs : DataFrame
        One row per epoch: ``epoch`` (from 0), ``onset`` in s, ``stage``, ``confidence``
        (its probability), and the ``second`` most probable stage.
    """
    check_proba(hypno)
    if not 0 <= share <= 1:
        raise ValueError(f"'share' must be from 0 to 1, got {share} instead.")
    proba = hypno.proba[list(STAGES)].to_numpy()
    stages = np.array(STAGES)[np.argsort(-proba, axis=1)]
    epochs = pd.DataFrame({"epoch": np.arange(len(proba))})
    epochs["onset"] = epochs["epoch"] * EPOCH_DURATION
    epochs["stage"] = stages[:, 0]
    epochs["confidence"] = proba.max(axis=1)
    epochs["second"] = stages[:, 1]
    # Unscored epochs have all their probability in the column UNS.
    epochs = epochs[proba.sum(axis=1) > 0]
    n_listed = round(share * len(epochs))
    return epochs.nsmallest(n_listed, "confidence").reset_index(drop=True)


def _confidence(probabilities, reference) -> tuple[NDArray, NDArray]:
    """Return the confidence of each scored epoch, and 1 where its stage is right."""
    table = getattr(probabilities, "proba", probabilities)
    if isinstance(table, pd.DataFrame):
        table = table[list(STAGES)]
    proba, stages = np.asarray(table, dtype=np.float64), as_stages(reference)
    if proba.shape != (stages.size, len(STAGES)):
        raise ValueError(
            f"There are probabilities of shape {proba.shape} and {stages.size} stages; "
            f"the probabilities must have the shape ({stages.size}, {len(STAGES)})."
        )
    # Unscored epochs have all their probability in the column UNS.
    scored = (stages != UNSCORED) & (proba.sum(axis=1) > 0)
    if not scored.any():
        raise ValueError("No epoch has both a stage and probabilities to compare.")
    proba, stages = proba[scored], stages[scored]
    return proba.max(axis=1), (proba.argmax(axis=1) == stages).astype(np.float64)
