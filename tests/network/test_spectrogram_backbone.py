"""Tests of the spectrogram and of the Transformer that embeds it."""

import numpy as np
import pytest
import torch
from scipy.signal import spectrogram
from torch import nn
from torch.testing import assert_close

from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet


@pytest.fixture
def log_spectrogram(net):
    """Return the spectrogram of a network that has seen no signals."""
    return net.spectrogram_backbone.spectrogram


def test_the_spectrogram_equals_that_of_scipy(log_spectrogram, signals):
    """29 frames and 128 bins, without that of 0 Hz, over a floor of 0.001 µV²/Hz."""
    _, _, density = spectrogram(
        signals.double().numpy(),
        SFREQ,
        window="hamming",
        nperseg=200,
        noverlap=100,
        nfft=256,
        detrend=False,
    )
    expected = np.log(density[:, 1:].swapaxes(1, 2) + 1e-3)
    assert expected.shape == (4, 29, 128)
    np.testing.assert_allclose(log_spectrogram(signals).numpy(), expected, atol=1e-3)


def test_bins_that_were_silent_in_training_do_not_blow_up(log_spectrogram, signals):
    """Noise of 0.1 µV in them stays small."""
    slow = 30 * torch.sin(2 * torch.pi * 2 * torch.arange(N_TIMES) / SFREQ)[None]
    log_spectrogram.fit(slow)
    assert log_spectrogram(slow + signals / 300)[..., 50:].abs().max() < 5


def test_the_place_of_a_burst_matters_by_the_positions_alone(net, signals):
    backbone, early, late = net.spectrogram_backbone, *torch.zeros(2, 1, N_TIMES)
    early[:, 500:600] = late[:, 2000:2100] = signals[0, :100]
    assert (backbone(early) - backbone(late)).abs().max() > 1e-3
    backbone.positions.zero_()
    assert_close(backbone(early), backbone(late), atol=1e-5, rtol=1e-5)


def test_a_token_of_small_reads_three_frames_of_which_the_next_reads_one(signals):
    backbone = MC2SleepNet(MC2SleepConfig.from_size("small")).spectrogram_backbone
    read = []
    backbone.frame_projection.register_forward_pre_hook(
        lambda _, args: read.append(*args)
    )
    backbone(signals)
    frames = backbone.spectrogram(signals)
    expected = [frames[:, 2 * i : 2 * i + 3].flatten(1) for i in range(14)]
    assert torch.equal(read[0], torch.stack(expected, dim=1))


@torch.no_grad()
def test_a_layer_computes_what_that_of_torch_computes(net):
    for layer in net.eval().spectrogram_backbone.layers:
        frames = torch.randn(3, 14, net.config.width)
        assert_close(layer(frames), nn.TransformerEncoderLayer.forward(layer, frames))
