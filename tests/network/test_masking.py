"""Tests of cross-masking: what is hidden, that it is hidden, that it is recovered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from stagers import TINY_SIZES
from torch.nn import functional as F

from mne_mc2sleep.network import Embeddings, MC2SleepConfig, MC2SleepNet, draw_mask
from mne_mc2sleep.network.masking import MaskToken
from mne_mc2sleep.training.losses import reconstruction_loss

TINY = MC2SleepConfig(sequence_layers=2, **TINY_SIZES)
MODALITIES = pytest.mark.parametrize("modality", ["signal", "spectrogram"])
CROSS_ATTENTION = pytest.mark.parametrize("cross_attention", [True, False])


def make_net(config=TINY, seed=0):
    """Make a network in eval mode without changing the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MC2SleepNet(config).eval()


def make_embeddings(seed=0):
    """Make embeddings of both modalities for three sequences."""
    generator = torch.Generator().manual_seed(seed)
    return Embeddings(*torch.randn(2, 3, 8, TINY.width, generator=generator))


def draw(usable, mask_ratio, seed=0):
    """Draw a mask from ``seed`` without changing the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return draw_mask(usable, mask_ratio)


def draw_masks(seed=0):
    """Hide half of the epochs of both modalities, drawn for each by itself."""
    usable = torch.ones(3, 8, dtype=torch.bool)
    return Embeddings(draw(usable, 0.5, seed), draw(usable, 0.5, seed + 1))


def other_of(modality):
    """Name the other modality."""
    return {"signal": "spectrogram", "spectrogram": "signal"}[modality]


def with_unusable(n_sequences=200, n_epochs=20, seed=0):
    """Make rows with any number of usable epochs, none and all among them."""
    rng = np.random.default_rng(seed)
    usable = rng.random((n_sequences, n_epochs)) < rng.random((n_sequences, 1))
    usable[0], usable[1] = False, True
    return torch.from_numpy(usable)


@pytest.mark.parametrize("mask_ratio", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_ratio_is_met_in_every_sequence(mask_ratio):
    """Each sequence hides its usable epochs times the ratio, rounded."""
    usable = with_unusable()
    expected = np.round(usable.sum(dim=1).numpy() * mask_ratio)
    found = draw(usable, mask_ratio).sum(dim=1).numpy()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mask_ratio", [0.5, 1.0])
def test_only_usable_epochs_are_masked(mask_ratio):
    """No unusable epoch is ever hidden."""
    usable = with_unusable()
    assert not (draw(usable, mask_ratio) & ~usable).any()


def test_every_usable_epoch_is_masked_equally_often():
    """Over many draws every place is hidden in about half of them."""
    mask = draw(torch.ones(4000, 20, dtype=torch.bool), 0.5)
    assert (mask.float().mean(dim=0) - 0.5).abs().max() < 0.05


def test_token_replaces_the_masked_embeddings_only():
    """Hidden epochs become the token exactly, all others stay as they were."""
    mask_token, embeddings = MaskToken(TINY.width), make_embeddings().signal
    mask = draw_masks().signal
    hidden = mask_token(embeddings, mask)
    assert torch.equal(hidden[mask], mask_token.token.expand(int(mask.sum()), -1))
    assert torch.equal(hidden[~mask], embeddings[~mask])


@MODALITIES
@CROSS_ATTENTION
@torch.no_grad()
def test_masked_embedding_does_not_reach_its_reconstruction(modality, cross_attention):
    """Whatever a hidden epoch held, the recovered modality is the same to the bit."""
    net, embeddings, masks = make_net(), make_embeddings(), draw_masks()
    mask, own = getattr(masks, modality), getattr(embeddings, modality)
    changed = torch.where(mask[..., None], 1000 * own.flip(0) - 3, own)
    found, expected = (
        getattr(net.recover(e, masks, None, cross_attention), modality)
        for e in (embeddings._replace(**{modality: changed}), embeddings)
    )
    assert torch.equal(found, expected)


def gradients(modality):
    """Return masks and the gradients of one recovered epoch by both modalities.

    The epoch is the first hidden one of the first sequence.
    """
    net, masks = make_net(), draw_masks()
    embeddings = Embeddings(*(e.requires_grad_() for e in make_embeddings()))
    epoch = int(getattr(masks, modality)[0].nonzero()[0])
    recovered = getattr(net.recover(embeddings, masks), modality)[0, epoch]
    recovered.sum().backward()
    return masks, epoch, Embeddings(*(e.grad for e in embeddings))


@MODALITIES
@torch.no_grad()
def test_other_modality_stays_intact(modality):
    """A modality is recovered from the other without the other's own mask."""
    net, embeddings, masks = make_net(), make_embeddings(), draw_masks()
    recovered = getattr(net.recover(embeddings, masks), modality)
    intact = {other_of(modality): torch.zeros(3, 8, dtype=torch.bool)}
    expected = getattr(net.recover(embeddings, masks._replace(**intact)), modality)
    assert torch.equal(recovered, expected)


