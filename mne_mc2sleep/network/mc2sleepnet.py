"""The network: encode epochs, contextualize sequences, recover masked epochs, stage."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._constants import STAGES
from .config import MC2SleepConfig
from .cross_attention import CrossAttentionStack
from .masking import MaskToken
from .signal_backbone import SignalBackbone
from .sleep_network import Embeddings, SleepNetwork, StageLogits
from .spectrogram_backbone import SpectrogramBackbone


class MC2SleepNet(SleepNetwork):
    """MC2SleepNet (arXiv 2502.17470).

    Each epoch is embedded by itself, and then read in the context of its sequence::

              signals of a sequence of epochs
              |                             |
        signal_backbone           spectrogram_backbone     encode
              |                             |
        (signal_token)            (spectrogram_token)      recover: hide epochs
              |                             |
        signal_stack  <--------->  spectrogram_stack       contextualize
              |                             |
        modality_head             modality_head            stage
              '--------- total_head --------'

    InfoNCE compares the ``project``-ed embeddings of ``encode``; the reconstruction
    loss compares what ``recover`` returns with the embeddings that it hid.
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
        # A linear map for recovery alone, as the contexts are also staged (our choice).
        self.signal_recovery = nn.Linear(width, width)
        self.spectrogram_recovery = nn.Linear(width, width)
        # The modalities share a head, as seen in the authors' code.
        self.modality_head = nn.Linear(width, n_stages)
        self.total_head = nn.Linear(2 * width, n_stages)

    @property
    def backbones(self) -> tuple[nn.Module, nn.Module]:
        """The two modules that fine-tuning freezes."""
        return self.signal_backbone, self.spectrogram_backbone

    def fit_input_statistics(self, signals: Tensor) -> None:
        """Store the scale and the spectral statistics of training signals."""
        self.signal_backbone.fit_scale(signals)
        self.spectrogram_backbone.spectrogram.fit(signals)

    def encode(self, signals: Tensor) -> Embeddings:
        """Embed epochs (n_epochs, n_times): one (n_epochs, width) per modality."""
        return Embeddings(*(backbone(signals) for backbone in self.backbones))

    def project(self, embeddings: Embeddings) -> Embeddings:
        """Return the L2-normalised projections (n_epochs, width) for InfoNCE."""
        signal = self.signal_projection(embeddings.signal)
        spectrogram = self.spectrogram_projection(embeddings.spectrogram)
        return Embeddings(F.normalize(signal, dim=-1), F.normalize(spectrogram, dim=-1))

    def contextualize(
        self,
        embeddings: Embeddings,
        usable: Tensor | None = None,
        cross_attention: bool = True,
    ) -> Embeddings:
        """Put embeddings (batch, sequence, width) into the context of the sequence."""
        signal, spectrogram = embeddings
        others = (spectrogram, signal) if cross_attention else (None, None)
        return Embeddings(
            self.signal_stack(signal, others[0], usable),
            self.spectrogram_stack(spectrogram, others[1], usable),
        )

    def recover(
        self, embeddings: Embeddings, masks: Embeddings, usable: Tensor | None = None
    ) -> Embeddings:
        """Recover masked epochs (batch, sequence, width) from the other modality."""
        signal, spectrogram = embeddings
        hidden = self.signal_token(signal, masks.signal)
        first = self.signal_recovery(self.signal_stack(hidden, spectrogram, usable))
        hidden = self.spectrogram_token(spectrogram, masks.spectrogram)
        hidden = self.spectrogram_stack(hidden, signal, usable)
        return Embeddings(first, self.spectrogram_recovery(hidden))

    def stage(self, contexts: Embeddings) -> StageLogits:
        """Return logits (..., 5) of both modalities and of each."""
        total = self.total_head(torch.cat(contexts, dim=-1))
        return StageLogits(total, *map(self.modality_head, contexts))


def make_network(
    config: MC2SleepConfig, network: Callable | None = None
) -> SleepNetwork:
    """Make a network with random weights; ``network`` None is `MC2SleepNet`."""
    net = (network or MC2SleepNet)(config)
    if not isinstance(net, SleepNetwork):
        raise TypeError(
            "'network' must return an instance of mne_mc2sleep.network.SleepNetwork, "
            f"such as a subclass of MC2SleepNet, got {type(net).__name__} instead."
        )
    return net
