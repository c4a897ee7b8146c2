"""Draw at random what band powers do not determine, never from the stage.

Peaks within the bands, bursts, isolated waves and how they persist: their parameters
are drawn once per night, follow a slow path from epoch to epoch, and depend on nothing
but the powers. All of this is our choice.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.signal import lfilter
from torch import Tensor
from torch.nn import functional as F

from mne_mc2sleep._constants import SFREQ

from .events import KINDS, draw_events
from .spectra import FREQS, LOWEST_FREQ, N_SEGMENT, correct_bands, line_power

if TYPE_CHECKING:
    from numpy.random import Generator

# Correlation of what is drawn for one epoch and for the next.
_PERSISTENCE = 0.9
# The amplitude of each part of the spectrum varies by itself: slow waves, theta, alpha
# with spindles, and the fast part. Borders in Hz, and changes per second.
_BORDERS = (4.0, 8.0, 17.0)
_RATES = (1.0, 1.4, 1.6, 0.6)
_MODULATIONS = (0.5, 0.4, 0.8, 0.4)
_N_BENDS = 5


@dataclass(frozen=True)
class Texture:
    """Properties drawn once for a night."""

    bends: np.ndarray
    """Added to the log spectrum: its slope within the bands, (n_freqs,)."""
    alpha: tuple[float, float]
    sigma: tuple[float, float]
    """Frequency and width in Hz of the two peaks."""
    peak_height: float
    sigma_share: float
    """Mean height of the peaks in the log spectrum, and the leaning to sigma."""
    modulation: np.ndarray
    """How strongly each part of the spectrum comes in bursts (4,); 0 is steady."""
    wave_share: float
    wave_rate: float
    """Share of delta that comes as isolated waves (slow waves, K-complexes, blinks, eye
    movements; powers cannot say which), and waves per second."""


def draw_texture(rng: Generator, strength: float) -> Texture:
    """Draw the texture of a night; ``strength`` 0 is shaped noise, 1 is the widest."""
    position = np.log(np.maximum(FREQS, LOWEST_FREQ) / LOWEST_FREQ)
    position /= position[-1]
    cosines = np.cos(np.pi * np.outer(np.arange(1, _N_BENDS + 1), position))
    # Nights range from shaped noise to the most bursty.
    strength_tonight = strength * rng.uniform()
    return Texture(
        bends=0.3 * strength * rng.standard_normal(_N_BENDS) @ cosines,
        alpha=(rng.normal(9.7, 0.8), rng.uniform(0.6, 1.4)),
        sigma=(rng.normal(13.2, 0.7), rng.uniform(0.6, 1.4)),
        peak_height=strength * max(rng.normal(1.2, 0.6), 0.0),
        sigma_share=0.5 * rng.standard_normal(),
        modulation=strength_tonight
        * np.multiply(_MODULATIONS, rng.uniform(0.3, 1.7, 4)),
        wave_share=strength * rng.uniform(0, 0.5),
        wave_rate=rng.uniform(0.02, 0.12),
    )


def draw_segments(
    log_band_power: Tensor,
    log_variance: Tensor,
    texture: Texture,
    coherence: float,
    rng: Generator,
    events: bool = False,
) -> Tensor:
    """Draw the signal of each epoch, with the tail that fades into the next.

    Returns the Fourier coefficients (n_epochs, n_channels, n_freqs) of segments of
    ``N_SEGMENT`` samples. The noise is drawn on the device of the powers.
    """
    noise = Noise(log_band_power, coherence, rng)
    paths = noise.to_device(_paths(rng, len(log_band_power), 8))
    shape = _peaks(log_band_power, texture, paths)
    bands, drift = line_power(log_band_power, log_variance, shape)
    signals = torch.fft.irfft(noise.draw(drift), n=N_SEGMENT)
    parts = []
    for index, part in enumerate(_parts(bands)):
        modulation = texture.modulation[index] * (0.3 * paths[:, 2 + index]).exp()
        signal = torch.fft.irfft(noise.draw(part), n=N_SEGMENT)
        if events and index == 2:
            # Sigma rides on slow waves.
            slow = parts[0] / parts[0].square().mean(dim=-1, keepdim=True).sqrt()
            signal = signal * (rng.uniform(0, 0.8) * slow.clamp(-3, 3)).exp()
        parts.append(signal * noise.envelope(modulation, _RATES[index])[:, None])
        signals += parts[-1]
    if events:
        of_events = noise.to_device(_paths(rng, len(log_band_power), len(KINDS)))
        slowness = _slowness(log_band_power).mean(dim=1)
        signals += draw_events(parts, slowness, of_events, texture, noise, rng)
    if texture.wave_share:
        share = texture.wave_share * 2 * paths[:, 6].sigmoid()
        rate = texture.wave_rate * (0.5 * paths[:, 7]).exp()
        slow = bands[..., FREQS < _BORDERS[0]].sum(dim=-1)
        power = (share[:, None] * slow)[..., None]
        signals += power.sqrt() * noise.waves(rate)[:, None]
    return correct_bands(torch.fft.rfft(signals), log_band_power)


def _paths(rng: Generator, n_epochs: int, n_paths: int) -> np.ndarray:
    """Draw autoregressive paths of unit variance, of shape (n_epochs, n_paths)."""
    step = math.sqrt(1 - _PERSISTENCE**2)
    noise = rng.standard_normal((n_epochs, n_paths))
    before = _PERSISTENCE * rng.standard_normal((1, n_paths))
    return lfilter([step], [1, -_PERSISTENCE], noise, axis=0, zi=before)[0]


def _peaks(log_band_power: Tensor, texture: Texture, paths: Tensor) -> Tensor:
    """Shape the log spectrum within the bands: (n_epochs, n_channels, n_freqs).

    Alpha that stands out from its neighbours has a peak. It is rather sigma the slower
    the epoch's spectrum is, by the night's measure; the overlap is large.
    """
    delta, theta, alpha, beta, _ = log_band_power.unbind(dim=-1)
    leaning = 1.5 * _slowness(log_band_power) + paths[:, :1] + texture.sigma_share
    excess = (alpha - (theta + beta) / 2).clamp(-1, 2)
    height = texture.peak_height * (1 + 0.5 * excess + 0.4 * paths[:, 1:2]).clamp(min=0)
    freqs = torch.from_numpy(FREQS).to(delta)
    shape = torch.from_numpy(texture.bends).to(delta)
    for (centre, width), share in (
        (texture.alpha, (-leaning).sigmoid()),
        (texture.sigma, leaning.sigmoid()),
    ):
        bump = (-0.5 * ((freqs - centre) / width) ** 2).exp()
        shape = shape + (height * share)[..., None] * bump
    return shape


def _slowness(log_band_power: Tensor) -> Tensor:
    """Compare delta with gamma by the night's measure: (n_epochs, n_channels)."""
    slope = log_band_power[..., 0] - log_band_power[..., 4]
    low, middle, high = slope.quantile(
        torch.tensor([0.25, 0.5, 0.75], device=slope.device), dim=0
    )
    slowness = (slope - middle) / ((high - low) / 1.35).clamp(min=0.5)
    return slowness.clamp(-2.5, 2.5)


