"""A training that was cut off goes on as if it had not been."""

import copy
import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from mne_mc2sleep import training
from mne_mc2sleep.network import MC2SleepNet
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.training import checkpoints
from mne_mc2sleep.training import trainer as _loop
from mne_mc2sleep.weights.file_format import save_weights

BOTH = pytest.mark.parametrize("stage", ["pretrain", "finetune"])
assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)


@pytest.fixture
def fname(tmp_path):
    """Return the name of a checkpoint that is not there yet."""
    return tmp_path / "checkpoint.safetensors"


@pytest.fixture
def train(net, short_nights, options, as_embeddings):
    """Return a function that runs a stage of three train epochs from the start.

    It returns the network and the history.
    """

    def train(stage, checkpoint, nights=None, net=net, **settings):
        settings = {f"{stage}_train_epochs": 3, "batch_size": 1} | settings
        net, history, held_out = copy.deepcopy(net), [], short_nights[2:]
        nights = short_nights[:2] if nights is None else nights
        if stage == "finetune" and not callable(nights):
            nights, held_out = (as_embeddings(net, part) for part in (nights, held_out))
        run = getattr(training, stage)
        run(
            net,
            nights,
            held_out,
            replace(options, **settings),
            history,
            checkpoint=checkpoint,
        )
        return net, history

    return train


@pytest.fixture
def cut_off(train, monkeypatch):
    """Return a function that trains as ``train`` does, until in a train epoch."""

    def cut_off(train_epoch, *args, **kwargs):
        train_once, n_begun = _loop._train_once, []

        def train_or_stop(phase, batches, *rest):
            n_begun.append(1)
            if len(n_begun) == train_epoch:
                next(batches)  # draws, as a train epoch that has begun does
                torch.rand(3)
                raise KeyboardInterrupt
            return train_once(phase, batches, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(_loop, "_train_once", train_or_stop)
            with pytest.raises(KeyboardInterrupt):
                train(*args, **kwargs)

    return cut_off


@BOTH
@pytest.mark.parametrize("average_decay", [0.0, 0.9])
@pytest.mark.parametrize("train_epoch", [2, 3])
def test_a_training_that_was_cut_off_ends_with_the_same_weights(
    train, cut_off, fname, stage, train_epoch, average_decay
):
    """To the bit, and with the same history, wherever it was cut off."""
    settings = {"average_decay": average_decay}
    expected, expected_history = train(stage, None, **settings)
    cut_off(train_epoch, stage, fname, **settings)
    found, history = train(stage, fname, **settings)
    assert_equal(dict(found.state_dict()), dict(expected.state_dict()))
    assert history == expected_history


def test_a_training_can_be_cut_off_twice(train, cut_off, fname):
    """Each time it goes on from the last whole train epoch."""
    expected, _ = train("pretrain", None)
    for _ in range(2):
        cut_off(2, "pretrain", fname)
    found, history = train("pretrain", fname)
    assert_equal(dict(found.state_dict()), dict(expected.state_dict()))
    assert len(history) == 3


def test_checkpoints_change_no_training(train, fname):
    """With them and without them the weights are the same to the bit."""
    (without, _), (with_them, _) = (train("pretrain", name) for name in (None, fname))
    assert_equal(dict(with_them.state_dict()), dict(without.state_dict()))


@BOTH
def test_a_finished_training_is_finished_at_once(train, fname, stage):
    """No night is asked for, and all is as it was."""
    expected, expected_history = train(stage, fname)

    def nights(train_epoch):
        raise AssertionError("a night was read")

    # The embeddings of held-out nights are not looked at either.
    found, history = train(stage, fname, nights=nights)
    assert_equal(dict(found.state_dict()), dict(expected.state_dict()))
    assert history == expected_history


def test_a_training_that_stopped_early_is_finished(train, fname, monkeypatch):
    """It does not wait for a better score anew."""
    scores = iter([0.5, 0.1, 0.1])
    monkeypatch.setattr(_loop, "_validate", lambda *_: (next(scores), "validation_x"))
    settings = {"patience": 2, "pretrain_train_epochs": 9}
    for _ in range(2):
        _, history = train("pretrain", fname, **settings)
        assert len(history) == 3


def test_what_was_trained_before_stays_in_the_history(
    net, short_nights, options, fname
):
    """A checkpoint holds the rows of its own phase alone."""
    settings = replace(options, pretrain_train_epochs=1)
    for _ in range(2):
        history = [{"phase": "earlier"}]
        training.pretrain(net, short_nights, [], settings, history, checkpoint=fname)
        assert [row["phase"] for row in history] == ["earlier", "Pretraining"]


def test_nights_that_can_be_called_are_so_in_each_train_epoch(
    train, cut_off, short_nights, fname
):
    """By its number, from 1 on; after a cut, from the first that is missing."""
    asked = []

    def nights(train_epoch):
        asked.append(train_epoch)
        return [
            replace(night, inputs=night.inputs * (1 + train_epoch))
            for night in short_nights[:2]
        ]

    expected, _ = train("pretrain", None, nights)
    assert asked == [1, 2, 3]
    cut_off(2, "pretrain", fname, nights)
    asked.clear()
    found, _ = train("pretrain", fname, nights)
    assert asked == [2, 3]
    assert_equal(dict(found.state_dict()), dict(expected.state_dict()))


def test_nights_that_can_be_called_are_those_trained_on(train, short_nights):
    """The same nights each time train as the nights themselves do."""
    expected, _ = train("pretrain", None)
    found, _ = train("pretrain", None, lambda _: short_nights[:2])
    assert_equal(dict(found.state_dict()), dict(expected.state_dict()))


def test_nights_whose_lengths_change_are_refused(train, short_nights):
    """The learning rate follows from the number of steps."""
    with pytest.raises(ValueError, match="27 steps of training, and made 18 before"):
        train("pretrain", None, lambda i: short_nights[: 1 + i])


def test_other_nights_do_not_go_on(train, cut_off, short_nights, fname):
    """A checkpoint knows how long its nights were."""
    cut_off(2, "pretrain", fname)
    with pytest.raises(ValueError, match="name another checkpoint"):
        train("pretrain", fname, short_nights)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"batch_size": 2}, "batch_size is 1 there and 2 here"),
        ({"seed": np.int64(9)}, "seed is 0 there and 9 here"),
        ({"pretrain_train_epochs": 4}, "pretrain_train_epochs is 3 there and 4 here"),
    ],
)
def test_other_options_do_not_go_on(train, fname, settings, match):
    """The sentence names what differs, the file and the remedy."""
    train("pretrain", fname)
    with pytest.raises(ValueError, match=match) as info:
        train("pretrain", fname, **settings)
    assert str(fname) in str(info.value)
    assert "delete it" in str(info.value)


