"""Tests of the detection of recordings that are unlike the training data."""

import copy
import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from foreign_input import FOREIGN, shuffle_within_epochs
from signals import make_raw

from mne_mc2sleep import simulate_night
from mne_mc2sleep.data.reading import read_channel
from mne_mc2sleep.preprocessing.novelty import (
    Novelty,
    check_profile,
    fit_profile,
    measure_novelty,
    soften,
)
from mne_mc2sleep.preprocessing.scaling import SCALINGS
from mne_mc2sleep.stager import Stager

HOUR = 120  # epochs


def simulate(seed):
    """Simulate an hour of EEG as a signal in µV."""
    raw, _ = simulate_night(30.0 * HOUR, random_state=seed)
    return raw.get_data(units="uV")[seed % 2]


def as_night(signal, scaling="none"):
    """Turn a signal into what a stager sees, in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        recording = read_channel(make_raw(signal), None, scaling)
    return SimpleNamespace(signals=recording.signals, usable=recording.usable)


def compare(profile, night):
    return measure_novelty(profile, night.signals, night.usable)


@pytest.fixture(scope="module")
def signals():
    return [simulate(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def foreign():
    """Return signals that are not EEG of a sleeping human, by name."""
    made = {
        name: make(HOUR * 3000, np.random.default_rng(0))
        for name, make in FOREIGN.items()
    }
    eeg = simulate(9)
    made["shuffled EEG"] = shuffle_within_epochs(eeg, np.random.default_rng(0))
    made["volts taken for µV"] = 1e6 * eeg
    return made


@pytest.fixture(scope="module")
def profiles(signals):
    """Return profiles by the number of nights and the scaling."""
    return {
        (n, scaling): fit_profile([as_night(s, scaling) for s in signals[:n]])
        for n, scaling in [(1, "none"), *((3, name) for name in SCALINGS)]
    }


@pytest.fixture(scope="module")
def profile(profiles):
    return profiles[3, "none"]


# What the description names.
WORDS = {
    **dict.fromkeys([*FOREIGN, "shuffled EEG"], ""),
    "volts taken for µV": "amplitude in µV",
    "square wave of 1 Hz": "1 - autocorrelation",
    "mains alone": "highest peak of the spectrum",
    "white noise": "change of the spectrum within half an hour",
}


@pytest.mark.parametrize("key", [(1, "none"), (3, "spectrum")])
@pytest.mark.parametrize("name", WORDS)
def test_what_is_not_sleep_is_novel(name, key, profiles, foreign):
    """With few training nights, and with the scaling that changes most."""
    found = compare(profiles[key], as_night(foreign[name], key[1]))
    assert found.is_novel
    assert (found.distances >= 1).all()
    assert ", expected " in found.description
    if key[1] == "spectrum":
        assert f"({WORDS[name]}" in found.description


@pytest.mark.parametrize("scaling", SCALINGS)
def test_a_subject_is_not_novel(scaling, profiles, signals):
    """Neither an unseen one nor one of the training."""
    for signal in (simulate(20), simulate(21), signals[0]):
        found = compare(profiles[3, scaling], as_night(signal, scaling))
        assert (found.is_novel, found.description) == (False, "")


@pytest.mark.parametrize(("n_novel", "is_novel"), [(HOUR // 3, True), (12, False)])
def test_a_novel_part_is_found_where_it_is(
    n_novel, is_novel, profile, signals, foreign
):
    signal = signals[0].copy()
    signal[: n_novel * 3000] = foreign["ECG-like, 1.1 Hz"][: n_novel * 3000]
    found = compare(profile, as_night(signal))
    assert found.is_novel == is_novel
    assert (found.distances[: n_novel - 1] >= 1).all()
    assert (found.distances[n_novel + 1 :] < 1).mean() > 0.9


def test_short_recordings_may_be_steady(profile, foreign, signals):
    """Within a quarter of an hour, the EEG of a sleeper may be as steady as noise."""
    assert not compare(profile, as_night(signals[0][: 30 * 3000])).is_novel
    noise = foreign["empty room, 0.5 µV"]
    short = fit_profile([as_night(noise[: 30 * 3000])])
    assert short["steadiness"] is None
    assert not compare(short, as_night(noise)).is_novel


def test_more_unusable_epochs_than_in_the_training_are_novel(profile, signals):
    """More than half, and more than the night with the most had."""
    night = as_night(signals[0])
    night.usable[20:] = False
    found = compare(profile, night)
    assert found.is_novel
    assert found.description.startswith("83% of its epochs are unusable, 0% at most")
    assert not compare(fit_profile([night]), night).is_novel


def test_unusable_epochs_have_no_distance(profile, signals):
    night = as_night(signals[0])
    expected = compare(profile, night).distances
    night.usable[50] = False
    night.signals[50] = 1e6
    found = compare(profile, night).distances
    assert found[50] == 0
    assert np.delete(found, 50) == pytest.approx(np.delete(expected, 50), rel=0.2)


def test_nights_without_a_usable_epoch_do_not_count(signals):
    night, other = as_night(signals[0]), as_night(signals[1])
    night.usable[:] = False
    assert fit_profile([night]) is None
    assert fit_profile([night, other]) == fit_profile([other])


def test_a_profile_is_small_and_valid_after_json(profile):
    """It is in the header of the weights."""
    text = json.dumps(profile)
    assert len(text) < 8000
    assert json.loads(text) == profile
    assert check_profile(json.loads(text))


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [1.0]},
        {"covariance": np.zeros((17, 17)).tolist()},
        {"covariance": [[float("nan")] * 17] * 17},
        {"limit": 0},
        {"steadiness": [1, -1]},
        {"unusable": "none"},
        None,
    ],
)
def test_an_invalid_profile_is_recognised(profile, change):
    assert not check_profile(3 if change is None else profile | change)


def test_adapted_to_novel_nights_a_stager_learns_their_profile(
    net, short_nights, make_night, options
):
    """It keeps its profile while the nights are like those before."""
    stager = Stager(net, profile=fit_profile([make_night(i) for i in range(6)]))
    before = stager.profile
    stager.finetune(short_nights, options)
    assert stager.profile is before
    novel = [replace(night, inputs=1000 * night.signals) for night in short_nights]
    stager.finetune(novel, options)
    rise = stager.profile["mean"][0] - before["mean"][0]
    assert rise == pytest.approx(np.log(1000), abs=0.2)


def stage(clf, signal):
    """Stage a signal; return the probabilities and the warnings."""
    raw = make_raw(signal, ch_name="EEG Fpz-Cz")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        proba = clf.predict_proba(raw)
    return proba, [str(warning.message) for warning in caught]


@pytest.fixture
def clf(fitted, profile):
    """Return a tiny stager that has the profile of three subjects."""
    clf = copy.deepcopy(fitted)
    clf.stager_.profile = profile
    return clf


@pytest.mark.parametrize("name", ["white noise", "ECG-like, 1.1 Hz", "shuffled EEG"])
def test_novel_recordings_are_warned_of_and_less_confident(name, clf, foreign):
    proba, messages = stage(clf, foreign[name])
    (message,) = [text for text in messages if "is unlike the recordings" in text]
    assert "'EEG Fpz-Cz'" in message
    assert proba.max(axis=1).mean() <= 0.6


def test_a_profile_does_not_change_a_night_that_is_not_novel(clf):
    signal = simulate(30)
    proba, messages = stage(clf, signal)
    assert messages == []
    clf.stager_.profile = None
    assert proba.equals(stage(clf, signal)[0])


def make_novelty(distances, is_novel=True):
    return Novelty(np.array(distances), is_novel, "")


PROBA = np.array([[0.96, 0.01, 0.01, 0.01, 0.01], [0.1, 0.2, 0.5, 0.15, 0.05]])
USABLE = np.ones(2, dtype=bool)


def test_no_probability_of_a_novel_epoch_exceeds_0_6():
    """The farther the lower; they sum to 1, and the stages keep their order."""
    tops = []
    for distance in (1.0, 2.0, 100.0):
        proba = soften(PROBA, [make_novelty([distance, distance])], [USABLE])
        np.testing.assert_allclose(proba.sum(axis=1), 1)
        np.testing.assert_array_equal(proba[1].argsort(), PROBA[1].argsort())
        tops.append(proba.max())
    assert 0.6 >= tops[0] > tops[1] > tops[2]


def test_the_mean_share_of_the_usable_channels_is_kept():
    found = [make_novelty([2, 2]), make_novelty([0.5, 0.5], is_novel=False)]
    proba = soften(PROBA, found, [USABLE, np.array([True, False])])
    shares = (proba.max(axis=1) - 0.2) / (PROBA.max(axis=1) - 0.2)
    assert shares == pytest.approx([(0.25 + 1) / 2, 0.25])


def test_only_novel_usable_epochs_of_novel_recordings_change():
    """Every night has single novel epochs."""
    assert soften(PROBA, [], [USABLE]) is PROBA
    assert soften(PROBA, [make_novelty([9, 9], is_novel=False)], [USABLE]) is PROBA
    for distances, usable in (([0.5, 9], [True, True]), ([0, 9], [False, True])):
        proba = soften(PROBA, [make_novelty(distances)], [np.array(usable)])
        np.testing.assert_array_equal(proba[0], PROBA[0])
        assert proba[1].max() < PROBA[1].max()
