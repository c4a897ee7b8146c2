"""Stage a night: encode its epochs, slide over the sequences, fuse and calibrate."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from torch import Tensor

from .._constants import EPOCH_DURATION, N_TIMES, SFREQ, STAGES, UNSCORED
from .._utils import in_threads
from ..network import Embeddings, SleepNetwork, fuse

# Numbers in the largest layer of a batch of the backbones (125 epochs of "small"), and
# its least epochs ("base"). More were not faster, and take more memory (measured).
_BATCH_SIZE, _MIN_EPOCHS = 1_500_000, 8
# Windows in one batch of the sequence level.
_WINDOWS_AT_ONCE = 32
# Each epoch is in this many windows, except at the ends (our choice).
_WINDOWS_PER_EPOCH = 4


def encode_epochs(net: SleepNetwork, signals: NDArray | Tensor) -> Tensor:
    """Embed ``signals`` (n_epochs, n_times): finite epochs at 100 Hz.

    The network is put into eval mode. The embeddings (n_epochs, 2, width) are of signal
    and spectrogram, on the CPU.
    """
    net.eval()
    device = next(net.parameters()).device
    encoder = fuse(net) if device.type == "cpu" else net

    def encode(part: Tensor) -> Tensor:
        return torch.stack(encoder.encode(part.to(device)), dim=1).cpu()

    per_epoch = N_TIMES * net.config.signal_channels[0] // net.config.stem_stride
    n_batches = -(-len(signals) // max(_BATCH_SIZE // per_epoch, _MIN_EPOCHS))
    # Equal batches, so that no thread waits long for another.
    return _compute(encode, torch.as_tensor(signals).tensor_split(n_batches), device)


def log_posteriors(net: SleepNetwork, embeddings: Tensor, usable: NDArray) -> NDArray:
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
    mask = None if usable.all() else torch.from_numpy(usable)

    def stage(part: Tensor) -> Tensor:
        windows = Embeddings(*embeddings[part].to(device).unbind(dim=2))
        of_part = None if mask is None else mask[part].to(device)
        contexts = net.contextualize(windows, of_part)
        return net.stage(contexts).total.cpu()

    logits = _compute(stage, epochs.split(_WINDOWS_AT_ONCE), device)
    posteriors = logits.double().log_softmax(dim=-1).flatten(0, 1)
    sums = posteriors.new_zeros(n_epochs, len(STAGES))
    sums.index_add_(0, epochs.flatten(), posteriors)
    counts = epochs.flatten().bincount(minlength=n_epochs)
    return (sums / counts[:, None]).log_softmax(dim=-1).numpy()


def fit_temperature(posteriors: NDArray, stages: NDArray) -> float:
    """Find the temperature of the least negative log-likelihood (Guo et al. 2017).

    It divides log-posteriors, and is 0.1 to 10. The log-``posteriors`` (n_epochs, 5)
    are of nights that were not trained on; ``stages`` are -1 where unscored.
    """
    scored = stages != UNSCORED
    posteriors, stages = posteriors[scored], stages[scored]

    def negative_log_likelihood(log_temperature: float) -> float:
        calibrated = log_softmax(posteriors / np.exp(log_temperature), axis=-1)
        return -calibrated[np.arange(len(stages)), stages].mean()

    found = minimize_scalar(negative_log_likelihood, bounds=(log(0.1), log(10)))
    return float(np.exp(found.x))


def calibrate(posteriors: NDArray, temperature: float) -> NDArray:
    """Turn log-posteriors (n_epochs, 5) into calibrated probabilities."""
    return softmax(posteriors / temperature, axis=-1)


def stage_in_steps(
    stage: Callable, channels: Sequence, step: float
) -> tuple[NDArray, NDArray, NDArray]:
    """Stage windows of 30 s that begin every ``step`` seconds, a divisor of 30 s.

    ``stage`` takes recordings of a night and returns probabilities (n_epochs, 5), once
    for each shift of the grid. A window is usable if both epochs that it overlaps are.
    Returns the onsets in s, the probabilities (n_windows, 5), and whether any channel
    is usable; if not, they are uniform.
    """
    n_shifts = round(EPOCH_DURATION / step) if 0 < step <= EPOCH_DURATION else 0
    if not n_shifts or not np.isclose(n_shifts * step, EPOCH_DURATION):
        raise ValueError(
            f"'step' must divide {EPOCH_DURATION:g} s into equal parts, such as 1, 5 "
            f"or 10, got {step!r} instead."
        )
    # A single epoch cannot be shifted.
    n_epochs = channels[0].n_epochs
    n_shifts = n_shifts if n_epochs > 1 else 1
    n_windows = n_shifts * (n_epochs - 1) + 1
    proba = np.full((n_windows, len(STAGES)), 1 / len(STAGES))
    is_usable = np.zeros(n_windows, dtype=bool)
    for index in range(n_shifts):
        shifted = [_shift(channel, index * step) for channel in channels]
        if found := [channel for channel in shifted if channel.usable.any()]:
            proba[index::n_shifts] = stage(found)
            is_usable[index::n_shifts] = np.any([c.usable for c in found], axis=0)
    return step * np.arange(n_windows, dtype=float), proba, is_usable


def _shift(channel: Any, seconds: float) -> Any:
    """Let the epochs begin later; the last one, which is incomplete, is dropped."""
    n_times, old, reasons = round(seconds * SFREQ), channel.signals, channel.reasons
    if not n_times:
        return channel
    signals = np.concatenate([old[:-1, n_times:], old[1:, :n_times]], axis=1)
    reasons = np.where(channel.usable[:-1], reasons[1:], reasons[:-1])
    return replace(channel, signals=signals, reasons=reasons)


def _compute(
    function: Callable[[Tensor], Tensor], parts: Sequence[Tensor], device: torch.device
) -> Tensor:
    """Join the results of a function of each part, computed without gradients."""
    run = in_threads if device.type == "cpu" else map
    return torch.cat(list(run(torch.inference_mode()(function), parts)))
