"""Tests of the sequence level."""

import pytest
import torch
from torch.testing import assert_close

from mne_mc2sleep.network.cross_attention import sinusoidal_positions

CROSS_ATTENTION = pytest.mark.parametrize("cross_attention", [True, False])


@pytest.fixture
def stack(net):
    return net.signal_stack


@pytest.fixture
def pair(embeddings, cross_attention):
    """Return the own modality, and the other one if there is cross-attention."""
    return embeddings.signal, (embeddings.spectrogram if cross_attention else None)


@CROSS_ATTENTION
def test_an_unusable_epoch_changes_no_other_epoch(net, embeddings, cross_attention):
    usable = torch.ones(3, 8, dtype=torch.bool)
    usable[0, 2] = usable[1, 5:] = usable[2, 0] = False
    changed = type(embeddings)(
        *(torch.where(usable[..., None], e, 50 - 100 * e) for e in embeddings)
    )
    found = torch.stack(net.contextualize(changed, usable, cross_attention))
    expected = torch.stack(net.contextualize(embeddings, usable, cross_attention))
    assert torch.equal((found != expected).any(dim=-1), (~usable).expand(2, 3, 8))


@CROSS_ATTENTION
def test_a_sequence_with_nothing_usable_is_finite(stack, pair):
    """Neither its contexts nor the gradients of the others are NaN."""
    own, other = pair
    usable = torch.tensor([True, False, True])[:, None].expand(3, 8)
    contexts = stack(own.requires_grad_(), other, usable)
    contexts[usable].square().mul(torch.arange(16)).sum().backward()
    assert contexts.isfinite().all()
    assert own.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in stack.parameters())


@pytest.mark.parametrize("n_epochs", [1, 5, 8])
@CROSS_ATTENTION
def test_a_short_sequence_is_read_like_a_full_one_with_an_unusable_rest(
    stack, pair, n_epochs
):
    usable = (torch.arange(8) < n_epochs).expand(3, 8)
    expected = stack(*pair, usable)[:, :n_epochs]
    short = [None if e is None else e[:, :n_epochs] for e in pair]
    assert_close(stack(*short), expected, atol=1e-5, rtol=1e-5)


@CROSS_ATTENTION
def test_layers_are_those_of_the_authors_code(stack, pair):
    """Residual, post-norm and without biases.

    All attend to the embeddings of the other modality with their positions.
    """
    positions = sinusoidal_positions(8, 16)
    found, other = (None if e is None else e + positions for e in pair)
    for layer in stack.layers:
        found = layer.self_norm(found + layer.self_attention(found, found, found)[0])
        if other is not None:
            update, _ = layer.cross_attention(found, other, other)
            found = layer.cross_norm(found + update)
        found = layer.feedforward_norm(found + layer.feedforward(found))
    assert_close(found, stack(*pair), atol=1e-5, rtol=1e-5)
    assert not [name for name, _ in stack.named_parameters() if "bias" in name]


def test_positions_equal_the_published_formula():
    place = torch.arange(5.0)
    expected = torch.stack(
        [place.sin(), place.cos(), (place / 100).sin(), (place / 100).cos()], dim=1
    )
    assert_close(sinusoidal_positions(5, 4), expected)
