"""Tests of the montages and recorders that are drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from synthesis.devices import (
    Device,
    draw_device,
    record,
)
from synthesis.spectra import FREQS, N_SEGMENT

from mne_mc2sleep._constants import SFREQ


def make_device(gain=1.0, noise_density=0.0, pop_rate=0.0):
    return Device(np.full(FREQS.size, gain), noise_density, pop_rate)


def draw_many(n_devices=200):
    return [draw_device(np.random.default_rng(seed)) for seed in range(n_devices)]


def test_gains_span_the_stated_range():
    """At 5 Hz the recorders' gains differ about as widely as stated, 0.4 to 3."""
    at_5_hz = np.argmin(np.abs(FREQS - 5))
    gains = [abs(device.response[at_5_hz]) for device in draw_many()]
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
