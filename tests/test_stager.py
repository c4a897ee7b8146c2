"""A network with its calibration and the record of its training."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_mc2sleep import training
from mne_mc2sleep.inference.calibration import calibrate, fit_temperature
from mne_mc2sleep.inference.sliding_window import encode_epochs, log_posteriors
from mne_mc2sleep.metrics import score_stages
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.training import trainer as _loop


@pytest.fixture
def stager(net):
    """Return a stager that has learnt nothing."""
    return Stager(net)


@pytest.fixture(scope="module")
def quick(options):
    """Return settings that train for one train epoch."""
    return replace(options, pretrain_train_epochs=1, finetune_train_epochs=1)


@pytest.fixture
def interrupted(monkeypatch):
    """Return a function that interrupts the training in a train epoch to come."""

    def interrupt_in(train_epoch):
        train_once, n_begun = _loop._train_once, []

        def train_or_interrupt(*args):
            n_begun.append(1)
            if len(n_begun) == train_epoch:
                raise KeyboardInterrupt
            return train_once(*args)

        monkeypatch.setattr(_loop, "_train_once", train_or_interrupt)

    return interrupt_in


def probabilities(stager, night):
    """Stage a night by its one channel."""
    return stager.probabilities([night.inputs.numpy()], [night.usable])


def same(net, other):
    """Return whether two networks have the same weights to the bit."""
    state, other = net.state_dict(), other.state_dict()
    return all(torch.equal(state[name], other[name]) for name in state)


def test_an_unseen_night_is_staged_well(trained, make_night):
    """Stages of a subject that took no part in the training are found."""
    night = make_night(99, n_epochs=50)
    proba = probabilities(trained, night)
    assert score_stages(night.stages, proba.argmax(axis=1))["kappa"] > 0.9


def test_one_seed_makes_one_network(config, short_nights):
    """The same seed gives the same weights to the bit, another one gives others."""
    first, second, other = (
        Stager.untrained(config, seed, "cpu").net for seed in (0, 0, 1)
    )
    assert same(first, second)
    assert not same(first, other)


def test_pretraining_without_stages_unlearns_none(trained, make_night, quick):
    """A stager that could stage still can."""
    stager = copy.deepcopy(trained)
    stager.pretrain([make_night(i, 16, scored=False) for i in range(3)], quick)
    assert stager.can_stage


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize(("train_epoch", "can_stage"), [(1, False), (2, True)])
def test_interrupted_in_the_first_train_epoch_it_cannot_stage(
    stager, short_nights, options, interrupted, stage, train_epoch, can_stage
):
    """One whole train epoch is the least from which stages are learnt."""
    interrupted(train_epoch)
    with pytest.raises(KeyboardInterrupt):
        getattr(stager, stage)(short_nights, options)
    assert stager.can_stage is can_stage
    assert bool(stager.provenance) is can_stage
    assert len(stager.history) == train_epoch - 1


def test_nights_without_stages_are_left_out_of_finetuning(net, make_night, options):
    """They change nothing: not the split, not the weights, not the record."""
    scored, unscored = [make_night(i, 16) for i in range(3)], make_night(7, 16, False)
    unusable = make_night(8, 16)
    unusable.usable[:] = False
    with_them, without = Stager(copy.deepcopy(net)), Stager(copy.deepcopy(net))
    with_them.finetune([unscored, *scored, unusable], options)
    without.finetune(scored, options)
    assert same(with_them.net, without.net)
    assert with_them.provenance == without.provenance
    assert with_them.calibration_temperature == without.calibration_temperature


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_nights_to_validate_on_can_be_given(
    stager, make_night, options, monkeypatch, stage
):
    """Then nobody else is held out, and in both stages they are given as signals."""
    seen = []
    monkeypatch.setattr(training, stage, lambda *args: seen.extend(args[1:3]))
    nights = [make_night(i, 16) for i in range(4)]
    getattr(stager, stage)(nights[:3], options, held_out=nights[3:])
    subjects = [[night.subject for night in part] for part in seen]
    assert subjects == [[f"subject {i}" for i in range(3)], ["subject 3"]]
    shapes = {night.inputs.shape for part in seen for night in part}
    width = stager.net.config.width
    assert shapes == {(16, 3000) if stage == "pretrain" else (16, 2, width)}


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
def test_it_is_logged_if_nobody_is_held_out(
    stager, short_nights, quick, training_log, stage
):
    """The user learns what is not done then."""
    getattr(stager, stage)(short_nights, replace(quick, validation_fraction=0))
    assert any("No subject is held out" in m for m in training_log.messages)


def test_without_held_out_subjects_the_temperature_is_one(trained, make_night, quick):
    """What an earlier training was calibrated by does not hold any more."""
    stager = copy.deepcopy(trained)
    assert stager.calibration_temperature != 1
    stager.finetune([make_night(0)], quick)
    assert stager.calibration_temperature == 1


def test_the_temperature_is_fitted_on_the_held_out_subjects(
    stager, make_night, options, monkeypatch
):
    """By the posteriors of the state that is kept."""
    seen = []

    def keep(net, nights, held_out, *args):
        seen.extend(held_out)

    monkeypatch.setattr(training, "finetune", keep)
    stager.finetune([make_night(i, 16) for i in range(3)], options)
    (night,) = seen
    posteriors = log_posteriors(stager.net, night.inputs, night.usable)
    assert stager.calibration_temperature == fit_temperature(posteriors, night.targets)


def two_channels(make_night):
    """Return two channels of one night and which of their epochs are usable."""
    signals = [make_night(seed, 20).inputs.numpy() for seed in (70, 71)]
    return signals, [np.ones(20, dtype=bool), np.ones(20, dtype=bool)]


def posteriors_of(stager, signals, usable):
    """Return the log-posteriors of one channel."""
    return log_posteriors(stager.net, encode_epochs(stager.net, signals), usable)


def test_probabilities_are_calibrated_log_posteriors(trained, make_night):
    """One channel: softened by the fitted temperature."""
    night = make_night(70, 20)
    posteriors = posteriors_of(trained, night.inputs, night.usable)
    expected = calibrate(posteriors, trained.calibration_temperature)
    np.testing.assert_allclose(probabilities(trained, night), expected)


def test_channels_are_fused_by_their_mean_log_posterior(trained, make_night):
    """Two channels: the geometric mean of their probabilities, normalised."""
    signals, usable = two_channels(make_night)
    posteriors = [
        posteriors_of(trained, channel, mask)
        for channel, mask in zip(signals, usable, strict=True)
    ]
    expected = calibrate(
        (posteriors[0] + posteriors[1]) / 2, trained.calibration_temperature
    )
    np.testing.assert_allclose(trained.probabilities(signals, usable), expected)


def test_an_unusable_channel_has_no_say_in_its_epochs(trained, make_night):
    """Where one channel holds no EEG the other one decides alone."""
    signals, usable = two_channels(make_night)
    usable[0][4:7] = False
    fused = trained.probabilities(signals, usable)
    alone = trained.probabilities(signals[1:], usable[1:])
    np.testing.assert_allclose(fused[4:7], alone[4:7])
    assert not np.allclose(fused[7:], alone[7:])


def test_where_no_channel_is_usable_the_probabilities_are_uniform(trained, make_night):
    """Nothing is known of such an epoch, and its neighbours are staged all the same."""
    signals, usable = two_channels(make_night)
    for mask in usable:
        mask[[0, 9]] = False
    proba = trained.probabilities(signals, usable)
    np.testing.assert_allclose(proba[[0, 9]], 0.2)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    assert (proba[1:9].max(axis=1) > 0.3).all()


def test_channels_are_not_modified(trained, make_night):
    """Staging reads signals and masks only."""
    signals, usable = two_channels(make_night)
    before = copy.deepcopy((signals, usable))
    trained.probabilities(signals, usable)
    np.testing.assert_array_equal(signals, before[0])
    np.testing.assert_array_equal(usable, before[1])


def test_save_and_load_give_the_same_stager(trained, make_night, tmp_path):
    """It stages to the bit as before, and its record and parameters are there."""
    fname = tmp_path / "lab.safetensors"
    trained.save(fname, {"picks": ["Fz", "Cz"]})
    loaded, parameters = Stager.load(fname, "cpu")
    night = make_night(99)
    np.testing.assert_array_equal(
        probabilities(loaded, night), probabilities(trained, night)
    )
    assert loaded.can_stage
    assert loaded.calibration_temperature == trained.calibration_temperature
    assert loaded.provenance == trained.provenance
    assert loaded.validation_subjects == trained.validation_subjects
    assert parameters == {"picks": ["Fz", "Cz"]}


def test_adaptation_stays_on_the_way_to_the_fine_tuned(trained, short_nights, quick):
    """The weights are a mean of those before and those fine-tuned to."""
    whole, part = copy.deepcopy(trained), copy.deepcopy(trained)
    for stager, adaptation in ((whole, 1.0), (part, 0.25)):
        stager.finetune(short_nights, replace(quick, adaptation=adaptation))
    before, after = trained.net.state_dict(), whole.net.state_dict()
    for name, tensor in part.net.state_dict().items():
        mean = before[name] + 0.25 * (after[name] - before[name])
        torch.testing.assert_close(tensor, mean.to(tensor.dtype))


def test_adaptation_of_zero_leaves_the_weights(trained, short_nights, quick):
    """Nothing but the calibration is new."""
    stager = copy.deepcopy(trained)
    stager.finetune(short_nights, replace(quick, adaptation=0))
    assert same(stager.net, trained.net)


def test_what_was_just_pretrained_is_finetuned_all_the_way(
    trained, short_nights, quick
):
    """Its heads have not been fine-tuned yet, so that there is nothing to keep."""
    whole, part = copy.deepcopy(trained), copy.deepcopy(trained)
    for stager, adaptation in ((whole, 1.0), (part, 0.25)):
        stager.pretrain(short_nights, quick)
        stager.finetune(short_nights, replace(quick, adaptation=adaptation))
    assert same(part.net, whole.net)


def test_adapted_without_held_out_subjects_it_keeps_its_temperature(
    trained, make_night, quick
):
    """It is about as sure as the weights that it stays near."""
    stager = copy.deepcopy(trained)
    stager.finetune([make_night(0)], replace(quick, adaptation=0.5))
    assert stager.calibration_temperature == trained.calibration_temperature != 1


def test_scores_are_of_the_weights_that_stay(trained, short_nights, quick):
    """Not of those that were fine-tuned to and left again."""
    unmoved, moved = copy.deepcopy(trained), copy.deepcopy(trained)
    options = replace(quick, learning_rate=0.1)
    unmoved.finetune(short_nights, replace(options, adaptation=0))
    moved.finetune(short_nights, options)
    assert unmoved.scores["validation_macro_f1"] > moved.scores["validation_macro_f1"]
