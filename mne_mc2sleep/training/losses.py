"""The three losses of MC2SleepNet. Change here what the training optimises."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .._constants import UNSCORED


def info_nce_loss(
    signal: Tensor,
    spectrogram: Tensor,
    temperature: float = 0.1,
    same_epoch: Tensor | None = None,
) -> Tensor:
    """Align the two modalities of the same epochs (InfoNCE, in the paper).

    Parameters
    ----------
    signal, spectrogram : Tensor of shape (n_epochs, width)
        L2-normalised projections. Row i of both is the same epoch, the positive pair;
        all other rows are negatives.
    temperature : float
        Divides the cosine similarities. 0.1 is our choice.
    same_epoch : Tensor of bool of shape (n_epochs, n_epochs) | None
        Where True, the rows are the same epoch, and not negatives of each other.

    Returns
    -------
    loss : Tensor
        Mean over both directions, signal to spectrogram and back.
    """
    # Divided by the temperature, the rounding of bfloat16 would reach 0.04.
    with torch.autocast(signal.device.type, enabled=False):
        logits = signal.float() @ spectrogram.float().T / temperature
    if same_epoch is not None:
        positives = torch.eye(len(logits), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(same_epoch & ~positives, -torch.inf)
    target = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def reconstruction_loss(recovered: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """Compare recovered with original embeddings where they were hidden.

    L1 as in the authors' code; the mean over masked positions only and the target
    without gradient, which keeps the embeddings from shrinking, are our choices.

    Parameters
    ----------
    recovered, original : Tensor of shape (batch, sequence, width)
        The output of the sequence level, and the embeddings of the backbone.
    mask : Tensor of bool of shape (batch, sequence)
        True where the epoch was hidden.

    Returns
    -------
    loss : Tensor
        Mean absolute difference; 0 if nothing was hidden.
    """
    distances = (recovered - original.detach()).abs().mean(dim=-1)
    return (distances * mask).sum() / mask.sum().clamp(min=1)


def stage_loss(logits: Tensor, stages: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Compare logits with stages, over the scored epochs.

    Parameters
    ----------
    logits : Tensor of shape (..., 5)
        The logits of one head, compared in float32.
    stages : Tensor of int of shape (...) | Tensor of float of shape (..., 5)
        The stages, -1 where unscored, or their probabilities (soft targets, as of a
        teacher), all zero where unscored.
    label_smoothing : float
        Share of each stage that is spread evenly over all stages.

    Returns
    -------
    loss : Tensor
        Mean cross-entropy; 0 if nothing is scored.
    """
    if stages.is_floating_point():
        stages = stages.flatten(0, -2)
        scored = stages.sum(dim=-1) > 0
    else:
        stages = stages.flatten()
        scored = stages != UNSCORED
    terms = F.cross_entropy(
        logits.flatten(0, -2).float(),
        stages,
        reduction="none",
        label_smoothing=label_smoothing,
        ignore_index=UNSCORED,
    )
    return (terms * scored).sum() / scored.sum().clamp(min=1)
