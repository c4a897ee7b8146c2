"""Tests of the sequence level."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from mne_mc2sleep.network import MC2SleepConfig
from mne_mc2sleep.network.cross_attention import CrossAttentionStack
from mne_mc2sleep.network.positions import sinusoidal_positions

TINY = MC2SleepConfig(
    width=16, n_heads=2, feedforward=32, sequence_layers=2, sequence_length=8
)
CROSS_ATTENTION = pytest.mark.parametrize("cross_attention", [True, False])


def make_stack(seed=0):
    """Make a stack in eval mode without changing the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return CrossAttentionStack(TINY).eval()


def make_embeddings(n_epochs=8, cross_attention=True, seed=0):
    """Make the own and the other modality of three sequences."""
    generator = torch.Generator().manual_seed(seed)
    own, other = torch.randn(2, 3, n_epochs, TINY.width, generator=generator)
    return own, (other if cross_attention else None)


def differ(found, expected):
    """Tell for each epoch if anything in it differs."""
    return (found != expected).any(dim=-1)


@CROSS_ATTENTION
@torch.no_grad()
def test_unusable_epoch_changes_no_other_epoch(cross_attention):
    """Whatever an unusable epoch holds, the other epochs' contexts are the same."""
    stack = make_stack()
    own, other = make_embeddings(cross_attention=cross_attention)
    usable = torch.ones(3, 8, dtype=torch.bool)
    usable[0, 2] = usable[1, 5:] = usable[2, 0] = False
    contexts = stack(own, other, usable)
    own = torch.where(usable[..., None], own, 100 * own + 7)
    if cross_attention:
        other = torch.where(usable[..., None], other, 50 - 100 * other)
    changed = differ(stack(own, other, usable), contexts)
    assert torch.equal(changed, ~usable)


@torch.no_grad()
def test_every_epoch_attends_to_the_other_modality():
    """One epoch of the other modality changes all contexts of the sequence."""
    stack, (own, other) = make_stack(), make_embeddings()
    contexts = stack(own, other)
    other = other.clone()
    other[1, 2] = -other[1, 2]
    changed = differ(stack(own, other), contexts)
    assert torch.equal(changed.any(dim=1), torch.tensor([False, True, False]))
    assert changed[1].all()


@CROSS_ATTENTION
@torch.no_grad()
def test_without_usable_all_epochs_are_attended_to(cross_attention):
    """Leaving ``usable`` out is the same as all epochs being usable."""
    stack, embeddings = make_stack(), make_embeddings(cross_attention=cross_attention)
    usable = torch.ones(3, 8, dtype=torch.bool)
    assert_close(stack(*embeddings), stack(*embeddings, usable))


@CROSS_ATTENTION
def test_sequence_with_nothing_usable_is_finite(cross_attention):
    """Neither its contexts nor the gradient of the others' are NaN."""
    stack = make_stack()
    own, other = make_embeddings(cross_attention=cross_attention)
    usable = torch.tensor([True, False, True])[:, None].expand(3, 8)
    contexts = stack(own.requires_grad_(), other, usable)
    contexts[usable].square().mul(torch.arange(16)).sum().backward()
    assert contexts.isfinite().all()
    assert own.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in stack.parameters())


@pytest.mark.parametrize("n_epochs", [1, 5])
@CROSS_ATTENTION
@torch.no_grad()
def test_shorter_sequences_are_read(n_epochs, cross_attention):
    """A short sequence is read like a full one whose rest is unusable."""
    stack = make_stack()
    own, other = make_embeddings(cross_attention=cross_attention)
    usable = (torch.arange(8) < n_epochs).expand(3, 8)
    expected = stack(own, other, usable)[:, :n_epochs]
    short = other[:, :n_epochs] if cross_attention else None
    assert_close(stack(own[:, :n_epochs], short), expected, atol=1e-5, rtol=1e-5)


@CROSS_ATTENTION
@torch.no_grad()
def test_layers_follow_one_another(cross_attention):
    """The input of each layer is the output of the layer before it."""
    stack = make_stack()
    own, other = make_embeddings(cross_attention=cross_attention)
    expected = own + stack.positions
    encoded = None if other is None else other + stack.positions
    for layer in stack.layers:
        expected = layer(expected, encoded, None)
    assert_close(stack(own, other), expected)


@torch.no_grad()
def test_layer_is_residual_and_post_norm():
    """A layer equals its three steps, each added to its input and then normalised."""
    layer, (own, other) = make_stack().layers[0], make_embeddings()
    expected = layer.self_norm(own + layer.self_attention(own, own, own)[0])
    crossed = layer.cross_attention(expected, other, other)[0]
    expected = layer.cross_norm(expected + crossed)
    expected = layer.feedforward_norm(expected + layer.feedforward(expected))
    assert_close(layer(own, other, None), expected, atol=1e-5, rtol=1e-5)


def test_layers_have_no_biases():
    """No attention, feed-forward or norm has a bias, as in the authors' code."""
    names = [name for name, _ in make_stack().named_parameters()]
    assert not [name for name in names if "bias" in name]


@torch.no_grad()
def test_keys_and_values_are_the_same_for_all_layers():
    """All layers cross-attend to the other modality with its positions, unchanged."""
    stack, (own, other) = make_stack(), make_embeddings()
    seen = []
    for layer in stack.layers:
        layer.cross_attention.register_forward_pre_hook(
            lambda _, inputs: seen.extend(inputs[1:3])
        )
    stack(own, other)
    assert len(seen) == 2 * TINY.sequence_layers
    for keys_or_values in seen:
        assert_close(keys_or_values, other + stack.positions, atol=0, rtol=0)


@CROSS_ATTENTION
@torch.no_grad()
def test_order_of_epochs_matters_by_the_positions(cross_attention):
    """Reversed epochs give other contexts than reversed; without positions not."""
    stack = make_stack()
    own, other = make_embeddings(cross_attention=cross_attention)
    reversed_other = None if other is None else other.flip(1)
    found = stack(own.flip(1), reversed_other).flip(1)
    assert (found - stack(own, other)).abs().amax(dim=(1, 2)).min() > 1e-3
    stack.positions.zero_()
    found = stack(own.flip(1), reversed_other).flip(1)
    assert_close(found, stack(own, other), atol=1e-5, rtol=1e-5)


def test_positions_equal_the_published_formula():
    """Sines and cosines of position / 10000^(column / width), by hand."""
    positions = sinusoidal_positions(5, 4)
    place = torch.arange(5.0)
    expected = torch.stack(
        [place.sin(), place.cos(), (place / 100).sin(), (place / 100).cos()], dim=1
    )
    assert_close(positions, expected)
