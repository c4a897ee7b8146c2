"""Tests of the spectrogram and of the Transformer that embeds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import spectrogram
from torch.testing import assert_close

from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.network import MC2SleepConfig
from mne_mc2sleep.network.spectrogram_backbone import (
    AttentionPooling,
    LogSpectrogram,
    SpectrogramBackbone,
)

TINY = MC2SleepConfig(width=16, n_heads=2, feedforward=32, spectrogram_layers=2)
# µV²/Hz, under the density of any EEG.
FLOOR = 1e-3


def make_backbone(seed=0):
    """Make a backbone in eval mode without changing the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SpectrogramBackbone(TINY).eval()


def make_noise(n_epochs, amplitude=30.0, seed=0):
    """Make white noise of ``amplitude`` µV."""
    generator = torch.Generator().manual_seed(seed)
    return amplitude * torch.randn(n_epochs, N_TIMES, generator=generator)


def make_sine(frequency, amplitude=30.0):
    """Make one epoch of a sine of ``frequency`` Hz and ``amplitude`` µV."""
    times = torch.arange(N_TIMES, dtype=torch.float64) / SFREQ
    return (amplitude * torch.sin(2 * torch.pi * frequency * times))[None].float()


def make_burst(onset):
    """Make an epoch that is silent but for one second of noise from ``onset`` on."""
    signal, start = torch.zeros(1, N_TIMES), round(onset * SFREQ)
    signal[:, start : start + 100] = make_noise(1)[:, :100]
    return signal


def test_spectrogram_has_29_frames_and_128_bins():
    """An epoch of 30 s gives 29 x 128 values."""
    assert LogSpectrogram()(make_noise(3)).shape == (3, 29, 128)


def test_spectrogram_equals_that_of_scipy():
    """The log of SciPy's density plus the floor is met in every frame and bin."""
    signals = make_noise(3)
    _, _, density = spectrogram(
        signals.double().numpy(),
        SFREQ,
        window="hamming",
        nperseg=200,
        noverlap=100,
        nfft=256,
        detrend=False,
        scaling="density",
        mode="psd",
    )
    expected = np.log(density[:, 1:].swapaxes(1, 2) + FLOOR)
    found = LogSpectrogram().log_power(signals).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("frequency", [2.0, 10.0, 14.0, 30.0])
def test_sine_peaks_in_its_bin(frequency):
    """The largest of the bins, the first of which is 100/256 Hz, is the nearest."""
    peaks = LogSpectrogram()(make_sine(frequency)).argmax(dim=-1)
    assert (peaks == round(frequency * 256 / SFREQ) - 1).all()


def test_density_of_a_sine_sums_to_its_power():
    """The density is one-sided in µV²/Hz: 30 µV of a sine sum to 450 µV²."""
    power = LogSpectrogram().log_power(make_sine(10.0)).exp().sum(dim=-1) * SFREQ / 256
    assert_close(power, torch.full_like(power, 450.0), rtol=0.01, atol=0)


def test_signals_of_training_are_standardised():
    """After ``fit`` each bin of the same signals has mean 0 and deviation 1."""
    log_spectrogram, signals = LogSpectrogram(), make_noise(20)
    log_spectrogram.fit(signals)
    standardised = log_spectrogram(signals)
    assert_close(standardised.mean(dim=(0, 1)), torch.zeros(128), atol=1e-4, rtol=0)
    assert_close(standardised.std(dim=(0, 1)), torch.ones(128), atol=1e-4, rtol=0)


def test_statistics_are_the_state_of_the_spectrogram():
    """The state holds the mean and the deviation, and not the Fourier basis."""
    assert set(LogSpectrogram().state_dict()) == {"mean", "std"}


def test_silent_bins_do_not_blow_up():
    """Noise of 0.1 µV in bins that were silent in training stays small."""
    log_spectrogram = LogSpectrogram()
    log_spectrogram.fit(make_sine(2.0))
    noisy = log_spectrogram(make_sine(2.0) + make_noise(1, amplitude=0.1))
    assert noisy[..., 50:].abs().max() < 5


@torch.no_grad()
def test_embedding_has_a_fixed_scale():
    """A new backbone's embeddings have mean 0 and variance 1 for any input."""
    embeddings = make_backbone()(make_noise(4))
    assert_close(embeddings.mean(dim=1), torch.zeros(4), atol=1e-5, rtol=0)
    variances = embeddings.var(dim=1, correction=0)
    assert_close(variances, torch.ones(4), atol=1e-2, rtol=0)


@torch.no_grad()
def test_epoch_is_embedded_by_itself():
    """In eval mode the other epochs of the batch do not matter."""
    backbone, signals = make_backbone(), make_noise(4)
    alone = backbone(signals[1:2])
    assert_close(backbone(signals)[1:2], alone, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_place_of_a_burst_matters_by_the_positions():
    """An early and a late burst differ in the embedding, without positions not."""
    backbone, early, late = make_backbone(), make_burst(5), make_burst(20)
    assert (backbone(early) - backbone(late)).abs().max() > 1e-3
    backbone.positions.zero_()
    assert_close(backbone(early), backbone(late), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_pooling_is_the_average_by_the_softmax_of_the_scores():
    """The pooled frames equal NumPy's weighted average."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        pooling, frames = AttentionPooling(6), torch.randn(2, 5, 6)
    weights = np.exp(pooling.score(frames).numpy())
    expected = (weights * frames.numpy()).sum(axis=1) / weights.sum(axis=1)
    np.testing.assert_allclose(pooling(frames).numpy(), expected, rtol=1e-5, atol=1e-6)
