"""The table of bad inputs, run through every method.

Files without EEG are refused with one sentence; unusual recordings are staged on their
own grid, with a warning, or with UNS in epochs that cannot be staged.
"""

import copy
import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import mne
import numpy as np
import pytest
from bad_input import ALIGNED, FILES, MISFITS, N_EPOCHS, REFUSED, STAGED, Refused
from mne.io import BaseRaw
from stagers import is_equal, learnt

from mne_mc2sleep.metrics import score_stages

STAGING = ("predict", "predict_proba", "score")
TRAINING = ("fit", "finetune")


@pytest.fixture
def clf(tiny_clf):
    """Return a copy of the stager that a test may modify."""
    return copy_of(tiny_clf)


def copy_of(clf):
    """Copy a stager; the copy holds nobody out."""
    clf = copy.deepcopy(clf).set_params(validation_fraction=0)
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
