"""What the modalities look at in each other."""

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from mne_mc2sleep import MC2SleepClassifier, attention_maps
from mne_mc2sleep.network import Embeddings, cross_attention_maps


@pytest.fixture
def embeddings(config):
    """Return the embeddings of two sequences."""
    generator = torch.Generator().manual_seed(0)
    shape = (2, config.sequence_length, config.width)
    return Embeddings(*(torch.randn(shape, generator=generator) for _ in range(2)))


def test_each_epoch_shares_out_one_look(net, embeddings, config):
    """For every layer and head the weights of a row sum to 1."""
    maps = cross_attention_maps(net, embeddings)
    length = config.sequence_length
    shape = (2, config.sequence_layers, config.n_heads, length, length)
    for modality in maps:
        assert modality.shape == shape
        torch.testing.assert_close(modality.sum(dim=-1), torch.ones(shape[:-1]))


def test_the_weights_are_those_of_the_attention(net, embeddings):
    """Values weighted by them give the output of the module."""
    seen = {}
    module = net.signal_stack.layers[0].cross_attention

    def see(module, args, kwargs, output):
        seen.update(query=args[0], key=args[1], output=output[0])

    handle = module.register_forward_hook(see, with_kwargs=True)
    weights = cross_attention_maps(net, embeddings).signal[:, 0]
    handle.remove()
    width = seen["key"].shape[-1]
    values = seen["key"] @ module.in_proj_weight[2 * width :].T
    values = values.unflatten(-1, (module.num_heads, -1)).transpose(1, 2)
    output = (weights @ values).transpose(1, 2).flatten(2) @ module.out_proj.weight.T
    torch.testing.assert_close(seen["output"], output)


def test_unusable_epochs_are_not_looked_at(net, embeddings):
    """Their columns are zero."""
    usable = torch.ones(embeddings.signal.shape[:2], dtype=torch.bool)
    usable[:, 3] = False
    for modality in cross_attention_maps(net, embeddings, usable):
        assert (modality[..., 3] == 0).all()


def test_the_network_is_as_before(net, embeddings):
    """No hook stays behind."""
    before = net.contextualize(embeddings)
    cross_attention_maps(net, embeddings)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())
    torch.testing.assert_close(net.contextualize(embeddings), before, rtol=0, atol=0)


def test_a_recording_has_maps_of_one_sequence(fitted, raw):
    """From the epoch that was asked for."""
    maps = attention_maps(fitted, raw, 5)
    assert maps.first_epoch == 5
    assert maps.signal.shape == maps.spectrogram.shape
    assert maps.signal.shape[-2:] == (10, 10)
    np.testing.assert_allclose(maps.signal.sum(axis=-1), 1, rtol=1e-5)


@pytest.mark.parametrize("first_epoch", [-1, 71])
def test_the_sequence_must_lie_in_the_recording(fitted, raw, first_epoch):
    """The message states where one may begin."""
    with pytest.raises(ValueError, match="begins between 0 and 70 in a recording"):
        attention_maps(fitted, raw, first_epoch)


def test_weights_are_needed(raw):
    """A stager that has learnt nothing looks at nothing."""
    with pytest.raises(NotFittedError, match="no weights yet"):
        attention_maps(MC2SleepClassifier(), raw)
