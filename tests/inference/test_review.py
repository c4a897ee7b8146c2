"""The round trip of a review through annotations."""

import mne
import numpy as np
import pytest
from signals import make_noise, make_raw

from mne_mc2sleep import annotate_review, epochs_to_review, read_review
from mne_mc2sleep.io.hypnograms import make_hypnogram


@pytest.fixture(params=[None, 1e9])
def raw(request):
    """Return ten epochs, with and without a date."""
    raw = make_raw(make_noise(30_000))
    raw.set_meas_date(request.param)
    return raw


@pytest.fixture
def hypno(raw):
    """Return a hypnogram of N2, least certain in the third and the seventh epoch."""
    proba = np.tile([0.05, 0.05, 0.8, 0.05, 0.05], (10, 1))
    proba[[2, 6]] = [0.05, 0.4, 0.45, 0.05, 0.05]
    return make_hypnogram(proba, np.ones(10, dtype=bool), raw.info["meas_date"])


def review(raw, hypno, **corrections):
    """Change the descriptions of some annotations, as in MNE's browser."""
    raw.set_annotations(annotate_review(hypno, 0.2))
    for index, stage in corrections.items():
        raw.annotations.description[int(index[1:])] = stage
    return raw.annotations


def test_the_least_certain_epochs_are_annotated(raw, hypno):
    """At their time, with the two most probable stages."""
    annotations = review(raw, hypno)
    assert annotations.onset.tolist() == [60, 180]
    assert sorted(epochs_to_review(hypno, 0.2)["epoch"]) == [2, 6]
    assert set(annotations.description) == {"Review: N2 or N1"}


def test_corrections_are_read_back(raw, hypno):
    """What was not reviewed stays unchanged."""
    corrected = read_review(hypno, review(raw, hypno, _1="Sleep stage N1"))
    expected = ["N2"] * 6 + ["N1"] + ["N2"] * 3
    assert list(corrected.hypno) == expected
    assert corrected.start == hypno.start


def test_only_corrections_can_be_read(raw, hypno):
    """The others are unscored."""
    annotations = review(raw, hypno, _0="N1", _1="R")
    corrected = read_review(hypno, annotations, only_reviewed=True)
    expected = ["UNS"] * 2 + ["N1"] + ["UNS"] * 3 + ["REM"] + ["UNS"] * 3
    assert list(corrected.hypno) == expected


def test_without_corrections_nothing_changes(raw, hypno):
    """Also if there is no annotation at all."""
    for annotations in (review(raw, hypno), mne.Annotations([], [], [])):
        assert list(read_review(hypno, annotations).hypno) == list(hypno.hypno)
