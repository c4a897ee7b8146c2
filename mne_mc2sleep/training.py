"""The two stages of training, on one loop."""

from __future__ import annotations

import copy
import logging
import math
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from sklearn.metrics import f1_score
from sklearn.utils import check_random_state
from torch import Tensor, nn

from ._constants import UNSCORED
from .cohort import count_batches, iterate_batches
from .losses import (
    excluded_negatives,
    info_nce_loss,
    reconstruction_loss,
    stage_loss,
)
from .network import Embeddings, draw_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .cohort import Batch, Night
    from .network import MC2SleepNet

# MNE's logger by its name: training also runs where MNE is not installed.
logger = logging.getLogger("mne")

# Share of the steps in which the learning rate rises, and the norm that gradients are
# clipped to: our choices.
_WARM_UP = 0.1
_MAX_GRADIENT_NORM = 1.0
# Epochs from which the input statistics are taken: enough for a steady estimate.
_N_STATISTICS = 4096


@dataclass(frozen=True)
class TrainingOptions:
    """What both stages of the training need to know.

    See the parameters of the same names of `mne_mc2sleep.MC2SleepClassifier`.
    """

    pretrain_train_epochs: int
    finetune_train_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    mask_ratio: float
    temperature: float
    contrastive_weight: float
    reconstruction_weight: float
    excluded_neighbors: int
    exclude_same_stage: bool
    validation_fraction: float
    seed: int

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> TrainingOptions:
        """Take the options from a classifier's parameters, and draw the seed."""
        seed = check_random_state(parameters["random_state"]).randint(2**31)
        names = {field.name for field in fields(cls)} - {"seed"}
        return cls(seed=seed, **{name: parameters[name] for name in names})


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block; the global state is as before after it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """End a training at Ctrl-C, not the session: the best weights are kept."""
    try:
        yield
    except KeyboardInterrupt:
        logger.warning("Training was interrupted: the best weights so far are kept.")


