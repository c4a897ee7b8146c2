"""Fine-tune weights that were fine-tuned before, without losing what they know.

The old weights teach: the targets are means of the experts' stages and of the
probabilities of the old weights (distillation). Then the fine-tuned weights are
averaged with the old ones (WiSE-FT, arXiv 2109.01903). The share of the fine-tuned
ones, 0 to 1, is chosen by subjects that are left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss
from torch import Tensor

from .._constants import STAGES, UNSCORED
from ..data.nights import Batch, EncodedNight
from ..inference.sliding_window import calibrate, fit_temperature, log_posteriors
from ..metrics import score_stages
from ..network import Embeddings, SleepNetwork
from .options import TrainingOptions
from .phases import Finetuning
from .trainer import logger, train

Weights: TypeAlias = dict[str, Tensor]

# Our choices, on random subsets of subjects with real EEG (glued heads of Sleep-EDF,
# without the test subjects). Two, three and five subjects gained 0.012, 0.022 and 0.033
# in kappa, and 0.002, 0.016 and 0.023 in the worst subset. All five sets of logits
# gained 0.012, 0.022 and 0.031 in twice the time; then 8 sequences in a batch 0.010,
# 0.019 and 0.026, and dropout about the same in a third more time. Other learning
# rates, label smoothing, the heads alone, more passes and averages of the folds'
# weights were not better.
SHARES = (0.0, 0.75)
MAX_SUBJECTS = 10  # with more, holding some out costs less than taking turns
_N_OLD_SUBJECTS = 2  # the old weights count as that many scored subjects
_TRAIN_EPOCHS = 5
_BATCH_SIZE = 2  # sequences
_MAX_FOLDS = 3


class Adaptation(NamedTuple):
    """A share of the fine-tuned weights, its calibration, and its held-out score."""

    share: float
    temperature: float
    macro_f1: float | None


class Adapting(Finetuning):
    """Fine-tuning of what stages, without dropout and the other sets of logits."""

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode."""
        return super().train(False)

    def losses(self, embeddings: Embeddings, batch: Batch) -> dict[str, Tensor]:
        """Return the stage loss of the total."""
        logits = self.net.stage(self.net.contextualize(embeddings, batch.usable))
        return self.stage_losses({"total": logits.total}, batch)


def limit(options: TrainingOptions) -> TrainingOptions:
    """Return options for few passes in small steps."""
    n_passes = options.finetune_train_epochs or _TRAIN_EPOCHS
    batch_size = min(options.batch_size, _BATCH_SIZE)
    return replace(options, finetune_train_epochs=n_passes, batch_size=batch_size)


def blend_targets(
    net: SleepNetwork, nights: Sequence[EncodedNight], temperature: float
) -> list[EncodedNight]:
    """Average the experts' stages with the calibrated probabilities of ``net``."""
    n_subjects = len({str(night.subject) for night in nights})
    share, blended = _N_OLD_SUBJECTS / (_N_OLD_SUBJECTS + n_subjects), []
    for night in nights:
        # The last row, of unscored epochs, is zero.
        one_hot = np.eye(len(STAGES) + 1, len(STAGES))[night.targets]
        expert = one_hot if night.soft_stages is None else night.soft_stages
        old = calibrate(log_posteriors(net, night.inputs[:], night.usable), temperature)
        is_scored = expert.any(axis=1, keepdims=True)
        targets = is_scored * (share * old + (1 - share) * expert)
        blended.append(replace(night, soft_stages=targets.astype(np.float32)))
    return blended


def leave_out(
    net: SleepNetwork, nights: Sequence[EncodedNight], options: TrainingOptions
) -> Iterator[tuple[Weights, list[EncodedNight]]]:
    """Fine-tune without some subjects in turn: yield weights and nights left out."""
    # Staging does without it.
    from sklearn.model_selection import GroupKFold

    subjects = np.array([str(night.subject) for night in nights])
    folds = GroupKFold(min(len(set(subjects)), _MAX_FOLDS))
    before = deepcopy(net.state_dict())
    for trained, tested in folds.split(subjects, groups=subjects):
        net.load_state_dict(before)
        train(Adapting(net, options), [nights[i] for i in trained], [], [])
        yield deepcopy(net.state_dict()), [nights[i] for i in tested]


def choose(
    net: SleepNetwork,
    before: Weights,
    folds: Iterable[tuple[Weights, Sequence[EncodedNight]]],
    shares: Sequence[float],
    temperature: float,
) -> Adaptation:
    """Choose the share with the lowest negative log-likelihood.

    ``folds`` are weights and nights that they were not trained on. ``before`` are the
    old weights, which ``net`` has at the end, and ``temperature`` is their calibration.
    """
    targets, found = [], {}
    posteriors: dict[float, list[NDArray]] = {share: [] for share in shares}
    try:
        for after, nights in folds:
            targets += [night.targets for night in nights]
            for share, parts in posteriors.items():
                average_weights(net, before, after, share)
                parts += [log_posteriors(net, n.inputs[:], n.usable) for n in nights]
    finally:
        net.load_state_dict(before)
    stages = np.concatenate(targets)
    scored = stages != UNSCORED
    stages = stages[scored]
    for share, parts in posteriors.items():
        values = np.concatenate(parts)[scored]
        fitted = fit_temperature(values, stages)
        proba = calibrate(values, fitted)
        loss = log_loss(stages, proba, labels=range(len(STAGES)))
        macro_f1 = score_stages(stages, proba.argmax(axis=1))["macro_f1"]
        found[loss] = Adaptation(share, fitted, macro_f1)
        logger.info("Share %g: held-out negative log-likelihood %.3f.", share, loss)
    best = found[min(found)]
    # The old calibration was fitted to more subjects.
    is_unchanged = best.share == 0 and len(shares) > 1
    return best._replace(temperature=temperature) if is_unchanged else best


def without_held_out(shares: Sequence[float], temperature: float) -> Adaptation:
    """Take the lowest share, as there is nobody to choose by."""
    logger.info("No subject is held out, so the probabilities are not calibrated.")
    # Another night of one subject misleads: with the shipped weights, kappa of one rose
    # from 0.71 to 0.76, and that of others fell by 0.05.
    if len(shares) > 1:
        logger.warning(
            "The weights stay unchanged: one subject does not show what suits others. "
            "Pass nights of more subjects, or set 'adaptation'."
        )
    # Weights near the old ones are about as confident.
    return Adaptation(min(shares), 1.0 if min(shares) == 1 else temperature, None)


def average_weights(
    net: SleepNetwork, before: Weights, after: Weights, share: float
) -> None:
    """Load the average of two states, with ``share`` of the second one."""
    state = {
        name: before[name].lerp(new, share) if new.is_floating_point() else new
        for name, new in after.items()
    }
    net.load_state_dict(state)
