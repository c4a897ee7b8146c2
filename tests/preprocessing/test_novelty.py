"""Whether a recording is like those of the training, and what follows if not."""

import copy
import json
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from foreign_input import FOREIGN, shuffle_within_epochs
from signals import make_raw

from mne_mc2sleep import simulate_night
from mne_mc2sleep.data.reading import read_channel
from mne_mc2sleep.io.recordings import read_recording
from mne_mc2sleep.preprocessing.novelty import (
    MAX_NIGHTS,
    check_profile,
    fit_profile,
    measure,
    sample_nights,
)
from mne_mc2sleep.preprocessing.scaling import SCALINGS, scale_signals
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.weights.file_format import load_weights, save_weights

HOUR = 120  # epochs
REAL = Path(__file__).parents[3] / "shared" / "data" / "sleep_edf" / "real_epochs.npz"


def simulate(seed, n_epochs=HOUR):
    """Simulate a night of EEG as a signal in µV."""
    raw, _ = simulate_night(30.0 * n_epochs, random_state=seed)
    return raw.get_data(units="uV")[seed % 2]


def as_night(signal, scaling=None):
    """Turn a signal into what a stager sees, in silence."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        recording = read_channel(make_raw(signal), None, scaling)
    return SimpleNamespace(inputs=recording.signals, usable=recording.usable)


def compare(profile, night):
    """Measure a night."""
    return measure(profile, night.inputs, night.usable)


@pytest.fixture(scope="module")
def signals():
    """Return the EEG of four subjects."""
    return [simulate(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def foreign():
    """Return signals that are no EEG of a sleeping human, by name."""
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
    """Return a function that fits a profile to some of the subjects."""
    fitted = {}

    def fit(n_nights=3, scaling=None):
        key = n_nights, scaling
        if key not in fitted:
            nights = [as_night(signal, scaling) for signal in signals[:n_nights]]
            fitted[key] = fit_profile(nights)
        return fitted[key]

    return fit


@pytest.fixture(scope="module")
def profile(profiles):
    """Return the profile of three subjects."""
    return profiles()


NAMES = [*FOREIGN, "shuffled EEG", "volts taken for µV"]


@pytest.mark.parametrize("scaling", [None, "spectrum"])
@pytest.mark.parametrize("n_nights", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_sleep_is_far(name, n_nights, scaling, profiles, foreign):
    """However few nights were trained on, and though scaling makes all alike."""
    found = compare(profiles(n_nights, scaling), as_night(foreign[name], scaling))
    assert found.is_far
    assert (found.distances >= 1).all()


@pytest.mark.parametrize("scaling", [None, *SCALINGS])
@pytest.mark.parametrize("n_nights", [1, 3])
def test_an_unseen_subject_is_not_far(n_nights, scaling, profiles, signals):
    """Nor is any subject of the training."""
    for signal in (simulate(20), simulate(21), *signals):
        found = compare(profiles(n_nights, scaling), as_night(signal, scaling))
        assert not found.is_far
        assert found.description == ""


def test_real_epochs_are_not_far_from_simulated_ones(profiles):
    """Nine epochs of three people, by either channel."""
    if not REAL.exists():
        pytest.skip(f"{REAL} is missing")
    with np.load(REAL) as file:
        channels = np.moveaxis(file["signal_uV"], 1, 0).astype(np.float32)
    usable = np.ones(channels.shape[1], dtype=bool)
    for scaling in (None, "spectrum"):
        for channel in channels:
            scaled = scale_signals(channel, usable, scaling)
            found = measure(profiles(3, scaling), scaled, usable)
            assert (found.distances < 1).mean() > 0.8
            assert not found.is_far


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("volts taken for µV", "amplitude in µV"),
        ("square wave of 1 Hz", "1 - autocorrelation"),
        ("mains alone", "highest peak of the spectrum"),
        ("mouse-like EEG", "µV²/Hz at 5.7-8 Hz"),
        ("white noise", "change of the spectrum within half an hour"),
    ],
)
def test_the_description_names_what_is_far(name, words, profiles, foreign):
    """With the figure found and the one expected."""
    found = compare(profiles(3, "spectrum"), as_night(foreign[name], "spectrum"))
    assert "of its usable epochs are far, 20% at most expected" in found.description
    assert words in found.description
    assert ", expected " in found.description


def test_a_far_stretch_is_found_where_it_is(profile, signals, foreign):
    """A third of the night is an ECG, the rest EEG."""
    n_far, signal = HOUR // 3, signals[0].copy()
    signal[: n_far * 3000] = foreign["ECG-like, 1.1 Hz"][: n_far * 3000]
    found = compare(profile, as_night(signal))
    assert found.is_far
    assert (found.distances[: n_far - 1] >= 1).all()
    assert (found.distances[n_far + 1 :] < 1).mean() > 0.9


def test_a_short_far_stretch_does_not_make_a_recording_far(profile, signals, foreign):
    """A tenth of the night is an ECG, as an electrode may come off."""
    signal = signals[0].copy()
    signal[: HOUR * 300] = foreign["ECG-like, 1.1 Hz"][: HOUR * 300]
    assert not compare(profile, as_night(signal)).is_far


def test_steadiness_is_not_asked_of_short_recordings(profile, foreign):
    """Within a quarter of an hour, the EEG of a sleeper may be as steady as noise."""
    night = as_night(foreign["empty room, 0.5 µV"][: 30 * 3000])
    assert not compare(profile, night).is_far
    short = fit_profile([night])
    assert short["steadiness"] is None
    assert not compare(short, as_night(foreign["empty room, 0.5 µV"])).is_far


def test_more_unusable_epochs_than_in_the_training_are_far(profile, signals):
    """More than half, and more than the night with the most had."""
    night = as_night(signals[0])
    night.usable[20:] = False
    found = compare(profile, night)
    assert found.is_far
    assert found.description == (
        "83% of its epochs are unusable, 0% at most in the training"
    )
    assert not compare(fit_profile([night]), night).is_far


def test_unusable_epochs_have_no_distance(profile, signals):
    """Whatever they hold, and without an influence on the others."""
    night = as_night(signals[0])
    expected = compare(profile, night).distances
    night.usable[50] = False
    night.inputs[50] = 1e6
    found = compare(profile, night).distances
    assert found[50] == 0
    assert np.delete(found, 50) == pytest.approx(np.delete(expected, 50), rel=0.2)


def test_nights_without_a_usable_epoch_have_no_profile(signals):
    """There is nothing to describe; with others, they do not count."""
    night, other = as_night(signals[0]), as_night(signals[1])
    night.usable[:] = False
    assert fit_profile([night]) is None
    assert fit_profile([night, other]) == fit_profile([other])


def test_of_many_nights_some_are_taken():
    """In even steps, and never more than the limit."""
    nights = [SimpleNamespace(usable=np.ones(1), index=i) for i in range(250)]
    taken = [night.index for night in sample_nights(nights)]
    assert len(taken) <= MAX_NIGHTS
    assert taken[:3] == [0, 3, 6]
    assert len(sample_nights(nights[:MAX_NIGHTS])) == MAX_NIGHTS


def test_measuring_modifies_nothing(profile, signals):
    """Neither the signals nor the profile."""
    night, before = as_night(signals[0]), copy.deepcopy(profile)
    inputs = night.inputs.copy()
    compare(profile, night)
    np.testing.assert_array_equal(night.inputs, inputs)
    assert profile == before


def test_a_profile_is_sound_after_json(profile):
    """Small, too: it lies in the header of the weights."""
    text = json.dumps(profile)
    assert len(text) < 8000
    assert json.loads(text) == profile
    assert check_profile(json.loads(text))


@pytest.mark.parametrize(
    "change",
    [
        {"mean": [1.0]},
        {"mean": None},
        {"mean": ["a"] * 17},
        {"covariance": np.zeros((17, 17)).tolist()},
        {"covariance": [[float("nan")] * 17] * 17},
        {"limit": 0},
        {"limit": float("inf")},
        {"limit": {}},
        {"steadiness": [1, -1]},
        {"steadiness": 3},
        {"unusable": "none"},
    ],
)
def test_an_unsound_profile_is_told(profile, change):
    """Whatever a file may hold in its place."""
    assert not check_profile(profile | change)


@pytest.mark.parametrize("value", [[], "profile", 3, {}])
def test_what_is_no_profile_is_told(value):
    """Something else of that name."""
    assert not check_profile(value)


def test_it_needs_no_mne():
    """Weights are trained where only torch, NumPy, SciPy and scikit-learn are."""
    code = (
        "import sys; sys.modules['mne'] = None; "
        "import mne_mc2sleep.preprocessing.novelty"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_stager_has_the_profile_of_its_nights_and_keeps_it_in_files(
    trained, nights, tmp_path
):
    """From the making of it on, through training, saving and loading."""
    assert trained.profile == fit_profile(nights)
    trained.save(tmp_path / "lab.safetensors", {})
    loaded, _ = Stager.load(tmp_path / "lab.safetensors", "cpu")
    assert loaded.profile == trained.profile


def test_weights_without_a_profile_are_staged_by_and_nothing_is_checked(
    trained, nights, tmp_path
):
    """Those that were saved before profiles were stored."""
    trained.save(tmp_path / "new.safetensors", {})
    net, metadata = load_weights(tmp_path / "new.safetensors")
    del metadata["profile"]
    save_weights(tmp_path / "old.safetensors", net, metadata)
    loaded, _ = Stager.load(tmp_path / "old.safetensors", "cpu")
    assert loaded.profile is None
    assert loaded.familiarity([nights[0].inputs.numpy()], [nights[0].usable]) == []


def test_weights_with_an_unsound_profile_are_refused(trained, tmp_path):
    """One sentence with the file's name."""
    stager = copy.copy(trained)
    stager.profile = {"mean": 0}
    stager.save(tmp_path / "lab.safetensors", {})
    with pytest.raises(ValueError, match=r"metadata 'profile' in .*lab.safetensors"):
        Stager.load(tmp_path / "lab.safetensors", "cpu")


