"""Extract the weights of the cross-attention by hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from .interface import Embeddings

if TYPE_CHECKING:
    from torch import Tensor

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
    embeddings, usable
        As for ``net.contextualize``.

    Returns
    -------
    maps : Embeddings of shape (batch, layers, heads, sequence, sequence)
        Of the signal to the spectrogram, and the other way round. Each row is the
        attending epoch; it sums to 1.
    """
    maps: list[Tensor] = []

    def keep_weights(module, args, kwargs, output):
        kwargs = kwargs | {"need_weights": True, "average_attn_weights": False}
        maps.append(module.forward(*args, **kwargs)[1])

    hooks = [
        layer.cross_attention.register_forward_hook(keep_weights, with_kwargs=True)
        for layer in (*net.signal_stack.layers, *net.spectrogram_stack.layers)
    ]
    try:
        net.contextualize(embeddings, usable)
    finally:
        for hook in hooks:
            hook.remove()
    # The layers of the signal are computed first.
    return Embeddings(*torch.stack(maps, dim=1).chunk(2, dim=1))
