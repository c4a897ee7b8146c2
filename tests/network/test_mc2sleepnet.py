"""Tests of the whole network and of its configuration."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from stagers import TINY_SIZES
from torch.testing import assert_close

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.network import Embeddings, MC2SleepConfig, MC2SleepNet, draw_mask

TINY = MC2SleepConfig(sequence_layers=2, **TINY_SIZES)
MODALITIES = pytest.mark.parametrize("modality", ["signal", "spectrogram"])


def make_net(config=TINY, seed=0):
    """Make a network in eval mode without changing the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MC2SleepNet(config).eval()


def make_signals(n_sequences=2, n_epochs=8, seed=0):
    """Make sequences of white noise of 30 µV."""
    generator = torch.Generator().manual_seed(seed)
    return 30 * torch.randn(n_sequences, n_epochs, N_TIMES, generator=generator)


def make_embeddings(seed=0):
    """Make embeddings of both modalities for two sequences."""
    generator = torch.Generator().manual_seed(seed)
    return Embeddings(*torch.randn(2, 2, 8, TINY.width, generator=generator))


def count_parameters(size):
    """Count the parameters of a named size."""
    net = make_net(MC2SleepConfig.from_size(size))
    return sum(p.numel() for p in net.parameters())


def test_base_has_about_six_million_parameters():
    """The published sizes make 6.1 million parameters."""
    assert round(count_parameters("base") / 1e6, 1) == 6.1


def test_small_has_under_a_million_parameters():
    """The size for a CPU has less than a million parameters."""
    assert count_parameters("small") < 1e6


def test_unknown_size_is_an_error():
    """The error names the size that was asked for and those that there are."""
    with pytest.raises(ValueError, match=r"'base', 'small'.*'huge'"):
        MC2SleepConfig.from_size("huge")


@torch.no_grad()
def test_projections_have_length_one():
    """InfoNCE compares directions: each projection is L2-normalised."""
    for projection in make_net().project(make_embeddings()):
        assert_close(projection.norm(dim=-1), torch.ones(2, 8))


@pytest.mark.parametrize("n_epochs", [1, 5, 8])
@torch.no_grad()
def test_logits_have_five_stages_for_each_epoch(n_epochs):
    """Sequences up to ``sequence_length`` give five logits per epoch and head."""
    for logits in make_net()(make_signals(n_epochs=n_epochs)):
        assert logits.shape == (2, n_epochs, 5)
        assert logits.isfinite().all()


@torch.no_grad()
def test_forward_is_encode_contextualize_stage():
    """Staging raw epochs equals its three steps, cross-attention included."""
    net, signals = make_net(), make_signals()
    usable = torch.ones(2, 8, dtype=torch.bool)
    usable[1, 3] = False
    encoded = [net.encode(sequence) for sequence in signals]
    embeddings = Embeddings(*map(torch.stack, zip(*encoded, strict=True)))
    expected = net.stage(net.contextualize(embeddings, usable, cross_attention=True))
    for found, wanted in zip(net(signals, usable), expected, strict=True):
        assert_close(found, wanted, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_unusable_signal_does_not_reach_the_logits_of_others():
    """Whatever an unusable epoch holds, the usable ones are staged the same."""
    net, signals = make_net(), make_signals()
    usable = torch.ones(2, 8, dtype=torch.bool)
    usable[0, 2] = usable[1, 5:] = False
    changed = torch.where(usable[..., None], signals, 500 + 20 * signals.flip(-1))
    for found, expected in zip(net(changed, usable), net(signals, usable), strict=True):
        assert torch.equal(found[usable], expected[usable])
        assert not torch.equal(found[~usable], expected[~usable])


@torch.no_grad()
def test_nothing_usable_gives_finite_logits():
    """A sequence without any usable epoch is staged without NaN."""
    usable = torch.tensor([[False], [True]]).expand(2, 8)
    for logits in make_net()(make_signals(), usable):
        assert logits.isfinite().all()


def contextualize(net, embeddings, **options):
    """Put embeddings into context."""
    return net.contextualize(embeddings, **options)


def recover(net, embeddings, **options):
    """Recover embeddings, every second one of which is hidden."""
    mask = (torch.arange(8) % 2 == 0).expand(2, 8)
    return net.recover(embeddings, Embeddings(mask, ~mask), **options)


@pytest.mark.parametrize("read", [contextualize, recover])
@torch.no_grad()
def test_cross_attention_is_on_by_default(read):
    """Without being asked the modalities look at each other, and it shows."""
    net, embeddings = make_net(), make_embeddings()
    default = read(net, embeddings)
    on = read(net, embeddings, cross_attention=True)
    off = read(net, embeddings, cross_attention=False)
    for i in range(2):
        assert torch.equal(default[i], on[i])
        assert (default[i] != off[i]).any(dim=-1).all()


@MODALITIES
@pytest.mark.parametrize("read", [contextualize, recover])
@torch.no_grad()
def test_without_cross_attention_modalities_are_apart(read, modality):
    """With cross-attention cut a modality does not depend on the other at all."""
    net, embeddings = make_net(), make_embeddings()
    other = {"signal": "spectrogram", "spectrogram": "signal"}[modality]
    changed = embeddings._replace(**{other: -getattr(embeddings, other)})
    found, expected = (
        getattr(read(net, e, cross_attention=False), modality)
        for e in (changed, embeddings)
    )
    assert torch.equal(found, expected)


def test_backbones_are_what_encoding_uses():
    """Encoding gives gradients to all parameters of the backbones and to no others."""
    net = make_net()
    sum(e.square().sum() for e in net.encode(make_signals()[0])).backward()
    reached = {name for name, p in net.named_parameters() if p.grad is not None}
    of_backbones = {id(p) for module in net.backbones for p in module.parameters()}
    expected = {n for n, p in net.named_parameters() if id(p) in of_backbones}
    assert reached == expected


def test_every_parameter_learns_in_pretraining():
    """Stage logits, projections and reconstructions together reach all parameters."""
    net, signals = make_net().train(), make_signals()
    flat = net.encode(signals.flatten(0, 1))
    embeddings = Embeddings(*(e.unflatten(0, (2, 8)) for e in flat))
    with torch.random.fork_rng():
        mask = draw_mask(torch.ones(2, 8, dtype=torch.bool), 0.5)
    outputs = [
        *net.stage(net.contextualize(embeddings)),
        *net.project(embeddings),
        *net.recover(embeddings, Embeddings(mask, ~mask)),
    ]
    sum(output.square().sum() for output in outputs).backward()
    assert not [name for name, p in net.named_parameters() if p.grad is None]


def test_network_and_losses_import_torch_alone():
    """Neither MNE nor YASA nor the numerical packages around them are imported."""
    code = (
        "import sys, mne_mc2sleep.network, mne_mc2sleep.training.losses\n"
        "print({'mne', 'yasa', 'scipy', 'sklearn', 'pandas'} & set(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "set()"
