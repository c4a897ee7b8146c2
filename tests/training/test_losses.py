"""InfoNCE and the reconstruction loss; test_phases has the stage loss."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional as F

from mne_mc2sleep.training.losses import info_nce_loss, reconstruction_loss


def info_nce_by_hand(signal, spectrogram, temperature, same_epoch):
    """Compute InfoNCE pair by pair in NumPy."""
    signal, spectrogram = signal.double().numpy(), spectrogram.double().numpy()
    terms = []
    for queries, keys in ((signal, spectrogram), (spectrogram, signal)):
        for i, query in enumerate(queries):
            likeness = np.exp(keys @ query / temperature)
            counted = [j for j in range(len(keys)) if j == i or not same_epoch[i, j]]
            terms.append(-np.log(likeness[i] / likeness[counted].sum()))
    return np.mean(terms)


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("pairs", [[], [(0, 1), (0, 4), (2, 5)]], ids=str)
def test_info_nce_equals_the_value_by_hand(temperature, pairs):
    """Rows of the same epoch are not negatives, but each is its own positive."""
    same_epoch = torch.eye(6, dtype=torch.bool)
    for i, j in pairs:
        same_epoch[i, j] = same_epoch[j, i] = True
    generator = torch.Generator().manual_seed(0)
    projections = F.normalize(torch.randn(2, 6, 5, generator=generator), dim=-1)
    expected = info_nce_by_hand(*projections, temperature, same_epoch)
    found = info_nce_loss(*projections, temperature, same_epoch)
    assert_allclose(found, expected, rtol=1e-5)


def test_reconstruction_is_the_mean_over_hidden_epochs():
    """No other epoch has a gradient, nor have the originals; of nothing, it is 0."""
    generator = torch.Generator().manual_seed(0)
    recovered, original = (
        e.requires_grad_() for e in torch.randn(2, 3, 4, 5, generator=generator)
    )
    mask = torch.rand(3, 4, generator=generator) < 0.4
    differences = np.abs((recovered - original).detach().numpy())[mask.numpy()]
    loss = reconstruction_loss(recovered, original, mask)
    assert_allclose(loss.item(), differences.mean(), rtol=1e-6)
    assert reconstruction_loss(recovered, original, torch.zeros_like(mask)) == 0
    loss.backward()
    assert torch.equal((recovered.grad != 0).any(dim=-1), mask)
    # They cannot shrink to meet the recovered ones.
    assert original.grad is None
