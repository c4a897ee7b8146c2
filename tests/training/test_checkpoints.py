"""A training that was cut off resumes as if it had not been."""

import copy
import os
from contextlib import nullcontext
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from stagers import BOTH

from mne_mc2sleep.network import MC2SleepNet
from mne_mc2sleep.training import checkpoints, trainer


def assert_equal(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0)
    assert found[1] == expected[1]


@pytest.fixture
def fname(tmp_path):
    return tmp_path / "checkpoint.pt"


@pytest.fixture
def train(run_training, net):
    """Return a function that runs a phase of three train epochs from the start.

    It returns the weights and the history, or None if it is interrupted after
    ``cut_off`` train epochs.
    """

    def train(stage, checkpoint, nights=None, net=net, cut_off=None, **settings):
        settings = {f"{stage}_train_epochs": 3, "batch_size": 2} | settings
        settings |= {"net": copy.deepcopy(net), "checkpoint": checkpoint}

        def interrupt(row):
            if row["train_epoch"] == cut_off:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt) if cut_off else nullcontext():
            history = run_training(stage, nights, callback=interrupt, **settings)
            return dict(settings["net"].state_dict()), history

    return train


@pytest.mark.parametrize(
    ("stage", "average_decay"), [("pretrain", 0.9), ("finetune", 0.0)]
)
def test_a_training_that_was_cut_off_ends_with_the_same_weights(
    train, fname, stage, average_decay
):
    """To the bit and with the same history, also if it was cut off twice."""
    settings = {"average_decay": average_decay}
    expected = train(stage, None, **settings)
    for train_epoch in (1, 2):
        train(stage, fname, cut_off=train_epoch, **settings)
    assert_equal(train(stage, fname, **settings), expected)


@BOTH
def test_a_finished_training_reads_no_night(train, fname, stage):
    expected = train(stage, fname)
    assert_equal(train(stage, fname, nights=lambda _: pytest.fail("read")), expected)


def test_a_training_that_stopped_early_is_finished(train, fname, monkeypatch):
    scores = iter([0.5, 0.1, 0.1])
    monkeypatch.setattr(trainer, "validate", lambda *_: ("validation_x", next(scores)))
    for _ in range(2):
        _, history = train("finetune", fname, patience=2, finetune_train_epochs=9)
        assert len(history) == 3


def test_a_callable_makes_the_nights_of_each_train_epoch(train, short_nights, fname):
    """It gets the number, from 1; after a cut, from the first that is missing."""
    asked = []

    def nights(train_epoch):
        asked.append(train_epoch)
        return [
            replace(night, inputs=night.signals * (1 + train_epoch))
            for night in short_nights[:2]
        ]

    expected = train("pretrain", None, nights)
    assert asked == [1, 2, 3]
    train("pretrain", fname, nights, cut_off=1)
    asked.clear()
    found = train("pretrain", fname, nights)
    assert asked == [2, 3]
    assert_equal(found, expected)


def test_another_training_does_not_resume(train, config, fname, short_nights):
    """The message names what differs, the file and the remedy."""
    train("pretrain", fname, cut_off=1)
    with pytest.raises(ValueError, match="name another checkpoint"):
        train("pretrain", fname, short_nights)
    fname.unlink()
    train("finetune", fname)
    for stage, settings, match in [
        ("finetune", {"batch_size": 3}, "batch_size is 2 there and 3 here"),
        ("finetune", {"seed": np.int64(9)}, "seed is 0 there and 9 here"),
        ("pretrain", {}, "phase is 'Fine-tuning' there"),
        (
            "finetune",
            {"net": MC2SleepNet(replace(config, feedforward=16))},
            "feedforward is 32 there and 16 here",
        ),
        # Fine-tuning needs the same backbones.
        ("finetune", {"net": MC2SleepNet(config)}, "fingerprint of the frozen weights"),
    ]:
        with pytest.raises(ValueError, match=match) as info:
            train(stage, fname, **settings)
        assert str(fname) in str(info.value)
        assert "delete it" in str(info.value)


@pytest.mark.parametrize("damage", ["half", "bit", "empty", "other"])
def test_a_damaged_or_foreign_file_is_refused(train, fname, damage):
    """It is not overwritten either."""
    train("finetune", fname)
    content = bytearray(fname.read_bytes())
    if damage == "other":
        torch.save({"weights": torch.zeros(3)}, fname)
    else:
        content[len(content) // 2] ^= 1
        size = {"half": len(content) // 2, "bit": len(content), "empty": 0}[damage]
        fname.write_bytes(content[:size])
    before = fname.read_bytes()
    with pytest.raises(ValueError, match=r"is damaged or not a checkpoint.*Delete it"):
        train("finetune", fname)
    assert fname.read_bytes() == before


def test_a_second_training_into_one_file_is_an_error(train, fname):
    """The first one is left alone, and releases the file at its end."""
    with (
        checkpoints.reserve(fname),
        pytest.raises(RuntimeError, match=r"Another training writes to .*checkpoint"),
    ):
        train("finetune", fname)
    assert not fname.exists()
    train("finetune", fname)


def test_a_failing_write_leaves_the_last_checkpoint(train, fname, monkeypatch):
    outcomes = [None, OSError("No space left"), *[None] * 9]
    monkeypatch.setattr(os, "fsync", Mock(side_effect=outcomes))
    with pytest.raises(OSError, match="No space left"):
        train("finetune", fname)
    assert_equal(train("finetune", fname), train("finetune", None))
