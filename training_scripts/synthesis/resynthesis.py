"""Make EEG from band powers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mne_mc2sleep._constants import N_TIMES

from .devices import draw_device, mix_channels, record, vary_powers
from .spectra import N_FADE, N_SEGMENT
from .textures import draw_segments, draw_texture

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Seed = int | np.random.Generator | None

# Between any two channels: about that of Fpz-Cz and Pz-Oz; our choice.
_COHERENCE = 0.3


def resynthesize(
    log_band_power: ArrayLike,
    log_variance: ArrayLike,
    *,
    texture: float = 0.5,
    random_state: Seed = None,
) -> NDArray[np.float32]:
    """Make a signal (n_channels, n_epochs * N_TIMES) that has given band powers.

    ``log_band_power`` (n_epochs, n_channels, 5) is the natural log of the mean power
    density (µV²/Hz) in each of ``BANDS``, by Welch's method with segments of
    ``WELCH_N_TIMES`` samples at 100 Hz, ``log_variance`` (n_epochs, n_channels) that of
    the variance (µV²). ``texture`` is how widely nights differ in what the powers do
    not fix: peaks of alpha and sigma, bursts, isolated waves; 0 gives shaped noise.

    All choices are ours. The spectrum is linear in log-log coordinates between the
    bands' geometric centres, with the texture's peaks and bends, fitted so that Welch's
    method finds the given powers. What the variance exceeds the bands by becomes a
    drift below 0.5 Hz with a 1/f spectrum; where the bands alone exceed the variance,
    they win. Two channels have a coherence of 0.3. Epochs fade into each other within 2
    s. There is no stage among the parameters, so that none can leak into the signal:
    spindles or K-complexes drawn by stage would teach a stager the drawing.
    """
    rng = np.random.default_rng(random_state)
    powers = (
        torch.from_numpy(np.asarray(values, np.float32))
        for values in (log_band_power, log_variance)
    )
    spectrum = draw_segments(*powers, draw_texture(rng, texture), _COHERENCE, rng)
    signals = _overlap_add(torch.fft.irfft(spectrum, n=N_SEGMENT))
    return signals.numpy()


def resynthesize_anywhere(
    log_band_power: ArrayLike,
    log_variance: ArrayLike,
    *,
    max_spread: float = 0.0,
    recorder: float = 1.0,
    events: bool = False,
    device: torch.device | str = "cpu",
    random_state: Seed = None,
) -> Tensor:
    """Make the epochs of one channel of a random montage and recorder, to train on.

    The powers are those of two channels, as in `resynthesize`; the montage lies
    between. Those of single epochs vary by up to ``max_spread`` (natural log, the
    largest standard deviation of a night). ``recorder`` is how far the recorder is from
    flat, see `draw_device`. Returns (n_epochs, N_TIMES) in µV at 100 Hz, filtered as
    recordings are.
    """
    rng = np.random.default_rng(random_state)
    powers = (np.asarray(x, np.float32) for x in (log_band_power, log_variance))
    powers = vary_powers(*mix_channels(*powers, rng), max_spread, rng)
    powers = (torch.from_numpy(values).float().to(device) for values in powers)
    spectrum = draw_segments(*powers, draw_texture(rng, 1.0), _COHERENCE, rng, events)
    signals = _overlap_add(record(spectrum, draw_device(rng, recorder), rng))
    return signals.reshape(-1, N_TIMES)


def _overlap_add(segments: Tensor) -> Tensor:
    """Cross-fade segments with constant power: (n_channels, n_epochs * N_TIMES)."""
    n_epochs, n_channels, _ = segments.shape
    angle = torch.pi / 2 * (torch.arange(N_FADE, device=segments.device) + 0.5) / N_FADE
    fade = angle.sin()
    signals = segments[..., :N_TIMES].clone()  # (n_epochs, n_channels, n_times)
    signals[1:, :, :N_FADE] *= fade
    signals[1:, :, :N_FADE] += segments[:-1, :, N_TIMES:] * fade.flip(0)
    # The fades are centred on the borders of the epochs.
    signals = signals.transpose(0, 1).reshape(n_channels, n_epochs * N_TIMES)
    signals = torch.cat([signals, segments[-1, :, N_TIMES:]], dim=1)
    return signals[:, N_FADE // 2 : N_FADE // 2 + n_epochs * N_TIMES]
