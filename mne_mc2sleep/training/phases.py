"""The two stages of training, on one loop."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from .._constants import UNSCORED
from ..network import Embeddings, draw_mask
from .distributed import weight_among_ranks
from .losses import (
    excluded_negatives,
    info_nce_loss,
    reconstruction_loss,
    stage_loss,
)
from .options import TrainingOptions
from .trainer import logger, seeded, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ..data.nights import Batch, Night
    from ..network import MC2SleepNet

__all__ = [
    "TrainingOptions",
    "finetune",
    "fit_input_statistics",
    "interruptible",
    "logger",
    "pretrain",
    "seeded",
]

# Epochs from which the input statistics are taken: enough for a steady estimate.
_N_STATISTICS = 4096


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
    if len(nights) > _N_STATISTICS:
        chosen = rng.choice(len(nights), _N_STATISTICS, replace=False)
        nights = [nights[i] for i in chosen]
    share = -(-_N_STATISTICS // len(nights))
    parts = []
    for night in nights:
        usable = np.flatnonzero(night.usable)
        parts.append(night.inputs[rng.permutation(usable)[:share]])
    device = next(net.parameters()).device
    net.fit_input_statistics(torch.cat(parts).to(device))


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
            **_stage_losses(logits._asdict(), batch, self.options),
            "contrastive": self.options.contrastive_weight
            * self._contrastive_loss(embeddings, batch),
            "reconstruction": self.options.reconstruction_weight
            * self._reconstruction_loss(embeddings, batch),
        }

    def _contrastive_loss(self, embeddings: Embeddings, batch: Batch) -> Tensor:
        usable = batch.usable
        projected = self.net.project(Embeddings(*(e[usable] for e in embeddings)))
        epochs = [x[usable] for x in (batch.nights, batch.positions, batch.stages)]
        weight = weight_among_ranks(usable.sum())
        excluded = excluded_negatives(
            *epochs, self.options.excluded_neighbors, self.options.exclude_same_stage
        )
        return weight * info_nce_loss(
            *projected, self.options.contrastive_temperature, excluded
        )

    def _reconstruction_loss(self, embeddings: Embeddings, batch: Batch) -> Tensor:
        ratio = self.options.mask_ratio
        masks = Embeddings(
            draw_mask(batch.usable, ratio), draw_mask(batch.usable, ratio)
        )
        recovered = self.net.recover(embeddings, masks, batch.usable)
        terms = map(reconstruction_loss, recovered, embeddings, masks)
        weights = [weight_among_ranks(mask.sum()) for mask in masks]
        return sum(w * term for w, term in zip(weights, terms, strict=True)) / 2


class _Finetuning:
    name = "Fine-tuning"

    def __init__(self, net: MC2SleepNet, options: TrainingOptions):
        self.net, self.options = net, options
        self.train_epochs = options.finetune_train_epochs
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
        return _stage_losses(logits, batch, self.options)


def _stage_losses(
    logits: dict[str, Tensor], batch: Batch, options: TrainingOptions
) -> dict[str, Tensor]:
    weight = weight_among_ranks((batch.stages != UNSCORED).sum())
    smoothing = options.label_smoothing
    return {
        # In float32 whatever the precision of the network.
        f"stage_{name}": weight * stage_loss(modality.float(), batch.stages, smoothing)
        for name, modality in logits.items()
    }


def pretrain(
    net: MC2SleepNet,
    nights: Sequence[Night] | Callable[[int], Sequence[Night]],
    held_out: Sequence[Night],
    options: TrainingOptions,
    history: list[dict],
    progress: Callable | None = None,
    checkpoint: str | Path | None = None,
) -> None:
    """Train all of ``net`` by InfoNCE, cross-masking and the stages where known.

    Both levels at once are in the paper. The loss is CE(total) + CE(signal) +
    CE(spectrogram) + 0.1 InfoNCE + 0.1 reconstruction (our weights); epochs without a
    stage enter the last two only.

    Parameters
    ----------
    net : MC2SleepNet
        Changed in place; holds the best state at the end, also when interrupted.
    nights : sequence of Night | callable
        To train on; their inputs are signals. What can be called is, once in each train
        epoch with its number from 1 on; it returns nights of the same lengths each
        time (augmented anew, say).
    held_out : sequence of Night
        To stop early by; may be empty.
    options : TrainingOptions
        The settings.
    history : list of dict
        Gets the losses and the validation score of each train epoch.
    progress : callable | None
        MNE's ProgressBar, or what can be called like it.
    checkpoint : path-like | None
        A file ``*.safetensors`` that is written after each train epoch. If it is there,
        the training goes on where it stands, and ends with the same weights to the bit.

    Raises
    ------
    RuntimeError
        If the loss is not finite, or another training writes to the checkpoint.
    ValueError
        If the checkpoint is damaged or that of another training, or the lengths of the
        nights change.

    Notes
    -----
    Where torch.distributed is initialised, its processes train together (our rules):
    each takes ``batch_size`` sequences of a batch, the losses are means over all of
    them, the first one writes the checkpoint, which all must see, and BatchNorm
    normalises by each process's own sequences.
    """
    phase = _Pretraining(net, options)
    train(phase, nights, held_out, history, progress, checkpoint)


def finetune(
    net: MC2SleepNet,
    nights: Sequence[Night] | Callable[[int], Sequence[Night]],
    held_out: Sequence[Night],
    options: TrainingOptions,
    history: list[dict],
    progress: Callable | None = None,
    checkpoint: str | Path | None = None,
) -> None:
    """Train the sequence level and the heads on the stages; the backbones stay.

    The backbones are frozen (in the paper) and in eval mode, so they give the same
    embeddings in every train epoch: these are the inputs, made once. The loss is the
    sum of CE over the five sets of logits that the authors' code returns.

    Parameters
    ----------
    net : MC2SleepNet
        Changed in place; holds the best state at the end, also when interrupted.
    nights, held_out
        As in `pretrain`, but their inputs are embeddings (n_epochs, 2, width).
    options, history, progress, checkpoint
        As in `pretrain`, which tells the errors too.
    """
    phase = _Finetuning(net, options)
    train(phase, nights, held_out, history, progress, checkpoint)
