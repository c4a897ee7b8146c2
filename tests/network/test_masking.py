"""Tests of cross-masking: what is hidden, that it is hidden, that it is recovered."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mne_mc2sleep.network import Embeddings, MC2SleepNet, draw_mask
from mne_mc2sleep.training import seeded
from mne_mc2sleep.training.losses import reconstruction_loss

MODALITIES = pytest.mark.parametrize("modality", ["signal", "spectrogram"])


def draw(usable, mask_ratio=0.5, seed=0):
    with seeded(seed):
        return draw_mask(usable, mask_ratio)


@pytest.fixture
def masks():
    """Hide half of the epochs of both modalities, drawn for each by itself."""
    usable = torch.ones(3, 8, dtype=torch.bool)
    return Embeddings(draw(usable), draw(usable, seed=1))


def draw_usable(n_sequences=200, n_epochs=20, seed=0):
    """Draw rows with any number of usable epochs, none and all among them."""
    rng = np.random.default_rng(seed)
    usable = rng.random((n_sequences, n_epochs)) < rng.random((n_sequences, 1))
    usable[0], usable[1] = False, True
    return torch.from_numpy(usable)


@pytest.mark.parametrize("mask_ratio", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_share_of_the_usable_epochs_is_hidden(mask_ratio):
    """In every sequence, rounded; no unusable epoch is hidden."""
    usable = draw_usable()
    mask = draw(usable, mask_ratio)
    expected = np.round(usable.sum(dim=1).numpy() * mask_ratio)
    np.testing.assert_array_equal(mask.sum(dim=1).numpy(), expected)
    assert not (mask & ~usable).any()


def test_every_usable_epoch_is_hidden_equally_often():
    mask = draw(torch.ones(4000, 20, dtype=torch.bool))
    assert (mask.float().mean(dim=0) - 0.5).abs().max() < 0.05


@MODALITIES
def test_a_hidden_epoch_does_not_reach_its_reconstruction(
    net, embeddings, masks, modality
):
    own, mask = getattr(embeddings, modality), getattr(masks, modality)
    changed = torch.where(mask[..., None], 1000 * own.flip(0) - 3, own)
    found = net.recover(embeddings._replace(**{modality: changed}), masks)
    expected = net.recover(embeddings, masks)
    assert torch.equal(getattr(found, modality), getattr(expected, modality))


@MODALITIES
def test_a_modality_is_recovered_from_all_of_the_other(
    net, embeddings, masks, modality
):
    """The epochs that the other modality hides are there."""
    other = {"signal": "spectrogram", "spectrogram": "signal"}[modality]
    nothing = masks._replace(**{other: torch.zeros(3, 8, dtype=torch.bool)})
    found, expected = (net.recover(embeddings, m) for m in (masks, nothing))
    assert torch.equal(getattr(found, modality), getattr(expected, modality))


def test_unusable_epochs_do_not_reach_the_reconstruction(net, embeddings):
    usable = draw_usable(3, 8, seed=3)
    masks = Embeddings(draw(usable), draw(usable, seed=1))
    changed = (torch.where(usable[..., None], e, 9 - 100 * e) for e in embeddings)
    found = torch.stack(net.recover(Embeddings(*changed), masks, usable))
    expected = torch.stack(net.recover(embeddings, masks, usable))
    assert torch.equal(found[:, usable], expected[:, usable])


def test_hidden_epochs_are_recovered_from_the_other_modality(config):
    """Within 150 steps, if the spectrogram's embeddings are the signal's, rotated.

    The epochs are independent, so that the context of their own modality does not help.
    """
    with seeded(0):
        net = MC2SleepNet(replace(config, sequence_layers=1, dropout=0.0)).eval()
        rotation = torch.linalg.qr(torch.randn(config.width, config.width))[0]
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(150):
            signal = F.layer_norm(torch.randn(64, 4, config.width), (config.width,))
            embeddings = Embeddings(signal, signal @ rotation)
            masks = Embeddings(*draw_mask(torch.ones(128, 4) > 0, 0.5).split(64))
            recovered = net.recover(embeddings, masks)
            loss = sum(map(reconstruction_loss, recovered, embeddings, masks)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    # The mean absolute value of a normal variable is the loss of recovering zeros.
    assert loss < 0.7 * np.sqrt(2 / np.pi)
