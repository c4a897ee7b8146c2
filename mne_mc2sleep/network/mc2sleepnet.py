"""The network: encode epochs, contextualize sequences, recover masked epochs, stage."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constants import STAGES
from .config import MC2SleepConfig
from .cross_attention import CrossAttentionStack
from .masking import MaskToken
from .signal_backbone import SignalBackbone
from .spectrogram_backbone import SpectrogramBackbone


class Embeddings(NamedTuple):
    """The two modalities of the same epochs, each of shape (..., width)."""

    signal: Tensor
    spectrogram: Tensor


class StageLogits(NamedTuple):
    """Logits of shape (..., 5) from both modalities together and from each alone."""

    total: Tensor
    signal: Tensor
    spectrogram: Tensor


class MC2SleepNet(nn.Module):
    """MC2SleepNet (arXiv 2502.17470).

    ``encode`` embeds each epoch by both backbones; ``contextualize`` puts a sequence of
    epochs into context by self- and cross-attention; ``stage`` returns logits.
    ``recover`` and ``project`` are for the two losses of pretraining.

    Parameters
    ----------
    config : MC2SleepConfig
        The sizes.
    """

    def __init__(self, config: MC2SleepConfig):
        super().__init__()
        self.config = config
        width, n_stages = config.width, len(STAGES)
        self.signal_backbone = SignalBackbone(config)
        self.spectrogram_backbone = SpectrogramBackbone(config)
        self.signal_projection = nn.Linear(width, width)
        self.spectrogram_projection = nn.Linear(width, width)
        self.signal_token = MaskToken(width)
        self.spectrogram_token = MaskToken(width)
        self.signal_stack = CrossAttentionStack(config)
        self.spectrogram_stack = CrossAttentionStack(config)
        # The contexts are used both for recovery and for staging, so recovery has a
        # linear map of its own (our choice).
        self.signal_recovery = nn.Linear(width, width)
        self.spectrogram_recovery = nn.Linear(width, width)
        # One head for either modality, one for both, as seen in the authors' code.
        self.modality_head = nn.Linear(width, n_stages)
        self.total_head = nn.Linear(2 * width, n_stages)

    @property
    def backbones(self) -> tuple[nn.Module, nn.Module]:
        """The two modules that fine-tuning freezes."""
        return self.signal_backbone, self.spectrogram_backbone

    def fit_input_statistics(self, signals: Tensor) -> None:
        """Store the scale and the spectral statistics of training signals.

        Parameters
        ----------
        signals : Tensor of shape (n_epochs, n_times)
            Usable epochs in µV.
        """
        self.signal_backbone.fit_scale(signals)
        self.spectrogram_backbone.spectrogram.fit(signals)

    def encode(self, signals: Tensor) -> Embeddings:
        """Embed each epoch by both backbones.

        Parameters
        ----------
        signals : Tensor of shape (n_epochs, n_times)
            Epochs in µV at 100 Hz.

        Returns
        -------
        embeddings : Embeddings of shape (n_epochs, width)
            One embedding per modality.
        """
        return Embeddings(
            self.signal_backbone(signals), self.spectrogram_backbone(signals)
        )

    def project(self, embeddings: Embeddings) -> Embeddings:
        """Return the L2-normalised projections that InfoNCE compares."""
        return Embeddings(
            F.normalize(self.signal_projection(embeddings.signal), dim=-1),
            F.normalize(self.spectrogram_projection(embeddings.spectrogram), dim=-1),
        )

    def contextualize(
        self,
        embeddings: Embeddings,
        usable: Tensor | None = None,
        cross_attention: bool = True,
    ) -> Embeddings:
        """Put each epoch into the context of its sequence.

        Parameters
        ----------
        embeddings : Embeddings of shape (batch, sequence, width)
            The output of ``encode``, cut into sequences.
        usable : Tensor of bool of shape (batch, sequence) | None
            No epoch attends to one where this is False.
        cross_attention : bool
            If False, the modalities do not attend to each other.

        Returns
        -------
        contexts : Embeddings of shape (batch, sequence, width)
            The embeddings in context.
        """
        signal, spectrogram = embeddings
        others = (spectrogram, signal) if cross_attention else (None, None)
        return Embeddings(
            self.signal_stack(signal, others[0], usable),
            self.spectrogram_stack(spectrogram, others[1], usable),
        )

    def recover(
        self,
        embeddings: Embeddings,
        masks: Embeddings,
        usable: Tensor | None = None,
        cross_attention: bool = True,
    ) -> Embeddings:
        """Recover hidden epochs of each modality from the other, which is intact.

        Parameters
        ----------
        embeddings : Embeddings of shape (batch, sequence, width)
            The output of ``encode``, cut into sequences.
        masks : Embeddings of bool of shape (batch, sequence)
            The epochs to hide in each modality.
        usable, cross_attention
            As for ``contextualize``.

        Returns
        -------
        recovered : Embeddings of shape (batch, sequence, width)
            Compare it with ``embeddings`` where ``masks`` is True.
        """
        signal, spectrogram = embeddings
        others = (spectrogram, signal) if cross_attention else (None, None)
        signal = self.signal_token(signal, masks.signal)
        spectrogram = self.spectrogram_token(spectrogram, masks.spectrogram)
        return Embeddings(
            self.signal_recovery(self.signal_stack(signal, others[0], usable)),
            self.spectrogram_recovery(
                self.spectrogram_stack(spectrogram, others[1], usable)
            ),
        )

    def stage(self, contexts: Embeddings) -> StageLogits:
        """Return the stage logits of epochs in context."""
        return StageLogits(
            self.total_head(torch.cat(contexts, dim=-1)),
            self.modality_head(contexts.signal),
            self.modality_head(contexts.spectrogram),
        )

    def forward(self, signals: Tensor, usable: Tensor | None = None) -> StageLogits:
        """Stage sequences of raw epochs.

        Parameters
        ----------
        signals : Tensor of shape (batch, sequence, n_times)
            Epochs in µV at 100 Hz.
        usable : Tensor of bool of shape (batch, sequence) | None
            No epoch attends to one where this is False.

        Returns
        -------
        logits : StageLogits of shape (batch, sequence, 5)
            From both modalities together and from each.
        """
        flat = self.encode(signals.flatten(0, 1))
        sequences = Embeddings(*(e.unflatten(0, signals.shape[:2]) for e in flat))
        return self.stage(self.contextualize(sequences, usable))
