"""Choose how far fine-tuning moves weights that were fine-tuned before."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import log_softmax

from .._constants import UNSCORED
from ..inference.calibration import fit_temperature
from ..inference.sliding_window import log_posteriors
from ..metrics import score_stages
from .phases import finetune
from .trainer import logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from ..data.nights import EncodedNight
    from ..network import SleepNetwork
    from .options import TrainingOptions

# Our choices. 0 keeps the old weights and fits the temperature only.
SHARES = (0.0, 0.3, 0.6, 1.0)
SHARE_OF_ONE_SUBJECT = 0.3
"""With one subject, nobody can be left out to choose by."""
MAX_SUBJECTS = 10
"""With more subjects, holding some out costs less than leaving each out in turn."""
ADAPTATION_TRAIN_EPOCHS = 5
"""Passes over the nights, chosen on real EEG of the validation. With 20, see
``benchmarks/finetuning.py``, the weights move further, in four times the time."""
_MAX_FOLDS = 5


class Adaptation(NamedTuple):
    """Share of the fine-tuned weights, and what follows from it."""

    share: float
    """The share of the fine-tuned weights, from 0 to 1."""
    temperature: float
    """The calibration temperature, fitted to subjects that were not trained on."""
    macro_f1: float
    """The score of these subjects."""


def cross_validate(
    net: SleepNetwork, nights: Sequence[EncodedNight], options: TrainingOptions
) -> Adaptation:
    """Choose the share of the fine-tuned weights by leaving out subjects in turn.

    The weights are fine-tuned without some subjects and averaged with the old ones
    (WiSE-FT, arXiv 2109.01903). The share whose probabilities fit the left-out subjects
    best is chosen; it may be 0.

    Parameters
    ----------
    net : SleepNetwork
        The network, with the old weights. It is not changed.
    nights : sequence of EncodedNight
        Scored nights of two subjects or more.
    options : TrainingOptions
        The settings of the fine-tuning.

    Returns
    -------
    adaptation : Adaptation
        The best share.
    """
    subjects = np.array([str(night.subject) for night in nights])
    # Staging does without it.
    from sklearn.model_selection import GroupKFold

    folds = GroupKFold(min(len(set(subjects)), _MAX_FOLDS))
    before = deepcopy(net.state_dict())
    posteriors: dict[float, list[NDArray]] = {share: [] for share in SHARES}
    left_out = []
    try:
        for train, test in folds.split(subjects, groups=subjects):
            net.load_state_dict(before)
            finetune(net, [nights[i] for i in train], [], options, [])
            tested = [nights[i] for i in test]
            left_out += tested
            for share, found in _stage_by_share(net, before, tested).items():
                posteriors[share] += found
    finally:
        net.load_state_dict(before)
    return _choose(posteriors, left_out)


def choose_on(
    net: SleepNetwork, before: dict[str, Tensor], held_out: Sequence[EncodedNight]
) -> Adaptation:
    """Choose the share of the fine-tuned weights that fits held-out nights best.

    Parameters
    ----------
    net : SleepNetwork
        The network, with the fine-tuned weights. It is not changed.
    before : dict
        The state of the old weights.
    held_out : sequence of EncodedNight
        Scored nights that were not trained on.

    Returns
    -------
    adaptation : Adaptation
        The best share.
    """
    after = deepcopy(net.state_dict())
    posteriors = _stage_by_share(net, before, held_out)
    net.load_state_dict(after)
    return _choose(posteriors, held_out)


def average_weights(
    net: SleepNetwork, before: dict[str, Tensor], after: dict[str, Tensor], share: float
) -> None:
    """Load the average of two states, with ``share`` of the second one."""
    state = {
        name: old.lerp(after[name], share) if old.is_floating_point() else after[name]
        for name, old in before.items()
    }
    net.load_state_dict(state)


def _stage_by_share(
    net: SleepNetwork, before: dict[str, Tensor], nights: Sequence[EncodedNight]
) -> dict[float, list[NDArray]]:
    """Return the log-posteriors of each night for each share."""
    after, posteriors = deepcopy(net.state_dict()), {}
    for share in SHARES:
        average_weights(net, before, after, share)
        posteriors[share] = [
            log_posteriors(net, night.embeddings[:], night.usable) for night in nights
        ]
    return posteriors


def _choose(
    posteriors: dict[float, list[NDArray]], nights: Sequence[EncodedNight]
) -> Adaptation:
    """Choose the share with the lowest negative log-likelihood."""
    targets = np.concatenate([night.targets for night in nights])
    scored = targets != UNSCORED
    rows, targets = np.arange(scored.sum()), targets[scored]
    losses, found = {}, {}
    for share, parts in posteriors.items():
        values = np.concatenate(parts)[scored]
        temperature = fit_temperature(values, targets)
        calibrated = log_softmax(values / temperature, axis=-1)
        losses[share] = -float(calibrated[rows, targets].mean())
        score = score_stages(targets, values.argmax(axis=1))["macro_f1"]
        found[share] = Adaptation(share, temperature, score)
    best = min(losses, key=losses.__getitem__)
    logger.info(
        "Negative log-likelihood of subjects that were left out, by the share of the "
        "fine-tuned weights: %s. Chose %g.",
        ", ".join(f"{share:g}: {loss:.3f}" for share, loss in losses.items()),
        best,
    )
    return found[best]
