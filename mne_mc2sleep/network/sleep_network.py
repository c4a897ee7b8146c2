"""What training and staging require of a network, and a faster copy for staging."""

from abc import ABC, abstractmethod
from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .config import MC2SleepConfig


class Embeddings(NamedTuple):
    """The two modalities of the same epochs, each of shape (..., width)."""

    signal: Tensor
    spectrogram: Tensor


class StageLogits(NamedTuple):
    """Logits of shape (..., 5) from both modalities together and from each alone."""

    total: Tensor
    signal: Tensor
    spectrogram: Tensor


class SleepNetwork(nn.Module, ABC):
    """Base class of networks of two modalities, such as `MC2SleepNet`."""

    #: Its ``width`` and ``sequence_length`` must be those of the network.
    config: MC2SleepConfig

    @property
    @abstractmethod
    def backbones(self) -> tuple[nn.Module, ...]:
        """The modules behind ``encode``, which fine-tuning freezes."""

    @abstractmethod
    def fit_input_statistics(self, signals: Tensor) -> None:
        """Store statistics of training signals (n_epochs, n_times) in buffers."""

    @abstractmethod
    def encode(self, signals: Tensor) -> Embeddings:
        """Embed epochs (n_epochs, n_times) in µV at 100 Hz as (n_epochs, width)."""

    @abstractmethod
    def project(self, embeddings: Embeddings) -> Embeddings:
        """Return the L2-normalised projections that InfoNCE compares."""

    @abstractmethod
    def contextualize(
        self,
        embeddings: Embeddings,
        usable: Tensor | None = None,
        cross_attention: bool = True,
    ) -> Embeddings:
        """Put embeddings (batch, sequence, width) into the context of the sequence.

        No epoch attends to one that is not ``usable`` (batch, sequence). Without
        ``cross_attention``, the modalities do not attend to each other.
        """

    @abstractmethod
    def recover(
        self, embeddings: Embeddings, masks: Embeddings, usable: Tensor | None = None
    ) -> Embeddings:
        """Recover hidden epochs of each modality from the other, which is intact.

        ``masks`` (batch, sequence) are True for the epochs to hide in each modality.
        """

    @abstractmethod
    def stage(self, contexts: Embeddings) -> StageLogits:
        """Return the stage logits of epochs in context."""

    def forward(self, signals: Tensor, usable: Tensor | None = None) -> StageLogits:
        """Stage sequences of epochs (batch, sequence, n_times) in µV at 100 Hz."""
        flat = self.encode(signals.flatten(0, 1))
        sequences = Embeddings(*(e.unflatten(0, signals.shape[:2]) for e in flat))
        return self.stage(self.contextualize(sequences, usable))


def fuse(net: Any) -> Any:
    """Return a copy of a network in eval mode without BatchNorm.

    It encodes about 5 % faster; its outputs differ by rounding errors. It shares all
    other parameters with ``net``, which is not modified. Neither train nor save it.
    """
    fused = copy(net)
    # A module that is missing is None.
    fused._modules = {name: m and fuse(m) for name, m in net._modules.items()}
    if isinstance(fused, nn.Sequential):
        for index, (layer, norm) in enumerate(pairwise(fused)):
            if isinstance(layer, nn.Conv1d) and isinstance(norm, nn.BatchNorm1d):
                fused[index] = fuse_conv_bn_eval(layer, norm)
                fused[index + 1] = nn.Identity()
    return fused
