"""Stage a night: encode each epoch once, slide over the sequence, fuse, calibrate."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from .._constants import STAGES, UNSCORED
from ..network import Embeddings, fuse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from ..network import MC2SleepNet

# MNE's logger by its name: embedding also runs where MNE is not installed.
logger = logging.getLogger("mne")

# Epochs that go through the backbones at once, and windows through the sequence level.
# What 32 epochs take stays in a CPU's cache (measured by benchmarks/encoders.py).
_EPOCHS_AT_ONCE = 32
_WINDOWS_AT_ONCE = 16
# Each epoch is read in this many windows (fewer at the ends); our choice.
_WINDOWS_PER_EPOCH = 4


def encode_epochs(
    net: MC2SleepNet, signals: NDArray | Tensor, batch_size: int = _EPOCHS_AT_ONCE
) -> Tensor:
    """Embed each epoch once.

    Parameters
    ----------
    net : MC2SleepNet
        The network; it is put into eval mode.
    signals : array of shape (n_epochs, n_times)
        Epochs in µV at 100 Hz, all finite.
    batch_size : int
        Epochs encoded at once.

    Returns
    -------
    embeddings : Tensor of shape (n_epochs, 2, width)
        Signal and spectrogram, on the CPU.
    """
    net.eval()
    device = next(net.parameters()).device
    encoder = fuse(net) if device.type == "cpu" else net

    def encode(part: Tensor) -> Tensor:
        return torch.stack(encoder.encode(part.to(device)), dim=1).cpu()

    parts = torch.as_tensor(signals).split(batch_size)
    return torch.cat(_map_in_threads(encode, parts, device))


def log_posteriors(
    net: MC2SleepNet,
    embeddings: Tensor,
    usable: NDArray[np.bool_],
    batch_size: int = _WINDOWS_AT_ONCE,
) -> NDArray[np.float64]:
    """Slide over the embeddings of a night and fuse the windows.

    Parameters
    ----------
    net : MC2SleepNet
        The network; it is put into eval mode.
    embeddings : Tensor of shape (n_epochs, 2, width)
        From `encode_epochs`.
    usable : array of bool of shape (n_epochs,)
        No epoch attends to one where this is False.
    batch_size : int
        Windows read at once.

    Returns
    -------
    log_posteriors : array of shape (n_epochs, 5)
        The mean over all windows that hold the epoch, normalised. A night shorter than
        ``sequence_length`` is one window.
    """
    net.eval()
    device = next(net.parameters()).device
    n_epochs = len(embeddings)
    epochs = window_epochs(n_epochs, min(net.config.sequence_length, n_epochs))
    mask = torch.from_numpy(usable)

    def stage(part: Tensor) -> Tensor:
        windows = embeddings[part].to(device), mask[part].to(device)
        return stage_windows(net, *windows).cpu()

    logits = torch.cat(_map_in_threads(stage, epochs.split(batch_size), device))
    return fuse_windows(logits.double(), epochs, n_epochs).numpy()


def window_epochs(n_epochs: int, length: int) -> Tensor:
    """Return the epochs of each window that slides over a night.

    Parameters
    ----------
    n_epochs : int
        Epochs of the night, at least ``length``.
    length : int
        Epochs of a window.

    Returns
    -------
    epochs : Tensor of int of shape (n_windows, length)
        A quarter of a window lies between two starts (our choice), less before the
        last window, which ends with the night.
    """
    stride = max(length // _WINDOWS_PER_EPOCH, 1)
    last = n_epochs - length
    starts = torch.arange(0, last + stride, stride).clamp(max=last)
    return starts[:, None] + torch.arange(length)


def stage_windows(net: MC2SleepNet, embeddings: Tensor, usable: Tensor) -> Tensor:
    """Return the logits of windows read each by itself.

    Parameters
    ----------
    net : MC2SleepNet
        The network, in eval mode.
    embeddings : Tensor of shape (n_windows, length, 2, width)
        Signal and spectrogram.
    usable : Tensor of bool of shape (n_windows, length)
        No epoch attends to one where this is False.

    Returns
    -------
    logits : Tensor of shape (n_windows, length, 5)
        From both modalities together.
    """
    return net.stage(
        net.contextualize(Embeddings(*embeddings.unbind(dim=2)), usable)
    ).total


def fuse_windows(logits: Tensor, epochs: Tensor, n_epochs: int) -> Tensor:
    """Average the log-posteriors of all windows that hold an epoch.

    Parameters
    ----------
    logits : Tensor of shape (n_windows, length, 5)
        From `stage_windows`.
    epochs : Tensor of int of shape (n_windows, length)
        From `window_epochs`.
    n_epochs : int
        Epochs of the night.

    Returns
    -------
    log_posteriors : Tensor of shape (n_epochs, 5)
        Normalised.
    """
    epochs = epochs.flatten()
    posteriors = logits.log_softmax(dim=-1).flatten(0, 1)
    sums = posteriors.new_zeros(n_epochs, len(STAGES)).index_add(0, epochs, posteriors)
    ones = torch.ones_like(posteriors[:, :1])
    counts = posteriors.new_zeros(n_epochs, 1).index_add(0, epochs, ones)
    return (sums / counts).log_softmax(dim=-1)


def fit_temperature(
    log_posteriors: NDArray[np.float64], stages: NDArray[np.int8]
) -> float:
    """Find the temperature that makes the probabilities of unseen nights honest.

    Parameters
    ----------
    log_posteriors : array of shape (n_epochs, 5)
        Of nights that were not trained on.
    stages : array of int of shape (n_epochs,)
        Their stages, -1 where unscored.

    Returns
    -------
    temperature : float
        Divides log-posteriors (Guo et al. 2017). Between 0.1 and 10.
    """
    scored = stages != UNSCORED
    log_posteriors, stages = log_posteriors[scored], stages[scored]

    def negative_log_likelihood(log_temperature: float) -> float:
        calibrated = log_softmax(log_posteriors / np.exp(log_temperature), axis=-1)
        return -calibrated[np.arange(len(stages)), stages].mean()

    bounds = (np.log(0.1), np.log(10.0))
    return float(np.exp(minimize_scalar(negative_log_likelihood, bounds=bounds).x))


def calibrate(
    log_posteriors: NDArray[np.float64], temperature: float
) -> NDArray[np.float64]:
    """Return probabilities of shape (n_epochs, 5), softened by ``temperature``."""
    return np.exp(log_softmax(log_posteriors / temperature, axis=-1))


def _map_in_threads(
    function: Callable[[Tensor], Tensor], parts: Sequence[Tensor], device: torch.device
) -> list[Tensor]:
    """Apply a function to each part, on a CPU by one thread per core.

    Where the memory of a GPU does not hold a part, it gets smaller ones from then on.

    Torch's own threads wait for each other after every operation: on a busy machine
    that takes many times the work itself. Here each part is one thread's from start to
    end, so the result does not depend on their number either.
    """
    function = torch.inference_mode()(function)
    if device.type != "cpu":
        return _map_in_memory(function, parts)
    n_threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(n_threads, None, torch.set_num_threads, (1,)) as pool:
            return list(pool.map(function, parts))
    finally:
        # A thread that is new to torch takes the number that was set last.
        torch.set_num_threads(n_threads)


def _map_in_memory(
    function: Callable[[Tensor], Tensor], parts: Sequence[Tensor]
) -> list[Tensor]:
    """Apply a function to each part; halve the parts whenever memory runs out."""
    results = []
    size = len(parts[0])
    for part in parts:
        while len(part):
            try:
                results.append(function(part[:size]))
            except torch.cuda.OutOfMemoryError as error:
                if size == 1:
                    raise RuntimeError(
                        "The memory of the GPU does not hold what a batch of one "
                        "needs. End what else runs on it, or pass device='cpu'."
                    ) from error
                size //= 2
                logger.warning(
                    "The memory of the GPU ran out: going on with batches of %d.", size
                )
            else:
                part = part[size:]
    return results
