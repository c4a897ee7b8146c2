"""Signals generated from band powers, and the recorders drawn for them."""

import inspect

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import welch
from scipy.stats import kurtosis
from synthesis import BANDS, resynthesize, resynthesize_anywhere
from synthesis.devices import Device, draw_device, record
from synthesis.spectra import FREQS, N_SEGMENT
from synthesis.textures import draw_segments, draw_texture

from mne_mc2sleep._constants import N_TIMES, SFREQ

DECIBEL = 10 / np.log(10)


def make_powers(n_epochs, n_channels=2, spread=0.0, seed=0):
    """Make log powers of a plausible N2, with a deviation of ``spread`` per epoch."""
    rng = np.random.default_rng(seed)
    bands = np.array([3.4, 1.3, 0.2, -1.3, -2.6])
    log_band_power = bands + spread * rng.standard_normal((n_epochs, n_channels, 5))
    widths = [high - low for low, high in BANDS.values()]
    in_bands = np.log(np.exp(log_band_power) @ widths)
    return log_band_power, in_bands + 0.3


def measure(signals):
    epochs = signals.reshape(len(signals), -1, N_TIMES).swapaxes(0, 1)
    freqs, density = welch(epochs, SFREQ, nperseg=256)
    bands = [
        density[..., (freqs >= low) & (freqs <= high)].mean(axis=-1)
        for low, high in BANDS.values()
    ]
    return np.log(np.stack(bands, axis=-1)), np.log(epochs.var(axis=-1))


@pytest.mark.parametrize("texture", [0.0, 1.0])
def test_constant_powers_are_kept_on_average(texture):
    asked = make_powers(120)
    measured = measure(resynthesize(*asked, texture=texture, random_state=0))
    for found, wanted in zip(measured, asked, strict=True):
        bias = DECIBEL * (found - wanted).mean(axis=0)
        assert np.abs(bias).max() < 0.5


def test_varying_powers_are_kept_epoch_by_epoch():
    """Powers that change in every epoch are met within 1 dB in the median."""
    asked = make_powers(120, spread=0.6)
    measured = measure(resynthesize(*asked, random_state=0))
    for found, wanted in zip(measured, asked, strict=True):
        error = DECIBEL * np.median(np.abs(found - wanted), axis=0)
        assert error.max() < 1


def test_variance_beyond_the_bands_is_drift():
    """More variance with equal bands adds power below 0.5 Hz only."""
    log_band_power, log_variance = make_powers(60)
    freqs, little = welch(
        resynthesize(log_band_power, log_variance, random_state=0), SFREQ, nperseg=3000
    )
    _, much = welch(
        resynthesize(log_band_power, log_variance + 1, random_state=0),
        SFREQ,
        nperseg=3000,
    )
    ratio = (much / little).mean(axis=0)
    assert ratio[(freqs > 0.05) & (freqs < 0.4)].mean() > 2
    # The delta of the bands makes room for what the drift leaks into Welch's segments.
    assert_allclose(ratio[freqs > 4].mean(), 1, atol=0.1)


def test_borders_of_epochs_have_no_click():
    """The largest step at epochs' borders is not above those within epochs."""
    log_band_power, log_variance = make_powers(200, n_channels=1)
    steps = np.abs(np.diff(resynthesize(log_band_power, log_variance, random_state=0)))
    at_borders = steps[0, N_TIMES - 1 :: N_TIMES]
    assert at_borders.mean() < 1.2 * steps.mean()


def test_resynthesis_anywhere_gives_epochs_of_one_channel():
    """Two channels' powers give finite epochs of one, filtered as recordings are."""
    signals = resynthesize_anywhere(*make_powers(20), random_state=0)
    assert signals.shape == (20, N_TIMES)
    assert torch.isfinite(signals).all()
    freqs, density = welch(signals.flatten().numpy(), SFREQ, nperseg=1000)
    assert density[freqs > 45].max() < 0.01 * density[(freqs > 1) & (freqs < 30)].min()


def test_events_change_the_signal_but_not_the_powers():
    """Spindles, blinks or arousals take their power from the rest of the epoch."""
    log_band_power, log_variance = make_powers(120, n_channels=1)
    powers = (torch.from_numpy(x).float() for x in (log_band_power, log_variance - 0.3))
    powers, kurtoses = list(powers), []
    for events in (False, True):
        rng = np.random.default_rng(0)
        texture = draw_texture(rng, 0.0)
        spectrum = draw_segments(*powers, texture, 0.3, rng, events)
        signals = torch.fft.irfft(spectrum)[..., :N_TIMES].numpy()
        kurtoses.append(kurtosis(signals, axis=-1).mean())
        found, _ = measure(signals.reshape(1, -1))
        assert DECIBEL * np.abs((found - log_band_power).mean(axis=0)).max() < 0.5
    assert kurtoses[0] < 0.2 < 0.35 < kurtoses[1]


def test_resynthesize_takes_no_stage():
    """There is no parameter by which a stage could enter the signal."""
    powers = {"log_band_power", "log_variance"}
    options = {"texture", "max_spread", "recorder", "events", "device", "random_state"}
    for function in (resynthesize, resynthesize_anywhere):
        assert set(inspect.signature(function).parameters) <= powers | options


def test_equal_random_states_give_equal_signals():
    powers = make_powers(3)
    first, second, other = (resynthesize(*powers, random_state=s) for s in (5, 5, 6))
    assert_array_equal(first, second)
    assert not np.allclose(first, other)


def make_device(gain=1.0, noise_density=0.0, pop_rate=0.0):
    return Device(np.full(FREQS.size, gain), noise_density, pop_rate)


def test_gains_span_the_stated_range():
    """At 5 Hz the recorders' gains differ about as widely as stated, 0.4 to 3."""
    at_5_hz = np.argmin(np.abs(FREQS - 5))
    devices = [draw_device(np.random.default_rng(seed)) for seed in range(200)]
    gains = [abs(device.response[at_5_hz]) for device in devices]
    assert 0.2 < min(gains) < 0.5
    assert 2 < max(gains) < 6


def test_a_flat_recorder_passes_the_band():
    wave = torch.sin(2 * torch.pi * 10 / SFREQ * torch.arange(N_SEGMENT))
    spectrum = torch.fft.rfft(wave)[None, None]
    out = record(spectrum, make_device(gain=2.0), np.random.default_rng(0))
    assert_allclose(out[0, 0].numpy(), 2 * wave.numpy(), atol=0.02)


def test_noise_has_its_density():
    silence = torch.zeros(50, 1, FREQS.size, dtype=torch.complex64)
    out = record(silence, make_device(noise_density=0.02), np.random.default_rng(0))
    # The band of 0.3 to 35 Hz lets through about 34.7 Hz.
    assert_allclose(out.square().mean().item(), 0.02 * 34.7, rtol=0.1)


@pytest.mark.parametrize(("rate", "n_epochs"), [(0.0, 0), (1.0, 20)])
def test_pops_come_at_their_rate(rate, n_epochs):
    silence = torch.zeros(20, 1, FREQS.size, dtype=torch.complex64)
    out = record(silence, make_device(pop_rate=rate), np.random.default_rng(0))
    assert (out.abs().amax(dim=-1) > 5).sum() == n_epochs