def test_another_network_does_not_go_on(train, config, fname):
    """Nor does a checkpoint fit a network of other sizes."""
    train("pretrain", fname)
    other = MC2SleepNet(replace(config, feedforward=16))
    with pytest.raises(ValueError, match="feedforward is 32 there and 16 here"):
        train("pretrain", fname, net=other)


def test_another_phase_does_not_go_on(train, fname):
    """Fine-tuning needs a file of its own."""
    settings = {"pretrain_train_epochs": 3, "finetune_train_epochs": 3}
    train("pretrain", fname, **settings)
    with pytest.raises(ValueError, match="phase is 'Pretraining' there"):
        train("finetune", fname, **settings)


def test_other_backbones_do_not_go_on(train, config, fname):
    """What fine-tuning leaves frozen is not in its checkpoint, but checked by it."""
    train("finetune", fname)
    with pytest.raises(ValueError, match="fingerprint of the frozen weights"):
        train("finetune", fname, net=MC2SleepNet(config))


@pytest.mark.parametrize("damage", ["half", "bit", "empty"])
def test_a_damaged_checkpoint_is_refused(train, fname, damage):
    """The sentence says to delete it."""
    train("finetune", fname)
    content = bytearray(fname.read_bytes())
    content[-100] ^= 1
    n_bytes = {"half": len(content) // 2, "bit": len(content), "empty": 0}[damage]
    fname.write_bytes(content[:n_bytes])
    with pytest.raises(ValueError, match=r"is damaged.*Delete it"):
        train("finetune", fname)


def test_a_file_that_is_no_checkpoint_is_refused(train, fname, net):
    """Saved weights are not taken for one, and not overwritten."""
    save_weights(fname, net, {})
    before = fname.read_bytes()
    with pytest.raises(ValueError, match="holds no checkpoint"):
        train("pretrain", fname)
    assert fname.read_bytes() == before


def test_a_second_training_into_one_file_says_so(train, fname):
    """And the first is left alone."""
    with (
        checkpoints.locked(fname),
        pytest.raises(RuntimeError, match=r"Another training writes to .*checkpoint"),
    ):
        train("pretrain", fname)
    assert not fname.exists()


def test_the_lock_ends_with_the_training(train, cut_off, fname):
    """However it ended."""
    cut_off(1, "pretrain", fname)
    with checkpoints.locked(fname):
        pass


def test_a_failing_write_leaves_the_last_checkpoint(train, fname, monkeypatch):
    """A full disk in the second train epoch does not cost the first."""
    fsync, calls = os.fsync, []

    def fail_once(*args):
        calls.append(1)
        if len(calls) == 2:
            raise OSError("No space left")
        fsync(*args)

    monkeypatch.setattr(os, "fsync", fail_once)
    with pytest.raises(OSError, match="No space left"):
        train("pretrain", fname)
    expected, _ = train("pretrain", None)
    found, history = train("pretrain", fname)
    assert_equal(dict(found.state_dict()), dict(expected.state_dict()))
    assert len(history) == 3


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("checkpoint.pt", ValueError, r"'\*\.safetensors'"),
        ("nowhere/checkpoint.safetensors", FileNotFoundError, "Make it first"),
    ],
)
def test_a_name_that_cannot_be_written_to(train, tmp_path, name, error, match):
    """It is told before the training, not after a train epoch."""
    with pytest.raises(error, match=match):
        train("pretrain", tmp_path / name)


def test_processes_that_see_different_checkpoints_say_so(train, monkeypatch):
    """Each would otherwise wait for steps that the others have done."""
    monkeypatch.setattr(_loop, "gather", lambda n: [n, n + 2])
    with pytest.raises(RuntimeError, match=r"\[0, 2\].*folder that all of them share"):
        train("pretrain", None)


def test_a_stager_goes_on_with_its_record(config, make_night, options, tmp_path):
    """Weights, history, temperature and scores are those of the finished one."""
    nights = [make_night(seed, 16) for seed in range(4)]
    settings = replace(options, pretrain_train_epochs=1, finetune_train_epochs=1)
    stagers = []
    for _ in range(2):
        stager = Stager.untrained(config, seed=0, device="cpu")
        for stage in ("pretrain", "finetune"):
            fname = tmp_path / f"{stage}.safetensors"
            getattr(stager, stage)(nights, settings, checkpoint=fname)
        stagers.append(stager)
    first, second = stagers
    assert_equal(dict(first.net.state_dict()), dict(second.net.state_dict()))
    for name in (
        "history",
        "calibration_temperature",
        "scores",
        "provenance",
        "can_stage",
    ):
        assert getattr(first, name) == getattr(second, name)