def _parts(bands: Tensor) -> list[Tensor]:
    """Split powers at the borders, softly; the parts add up to the whole."""
    freqs = torch.from_numpy(FREQS).to(bands)
    above = [torch.ones_like(freqs)]
    above += [((freqs - border) / 0.5).sigmoid() for border in _BORDERS]
    above.append(torch.zeros_like(freqs))
    # The product of all that lies below keeps each part from being negative.
    above = torch.stack(above).cumprod(dim=0)
    return [bands * (upper - lower) for upper, lower in pairwise(above)]


class Noise:
    """Random numbers on a device, seeded by a Generator of numpy."""

    def __init__(self, like: Tensor, coherence: float, rng: Generator):
        self.like, self.coherence = like, coherence
        self.generator = torch.Generator(like.device)
        self.generator.manual_seed(int(rng.integers(2**63 - 1)))

    def to_device(self, values: np.ndarray) -> Tensor:
        """Return values on the device of the powers."""
        return torch.from_numpy(values).to(self.like)

    def normal(self, *shape: int) -> Tensor:
        """Draw from the standard normal distribution."""
        return torch.randn(shape, generator=self.generator, device=self.like.device)

    def uniform(self, *shape: int) -> Tensor:
        """Draw from 0 to 1."""
        return torch.rand(shape, generator=self.generator, device=self.like.device)

    def draw(self, power: Tensor) -> Tensor:
        """Draw Fourier coefficients of Gaussian noise of a power (..., n_freqs)."""
        n_epochs, n_channels, n_freqs = power.shape
        shared = self.normal(n_epochs, 1, n_freqs, 2)
        own = (
            self.normal(n_epochs, n_channels, n_freqs, 2) if n_channels > 1 else shared
        )
        weight = self.coherence if n_channels > 1 else 1.0
        noise = math.sqrt(weight) * shared + math.sqrt(1 - weight) * own
        return torch.view_as_complex(noise) * (power.sqrt() * (N_SEGMENT / 2))

    def envelope(self, modulation: Tensor, rate: float) -> Tensor:
        """Draw log-normal envelopes of unit power, (n_epochs, N_SEGMENT)."""
        n_knots = round(N_SEGMENT / SFREQ * rate) + 1
        knots = self.normal(len(modulation), 1, n_knots)
        # Between knots the variance of what is interpolated is two thirds on average.
        path = F.interpolate(knots, N_SEGMENT, mode="linear")[:, 0] * math.sqrt(1.5)
        return (modulation[:, None] * (path - modulation[:, None])).exp()

    def events(self, rate: Tensor, form: Tensor, both_signs: bool) -> Tensor:
        """Put the form of each epoch at random times: (n_epochs, 1, N_SEGMENT)."""
        shape = len(rate), N_SEGMENT
        happens = (self.uniform(*shape) < rate[:, None] / SFREQ).to(form)
        if both_signs:
            happens = happens * self.normal(*shape).sign()
        spectrum = torch.fft.rfft(happens) * torch.fft.rfft(form.expand(shape))
        return torch.fft.irfft(spectrum, n=N_SEGMENT)[:, None]

    def waves(self, rate: Tensor) -> Tensor:
        """Draw isolated waves of unit power, (n_epochs, N_SEGMENT).

        Their width (0.1 to 0.4 s), form and polarity are those of the epoch. An epoch
        in which none falls is 0.
        """
        n_epochs = len(rate)
        happens = self.uniform(n_epochs, N_SEGMENT) < rate[:, None] / SFREQ
        height = 0.5 + self.uniform(n_epochs, N_SEGMENT)
        sign = torch.where(self.uniform(n_epochs, 1) < 0.8, -1.0, 1.0)
        width = 0.12 * (0.4 / 0.12) ** self.uniform(n_epochs, 1)
        phase = 2 * torch.pi * self.uniform(n_epochs, 1)
        cycles = 2 * torch.pi * torch.from_numpy(FREQS).to(width) * width
        wave = torch.polar(
            cycles * (-0.5 * cycles.square()).exp(), phase.expand_as(cycles)
        )
        waves = torch.fft.irfft(
            torch.fft.rfft(happens * height * sign) * wave, n=N_SEGMENT
        )
        power = waves.square().mean(dim=1, keepdim=True)
        return waves / power.clamp(min=1e-12).sqrt()
