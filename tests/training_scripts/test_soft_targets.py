"""Tests of teachers, glued heads and the training on soft targets."""

from __future__ import annotations

import continuation
import numpy as np
import pytest
import sleep_edf_heads as heads
import torch
from numpy.testing import assert_allclose
from teachers import mix_targets

from mne_mc2sleep.network import MC2SleepNet


def draw(n_epochs, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 20, (n_epochs, 500)).astype(np.float32)


def test_glued_epochs_keep_the_power_of_their_heads():
    """Crossfades of equal power leave no holes, regardless of the speed."""
    donors = heads.draw_donors(np.zeros(40, int), False, np.random.default_rng(0))
    for speed in (1.0, 0.94, 1.06):
        signal = heads.glue(draw(40), donors, speed).reshape(40, 3000)
        assert_allclose(signal.std(axis=1), 20, rtol=0.1)


@pytest.mark.parametrize("same_stage", [False, True])
def test_each_epoch_holds_its_own_head(same_stage):
    """The other six come from neighbors, or from epochs of the same stage."""
    stages = np.repeat([0, 2, 4], 20)
    donors = heads.draw_donors(stages, same_stage, np.random.default_rng(0))
    assert (donors == np.arange(60)[:, None]).any(axis=1).all()
    shares = heads.stage_shares(stages, donors)
    assert_allclose(shares.sum(axis=1), 1)
    assert (shares.max(axis=1) == 1).all() == same_stage


def test_targets_mix_expert_and_teacher():
    teacher = np.full((2, 5), 0.2)
    targets = mix_targets(np.array([3, -1]), teacher, 0.5)
    assert_allclose(targets, [[0.1, 0.1, 0.1, 0.6, 0.1], [0] * 5], atol=1e-6)


def test_training_on_soft_targets_continues(config, tmp_path):
    """A run that stopped after one pass ends with the same weights."""
    rng = np.random.default_rng(0)
    signals = rng.normal(0, 20, (24, 3000)).astype(np.float16)
    targets = np.full((24, 5), 0.2, np.float32)
    recordings = [continuation.Recording(signals, targets, "a")]
    ends = []
    for passes in ([2], [1, 2]):
        torch.manual_seed(0)
        net = MC2SleepNet(config)
        checkpoint = tmp_path / f"{len(passes)}.pt"
        for n_passes in passes:
            continuation.train(
                net,
                lambda _: recordings,
                n_passes,
                4,
                n_epochs=12,
                checkpoint=checkpoint,
            )
        ends.append(net.total_head.bias.detach().clone())
    assert torch.equal(*ends)
    assert ends[0].abs().max() > 0
