"""Bad input: how each case is made, and what becomes of it in every method.

Files without EEG are refused with one sentence; unusual recordings are staged on their
own grid, with a warning, or with UNS in epochs that cannot be staged.
"""

import copy
import re
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import edfio
import mne
import numpy as np
import pytest
from mne.io import BaseRaw
from signals import write_edf_with_pauses
from stagers import is_equal, learnt
from yasa import Hypnogram

from mne_mc2sleep.metrics import score_stages

N_EPOCHS = 40
CHANNEL = "EEG Fpz-Cz"


def spoil(start, stop, value):
    """Return a function that sets what lies between two seconds to a value."""

    def apply(raw):
        times = raw.times
        inside = (times >= start) & (times < stop)
        return raw.copy().apply_function(lambda x: np.where(inside, value, x))

    return apply


def gain(factor):
    return lambda raw: raw.copy().apply_function(lambda x: factor * x)


def cut(duration):
    return lambda raw: raw.copy().crop(0, duration, include_tmax=False)


def at_rate(sfreq):
    return lambda raw: raw.copy().resample(sfreq)


def annotate(onset, duration):
    def apply(raw):
        raw = raw.copy()
        raw.annotations.append(onset, duration, "BAD_move")
        return raw

    return apply


def mark_bad(raw):
    raw = raw.copy()
    raw.info["bads"] = [CHANNEL]
    return raw


def as_misc(raw):
    return raw.copy().set_channel_types({CHANNEL: "misc"}, on_unit_change="ignore")


def as_epochs(raw):
    return mne.make_fixed_length_epochs(raw, 30, preload=True)


class Refused(NamedTuple):
    """What cannot be staged."""

    make: object
    error: type = ValueError
    match: str = ""


class Staged(NamedTuple):
    """What is staged, with a warning or with epochs that are UNS."""

    make: object
    warning: str | None = None
    unusable: tuple = ()
    n_epochs: int = N_EPOCHS
    is_same_elsewhere: bool = False


REFUSED = {
    "array": Refused(lambda raw: raw.get_data(), TypeError, "mne.io.Raw"),
    "epochs": Refused(as_epochs, TypeError, "mne.io.Raw"),
    "no file": Refused(lambda _: "nowhere.edf", FileNotFoundError, "nowhere.edf"),
    "channel missing": Refused(
        lambda raw: raw.copy().pick(["EEG Pz-Oz"]), match="EEG channels are .*Pz-Oz"
    ),
    "channel bad": Refused(mark_bad, match="marked as bad"),
    "channel of another type": Refused(as_misc, match="of type 'misc', not 'eeg'"),
    "complex": Refused(lambda raw: raw.copy().apply_hilbert(), match="complex numbers"),
    "20 s": Refused(cut(20), match="lasts 20 s.* one epoch of 30 s"),
    "32 Hz": Refused(at_rate(32), match="sampled at 32 Hz"),
    "all NaN": Refused(spoil(0, 1e9, np.nan), match="40 of 40 epochs .40 not finite"),
    "all flat": Refused(spoil(0, 1e9, 0), match="40 of 40 epochs .40 flat"),
    "all beyond volts": Refused(gain(1e20), match="40 of 40 epochs .40 not finite"),
    "all BAD": Refused(annotate(0, 1e300), match="40 of 40 epochs .40 bad annot"),
    "BAD without a time": Refused(annotate(0, np.nan), match="duration nan s; correct"),
}
STAGED = {
    "45 s": Staged(cut(45), n_epochs=1),
    "partial last epoch": Staged(cut(N_EPOCHS * 30 - 0.01), n_epochs=N_EPOCHS - 1),
    "volts are µV": Staged(gain(1e6), "amplitude of .* µV .*check the unit"),
    "1e-6 too small": Staged(gain(1e-6), "amplitude of .* µV .*check the unit"),
    "50 Hz": Staged(at_rate(50), "sampled at 50 Hz"),
    "NaN": Staged(spoil(301, 350, np.nan), None, (10, 11), is_same_elsewhere=True),
    "Inf": Staged(spoil(301, 301.01, -np.inf), None, (10,), is_same_elsewhere=True),
    "flat 5 min": Staged(
        spoil(300, 600, 1e-4), None, tuple(range(10, 20)), is_same_elsewhere=True
    ),
    "BAD": Staged(annotate(310, 65), None, (10, 11), is_same_elsewhere=True),
    "low-pass 12 Hz": Staged(
        lambda raw: raw.copy().filter(None, 12), "low-pass filtered at 12 Hz"
    ),
}


