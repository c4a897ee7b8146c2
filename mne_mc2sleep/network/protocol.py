"""Interface that training and staging require of a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .._constants import N_TIMES, STAGES
from .mc2sleepnet import Embeddings, MC2SleepNet, StageLogits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from .config import MC2SleepConfig


class _Module(Protocol):
    """What the package uses of an `nn.Module`, from which no protocol can derive."""

    training: bool

    def train(self, mode: bool = True) -> Self: ...
    def eval(self) -> Self: ...
    def to(self, device: torch.device) -> Self: ...
    def modules(self) -> Iterator[nn.Module]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> Any: ...


@runtime_checkable
class SleepNetwork(_Module, Protocol):
    """A network of two modalities: an ``nn.Module`` with these members.

    `MC2SleepNet` documents their arguments; the easiest network of your own is a
    subclass of it.
    """

    config: MC2SleepConfig
    """What it was made from. ``width`` and ``sequence_length`` must be its own."""

    @property
    def backbones(self) -> tuple[nn.Module, ...]:
        """The modules behind ``encode``, which fine-tuning freezes."""

    def fit_input_statistics(self, signals: Tensor) -> None:
        """Store statistics of training signals (n_epochs, n_times) in buffers."""

    def encode(self, signals: Tensor) -> Embeddings:
        """Embed epochs (n_epochs, n_times): one (n_epochs, width) per modality."""

    def project(self, embeddings: Embeddings) -> Embeddings:
        """Return the L2-normalised projections (n_epochs, width) for InfoNCE."""

    def contextualize(
        self,
        embeddings: Embeddings,
        usable: Tensor | None = None,
        cross_attention: bool = True,
    ) -> Embeddings:
        """Put embeddings (batch, sequence, width) into the context of the sequence."""

    def recover(
        self, embeddings: Embeddings, masks: Embeddings, usable: Tensor | None = None
    ) -> Embeddings:
        """Recover the embeddings of masked epochs (batch, sequence, width)."""

    def stage(self, contexts: Embeddings) -> StageLogits:
        """Return logits (..., 5) of both modalities and of each."""


def make_network(
    config: MC2SleepConfig,
    network: Callable[[MC2SleepConfig], nn.Module] | None = None,
) -> SleepNetwork:
    """Make a network and check that it is a `SleepNetwork`.

    Parameters
    ----------
    config : MC2SleepConfig
        The sizes.
    network : callable | None
        Takes the sizes and returns the network. None is `MC2SleepNet`.

    Returns
    -------
    net : SleepNetwork
        With random weights.

    Raises
    ------
    TypeError
        If it lacks a member of the protocol.
    ValueError
        If one of them returns other shapes.
    """
    if network is None:
        return MC2SleepNet(config)
    net = network(config)
    if not isinstance(net, nn.Module) or not isinstance(net, SleepNetwork):
        members = [name for name in vars(SleepNetwork) if not name.startswith("_")]
        missing = [name for name in [*members, "config"] if not hasattr(net, name)]
        raise TypeError(
            "'network' must return an nn.Module with the members of "
            f"mne_mc2sleep.network.SleepNetwork, but {missing} are missing."
        )
    _check_shapes(net)
    return net


@torch.no_grad()
def _check_shapes(net: SleepNetwork) -> None:
    was_training, width = net.training, net.config.width
    signals = torch.randn(2, N_TIMES, generator=torch.Generator("cpu").manual_seed(0))
    net.eval()
    embeddings = net.encode(signals)
    sequences = Embeddings(*(e[None] for e in embeddings))
    masks = Embeddings(*(torch.tensor([[True, False]]) for _ in range(2)))
    contexts = net.contextualize(sequences, torch.tensor([[True, True]]))
    recovered = net.recover(sequences, masks)
    for name, found, n, shape in (
        ("encode", embeddings, 2, (2, width)),
        ("project", net.project(embeddings), 2, (2, width)),
        ("contextualize", contexts, 2, (1, 2, width)),
        ("recover", recovered, 2, (1, 2, width)),
        ("stage", net.stage(contexts), 3, (1, 2, len(STAGES))),
    ):
        shapes = [tuple(tensor.shape) for tensor in found]
        if shapes != [shape] * n:
            raise ValueError(
                f"'{name}' of the network must return {n} tensors of shape {shape}, "
                f"got the shapes {shapes} instead."
            )
    net.train(was_training)
