"""Tests of the network that a CPU encodes by."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet, fuse
from mne_mc2sleep.training import seeded


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
