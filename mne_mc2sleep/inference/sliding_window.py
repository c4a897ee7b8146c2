"""Stage a night: encode each epoch once, slide over the sequences, fuse the windows."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import torch

from .._constants import STAGES
from ..network import Embeddings, fuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..network import SleepNetwork

# MNE's logger by its name: networks are also trained where MNE is not installed.
logger = logging.getLogger("mne")

# Epochs in one batch of the backbones, times the width of the network: 32 of "small"
# and 16 of "base". Larger batches do not fit into the cache of a CPU (measured).
_EPOCHS_TIMES_WIDTH = 2048
# Windows in one batch of the sequence level.
_WINDOWS_AT_ONCE = 32
# Each epoch is in this many windows, except at the ends (our choice).
_WINDOWS_PER_EPOCH = 4


def encode_epochs(
    net: SleepNetwork, signals: NDArray | Tensor, batch_size: int | None = None
) -> Tensor:
    """Embed ``signals`` (n_epochs, n_times): finite epochs at 100 Hz.

    The network is put into eval mode. The embeddings (n_epochs, 2, width) of signal and
    spectrogram are on the CPU.
    """
    net.eval()
    device = next(net.parameters()).device
    encoder = fuse(net) if device.type == "cpu" else net

    def encode(part: Tensor) -> Tensor:
        return torch.stack(encoder.encode(part.to(device)), dim=1).cpu()

    batch_size = batch_size or max(_EPOCHS_TIMES_WIDTH // net.config.width, 1)
    parts = torch.as_tensor(signals).split(batch_size)
    return torch.cat(_map_in_threads(encode, parts, device))


def log_posteriors(
    net: SleepNetwork,
    embeddings: Tensor,
    usable: NDArray[np.bool_],
    batch_size: int = _WINDOWS_AT_ONCE,
) -> NDArray[np.float64]:
    """Slide over the ``embeddings`` of a night and fuse the windows.

    Each epoch gets the mean of the windows that contain it, normalised: (n_epochs, 5).
    Windows begin a quarter of ``sequence_length`` apart, and the last one ends with the
    night. A shorter night is one window. No epoch attends to one that is not
    ``usable``. The network is put into eval mode.
    """
    net.eval()
    device = next(net.parameters()).device
    n_epochs = len(embeddings)
    length = min(net.config.sequence_length, n_epochs)
    stride = max(length // _WINDOWS_PER_EPOCH, 1)
    last = n_epochs - length
    starts = torch.arange(0, last + stride, stride).clamp(max=last)
    epochs = starts[:, None] + torch.arange(length)  # (n_windows, length)
    mask = torch.from_numpy(usable)

    def stage(part: Tensor) -> Tensor:
        windows = Embeddings(*embeddings[part].to(device).unbind(dim=2))
        contexts = net.contextualize(windows, mask[part].to(device))
        return net.stage(contexts).total.cpu()

    logits = torch.cat(_map_in_threads(stage, epochs.split(batch_size), device))
    posteriors = logits.double().log_softmax(dim=-1).flatten(0, 1)
    sums = posteriors.new_zeros(n_epochs, len(STAGES))
    sums.index_add_(0, epochs.flatten(), posteriors)
    counts = epochs.flatten().bincount(minlength=n_epochs)
    return (sums / counts[:, None]).log_softmax(dim=-1).numpy()


def _map_in_threads(
    function: Callable[[Tensor], Tensor], parts: Sequence[Tensor], device: torch.device
) -> list[Tensor]:
    """Apply a function to each part without gradients.

    On a CPU, each thread computes whole parts: threads within one operation wait for
    each other, which is slow on a busy machine, and the result would depend on their
    number.
    """
    function = torch.inference_mode()(function)
    if device.type != "cpu":
        return _map_in_memory(function, parts)
    n_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            n_threads, initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(function, parts))
    finally:
        # New threads use the number that was set last by any thread.
        torch.set_num_threads(n_threads)


def _map_in_memory(
    function: Callable[[Tensor], Tensor], parts: Sequence[Tensor]
) -> list[Tensor]:
    """Apply a function to each part; halve the parts when the memory runs out."""
    results = []
    size = len(parts[0])
    for part in parts:
        while len(part):
            try:
                results.append(function(part[:size]))
            except torch.cuda.OutOfMemoryError as error:
                if size == 1:
                    raise RuntimeError(
                        "The GPU has too little memory for a batch of one. Close "
                        "other programs that use it, or pass device='cpu'."
                    ) from error
                size //= 2
                logger.warning(
                    "Ran out of GPU memory: continuing with batches of %d.", size
                )
            else:
                part = part[size:]
    return results