@torch.no_grad()
def test_unusable_epochs_do_not_reach_the_reconstruction():
    """Whatever unusable epochs hold, the usable ones are recovered the same."""
    net, embeddings = make_net(), make_embeddings()
    usable = with_unusable(3, 8, seed=3)
    masks = Embeddings(draw(usable, 0.5), draw(usable, 0.5, seed=1))
    changed = Embeddings(
        *(torch.where(usable[..., None], e, 9 - 100 * e) for e in embeddings)
    )
    for found, expected in zip(
        net.recover(changed, masks, usable),
        net.recover(embeddings, masks, usable),
        strict=True,
    ):
        assert torch.equal(found[usable], expected[usable])


# Four independent epochs: the context of the own modality says nothing of a hidden one.
N_EPOCHS = 4
# Mean absolute value of a standard normal value: the loss of recovering zeros.
KNOWS_NOTHING = float(np.sqrt(2 / np.pi))


class Reconstruction:
    """The spectrogram's embeddings are the signal's, rotated; half are hidden."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(0)
        square = torch.randn(TINY.width, TINY.width, generator=self.generator)
        self.rotation = torch.linalg.qr(square)[0]

    def loss(self, net, cross_attention, n_sequences=64):
        """Return the reconstruction loss over both modalities of new sequences."""
        shape = (n_sequences, N_EPOCHS)
        signal = torch.randn(*shape, TINY.width, generator=self.generator)
        signal = F.layer_norm(signal, (TINY.width,))
        embeddings = Embeddings(signal, signal @ self.rotation)
        usable = torch.ones(shape, dtype=torch.bool)
        masks = Embeddings(draw_mask(usable, 0.5), draw_mask(usable, 0.5))
        recovered = net.recover(embeddings, masks, cross_attention=cross_attention)
        return sum(map(reconstruction_loss, recovered, embeddings, masks)) / 2

    def train(self, cross_attention):
        """Train a network for some seconds."""
        net = make_net(replace(TINY, sequence_layers=1, dropout=0.0))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(150):
            optimizer.zero_grad()
            self.loss(net, cross_attention).backward()
            optimizer.step()
        return net

    @torch.no_grad()
    def test(self, net, cross_attention):
        """Return the loss over many new sequences."""
        return float(self.loss(net, cross_attention, 1000))


@pytest.fixture(scope="module")
def losses():
    """Train with and without cross-attention and test with and without."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        task = Reconstruction()
        crossed, cut = task.train(True), task.train(False)
        return {
            "on": task.test(crossed, True),
            "cut afterwards": task.test(crossed, False),
            "never on": task.test(cut, False),
        }


def test_cross_attention_recovers_masked_epochs(losses):
    """Trained with cross-attention, the loss falls well under that of a guess."""
    assert losses["on"] < 0.7 * KNOWS_NOTHING


def test_cutting_cross_attention_spoils_the_reconstruction(losses):
    """The same network with its cross-attention cut loses half as much again."""
    assert losses["cut afterwards"] > 1.5 * losses["on"]


def test_training_without_cross_attention_recovers_nothing(losses):
    """Without cross-attention the loss stays at that of a guess."""
    assert losses["never on"] > 1.4 * losses["on"]
    assert losses["never on"] == pytest.approx(KNOWS_NOTHING, rel=0.05)
