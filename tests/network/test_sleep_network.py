"""Tests of networks of your own, and of the network that a CPU encodes by."""

import pytest
import torch
from stagers import QUICK
from torch import nn
from torch.testing import assert_close

from mne_mc2sleep import MC2SleepClassifier
from mne_mc2sleep.network import (
    MC2SleepConfig,
    MC2SleepNet,
    SleepNetwork,
    fuse,
    make_network,
)
from mne_mc2sleep.training import seeded


class OwnNet(MC2SleepNet):
    """MC2SleepNet with a head of its own."""

    def __init__(self, config):
        super().__init__(config)
        self.total_head = nn.Sequential(nn.Linear(2 * config.width, 7), nn.Linear(7, 5))


@pytest.mark.usefixtures("tiny_small")
def test_own_network_is_trained_saved_and_loaded(scored_raws, tmp_path):
    """Its class must be passed to load it; the error names it."""
    raw, fname = scored_raws[0][0], tmp_path / "own.safetensors"
    clf = MC2SleepClassifier(**QUICK, network=OwnNet).fit(*scored_raws)
    clf.save(fname)
    loaded = MC2SleepClassifier.from_pretrained(fname, network=OwnNet)
    assert loaded.predict_proba(raw).equals(clf.predict_proba(raw))
    with pytest.raises(ValueError, match=r"_network:OwnNet', but network=None"):
        MC2SleepClassifier.from_pretrained(fname)
    with pytest.raises(ValueError, match=r"OwnNet', but network='.*:MC2SleepNet'"):
        MC2SleepClassifier.from_pretrained(fname, network=MC2SleepNet)


def test_shipped_weights_are_not_of_an_own_network():
    """Passing one is an error, not a network with other weights."""
    with pytest.raises(ValueError, match="of the network 'MC2SleepNet', but"):
        MC2SleepClassifier.from_pretrained(network=OwnNet)


def test_another_class_is_refused_and_missing_members_are_named(config):
    class Incomplete(SleepNetwork):
        encode = project = MC2SleepNet.project

    with pytest.raises(TypeError, match=r"Incomplete .*backbones.*recover.*stage"):
        make_network(config, lambda config: Incomplete())
    with pytest.raises(TypeError, match=r"subclass of MC2SleepNet, got Linear"):
        make_network(config, lambda config: nn.Linear(2, 2))


@pytest.mark.parametrize("size", ["small", "base"])
def test_a_fused_network_gives_the_same_embeddings(size, signals):
    """And leaves the network unchanged."""
    with seeded(0):
        net = MC2SleepNet(MC2SleepConfig.from_size(size)).eval()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.bias.data.normal_()
    net.fit_input_statistics(signals)
    expected, names = torch.stack(net.encode(signals)), list(net.state_dict())
    fused = fuse(net)
    assert not any(isinstance(module, nn.BatchNorm1d) for module in fused.modules())
    assert_close(torch.stack(fused.encode(signals)), expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(torch.stack(net.encode(signals)), expected)
    assert list(net.state_dict()) == names
