"""Tests of the network that a CPU encodes by."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet, fuse


@pytest.fixture(params=["small", "base"])
def net(request):
    """Return a network whose BatchNorms do something, in eval mode."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = MC2SleepNet(MC2SleepConfig.from_size(request.param)).eval()
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.bias.data.normal_()
    net.signal_backbone.scale.fill_(20)
    return net


@pytest.fixture(scope="module")
def signals():
    """Return white noise of 30 µV."""
    return 30 * torch.randn(3, N_TIMES, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_a_fused_network_gives_the_same_embeddings(net, signals):
    """But for rounding."""
    found, expected = (torch.stack(n.encode(signals)) for n in (fuse(net), net))
    assert_close(found, expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_fusing_leaves_the_network_as_it_is(net, signals):
    """It can be trained on, and saved."""
    before = [embedding.clone() for embedding in net.encode(signals)]
    names = list(net.state_dict())
    fuse(net)
    assert list(net.state_dict()) == names
    assert all(map(torch.equal, net.encode(signals), before))
