"""What tests share: tiny networks, short nights and little training."""

from functools import partial

import pytest
import torch

from mne_mc2sleep import training
from mne_mc2sleep.training import trainer

PHASES = {"pretrain": training.Pretraining, "finetune": training.Finetuning}
BOTH = pytest.mark.parametrize("stage", PHASES)
assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)
# Short nights that hold all five stages.
SEEDS = (10, 97, 342)
# Little training: these tests ask how things fit together, not how well it stages.
QUICK = {
    "picks": "EEG Fpz-Cz",
    "sequence_length": 10,
    "batch_size": 8,
    "pretrain_train_epochs": 1,
    "finetune_train_epochs": 2,
    "random_state": 0,
}
# Sizes of a network that learns within seconds.
TINY_SIZES = {
    "width": 16,
    "n_heads": 2,
    "feedforward": 32,
    "spectrogram_layers": 1,
    "signal_channels": (4, 4, 4, 4, 8),
    "signal_convolutions": (1, 1, 1, 1, 1),
    "stem_kernel": 15,
    "stem_stride": 4,
    "pool_size": 3,
    "sequence_length": 8,
}
# What "small" is where stagers are tiny.
TINY_SMALL = {n: TINY_SIZES[n] for n in TINY_SIZES if n != "sequence_length"}
TINY_SMALL |= {"sequence_layers": 1, "frame_stride": 2}


def interrupt_training(monkeypatch, n_done):
    """Press Ctrl-C after some passes over the nights."""
    train_once, done = trainer._train_once, []

    def train_or_interrupt(*args):
        if len(done) == n_done:
            raise KeyboardInterrupt
        done.append(1)
        return train_once(*args)

    monkeypatch.setattr(trainer, "_train_once", train_or_interrupt)


def learnt(clf):
    """Return a copy of all that the network of a classifier has learnt."""
    return {name: t.clone() for name, t in clf.stager_.net.state_dict().items()}


def is_equal(one, other):
    """Return whether two networks have learnt the same bits."""
    return all(torch.equal(one[name], other[name]) for name in one)
