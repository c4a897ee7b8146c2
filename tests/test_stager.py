"""A network with its calibration and the record of its training."""

import copy
from dataclasses import replace

import numpy as np
import pytest
from stagers import interrupt_training, is_equal

from mne_mc2sleep import training
from mne_mc2sleep.inference.sliding_window import (
    calibrate,
    encode_epochs,
    fit_temperature,
    log_posteriors,
)
from mne_mc2sleep.stager import Stager


@pytest.fixture
def stager(net):
    """Return a stager that has learnt nothing."""
    return Stager(net)


@pytest.fixture(scope="module")
def quick(options):
    """Return settings that train for one train epoch."""
    return replace(options, pretrain_train_epochs=1, finetune_train_epochs=1)


def test_pretraining_without_stages_unlearns_none(trained, make_night, quick):
    """A stager that could stage still can."""
    stager = copy.deepcopy(trained)
    stager.pretrain([make_night(i, 16, scored=False) for i in range(3)], quick)
    assert stager.can_stage


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("n_done", [0, 1])
def test_interrupted_in_the_first_train_epoch_it_cannot_stage(
    stager, short_nights, options, monkeypatch, stage, n_done
):
    """One whole train epoch is the least from which stages are learnt."""
    interrupt_training(monkeypatch, n_done)
    with pytest.raises(KeyboardInterrupt):
        getattr(stager, stage)(short_nights, options)
    assert stager.can_stage is bool(n_done)
    assert len(stager.provenance) == len(stager.history) == n_done


def test_nights_without_stages_are_left_out_of_finetuning(net, make_night, options):
    """They change nothing: not the split, not the weights, not the record."""
    scored, unscored = [make_night(i, 16) for i in range(3)], make_night(7, 16, False)
    unusable = make_night(8, 16)
    unusable.usable[:] = False
    with_them, without = Stager(copy.deepcopy(net)), Stager(copy.deepcopy(net))
    with_them.finetune([unscored, *scored, unusable], options)
    without.finetune(scored, options)
    assert is_equal(with_them.net.state_dict(), without.net.state_dict())
    assert with_them.provenance == without.provenance
    assert with_them.calibration_temperature == without.calibration_temperature


@pytest.fixture
def seen(monkeypatch):
    """Do not train; return the nights and the held-out nights that would be used."""
    seen = []
    monkeypatch.setattr(training, "train", lambda *args, **_: seen.extend(args[1:3]))
    return seen


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_nights_to_validate_on_can_be_given(stager, make_night, options, seen, stage):
    """Then nobody else is held out, and in both stages they are given as signals."""
    nights = [make_night(i, 16) for i in range(4)]
    getattr(stager, stage)(nights[:3], options, held_out=nights[3:])
    subjects = [[night.subject for night in part] for part in seen]
    assert subjects == [[f"subject {i}" for i in range(3)], ["subject 3"]]
    shapes = {night.inputs.shape for part in seen for night in part}
    width = stager.net.config.width
    assert shapes == {(16, 3000) if stage == "pretrain" else (16, 2, width)}


def test_without_held_out_subjects_the_temperature_is_one(trained, make_night, quick):
    """That of an earlier training does not fit the new weights."""
    stager = copy.deepcopy(trained)
    assert stager.calibration_temperature != 1
    stager.finetune([make_night(0)], quick)
    assert stager.calibration_temperature == 1


def test_the_temperature_is_fitted_on_the_held_out_subjects(
    stager, make_night, options, seen
):
    stager.finetune([make_night(i, 16) for i in range(3)], options)
    (night,) = seen[1]
    posteriors = log_posteriors(stager.net, night.inputs, night.usable)
    assert stager.calibration_temperature == fit_temperature(posteriors, night.targets)


@pytest.mark.parametrize("n_channels", [1, 2])
def test_probabilities_are_calibrated_mean_log_posteriors(
    trained, make_night, n_channels
):
    """Of two channels: the geometric mean of their probabilities, normalised."""
    channels = [make_night(seed, 20) for seed in range(70, 70 + n_channels)]
    before = copy.deepcopy(channels)
    posteriors = [
        log_posteriors(trained.net, encode_epochs(trained.net, c.signals), c.usable)
        for c in channels
    ]
    expected = calibrate(np.mean(posteriors, axis=0), trained.calibration_temperature)
    np.testing.assert_allclose(trained.stage(channels, ()), expected)
    for channel, unchanged in zip(channels, before, strict=True):
        np.testing.assert_array_equal(channel.signals, unchanged.signals)
        np.testing.assert_array_equal(channel.usable, unchanged.usable)


def test_unusable_epochs_of_a_channel_do_not_count(trained, make_night):
    """Where no channel is usable, the probabilities are uniform."""
    one, other = channels = [make_night(seed, 20) for seed in (70, 71)]
    one.usable[4:7] = one.usable[9] = other.usable[9] = False
    fused, alone = trained.stage(channels, ()), trained.stage([other], ())
    np.testing.assert_allclose(fused[4:7], alone[4:7])
    assert not np.allclose(fused[10:], alone[10:])
    np.testing.assert_allclose(fused[9], 0.2)
    np.testing.assert_allclose(fused.sum(axis=1), 1)
    assert (fused[:9].max(axis=1) > 0.3).all()