def test_adapted_to_far_nights_a_stager_learns_their_profile(
    net, short_nights, make_night, options
):
    """And keeps its own while the nights are like those before."""
    stager = Stager(net, profile=fit_profile([make_night(i) for i in range(6)]))
    before = stager.profile
    stager._learn_profile(short_nights)
    assert stager.profile is before
    far = [replace(night, signals=1000 * night.signals) for night in short_nights]
    stager.finetune(far, options)
    rise = stager.profile["mean"][0] - before["mean"][0]
    assert rise == pytest.approx(np.log(1000), abs=0.2)


def stage(clf, signal):
    """Stage a signal; return the probabilities and the warnings."""
    raw = make_raw(signal, ch_name="EEG Fpz-Cz")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        proba = clf.predict_proba(raw)
    return proba, [str(warning.message) for warning in caught]


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name != "volts taken for µV"]
)
def test_far_recordings_are_warned_of_and_not_sure(name, fitted, foreign):
    """One warning, and a mean top probability of 0.6 at most."""
    proba, messages = stage(fitted, foreign[name])
    (message,) = [text for text in messages if "is unlike the recordings" in text]
    assert "'EEG Fpz-Cz'" in message
    assert "EEG of a sleeping human?" in message
    assert proba.max(axis=1).mean() <= 0.6


def test_a_night_that_is_not_far_is_staged_to_the_bit_as_without_a_profile(fitted):
    """And in silence."""
    without = copy.deepcopy(fitted)
    without.stager_.profile = None
    signal = simulate(30)
    proba, messages = stage(fitted, signal)
    assert messages == []
    assert proba.equals(stage(without, signal)[0])


def test_of_two_channels_the_far_one_is_named(fitted, foreign):
    """And the probabilities lie between those of the two."""
    raw = make_raw(simulate(30), ch_name="EEG Fpz-Cz")
    raw.add_channels([make_raw(foreign["sine of 10 Hz"], ch_name="EEG Fz")])
    picks = ["EEG Fpz-Cz", "EEG Fz"]
    with pytest.warns(RuntimeWarning, match="Channel 'EEG Fz' is unlike") as caught:
        fitted.predict(raw, picks=picks)
    assert len(caught) == 1


def test_recordings_are_read_as_before(signals):
    """The check is the stager's: who only reads is told nothing of it."""
    assert read_recording(make_raw(signals[0])).usable.all()
