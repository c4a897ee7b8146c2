"""Tests of the three losses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.nn import functional as F

from mne_mc2sleep._constants import UNSCORED
from mne_mc2sleep.training.losses import (
    excluded_negatives,
    info_nce_loss,
    reconstruction_loss,
    stage_loss,
)


def make_projections(n_epochs=6):
    """Make L2-normalised projections of both modalities."""
    generator = torch.Generator().manual_seed(0)
    projections = torch.randn(2, n_epochs, 5, generator=generator)
    return F.normalize(projections, dim=-1)


def info_nce_by_hand(signal, spectrogram, temperature, excluded):
    """Compute InfoNCE pair by pair in NumPy."""
    signal, spectrogram = signal.double().numpy(), spectrogram.double().numpy()
    terms = []
    for queries, keys in ((signal, spectrogram), (spectrogram, signal)):
        for i, query in enumerate(queries):
            likeness = np.exp(keys @ query / temperature)
            counted = [j for j in range(len(keys)) if j == i or not excluded[i, j]]
            terms.append(-np.log(likeness[i] / likeness[counted].sum()))
    return np.mean(terms)


def make_exclusion():
    """Exclude three pairs, in both directions."""
    excluded = torch.zeros(6, 6, dtype=torch.bool)
    for i, j in [(0, 1), (0, 4), (2, 5)]:
        excluded[i, j] = excluded[j, i] = True
    return excluded


@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_info_nce_equals_the_value_by_hand(temperature):
    """The loss is the mean over both directions at the given temperature."""
    projections = make_projections()
    nothing = torch.zeros(6, 6, dtype=torch.bool)
    expected = info_nce_by_hand(*projections, temperature, nothing)
    assert_allclose(info_nce_loss(*projections, temperature), expected, rtol=1e-5)


def test_default_temperature_is_a_tenth():
    """Without a temperature similarities are divided by 0.1."""
    projections = make_projections()
    assert info_nce_loss(*projections) == info_nce_loss(*projections, 0.1)


def test_info_nce_of_two_epochs_equals_the_formula():
    """Two aligned orthogonal epochs at temperature 0.5 give log(1 + exp(-2))."""
    found = info_nce_loss(torch.eye(2), torch.eye(2), 0.5)
    assert_allclose(found, np.log1p(np.exp(-2)), rtol=1e-6)


def test_excluded_pairs_do_not_count():
    """The loss with exclusions equals the value by hand without these negatives."""
    projections, excluded = make_projections(), make_exclusion()
    expected = info_nce_by_hand(*projections, 0.1, excluded)
    found = info_nce_loss(*projections, 0.1, excluded)
    assert_allclose(found, expected, rtol=1e-5)
    assert found < info_nce_loss(*projections, 0.1)


def test_positive_is_never_excluded():
    """An exclusion of the diagonal changes nothing."""
    projections, excluded = make_projections(), make_exclusion()
    with_diagonal = excluded | torch.eye(6, dtype=torch.bool)
    found = info_nce_loss(*projections, 0.1, with_diagonal)
    assert found == info_nce_loss(*projections, 0.1, excluded)


@pytest.mark.parametrize("n_epochs", [1, 6])
def test_info_nce_without_negatives_is_zero(n_epochs):
    """If the positive is all that is left the loss and its gradient are 0."""
    signal, spectrogram = make_projections(n_epochs)
    excluded = torch.ones(n_epochs, n_epochs, dtype=torch.bool)
    loss = info_nce_loss(signal.requires_grad_(), spectrogram, 0.1, excluded)
    loss.backward()
    assert loss == 0
    assert torch.equal(signal.grad, torch.zeros_like(signal))


NIGHTS = torch.tensor([0, 0, 0, 0, 1, 1])
POSITIONS = torch.tensor([0, 1, 3, 5, 1, 2])
STAGES = torch.tensor([2, 0, 2, UNSCORED, 2, UNSCORED])


def pairs(excluded):
    """List the pairs of different epochs that are excluded."""
    assert torch.equal(excluded, excluded.T)
    return {(i, j) for i, j in excluded.nonzero().tolist() if i < j}


@pytest.mark.parametrize(
    ("n_neighbors", "expected"),
    [
        (0, set()),
        (1, {(0, 1), (4, 5)}),
        (2, {(0, 1), (1, 2), (2, 3), (4, 5)}),
    ],
)
def test_neighbors_in_the_same_night_are_excluded(n_neighbors, expected):
    """Epochs at most ``n_neighbors`` apart are not negatives, but across nights."""
    excluded = excluded_negatives(NIGHTS, POSITIONS, STAGES, n_neighbors)
    assert pairs(excluded) == expected


def test_epochs_of_the_same_stage_are_excluded():
    """Scored epochs of one stage are not negatives, in all nights."""
    excluded = excluded_negatives(NIGHTS, POSITIONS, STAGES, same_stage=True)
    assert pairs(excluded) == {(0, 2), (0, 4), (2, 4)}


def make_reconstruction():
    """Make recovered and original embeddings with some epochs hidden."""
    generator = torch.Generator().manual_seed(0)
    recovered, original = torch.randn(2, 3, 4, 5, generator=generator)
    mask = torch.rand(3, 4, generator=generator) < 0.4
    return recovered.requires_grad_(), original.requires_grad_(), mask


def test_reconstruction_is_the_mean_over_masked_positions():
    """The loss equals NumPy's mean absolute difference where the mask is True."""
    recovered, original, mask = make_reconstruction()
    differences = np.abs((recovered - original).detach().numpy())[mask.numpy()]
    found = reconstruction_loss(recovered, original, mask).item()
    assert_allclose(found, differences.mean(), rtol=1e-6)


