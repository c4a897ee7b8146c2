"""Choose how far fine-tuning moves weights that were fine-tuned before.

The fine-tuned weights are averaged with the old ones (WiSE-FT, arXiv 2109.01903). The
share of the fine-tuned ones is 0 to 1.
"""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import log_softmax

from .._constants import UNSCORED
from ..inference.sliding_window import fit_temperature, log_posteriors
from ..metrics import score_stages
from .phases import Finetuning
from .trainer import logger, train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from ..data.nights import EncodedNight
    from ..network import SleepNetwork
    from .options import TrainingOptions

# Our choices.
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
    """A share of the fine-tuned weights, and what belongs to it."""

    share: float
    temperature: float
    """The calibration temperature."""
    macro_f1: float | None
    """The score of subjects that were not trained on, if there are any."""


def cross_validate(
    net: SleepNetwork,
    nights: Sequence[EncodedNight],
    options: TrainingOptions,
    temperature: float,
) -> Adaptation:
    """Choose the share by fine-tuning without some subjects in turn.

    ``net`` with the old weights, and their calibration ``temperature``, are not
    changed. The nights are of two subjects or more.
    """
    subjects = np.array([str(night.subject) for night in nights])
    # Staging does without it.
    from sklearn.model_selection import GroupKFold

    folds = GroupKFold(min(len(set(subjects)), _MAX_FOLDS))
    before = deepcopy(net.state_dict())
    posteriors: dict[float, list[NDArray]] = defaultdict(list)
    left_out = []
    try:
        for trained, tested in folds.split(subjects, groups=subjects):
            net.load_state_dict(before)
            train(Finetuning(net, options), [nights[i] for i in trained], [], [])
            test = [nights[i] for i in tested]
            left_out += test
            for share, found in _stage_by_share(net, before, test, SHARES).items():
                posteriors[share] += found
    finally:
        net.load_state_dict(before)
    return _choose(posteriors, left_out, temperature)


def choose_on(
    net: SleepNetwork,
    before: Mapping[str, Tensor],
    held_out: Sequence[EncodedNight],
    shares: Sequence[float],
    temperature: float,
) -> Adaptation:
    """Choose among ``shares`` by held-out nights, if there are any.

    ``net`` has the fine-tuned weights and is not changed; ``before`` and
    ``temperature`` are the old weights and their calibration.
    """
    if not held_out:
        share = SHARE_OF_ONE_SUBJECT if len(shares) > 1 else shares[0]
        logger.info("No subject is held out, so the probabilities are not calibrated.")
        # Weights near the old ones are about as confident.
        return Adaptation(share, 1.0 if share == 1 else temperature, None)
    posteriors = _stage_by_share(net, before, held_out, shares)
    return _choose(posteriors, held_out, temperature)


def average_weights(
    net: SleepNetwork,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    share: float,
) -> None:
    """Load the average of two states, with ``share`` of the second one."""
    state = {
        name: before[name].lerp(new, share) if new.is_floating_point() else new
        for name, new in after.items()
    }
    net.load_state_dict(state)


def _stage_by_share(
    net: SleepNetwork,
    before: Mapping[str, Tensor],
    nights: Sequence[EncodedNight],
    shares: Sequence[float],
) -> dict[float, list[NDArray]]:
    """Return the log-posteriors of each night for each share."""
    after, posteriors = deepcopy(net.state_dict()), {}
    for share in shares:
        average_weights(net, before, after, share)
        posteriors[share] = [
            log_posteriors(net, night.inputs[:], night.usable) for night in nights
        ]
    net.load_state_dict(after)
    return posteriors


def _choose(
    posteriors: Mapping[float, list[NDArray]],
    nights: Sequence[EncodedNight],
    temperature: float,
) -> Adaptation:
    """Choose the share with the lowest negative log-likelihood."""
    targets = np.concatenate([night.targets for night in nights])
    scored = targets != UNSCORED
    rows, targets = np.arange(scored.sum()), targets[scored]
    losses, found = {}, {}
    for share, parts in posteriors.items():
        values = np.concatenate(parts)[scored]
        fitted = fit_temperature(values, targets)
        calibrated = log_softmax(values / fitted, axis=-1)
        losses[share] = -float(calibrated[rows, targets].mean())
        score = score_stages(targets, values.argmax(axis=1))["macro_f1"]
        found[share] = Adaptation(share, fitted, score)
    best = min(losses, key=losses.__getitem__)
    logger.info(
        "Negative log-likelihood of subjects that were left out, by the share of the "
        "fine-tuned weights: %s. Chose %g.",
        ", ".join(f"{share:g}: {loss:.3f}" for share, loss in losses.items()),
        best,
    )
    # The old calibration was fitted to more subjects.
    is_unchanged = best == 0 and len(found) > 1
    return (
        found[best]._replace(temperature=temperature) if is_unchanged else found[best]
    )
