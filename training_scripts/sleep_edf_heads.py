"""Real epochs glued from the first 5 s of the epochs of Sleep-EDF.

The file ``sleep_edf_heads.npz`` holds ``x`` (n, 500) int16 times ``scale`` = µV at
100 Hz, the ``night`` (``SC4ssNE0``) and the expert's ``stage`` of each epoch. Seven
heads with crossfades of equal power fill 30 s: the epoch's own and those of six
neighbors. A random recorder then stands between the scalp and the file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, resample, sosfiltfilt
from synthesis.devices import draw_device
from synthesis.spectra import FREQS

from mne_mc2sleep._constants import BAND, FILTER_ORDER, N_TIMES, SFREQ

N_HEADS = 7
N_HEAD = 500
_HOP = N_TIMES / N_HEADS
N_STAGES = 5


@dataclass(frozen=True)
class HeadNight:
    """The heads of one night in µV, shape (n_epochs, 500), and the expert's stages."""

    name: str
    heads: np.ndarray
    stages: np.ndarray

    @property
    def subject(self) -> str:
        """The subject: ``SC4ssNE0`` is night N of subject ss."""
        return self.name[:5]


def read_heads(fname):
    """Read all nights of the file."""
    with np.load(fname) as file:
        names, stages = file["night"], file["stage"]
        heads = file["x"] * np.float32(file["scale"])
    nights = []
    for name in np.unique(names):
        rows = names == name
        nights.append(HeadNight(str(name), heads[rows], stages[rows]))
    return nights


def draw_donors(stages, same_stage, rng):
    """Draw the heads that fill each epoch, in random order: (n_epochs, 7).

    These are the epoch itself and the six nearest epochs, or the nearest of the same
    stage if ``same_stage``.
    """
    n_epochs = len(stages)
    epochs = np.arange(n_epochs)
    donors = np.empty((n_epochs, N_HEADS), int)
    if same_stage:
        for stage in np.unique(stages):
            own = np.flatnonzero(stages == stage)
            first = np.arange(len(own)) - N_HEADS // 2
            first = first.clip(0, max(len(own) - N_HEADS, 0))
            ranks = (first[:, None] + np.arange(N_HEADS)) % len(own)
            donors[own] = own[ranks]
    else:
        first = (epochs - N_HEADS // 2).clip(0, max(n_epochs - N_HEADS, 0))
        donors[:] = (first[:, None] + np.arange(N_HEADS)) % n_epochs
    return rng.permuted(donors, axis=1)


def glue(heads, donors, speed=1.0):
    """Glue heads (n_epochs, 500) into one signal with crossfades of equal power.

    ``donors`` are from `draw_donors`; ``speed``, from 0.9 to 1.1, is how much faster
    than recorded the heads are played. In µV at 100 Hz.
    """
    # An offset of the amplifier would make steps.
    parts = heads - heads.mean(axis=1, keepdims=True)
    if speed != 1:
        parts = resample(parts, round(N_HEAD / speed), axis=1)[:, :N_HEAD]
    n_head = parts.shape[1]
    n_fade = int(n_head - np.ceil(_HOP))
    angle = np.pi / 2 * (np.arange(n_fade) + 0.5) / n_fade
    window = np.ones(n_head, np.float32)
    window[:n_fade] = np.sin(angle)
    window[-n_fade:] = np.cos(angle)
    parts = (parts * window)[donors.ravel()]
    starts = np.rint(np.arange(len(parts)) * _HOP).astype(int)
    signal = np.zeros(starts[-1] + n_head + N_TIMES, np.float32)
    for first in (0, 1):  # every second head, since neighbors overlap
        places = starts[first::2, None] + np.arange(n_head)
        signal[places] += parts[first::2]
    # The fades straddle the borders of the epochs.
    return signal[n_fade // 2 :][: len(donors) * N_TIMES]


def stage_shares(stages, donors):
    """Return the share of each stage among the heads of each epoch, (n_epochs, 5)."""
    return np.eye(N_STAGES, dtype=np.float32)[stages[donors]].mean(axis=1)


def band_pass(signal):
    """Filter a signal as recordings are filtered."""
    sos = butter(FILTER_ORDER, BAND, "bandpass", fs=SFREQ, output="sos")
    return sosfiltfilt(sos, signal).astype(np.float32)


def record_signal(signal, rng, strength=1.0):
    """Record a signal by a random recorder, and filter it as recordings are.

    ``strength`` is how far the recorder is from flat, see `draw_device`. In µV at 100
    Hz.
    """
    device = draw_device(rng, strength)
    spectrum = np.fft.rfft(signal)
    freqs = np.fft.rfftfreq(len(signal), 1 / SFREQ)
    response = np.interp(freqs, FREQS, np.abs(device.response))
    signal = np.fft.irfft(spectrum * response, len(signal))
    signal *= np.sign(device.response[len(FREQS) // 4])
    scale = np.sqrt(device.noise_density * SFREQ / 2)
    return band_pass(signal + scale * rng.standard_normal(len(signal)))
