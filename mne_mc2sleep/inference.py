"""Stage a night: encode each epoch once, slide over the sequence, fuse, calibrate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from ._constants import STAGES, UNSCORED
from .network import Embeddings

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from .network import MC2SleepNet

# Epochs (windows) that go through the network at once: it bounds the memory and does
# not change the result.
_BATCH_SIZE = 64
# Each epoch is read in this many windows (fewer at the ends); our choice.
_WINDOWS_PER_EPOCH = 4


@torch.inference_mode()
def encode_epochs(
    net: MC2SleepNet, signals: NDArray | Tensor, batch_size: int = _BATCH_SIZE
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
    parts = [
        torch.stack(net.encode(part.to(device)), dim=1).cpu()
        for part in torch.as_tensor(signals).split(batch_size)
    ]
    return torch.cat(parts)


@torch.inference_mode()
def log_posteriors(
    net: MC2SleepNet,
    embeddings: Tensor,
    usable: NDArray[np.bool_],
    batch_size: int = _BATCH_SIZE,
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
    length = min(net.config.sequence_length, n_epochs)
    stride = max(length // _WINDOWS_PER_EPOCH, 1)
    starts = np.unique([*range(0, n_epochs - length, stride), n_epochs - length])
    epochs = starts[:, None] + np.arange(length)  # (n_windows, length)
    mask = torch.from_numpy(usable)
    sums, counts = np.zeros((n_epochs, len(STAGES))), np.zeros((n_epochs, 1))
    for part in np.split(epochs, range(batch_size, len(epochs), batch_size)):
        windows = embeddings[part].to(device)  # (n_windows, length, 2, width)
        contexts = net.contextualize(
            Embeddings(*windows.unbind(dim=2)), mask[part].to(device)
        )
        logits = net.stage(contexts).total.double().cpu().numpy()
        np.add.at(sums, part, log_softmax(logits, axis=-1))
        np.add.at(counts, part, 1.0)
    return log_softmax(sums / counts, axis=-1)


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
