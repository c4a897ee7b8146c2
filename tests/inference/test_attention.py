"""Tests of the attention between the modalities."""

import numpy as np
import pytest
import torch

from mne_mc2sleep import attention_maps
from mne_mc2sleep.network import Embeddings, cross_attention_maps


@pytest.fixture
def embeddings(config):
    """Return the embeddings of two sequences."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, config.sequence_length, config.width)
    return Embeddings(*(torch.randn(shape, generator=generator) for _ in range(2)))


def test_the_weights_are_those_of_the_attention(net, embeddings):
    """Values weighted by them give the output of the module."""
    seen = {}
    module = net.signal_stack.layers[0].cross_attention

    def see(module, args, output):
        seen.update(key=args[1], output=output[0])

    handle = module.register_forward_hook(see)
    weights = cross_attention_maps(net, embeddings).signal[:, 0]
    handle.remove()
    width = seen["key"].shape[-1]
    values = seen["key"] @ module.in_proj_weight[2 * width :].T
    values = values.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
    output = (weights @ values).transpose(1, 2).flatten(2) @ module.out_proj.weight.T
    torch.testing.assert_close(seen["output"], output)


def test_each_epoch_attends_to_the_usable_epochs_alone(net, embeddings, config):
    """For every layer and head the weights of a row sum to 1."""
    usable = torch.ones(embeddings.signal.shape[:2], dtype=torch.bool)
    usable[:, 3] = False
    length = config.sequence_length
    shape = (2, config.sequence_layers, config.n_heads, length, length)
    for modality in cross_attention_maps(net, embeddings, usable):
        assert modality.shape == shape
        torch.testing.assert_close(modality.sum(dim=-1), torch.ones(shape[:-1]))
        assert (modality[..., 3] == 0).all()


def test_the_network_is_as_before(net, embeddings):
    before = net.contextualize(embeddings)
    cross_attention_maps(net, embeddings)
    assert not any(module._forward_hooks for module in net.modules())
    torch.testing.assert_close(net.contextualize(embeddings), before, rtol=0, atol=0)


def test_a_recording_has_maps_of_one_sequence(fitted, raw):
    maps = attention_maps(fitted, raw, 5)
    assert maps.first_epoch == 5
    assert maps.signal.shape == maps.spectrogram.shape
    assert maps.signal.shape[-2:] == (10, 10)
    np.testing.assert_allclose(maps.signal.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("first_epoch", [-1, 31])
def test_the_sequence_must_lie_in_the_recording(fitted, raw, first_epoch):
    with pytest.raises(ValueError, match="begins between 0 and 30 in a recording"):
        attention_maps(fitted, raw, first_epoch)
