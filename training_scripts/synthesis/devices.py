"""Draw random montages and recorders, so that a stager does not depend on any of them.

All ranges are our choice. They are wider than the differences between laboratories that
we know of, and are not fitted to data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mne_mc2sleep._constants import SFREQ

from .spectra import FREQS, N_SEGMENT, band_pass

if TYPE_CHECKING:
    from numpy.random import Generator

# Shares of the nights by the first channel alone and by the second alone.
_FIRST, _SECOND = 0.25, 0.2
_N_COSINES = 4


@dataclass(frozen=True)
class Device:
    """Properties of the recorder, drawn once for a night."""

    response: np.ndarray
    """Amplitude out per amplitude in, signed by the polarity, (n_freqs,)."""
    noise_density: float
    """Of the amplifier, in µV²/Hz."""
    pop_rate: float
    """Electrode pops per epoch."""


def mix_channels(
    log_band_power: np.ndarray, log_variance: np.ndarray, rng: Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one channel's powers between those of two, or a little beyond.

    The arguments are as in `resynthesize_anywhere`, and so is the result, of one
    channel. Each band varies around the drawn place a little.
    """
    features = np.concatenate([log_band_power, log_variance[..., np.newaxis]], axis=-1)
    kind = rng.uniform()
    if kind < _FIRST:
        place = np.zeros(6)
    elif kind < _FIRST + _SECOND:
        place = np.ones(6)
    else:
        place = rng.uniform(-0.2, 1.2) + 0.15 * rng.standard_normal(6)
    mixed = features[:, 0] * (1 - place) + features[:, 1] * place
    return mixed[:, np.newaxis, :5], mixed[:, np.newaxis, 5]


def vary_powers(
    log_band_power: np.ndarray,
    log_variance: np.ndarray,
    max_spread: float,
    rng: Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Vary the powers of single epochs at random, in some nights more than in others.

    ``max_spread`` is the largest standard deviation of a night, in natural logs. The
    bands share a part of the errors, neighbours none: a stager must not trust one epoch
    more than its neighbours.
    """
    spread = rng.uniform(0, max_spread)
    shared = rng.standard_normal(log_variance.shape)
    own = rng.standard_normal(log_band_power.shape)
    errors = spread * (shared[..., np.newaxis] + own) / math.sqrt(2)
    return log_band_power + errors, log_variance + errors[..., 0]


def draw_device(rng: Generator, strength: float = 1.0) -> Device:
    """Draw a recorder: gain, tilt, equaliser, corners, polarity, noise and pops.

    Tilt and equaliser are scaled by ``strength``; 0 leaves them flat.
    """
    position = np.log(np.maximum(FREQS, 0.3) / 0.3)
    gain = np.exp(_log_uniform(rng, 0.4, 3.0))
    # Many recorders have about the right gain.
    if rng.uniform() < 0.3:
        gain = np.exp(_log_uniform(rng, 0.8, 1.25))
    decibels = rng.normal(0, 0.7) * np.log2(np.maximum(FREQS, 0.3) / 5)
    for index in range(1, _N_COSINES + 1):
        turn = index * np.pi * position / position[-1] + rng.uniform(0, 2 * np.pi)
        decibels += rng.normal(0, 1.3) * np.cos(turn)
    response = gain * 10 ** (strength * decibels / 20)
    corner, order = np.exp(_log_uniform(rng, 0.05, 0.7)), rng.integers(1, 3)
    response /= np.sqrt(1 + (corner / np.maximum(FREQS, 1e-2)) ** (2 * order))
    # Half of the recorders cut off what others record; at 50 Hz little is left.
    if rng.uniform() < 0.5:
        corner, order = np.exp(_log_uniform(rng, 18, 50)), rng.integers(2, 13)
        response /= np.sqrt(1 + (FREQS / corner) ** (2 * order))
    return Device(
        response=response * rng.choice([-1, 1]),
        noise_density=np.exp(_log_uniform(rng, 1e-4, 3e-2)) * (rng.uniform() < 0.7),
        pop_rate=np.exp(_log_uniform(rng, 1e-3, 3e-2)),
    )


def _log_uniform(rng: Generator, low: float, high: float) -> float:
    return rng.uniform(math.log(low), math.log(high))


def record(spectrum: Tensor, device: Device, rng: Generator) -> Tensor:
    """Record segments by a device, and filter them as a recording is filtered.

    From Fourier coefficients (n_epochs, n_channels, n_freqs) in µV to segments
    (n_epochs, n_channels, N_SEGMENT).
    """
    real = spectrum.real
    generator = torch.Generator(real.device)
    generator.manual_seed(int(rng.integers(2**63 - 1)))
    noise = torch.randn((*spectrum.shape, 2), generator=generator, device=real.device)
    # The standard deviation of the real and of the imaginary part of white noise.
    scale = math.sqrt(device.noise_density * SFREQ / 2 * N_SEGMENT / 2)
    recorded = spectrum * torch.from_numpy(device.response).to(real)
    recorded += torch.view_as_complex(noise) * scale
    pops = torch.from_numpy(_pops(len(spectrum), device.pop_rate, rng)).to(real)
    recorded += torch.fft.rfft(pops)[:, None]
    return torch.fft.irfft(recorded * band_pass().to(real), n=N_SEGMENT)


def _pops(n_epochs: int, rate: float, rng: Generator) -> np.ndarray:
    """Draw electrode pops, steps that decay: (n_epochs, N_SEGMENT) in µV."""
    pops = np.zeros((n_epochs, N_SEGMENT))
    for index in np.flatnonzero(rng.uniform(size=n_epochs) < rate):
        times = (np.arange(N_SEGMENT) - rng.integers(N_SEGMENT // 2)) / SFREQ
        height = rng.choice([-1, 1]) * np.exp(_log_uniform(rng, 50, 300))
        decay = np.exp(-times.clip(min=0) / np.exp(_log_uniform(rng, 0.2, 2)))
        pops[index] = np.where(times >= 0, height * decay, 0)
    return pops
