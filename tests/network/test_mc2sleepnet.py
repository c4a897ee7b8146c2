"""Tests of the whole network and of its configuration."""

import pytest
import torch
from torch.testing import assert_close

from mne_mc2sleep._constants import N_TIMES
from mne_mc2sleep.network import Embeddings, MC2SleepConfig, MC2SleepNet


@pytest.mark.parametrize(("size", "millions"), [("base", 6.1), ("small", 0.6)])
def test_sizes_have_the_documented_number_of_parameters(size, millions):
    net = MC2SleepNet(MC2SleepConfig.from_size(size))
    n_parameters = sum(p.numel() for p in net.parameters())
    assert round(n_parameters / 1e6, 1) == millions
    assert net.config.size == size


def test_each_epoch_is_embedded_by_itself_and_at_a_fixed_scale(net, signals):
    """Each embedding has mean 0 and variance 1."""
    found, alone = (torch.stack(net.encode(s)) for s in (signals, signals[1:2]))
    assert_close(found[:, 1:2], alone, atol=1e-5, rtol=1e-5)
    assert_close(found.mean(dim=-1), torch.zeros(2, 4), atol=1e-5, rtol=0)
    variances = found.var(dim=-1, correction=0)
    assert_close(variances, torch.ones(2, 4), atol=1e-2, rtol=0)


def test_silence_gives_finite_embeddings(net):
    """It has no spread, but nothing is divided by zero."""
    silence = torch.zeros(2, N_TIMES)
    net.fit_input_statistics(silence)
    assert all(embedding.isfinite().all() for embedding in net.encode(silence))


def test_projections_have_length_one(net, embeddings):
    for projection in net.project(embeddings):
        assert_close(projection.norm(dim=-1), torch.ones(3, 8))


def test_forward_stages_each_epoch(net, signals):
    """As encoding, contextualizing and staging in turn do."""
    sequences, usable = signals.unflatten(0, (2, 2)), torch.tensor([[True, False]] * 2)
    encoded = (e.unflatten(0, (2, 2)) for e in net.encode(signals))
    expected = net.stage(net.contextualize(Embeddings(*encoded), usable))
    for found, wanted in zip(net(sequences, usable), expected, strict=True):
        assert found.shape == (2, 2, 5)
        assert_close(found, wanted)


@pytest.mark.parametrize("modality", ["signal", "spectrogram"])
@pytest.mark.parametrize("cross_attention", [True, False])
def test_modalities_attend_to_each_other_unless_told_otherwise(
    net, embeddings, modality, cross_attention
):
    other = {"signal": "spectrogram", "spectrogram": "signal"}[modality]
    changed = embeddings._replace(**{other: -getattr(embeddings, other)})
    options = {} if cross_attention else {"cross_attention": False}
    found, expected = (
        getattr(net.contextualize(e, **options), modality)
        for e in (changed, embeddings)
    )
    differs = (found != expected).any(dim=-1)
    assert differs.all() if cross_attention else not differs.any()


def test_encoding_uses_the_backbones_alone(net, signals):
    """These are what fine-tuning freezes."""
    sum(e.square().sum() for e in net.encode(signals)).backward()
    of_backbones = {p for module in net.backbones for p in module.parameters()}
    for parameter in net.parameters():
        assert (parameter.grad is not None) == (parameter in of_backbones)