def fit_input_statistics(net: MC2SleepNet, nights: Sequence[Night], seed: int) -> None:
    """Store scale and spectral statistics of usable epochs of ``nights`` in ``net``."""
    rng = np.random.default_rng(seed)
    share = -(-_N_STATISTICS // len(nights))
    parts = []
    for night in nights:
        usable = np.flatnonzero(night.usable)
        parts.append(night.inputs[rng.permutation(usable)[:share]])
    device = next(net.parameters()).device
    net.fit_input_statistics(torch.cat(parts).to(device))


class _Phase(Protocol):
    """One of the two stages of training, for the loop that they share."""

    name: str
    train_epochs: int
    net: MC2SleepNet
    trained: nn.Module

    def embed(self, batch: Batch) -> Embeddings:
        """Return the embeddings of shape (batch, sequence, width)."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms whose sum is minimised."""


class _Pretraining:
    name = "Pretraining"

    def __init__(self, net: MC2SleepNet, options: TrainingOptions):
        self.net, self.trained, self.options = net, net, options
        self.train_epochs = options.pretrain_train_epochs

    def embed(self, batch: Batch) -> Embeddings:
        # Artefacts and padding would move the statistics of BatchNorm.
        encoded = self.net.encode(batch.inputs[batch.usable])
        embeddings = []
        for modality in encoded:
            padded = modality.new_zeros(*batch.usable.shape, modality.shape[-1])
            padded[batch.usable] = modality
            embeddings.append(padded)
        return Embeddings(*embeddings)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        embeddings = self.embed(batch)
        logits = self.net.stage(self.net.contextualize(embeddings, batch.usable))
        return {
            **{
                f"stage_{name}": stage_loss(modality, batch.stages)
                for name, modality in logits._asdict().items()
            },
            "contrastive": self.options.contrastive_weight
            * self._contrastive_loss(embeddings, batch),
            "reconstruction": self.options.reconstruction_weight
            * self._reconstruction_loss(embeddings, batch),
        }

    def _contrastive_loss(self, embeddings: Embeddings, batch: Batch) -> Tensor:
        usable = batch.usable
        projected = self.net.project(Embeddings(*(e[usable] for e in embeddings)))
        excluded = excluded_negatives(
            batch.nights[usable],
            batch.positions[usable],
            batch.stages[usable],
            self.options.excluded_neighbors,
            self.options.exclude_same_stage,
        )
        return info_nce_loss(*projected, self.options.temperature, excluded)

    def _reconstruction_loss(self, embeddings: Embeddings, batch: Batch) -> Tensor:
        ratio = self.options.mask_ratio
        masks = Embeddings(
            draw_mask(batch.usable, ratio), draw_mask(batch.usable, ratio)
        )
        recovered = self.net.recover(embeddings, masks, batch.usable)
        terms = map(reconstruction_loss, recovered, embeddings, masks)
        return sum(terms) / len(masks)


class _Finetuning:
    name = "Fine-tuning"

    def __init__(self, net: MC2SleepNet, options: TrainingOptions):
        self.net, self.train_epochs = net, options.finetune_train_epochs
        self.trained = nn.ModuleList(
            [net.signal_stack, net.spectrogram_stack, net.modality_head, net.total_head]
        )

    def embed(self, batch: Batch) -> Embeddings:
        return Embeddings(*batch.inputs.unbind(dim=2))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        embeddings = self.embed(batch)
        net, usable = self.net, batch.usable
        both = net.stage(net.contextualize(embeddings, usable))
        alone = net.stage(net.contextualize(embeddings, usable, cross_attention=False))
        # The total of the modalities without cross-attention is not one of the five.
        logits = {
            **both._asdict(),
            "signal_only": alone.signal,
            "spectrogram_only": alone.spectrogram,
        }
        return {
            f"stage_{name}": stage_loss(modality, batch.stages)
            for name, modality in logits.items()
        }


def pretrain(
    net: MC2SleepNet,
    nights: Sequence[Night],
    held_out: Sequence[Night],
    options: TrainingOptions,
    history: list[dict],
    progress: Callable | None = None,
) -> None:
    """Train all of ``net`` by InfoNCE, cross-masking and the stages where known.

    Both levels at once are in the paper. The loss is CE(total) + CE(signal) +
    CE(spectrogram) + 0.1 InfoNCE + 0.1 reconstruction (our weights); epochs without a
    stage enter the last two only.

    Parameters
    ----------
    net : MC2SleepNet
        Changed in place; holds the best state at the end, also when interrupted.
    nights, held_out : sequence of Night
        To train on, and to stop early by; ``held_out`` may be empty. Their inputs are
        signals.
    options : TrainingOptions
        The settings.
    history : list of dict
        Gets the losses and the validation score of each train epoch.
    progress : callable | None
        MNE's ProgressBar, or what can be called like it.

    Raises
    ------
    RuntimeError
        If the loss is not finite.
    """
    with seeded(options.seed):
        phase = _Pretraining(net, options)
        _train(phase, nights, held_out, options, history, progress)


def finetune(
    net: MC2SleepNet,
    nights: Sequence[Night],
    held_out: Sequence[Night],
    options: TrainingOptions,
    history: list[dict],
    progress: Callable | None = None,
) -> None:
    """Train the sequence level and the heads on the stages; the backbones stay.

    The backbones are frozen (in the paper) and in eval mode, so they give the same
    embeddings in every train epoch: these are the inputs, made once. The loss is the
    sum of CE over the five sets of logits that the authors' code returns.

    Parameters
    ----------
    net : MC2SleepNet
        Changed in place; holds the best state at the end, also when interrupted.
    nights, held_out : sequence of Night
        As in `pretrain`, but their inputs are embeddings (n_epochs, 2, width).
    options, history, progress
        As in `pretrain`.

    Raises
    ------
    RuntimeError
        If the loss is not finite.
    """
    with seeded(options.seed):
        phase = _Finetuning(net, options)
        _train(phase, nights, held_out, options, history, progress)


def _train(
    phase: _Phase,
    nights: Sequence[Night],
    held_out: Sequence[Night],
    options: TrainingOptions,
    history: list[dict],
    progress: Callable | None,
) -> None:
    """Run one phase: the loop that both stages share."""
    rng = np.random.default_rng(options.seed)
    length = phase.net.config.sequence_length
    n_steps = phase.train_epochs * count_batches(nights, length, options.batch_size)
    optimizer = torch.optim.AdamW(
        phase.trained.parameters(),
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _warm_up_and_cosine(step / n_steps)
    )
    bar = progress(n_steps, mesg=phase.name) if progress else None
    best = copy.deepcopy(phase.trained.state_dict())
    best_score, best_train_epoch = -math.inf, 0
    try:
        for train_epoch in range(1, phase.train_epochs + 1):
            batches = iterate_batches(nights, length, options.batch_size, rng)
            row = _train_once(phase, batches, optimizer, schedule, bar)
            score, name = _validate(phase, held_out, options)
            history.append(
                {"phase": phase.name, "train_epoch": train_epoch, **row, name: score}
            )
            logger.debug("Train epoch %d: %s", train_epoch, history[-1])
            if score > best_score or not held_out:
                best_score, best_train_epoch = score, train_epoch
                best = copy.deepcopy(phase.trained.state_dict())
            elif train_epoch - best_train_epoch >= options.patience:
                break
    finally:
        phase.trained.load_state_dict(best)
        logger.info("Kept the state of train epoch %d.", best_train_epoch)


def _train_once(
    phase: _Phase,
    batches: Iterator[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    bar: Any,
) -> dict[str, float]:
    """Pass over the batches once; return the mean of each loss."""
    device = next(phase.trained.parameters()).device
    sums, n_batches = defaultdict(float), 0
    phase.trained.train()
    for batch in batches:
        losses = phase.losses(batch.to(device))
        loss = sum(losses.values())
        if not torch.isfinite(loss):
            raise RuntimeError(
                f"The training loss became {loss.item()}. The weights so far are kept; "
                "train with a lower 'learning_rate'."
            )
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(phase.trained.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        for name, value in {"loss": loss, **losses}.items():
            sums[name] += value.item()
        n_batches += 1
        if bar is not None:
            bar.update_with_increment_value(1)
    return {name: value / n_batches for name, value in sums.items()}


@torch.no_grad()
def _validate(
    phase: _Phase, held_out: Sequence[Night], options: TrainingOptions
) -> tuple[float, str]:
    """Return macro-F1 on held-out nights or, where none is scored, minus the loss."""
    if not held_out:
        return math.nan, "validation_macro_f1"
    phase.trained.eval()
    device = next(phase.trained.parameters()).device
    length = phase.net.config.sequence_length
    batches = iterate_batches(held_out, length, options.batch_size)
    batches = (batch.to(device) for batch in batches)
    if not any(night.is_scored for night in held_out):
        # The same masks at every call, so that the scores can be compared.
        with seeded(options.seed):
            losses = [sum(phase.losses(batch).values()).item() for batch in batches]
        return -float(np.mean(losses)), "validation_negative_loss"
    reference = [night.targets for night in held_out]
    predicted = [np.zeros_like(stages) for stages in reference]
    for batch in batches:
        contexts = phase.net.contextualize(phase.embed(batch), batch.usable)
        stages = phase.net.stage(contexts).total.argmax(dim=-1)
        for row, night in enumerate(batch.nights[:, 0].tolist()):
            part = predicted[night][batch.positions[row, 0] :][:length]
            part[:] = stages[row, : len(part)].cpu().numpy()
    reference, predicted = np.concatenate(reference), np.concatenate(predicted)
    scored = reference != UNSCORED
    present = np.unique(reference[scored])
    macro_f1 = f1_score(
        reference[scored], predicted[scored], labels=present, average="macro"
    )
    return float(macro_f1), "validation_macro_f1"


def _warm_up_and_cosine(progress: float) -> float:
    """Return the factor of the learning rate at ``progress`` from 0 to 1."""
    if progress < _WARM_UP:
        return max(progress, 1e-3) / _WARM_UP
    rest = (progress - _WARM_UP) / (1 - _WARM_UP)
    return 0.5 * (1 + math.cos(math.pi * min(rest, 1.0)))