def as_edf(annotations=(), edit=None, pauses=None):
    """Return a function that writes a recording as EDF, and spoils its bytes."""

    def make(raw, folder):
        signal = raw.get_data(picks=CHANNEL, units="uV")[0]
        signal = signal[: signal.size // 100 * 100]
        fname, unit = folder / "night.edf", {"physical_dimension": "uV"}
        signal = edfio.EdfSignal(signal, 100, label=CHANNEL, **unit)
        edf = edfio.Edf([signal], annotations=annotations)
        write_edf_with_pauses(fname, edf, pauses or {})
        if edit is not None:
            fname.write_bytes(edit(fname.read_bytes()))
        return fname

    return make


def cut_after(share):
    return lambda content: content[: int(share * len(content))]


MARKERS = [edfio.EdfAnnotation(10 * i, 0, name) for i, name in enumerate("WRW?")]
FILES = {
    "EDF+D, pause of 10 min": Staged(
        as_edf(pauses={600: 600}), None, tuple(range(20, 40)), N_EPOCHS + 20
    ),
    "EDF cut after 60 %": Staged(
        as_edf(edit=cut_after(0.61)), "cut short: .* are missing", (), 24
    ),
    "markers W, R, ?": Staged(as_edf(annotations=MARKERS)),
    "hypnogram as a recording": Refused(
        lambda _, folder: as_hypnogram(folder), match="annotations but no signals"
    ),
    "empty EDF": Refused(as_edf(edit=cut_after(0)), match="The file is empty"),
    "header cut": Refused(as_edf(edit=lambda c: c[:300]), match="no valid EDF header"),
    "header alone": Refused(
        as_edf(edit=lambda c: c[: int(c[184:192])]), match="a header but no data"
    ),
}


def as_hypnogram(folder):
    stage = edfio.EdfAnnotation(0, 30, "Sleep stage W")
    edfio.Edf([], annotations=[stage]).write(folder / "hypnogram.edf")
    return folder / "hypnogram.edf"


def annotated(stages, orig_time=None, shift=0.0, tail=0):
    """Return stages as annotations, an epoch each, and an unscored tail."""
    names = [f"Sleep stage {'W123R'[stage]}" for stage in stages] + ["Sleep stage ?"]
    onset = 30.0 * np.arange(len(names)) + shift
    duration = [30.0] * len(stages) + [tail]
    return mne.Annotations(onset, duration, names, orig_time)


# From the stages and the start of a recording: a hypnogram, and the same on the grid.
ALIGNED = {
    "longer": lambda stages, _: (np.r_[stages, stages[:5]], stages),
    "shorter": lambda stages, _: (stages[:35], np.r_[stages[:35], [-2] * 5]),
    "names": lambda stages, _: (np.array(["W", "N1", "S2", "N4", "R"])[stages], stages),
    "in steps of 10 s": lambda stages, _: (
        Hypnogram.from_integers(np.repeat(stages, 3), freq="10s"),
        stages,
    ),
    "a ? tail of a day": lambda stages, start: (
        annotated(stages, start, tail=86_400),
        stages,
    ),
    "from an hour before": lambda stages, start: (
        annotated([0] * 120 + stages.tolist(), start - timedelta(hours=1)),
        stages,
    ),
    "from 5 epochs on": lambda stages, start: (
        Hypnogram.from_integers(stages[5:], start=start + timedelta(seconds=150)),
        np.r_[[-2] * 5, stages[5:]],
    ),
    "12 s late": lambda stages, _: (annotated(stages, shift=12), stages),
}
MISFITS = {
    "another day": (
        lambda stages, start: annotated(stages, start + timedelta(days=1)),
        "no epoch in common",
    ),
    "two stages at once": (
        lambda stages, _: annotated(stages) + annotated((stages + 1) % 5),
        "Two stages, .* cover the epoch at 0 s",
    ),
    "unknown stage": (
        lambda *_: mne.Annotations([0], [900], ["Sleep stage N5"]),
        "no sleep stage; found",
    ),
    "mostly unknown stages": (
        lambda *_: mne.Annotations([0, 30], [30, 900], ["Sleep stage W", "sommeil"]),
        "Unknown stage names .* cover 15 min",
    ),
    "10-s values": (
        lambda stages, _: np.repeat(stages, 3),
        "each seems to stand for 10 s",
    ),
    "no duration": (
        lambda *_: mne.Annotations([0], [0], ["Sleep stage W"]),
        "duration of 0 s",
    ),
}


STAGING = ("predict", "predict_proba", "score")
TRAINING = ("fit", "finetune")


@pytest.fixture
def clf(tiny_clf):
    """Return a copy of the stager that a test may modify."""
    return copy_of(tiny_clf)


def copy_of(clf):
    """Copy a stager; the copy holds nobody out."""
    clf = copy.deepcopy(clf)
    clf.set_params(validation_fraction=0, finetune_train_epochs=1)
    clf.stager_.validation_subjects = []
    return clf


def call(clf, method, raw, stages, good):
    """Call a method with a recording, and with a good one where it takes stages."""
    if method.startswith("predict"):
        return getattr(clf, method)(raw)
    return getattr(clf, method)([raw, good[0]], [stages, good[1]])


@contextmanager
def unchanged(raw):
    """Expect a recording to stay as it is, bit for bit."""
    if not isinstance(raw, BaseRaw):
        yield
        return
    before = raw.copy()
    yield
    np.testing.assert_array_equal(raw.get_data(), before.get_data())
    assert mne.utils.object_diff(raw.info, before.info) == ""
    assert len(raw.annotations) == len(before.annotations)


@contextmanager
def warned(match):
    """Expect a warning; without one, none at all, for warnings are errors here."""
    if match is None:
        yield
        return
    # What is odd may be unlike the training, too.
    either = f"{match}|is unlike the recordings"
    with pytest.warns(RuntimeWarning, match=either) as found:
        yield
    assert any(re.search(match, str(warning.message)) for warning in found)


@pytest.mark.parametrize("method", STAGING + TRAINING)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_staged_is_one_error(name, method, clf, two_nights):
    """Every method says the same, and leaves the recording and the weights alone."""
    (raw, stages), good = two_nights
    case = REFUSED[name]
    raw, before = case.make(raw), learnt(clf)
    with unchanged(raw), pytest.raises(case.error, match=case.match) as found:
        call(clf, method, raw, stages, good)
    if not method.startswith("predict"):
        assert str(found.value).startswith("Recording 1 of 2")
    assert is_equal(before, learnt(clf))


@pytest.mark.parametrize("name", STAGED)
def test_what_is_odd_is_staged_on_its_grid(name, tiny_clf, two_nights):
    """The number of epochs is floor(duration / 30); only what holds no EEG is UNS."""
    case = STAGED[name]
    raw = case.make(two_nights[0][0])
    with unchanged(raw), warned(case.warning):
        hypno = tiny_clf.predict(raw)
    assert hypno.n_epochs == case.n_epochs
    assert tuple(np.flatnonzero(hypno.hypno == "UNS")) == case.unusable
    np.testing.assert_allclose(hypno.proba.sum(axis=1), 1)
    with unchanged(raw), warned(case.warning):
        assert tiny_clf.predict_proba(raw).equals(hypno.proba)


@pytest.mark.parametrize("name", FILES)
def test_odd_files_are_staged_in_true_time_or_refused(
    name, tiny_clf, two_nights, tmp_path
):
    """With one warning or sentence from the package, if there is a problem."""
    case = FILES[name]
    recording = case.make(two_nights[0][0], tmp_path)
    if isinstance(case, Refused):
        with pytest.raises(case.error, match=case.match):
            tiny_clf.predict(recording)
        return
    with warned(case.warning):
        hypno = tiny_clf.predict(recording)
    assert hypno.n_epochs == case.n_epochs
    assert tuple(np.flatnonzero(hypno.hypno == "UNS")) == case.unusable


def test_event_markers_are_not_stages(clf, two_nights, tmp_path):
    """Pretraining takes the recording as unscored."""
    fname = FILES["markers W, R, ?"].make(two_nights[0][0], tmp_path)
    clf.pretrain([fname, two_nights[1][0]], [None, None])
    assert sum(clf.stager_.provenance[-1]["n_epochs"].values()) == 0


@pytest.mark.parametrize(
    "name", [name for name in STAGED if STAGED[name].is_same_elsewhere]
)
def test_beyond_their_context_unusable_epochs_change_nothing(
    name, tiny_clf, two_nights
):
    """Epochs more than a sequence away are staged as without the disturbance."""
    case, (raw, _) = STAGED[name], two_nights[0]
    clean, odd = tiny_clf.predict_proba(raw), tiny_clf.predict_proba(case.make(raw))
    epochs = np.arange(N_EPOCHS)[:, None]
    far = (np.abs(epochs - np.array(case.unusable)) > 10).all(axis=1)
    assert far.sum() > 5
    np.testing.assert_allclose(odd[clean.columns][far], clean[far], atol=1e-3)


@pytest.mark.parametrize("name", STAGED)
def test_what_is_odd_is_scored_where_it_holds_eeg(name, tiny_clf, two_nights):
    """Kappa counts the epochs of the grid that are usable."""
    (raw, stages), good = two_nights
    case = STAGED[name]
    raw, stages = case.make(raw), stages[: case.n_epochs]
    with warned(case.warning):
        hypnos = tiny_clf.predict([raw, good[0]])
    predicted = np.concatenate([hypno.as_int().clip(-1) for hypno in hypnos])
    expected = score_stages(np.concatenate([stages, good[1]]), predicted)
    assert expected["n_epochs"] == case.n_epochs + N_EPOCHS - len(case.unusable)
    with unchanged(raw), warned(case.warning):
        assert call(tiny_clf, "score", raw, stages, good) == expected["kappa"]


@pytest.mark.parametrize("name", STAGED)
def test_what_is_odd_is_learnt_from_where_it_holds_eeg(name, clf, two_nights):
    """Unusable epochs do not count, and what was learnt is finite."""
    (raw, stages), good = two_nights
    case = STAGED[name]
    raw = case.make(raw)
    with unchanged(raw), warned(case.warning):
        call(clf, "finetune", raw, stages[: case.n_epochs], good)
    n_learnt = sum(clf.stager_.provenance[-1]["n_epochs"].values())
    assert n_learnt == case.n_epochs + N_EPOCHS - len(case.unusable)
    assert all(tensor.isfinite().all() for tensor in learnt(clf).values())
    np.testing.assert_allclose(clf.predict_proba(good[0]).sum(axis=1), 1)


@pytest.fixture(scope="module")
def train(tiny_clf, two_nights):
    """Return a function that fine-tunes a copy, and returns what it has learnt."""

    def train(hypno):
        clf = copy_of(tiny_clf)
        call(clf, "finetune", two_nights[0][0], hypno, two_nights[1])
        return learnt(clf)

    return train, cache(lambda stages: train(list(stages)))


@pytest.mark.parametrize("name", ALIGNED)
def test_a_hypnogram_is_aligned_by_time(name, tiny_clf, two_nights, train):
    """It gives the score, and trains the weights, of the same stages on the grid."""
    (raw, stages), good = two_nights
    hypno, on_grid = ALIGNED[name](stages, raw.info["meas_date"])
    scores = [call(tiny_clf, "score", raw, h, good) for h in (hypno, on_grid)]
    assert scores[0] == scores[1]
    train, train_on_grid = train
    assert is_equal(train(hypno), train_on_grid(tuple(on_grid.tolist())))


@pytest.mark.parametrize("method", ["score", *TRAINING])
@pytest.mark.parametrize("name", MISFITS)
def test_a_hypnogram_that_does_not_fit_is_one_error(name, method, clf, two_nights):
    """No method takes it for another, or for none; the weights stay."""
    (raw, stages), good = two_nights
    make, match = MISFITS[name]
    before = learnt(clf)
    hypno = make(stages, raw.info["meas_date"])
    with pytest.raises(ValueError, match=rf"^Recording 1 of 2: .*{match}"):
        call(clf, method, raw, hypno, good)
    assert is_equal(before, learnt(clf))


@pytest.mark.parametrize("what", ["hypnograms", "groups"])
@pytest.mark.parametrize(
    "values",
    [5, iter([1, 2]), {1, 2}, {1: 1, 2: 2}, "ab", Path("ab")],
    ids=["number", "iterator", "set", "dict", "text", "path"],
)
def test_what_is_no_list_is_not_shared_out(what, values, clf, two_nights):
    raws, stages = map(list, zip(*two_nights, strict=True))
    arguments = {"hypnos": stages} | {what.replace("gram", "")[:6]: values}
    with pytest.raises(ValueError, match=rf"2 recordings but 1 {what}; pass a list"):
        clf.finetune(raws, **arguments)


@pytest.mark.parametrize("method", TRAINING)
def test_a_stage_that_is_absent_is_warned_of(method, clf, two_nights):
    raws, stages = map(list, zip(*two_nights, strict=True))
    stages = [np.where(s == 3, 2, s) for s in stages]
    with pytest.warns(RuntimeWarning, match="No epoch of N3 is among"):
        getattr(clf, method)(raws, stages)
    assert clf.predict_proba(raws[0]).shape == (N_EPOCHS, 5)
