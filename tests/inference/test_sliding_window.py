"""Tests of the encoding of epochs and the fusion of windows."""

import copy

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from mne_mc2sleep.inference.sliding_window import encode_epochs, log_posteriors
from mne_mc2sleep.network import Embeddings

LENGTH = 8  # epochs of a sequence of the tiny network


@pytest.fixture(scope="module")
def trained_net(trained):
    """Return a network whose posteriors differ from epoch to epoch."""
    return trained.net


@pytest.fixture(scope="module")
def night(make_night):
    """Return a night of several windows and an odd number of epochs."""
    return make_night(50, n_epochs=29)


@pytest.fixture(scope="module")
def embeddings(trained_net, night):
    """Return the embeddings of the night."""
    return encode_epochs(trained_net, night.signals)


def everything_usable(embeddings):
    """Return a mask that leaves no epoch out."""
    return np.ones(len(embeddings), dtype=bool)


def test_each_epoch_is_encoded_once_and_in_order(net, night, monkeypatch):
    """Every row goes through the backbones one single time."""
    encode, seen = net.encode, []

    def spy(signals):
        seen.append(signals)
        return encode(signals)

    monkeypatch.setattr(net, "encode", spy)
    log_posteriors(net, encode_epochs(net, night.signals, 5), night.usable)
    assert [len(part) for part in seen] == [5, 5, 5, 5, 5, 4]
    assert torch.equal(torch.cat(seen), night.signals)


def test_embeddings_hold_both_modalities(net, night):
    """Signal first, spectrogram second, as the backbones give them."""
    embeddings = encode_epochs(net, night.signals[:3])
    assert embeddings.shape == (3, 2, 16)
    with torch.no_grad():
        expected = torch.stack(net.encode(night.signals[:3]), dim=1)
    torch.testing.assert_close(embeddings, expected)


def test_arrays_and_tensors_are_encoded_alike(net, night):
    """Recordings come as arrays, nights as tensors."""
    from_array = encode_epochs(net, night.signals.numpy())
    assert torch.equal(from_array, encode_epochs(net, night.signals))


@pytest.mark.parametrize("batch_size", [1, 3, 28, 29, 1000])
def test_embeddings_do_not_depend_on_the_batch_size(
    trained_net, night, embeddings, batch_size
):
    """How many epochs share a batch is a matter of memory alone."""
    found = encode_epochs(trained_net, night.signals, batch_size)
    torch.testing.assert_close(found, embeddings, rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_posteriors_do_not_depend_on_the_batch_size(
    trained_net, embeddings, batch_size
):
    """How many windows share a batch is a matter of memory alone."""
    usable = everything_usable(embeddings)
    usable[3:14] = False
    expected = log_posteriors(trained_net, embeddings, usable)
    found = log_posteriors(trained_net, embeddings, usable, batch_size)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(found.argmax(axis=1), expected.argmax(axis=1))


@pytest.mark.parametrize("n_epochs", [1, 2, 3, 7, 8, 9, 10, 29])
def test_every_epoch_gets_a_normalised_row(trained_net, embeddings, n_epochs):
    """Of one epoch, of less than a sequence, of several windows: first and last too."""
    part = embeddings[:n_epochs]
    posteriors = log_posteriors(trained_net, part, everything_usable(part))
    assert posteriors.shape == (n_epochs, 5)
    np.testing.assert_allclose(np.exp(posteriors).sum(axis=1), 1)


def stage_window(net, embeddings, usable):
    """Return the log-posteriors of one window."""
    with torch.no_grad():
        window = Embeddings(*embeddings[None].unbind(dim=2))
        logits = net.stage(net.contextualize(window, torch.as_tensor(usable)[None]))
    return log_softmax(logits.total[0].double().numpy(), axis=-1)


@pytest.mark.parametrize("n_epochs", [1, 5, 8])
def test_a_short_night_is_one_window(trained_net, embeddings, n_epochs):
    """Nothing is padded and nothing is averaged."""
    part = embeddings[:n_epochs]
    usable = everything_usable(part)
    found = log_posteriors(trained_net, part, usable)
    expected = stage_window(trained_net, part, usable)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("n_epochs", [9, 10, 13, 29])
def test_windows_are_fused_by_their_mean_log_posterior(
    trained_net, embeddings, n_epochs
):
    """A plain loop over windows a quarter of a sequence apart gives the same."""
    part = embeddings[:n_epochs]
    usable = everything_usable(part)
    usable[2] = False
    starts = {*range(0, n_epochs - LENGTH, LENGTH // 4), n_epochs - LENGTH}
    rows = [[] for _ in range(n_epochs)]
    for start in starts:
        window = slice(start, start + LENGTH)
        posteriors = stage_window(trained_net, part[window], usable[window])
        for i, row in enumerate(posteriors):
            rows[start + i].append(row)
    expected = log_softmax([np.mean(row, axis=0) for row in rows], axis=-1)
    found = log_posteriors(trained_net, part, usable)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_unusable_epoch_has_no_influence_on_the_others(trained_net, night):
    """Its signal does not change the other epochs."""
    usable = night.usable.copy()
    usable[[0, 10, 11, 28]] = False
    found = []
    for amplitude in (0.0, 1.0, 1e5):
        signals = night.signals.clone()
        signals[~torch.from_numpy(usable)] *= amplitude
        encoded = encode_epochs(trained_net, signals)
        found.append(log_posteriors(trained_net, encoded, usable)[usable])
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[2], found[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("unusable", [slice(None), slice(8, 24)], ids=["all", "most"])
def test_windows_without_any_usable_epoch_are_finite(trained_net, embeddings, unusable):
    """A softmax over nothing does not spoil the night."""
    usable = everything_usable(embeddings)
    usable[unusable] = False
    assert np.isfinite(log_posteriors(trained_net, embeddings, usable)).all()


def test_a_network_in_train_mode_is_put_into_eval_mode(trained_net, night):
    """No dropout and no batch statistics in the result, and none are changed."""
    net = copy.deepcopy(trained_net)
    expected = log_posteriors(net, encode_epochs(net, night.signals), night.usable)
    embeddings = encode_epochs(net.train(), night.signals)
    assert not net.training
    found = log_posteriors(net.train(), embeddings, night.usable)
    np.testing.assert_array_equal(found, expected)
    torch.testing.assert_close(net.state_dict(), trained_net.state_dict())
