"""The sequence level: one stack of self- and cross-attention per modality."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from .positions import sinusoidal_positions

if TYPE_CHECKING:
    from .config import MC2SleepConfig


class CrossAttentionLayer(nn.Module):
    """Self-attention, cross-attention and feed-forward, each residual and post-norm.

    Eight heads, GELU, no biases and this ``eps``, as seen in the authors' code.
    """

    def __init__(self, config: MC2SleepConfig):
        super().__init__()
        width, dropout = config.width, config.dropout

        def attention():
            return nn.MultiheadAttention(
                width, config.n_heads, dropout, bias=False, batch_first=True
            )

        def norm():
            return nn.LayerNorm(width, eps=1e-12, bias=False)

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
        update, _ = self.self_attention(
            own, own, own, key_padding_mask=ignored, need_weights=False
        )
        own = self.self_norm(own + self.dropout(update))
        if other is not None:
            update, _ = self.cross_attention(
                own, other, other, key_padding_mask=ignored, need_weights=False
            )
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
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            CrossAttentionLayer(config) for _ in range(config.sequence_layers)
        )

    def forward(
        self, own: Tensor, other: Tensor | None, usable: Tensor | None = None
    ) -> Tensor:
        """Contextualize a batch of sequences (batch, sequence, width).

        ``own`` and ``other`` are the embeddings of this and of the other modality; if
        ``other`` is None, there is no cross-attention. No epoch attends to one that is
        not ``usable`` (batch, sequence).
        """
        positions = self.positions[: own.shape[1]]
        own = self.dropout(own + positions)
        if other is not None:
            other = self.dropout(other + positions)
        ignored = None
        if usable is not None:
            # The softmax of no key is NaN: if nothing is usable, attend to everything;
            # the caller discards the result.
            ignored = ~usable & usable.any(dim=1, keepdim=True)
        for layer in self.layers:
            own = layer(own, other, ignored)
        return own
