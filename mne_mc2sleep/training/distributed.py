"""What the processes of one training, the ranks, tell each other.

Where torch.distributed is not initialised there is one rank, and nothing is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn


def n_ranks() -> int:
    """Return the number of processes that train together."""
    return distributed.get_world_size() if _is_distributed() else 1


def rank() -> int:
    """Return the place of this process among them; 0 writes files and the log."""
    return distributed.get_rank() if _is_distributed() else 0


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Return the sum of the tensors of all ranks."""
    if n_ranks() == 1:
        return tensor
    total = tensor.clone()
    distributed.all_reduce(total)
    return total


def weight_among_ranks(count: Tensor) -> Tensor | float:
    """Return the weight of a mean over ``count`` items of this rank.

    The mean over the ranks of the weighted means is the mean over all items, however
    many each rank has.
    """
    if n_ranks() == 1:
        return 1.0
    return count * n_ranks() / sum_over_ranks(count).clamp(min=1)


def gather(tensor: Tensor) -> list[Tensor]:
    """Return the tensors of all ranks, which have one shape."""
    if n_ranks() == 1:
        return [tensor]
    parts = [torch.empty_like(tensor) for _ in range(n_ranks())]
    distributed.all_gather(parts, tensor.contiguous())
    return parts


def broadcast_state(module: nn.Module) -> None:
    """Give all ranks the weights and buffers of rank 0."""
    if n_ranks() > 1:
        for tensor in module.state_dict().values():
            distributed.broadcast(tensor, src=0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their mean over the ranks.

    Not by DistributedDataParallel: it acts in ``forward`` alone, and the losses call
    other methods of the network, some of them twice. The weights are few (28 MB in the
    larger size), so little is lost by sending them at once after the backward pass.
    """
    if n_ranks() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = sum_over_ranks(torch.cat([g.flatten() for g in gradients])) / n_ranks()
    parts = flat.split([g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def average_batch_norm(module: nn.Module) -> None:
    """Replace the running statistics of BatchNorm by their mean over the ranks.

    Within a step each rank normalises by its own part of the batch, which holds enough
    epochs for that (our choice; it needs no GPU, as SyncBatchNorm does). So the ranks
    differ in these statistics alone, until this is called.
    """
    for name, buffer in module.named_buffers():
        if n_ranks() > 1 and name.endswith(("running_mean", "running_var")):
            buffer.copy_(sum_over_ranks(buffer) / n_ranks())
