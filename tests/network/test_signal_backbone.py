"""Tests of the CNN that embeds the raw signal."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mne_mc2sleep.network import MC2SleepConfig
from mne_mc2sleep.network.signal_backbone import SignalBackbone


def test_base_has_the_parameters_of_sleepyco():
    """Its CNN has 1,543,621 before the projection."""
    blocks = SignalBackbone(MC2SleepConfig.from_size("base")).blocks
    assert sum(p.numel() for p in blocks.parameters()) == 1_543_621


@pytest.mark.parametrize(
    ("size", "lengths"),
    [("base", [3000, 600, 120, 24, 5]), ("small", [375, 125, 42, 14, 5])],
)
def test_blocks_end_with_the_documented_number_of_samples(signals, size, lengths):
    """Those of ``base`` are SleePyCo's; ``small`` has a strided stem."""
    features, found = signals[:1, None], []
    for module in SignalBackbone(MC2SleepConfig.from_size(size)).eval().blocks:
        if isinstance(module, nn.MaxPool1d):
            found.append(features.shape[-1])
        features = module(features)
    assert [*found, features.shape[-1]] == lengths


def test_the_gain_of_an_amplifier_is_undone_by_the_scale(net, signals):
    backbone = net.signal_backbone
    backbone.fit_scale(signals)
    embeddings = backbone(signals)
    backbone.fit_scale(10 * signals)
    assert_close(backbone(10 * signals), embeddings, atol=1e-4, rtol=1e-4)


def test_gates_in_place_change_neither_the_embedding_nor_the_input(net, signals):
    given, expected = signals.clone(), net.eval().signal_backbone(signals)
    with torch.no_grad():
        assert_close(net.signal_backbone(given), expected)
    assert torch.equal(given, signals)