def test_unmasked_positions_have_no_part_in_the_reconstruction():
    """The gradient is 0 where nothing was hidden and not elsewhere."""
    recovered, original, mask = make_reconstruction()
    reconstruction_loss(recovered, original, mask).backward()
    assert torch.equal((recovered.grad != 0).any(dim=-1), mask)


def test_target_of_the_reconstruction_gets_no_gradient():
    """The original embeddings cannot shrink to meet the recovered ones."""
    recovered, original, mask = make_reconstruction()
    reconstruction_loss(recovered, original, mask).backward()
    assert original.grad is None


def test_reconstruction_of_nothing_is_zero():
    """If nothing was hidden the loss is 0 and so is its gradient."""
    recovered, original, mask = make_reconstruction()
    loss = reconstruction_loss(recovered, original, torch.zeros_like(mask))
    loss.backward()
    assert loss == 0
    assert torch.equal(recovered.grad, torch.zeros_like(recovered))


def make_logits():
    """Make logits and stages of three sequences, some of them unscored."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 5, generator=generator)
    stages = torch.tensor([[0, 1, -1, 2], [3, 4, 2, -1], [-1, -1, -1, -1]])
    return logits.requires_grad_(), stages


def test_stage_loss_is_the_mean_over_scored_epochs():
    """The loss equals NumPy's mean cross-entropy of the epochs with a stage."""
    logits, stages = make_logits()
    values = logits.detach().double().numpy()
    log_posterior = values - np.log(np.exp(values).sum(axis=-1, keepdims=True))
    scored = np.argwhere(stages.numpy() != UNSCORED)
    expected = -np.mean([log_posterior[i, j, stages[i, j]] for i, j in scored])
    assert_allclose(stage_loss(logits, stages).item(), expected, rtol=1e-6)


def test_unscored_epochs_have_no_part_in_the_stage_loss():
    """The gradient is 0 where there is no stage and not elsewhere."""
    logits, stages = make_logits()
    stage_loss(logits, stages).backward()
    assert torch.equal((logits.grad != 0).any(dim=-1), stages != UNSCORED)


def test_stage_loss_of_nothing_is_zero():
    """If nothing is scored the loss is 0 and so is its gradient."""
    logits, stages = make_logits()
    loss = stage_loss(logits, torch.full_like(stages, UNSCORED))
    loss.backward()
    assert loss == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_stage_loss_takes_any_shape(shape):
    """A batch of any shape counts by epochs alone."""
    stages = torch.zeros(*shape, 4, dtype=torch.int64)
    found = stage_loss(torch.zeros(*shape, 4, 5), stages)
    assert_allclose(found, np.log(5), rtol=1e-6)
