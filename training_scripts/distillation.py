"""Teach a network with a faster encoder what a trained network stages.

The fourth step of ``train_shipped_weights.py``. The faster network begins with the
weights of its teacher, whose sequence level is the same. At first only its backbones
are trained, and imitate the embeddings of the teacher on the recordings of the third
step; then all layers are trained. Targets are mixtures of those of the third step and
of the teacher's posteriors.
"""

from __future__ import annotations

import torch
from continuation import log_posteriors, soft_loss, stage
from torch.nn import functional as F

from mne_mc2sleep.network import MC2SleepNet

EMBEDDING_WEIGHT = 4.0


def start_from(teacher, config):
    """Make a network of another stem stride and frame stride with a teacher's weights.

    A token of several frames begins as their weighted mean.
    """
    net, state = MC2SleepNet(config), teacher.state_dict()
    ramp = torch.arange(1.0, config.frame_stride + 1)
    taps = torch.cat([ramp, ramp[:-1].flip(0)])
    name = "spectrogram_backbone.frame_projection.weight"
    state[name] = torch.cat([tap * state[name] for tap in taps / taps.sum()], dim=1)
    net.load_state_dict(state)
    return net


class ImitationLoss:
    """The loss of mixed targets, and of embeddings that differ from the teacher's.

    ``weight`` is that of the teacher in the targets. Embeddings count less and less
    until ``faded_at`` of the steps.
    """

    def __init__(self, teacher, weight, faded_at):
        self.teacher = teacher.eval()
        self.weight = weight
        self.faded_at = faded_at

    def __call__(self, net, batch, progress):
        """Return the loss of a batch, see `continuation.train`."""
        signals, targets, usable, allowed = batch
        with torch.no_grad():
            expected = self.teacher.encode(signals)
            logits = stage(self.teacher, expected, usable).total
        # A row of zeros in the targets does not count.
        is_scored = targets.sum(dim=-1, keepdim=True) > 0
        posteriors = log_posteriors(logits, allowed).exp() * is_scored
        targets = torch.lerp(targets, posteriors, self.weight)
        embeddings = net.encode(signals)
        logits = stage(net, embeddings, usable)
        loss = sum(soft_loss(part, targets, allowed) for part in logits)
        if progress < self.faded_at:
            pairs = zip(embeddings, expected, strict=True)
            distance = sum(F.mse_loss(a.float(), b.float()) for a, b in pairs)
            loss += EMBEDDING_WEIGHT * (1 - progress / self.faded_at) * distance
        return loss
