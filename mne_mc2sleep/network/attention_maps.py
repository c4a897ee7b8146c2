"""Extract the weights of the cross-attention by hooks."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from .mc2sleepnet import Embeddings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .cross_attention import CrossAttentionLayer, CrossAttentionStack
    from .mc2sleepnet import MC2SleepNet


@torch.no_grad()
def cross_attention_maps(
    net: MC2SleepNet, embeddings: Embeddings, usable: Tensor | None = None
) -> Embeddings:
    """Return how much each epoch attends to each epoch of the other modality.

    Parameters
    ----------
    net : MC2SleepNet
        The network, in eval mode.
    embeddings : Embeddings of shape (batch, sequence, width)
        The output of ``encode``, cut into sequences.
    usable : Tensor of bool of shape (batch, sequence) | None
        No epoch attends to one where this is False.

    Returns
    -------
    maps : Embeddings of shape (batch, layers, heads, sequence, sequence)
        Of the signal to the spectrogram, and the other way round. Each row is the
        attending epoch; it sums to 1.
    """
    with ExitStack() as stack:
        maps = [
            stack.enter_context(_recorded(modality))
            for modality in (net.signal_stack, net.spectrogram_stack)
        ]
        net.contextualize(embeddings, usable)
    return Embeddings(*(torch.stack(layers, dim=1) for layers in maps))


@contextmanager
def _recorded(stack: CrossAttentionStack) -> Iterator[list[Tensor]]:
    """Collect the cross-attention's weights of each layer while inside."""
    weights: list[Tensor] = []
    handles = []
    for layer in stack.layers:
        module = cast("CrossAttentionLayer", layer).cross_attention
        handles += [
            module.register_forward_pre_hook(_ask_for_weights, with_kwargs=True),
            module.register_forward_hook(
                lambda module, inputs, outputs: weights.append(outputs[1])
            ),
        ]
    try:
        yield weights
    finally:
        for handle in handles:
            handle.remove()


def _ask_for_weights(module, args, kwargs):
    return args, kwargs | {"need_weights": True, "average_attn_weights": False}
