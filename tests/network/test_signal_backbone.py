"""Tests of the CNN that embeds the raw signal."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.network import MC2SleepConfig
from mne_mc2sleep.network.signal_backbone import ChannelGate, SignalBackbone

TINY = MC2SleepConfig(
    width=16,
    signal_channels=(4, 4, 4, 4, 8),
    signal_convolutions=(1, 1, 1, 1, 1),
    stem_kernel=15,
    stem_stride=4,
    pool_size=3,
)


def make_backbone(config=TINY, seed=0):
    """Make a backbone in eval mode without changing the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return SignalBackbone(config).eval()


def make_signals(n_epochs, seed=0):
    """Make white noise of 30 µV."""
    generator = torch.Generator().manual_seed(seed)
    return 30 * torch.randn(n_epochs, N_TIMES, generator=generator)


@torch.no_grad()
def trace_blocks(config):
    """Return the shapes (n_channels, n_times) at the end of each block."""
    features, shapes = make_signals(1)[:, None], []
    for module in make_backbone(config).blocks:
        if isinstance(module, nn.MaxPool1d):
            shapes.append(tuple(features.shape[1:]))
        features = module(features)
    return [*shapes, tuple(features.shape[1:])]


def test_blocks_of_base_have_the_published_parameters():
    """The CNN of ``base`` has SleePyCo's 1,543,621 parameters before its projection."""
    blocks = make_backbone(MC2SleepConfig.from_size("base")).blocks
    assert sum(p.numel() for p in blocks.parameters()) == 1_543_621


def test_blocks_of_base_have_the_published_lengths():
    """The blocks of ``base`` end with 3000, 600, 120, 24 and 5 samples."""
    lengths = [n_times for _, n_times in trace_blocks(MC2SleepConfig())]
    assert lengths == [3000, 600, 120, 24, 5]


def test_stem_of_small_is_strided():
    """The first block of ``small`` ends with a quarter of the samples."""
    assert trace_blocks(MC2SleepConfig.from_size("small"))[0] == (32, 750)


def test_only_the_last_convolution_of_a_block_is_gated():
    """In ``base`` the 2, 2, 3, 3, 3 convolutions hold one gate per block, the last."""
    gated = [
        any(isinstance(part, ChannelGate) for part in module)
        for module in make_backbone(MC2SleepConfig()).blocks
        if not isinstance(module, nn.MaxPool1d)
    ]
    assert gated == [False, True] * 2 + [False, False, True] * 3


def test_gate_narrows_to_a_sixteenth():
    """The gate of 64 channels looks through 4, as SleePyCo's does."""
    assert ChannelGate(64).gate[0].out_features == 4


@pytest.mark.parametrize("size", ["small", "base"])
@torch.no_grad()
def test_embedding_has_one_row_per_epoch(size):
    """Each epoch gives one embedding of the configured width."""
    config = MC2SleepConfig.from_size(size)
    assert make_backbone(config)(make_signals(2)).shape == (2, config.width)


@torch.no_grad()
def test_embedding_has_a_fixed_scale():
    """A new backbone's embeddings have mean 0 and variance 1 for any input."""
    embeddings = make_backbone()(make_signals(4))
    assert_close(embeddings.mean(dim=1), torch.zeros(4), atol=1e-5, rtol=0)
    variances = embeddings.var(dim=1, correction=0)
    assert_close(variances, torch.ones(4), atol=1e-2, rtol=0)


@torch.no_grad()
def test_epoch_is_embedded_by_itself():
    """In eval mode the other epochs of the batch do not matter."""
    backbone, signals = make_backbone(), make_signals(4)
    assert_close(backbone(signals)[1:2], backbone(signals[1:2]))


@torch.no_grad()
def test_gain_of_an_amplifier_is_undone_by_the_scale():
    """Signals ten times as large give the same embeddings after ``fit_scale``."""
    backbone, signals = make_backbone(), make_signals(4)
    backbone.fit_scale(signals)
    embeddings = backbone(signals)
    backbone.fit_scale(10 * signals)
    assert_close(backbone(10 * signals), embeddings, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_silence_gives_finite_embeddings():
    """Signals of zeros have no spread, and still no division by zero follows."""
    backbone, silence = make_backbone(), torch.zeros(2, N_TIMES)
    backbone.fit_scale(silence)
    assert backbone(silence).isfinite().all()
