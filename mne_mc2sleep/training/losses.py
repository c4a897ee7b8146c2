"""The three losses of MC2SleepNet. Change here what the training optimises."""

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from .._constants import UNSCORED


def info_nce_loss(
    signal: Tensor, spectrogram: Tensor, temperature: float, same_epoch: Tensor
) -> Tensor:
    """Align the two modalities of the same epochs (InfoNCE, in the paper).

    The L2-normalised projections, (n_epochs, width), of one epoch are a positive pair,
    those of different epochs are negatives, unless ``same_epoch``, (n_epochs,
    n_epochs), says that two rows are one epoch. Return the mean over both directions.
    """
    # Divided by the temperature, the rounding of bfloat16 would reach 0.04.
    with torch.autocast(signal.device.type, enabled=False):
        logits = signal.float() @ spectrogram.float().T / temperature
    positives = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    logits = logits.masked_fill(same_epoch & ~positives, -torch.inf)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def reconstruction_loss(recovered: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """Compare recovered with original embeddings, (batch, sequence, width).

    L1 as in the authors' code; the mean over the hidden epochs only (where ``mask``,
    (batch, sequence), is True) and the target without gradient, which keeps the
    embeddings from shrinking, are our choices. The loss is 0 if nothing is hidden.
    """
    distances = (recovered - original.detach()).abs().mean(dim=-1)
    return (distances * mask).sum() / mask.sum().clamp(min=1)


def stage_loss(logits: Tensor, stages: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return the mean cross-entropy of the scored epochs, 0 if there are none.

    ``stages`` are integers, -1 where unscored, or probabilities (..., 5), zero where
    unscored. ``label_smoothing`` is spread evenly over all stages.
    """
    is_soft = stages.is_floating_point()
    stages = stages.flatten(0, -2) if is_soft else stages.flatten()
    scored = stages.sum(dim=-1) > 0 if is_soft else stages != UNSCORED
    loss = partial(F.cross_entropy, reduction="none", ignore_index=UNSCORED)
    terms = loss(logits.flatten(0, -2).float(), stages, label_smoothing=label_smoothing)
    return (terms * scored).sum() / scored.sum().clamp(min=1)
