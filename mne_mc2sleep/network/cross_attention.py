"""The sequence level: one stack of self- and cross-attention per modality."""

import math
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

from .config import MC2SleepConfig
from .sleep_network import Embeddings, SleepNetwork


def sinusoidal_positions(n_positions: int, width: int) -> Tensor:
    """Return the position code of Vaswani et al. (2017), (n_positions, width)."""
    # Never on "meta", where torch would import its compiler.
    position = torch.arange(n_positions, device="cpu")
    column = torch.arange(0, width, 2, device="cpu")
    angle = position[:, None] * torch.exp(-math.log(10_000.0) * column / width)
    # Sines in even columns, cosines in odd ones.
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class CrossAttentionLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward, each residual and post-norm.

    Eight heads, GELU, no biases and this ``eps``, as seen in the authors' code.
    """

    def __init__(self, config: MC2SleepConfig):
        super().__init__()
        width, heads, dropout = config.width, config.n_heads, config.dropout
        options = {"dropout": dropout, "bias": False, "batch_first": True}
        attention = partial(nn.MultiheadAttention, width, heads, **options)
        norm = partial(nn.LayerNorm, width, eps=1e-12, bias=False)
        self.self_attention, self.self_norm = attention(), norm()
        self.cross_attention, self.cross_norm = attention(), norm()
        self.feedforward = nn.Sequential(
            nn.Linear(width, config.feedforward, bias=False),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(config.feedforward, width, bias=False),
        )
        self.feedforward_norm = norm()
        self.dropout = nn.Dropout(dropout)

    def forward(self, own: Tensor, other: Tensor | None, ignored: Tensor) -> Tensor:
        """Update ``own`` (batch, sequence, width); see `CrossAttentionStack`."""
        options = {"attn_mask": ignored, "need_weights": False}
        update, _ = self.self_attention(own, own, own, **options)
        own = self.self_norm(own + self.dropout(update))
        if other is not None:
            update, _ = self.cross_attention(own, other, other, **options)
            own = self.cross_norm(own + self.dropout(update))
        return self.feedforward_norm(own + self.dropout(self.feedforward(own)))


class CrossAttentionStack(nn.Module):
    """Put the epochs of one modality into the context of their sequence.

    The queries of every layer come from the modality itself. Keys and values of the
    cross-attention are the position-encoded embeddings of the other modality, the same
    in all layers, as seen in the authors' code.
    """

    positions: Tensor

    def __init__(self, config: MC2SleepConfig):
        super().__init__()
        positions = sinusoidal_positions(config.sequence_length, config.width)
        self.register_buffer("positions", positions, persistent=False)
        self.n_heads = config.n_heads
        self.dropout = nn.Dropout(config.dropout)
        layers = [CrossAttentionLayer(config) for _ in range(config.sequence_layers)]
        self.layers = nn.ModuleList(layers)

    def forward(
        self, own: Tensor, other: Tensor | None, usable: Tensor | None = None
    ) -> Tensor:
        """Contextualize the embeddings of this modality, see `SleepNetwork`.

        If those of the ``other`` modality are None, there is no cross-attention.
        """
        positions, ignored = self.positions[: own.shape[1]], None
        own = self.dropout(own + positions)
        if other is not None:
            other = self.dropout(other + positions)
        if usable is not None:
            # The softmax of no key is NaN: if nothing is usable, attend to everything;
            # the caller discards the result.
            ignored = ~usable & usable.any(dim=1, keepdim=True)
            # One mask for each head. A "key_padding_mask" would import SymPy.
            ignored = ignored.repeat_interleave(self.n_heads, dim=0)[:, None]
            ignored = ignored.expand(-1, own.shape[1], -1)
        for layer in self.layers:
            own = layer(own, other, ignored)
        return own


@torch.no_grad()
def cross_attention_maps(
    net: SleepNetwork, embeddings: Embeddings, usable: Tensor | None = None
) -> Embeddings:
    """Return how much each epoch attends to each epoch of the other modality.

    The parameters are those of ``contextualize`` of an MC2SleepNet in eval mode. Both
    maps have the shape (batch, layers, heads, sequence, sequence). Each row sums to 1.
    """
    maps: list[Tensor] = []

    def keep_weights(module, args, kwargs, output):
        kwargs = kwargs | {"need_weights": True, "average_attn_weights": False}
        maps.append(module.forward(*args, **kwargs)[1])

    with ExitStack() as hooks:
        for layer in net.modules():
            if isinstance(layer, CrossAttentionLayer):
                register = layer.cross_attention.register_forward_hook
                hooks.enter_context(register(keep_weights, with_kwargs=True))
        net.contextualize(embeddings, usable)
    # The layers of the signal are computed first.
    return Embeddings(*torch.stack(maps, dim=1).chunk(2, dim=1))
