"""The round trip of a review through annotations."""

from datetime import timedelta

import mne
import numpy as np
import pandas as pd
import pytest
from signals import make_noise, make_raw

from mne_mc2sleep import annotate_review, epochs_to_review, read_review
from mne_mc2sleep.io.hypnograms import make_hypnogram


@pytest.fixture(params=[None, 1e9])
def raw(request):
    """Return ten epochs of a cropped recording, with and without a date."""
    raw = make_raw(make_noise(30_000), first_samp=360_000)
    raw.set_meas_date(request.param)
    return raw


@pytest.fixture
def hypno(raw):
    """Return a hypnogram of N2, least certain in the third and the seventh epoch."""
    proba = np.tile([0.05, 0.05, 0.8, 0.05, 0.05], (10, 1))
    proba[[2, 6]] = [0.05, 0.4, 0.45, 0.05, 0.05]
    start = raw.info["meas_date"]
    start = start and start + timedelta(seconds=raw.first_time)
    if start is not None:  # YASA may write it in any zone
        start = pd.Timestamp(start).tz_convert("Europe/Berlin")
    return make_hypnogram(proba, np.ones(10, dtype=bool), start)


def review(raw, hypno, _first=None, _second=None):
    """Change the descriptions of the two annotations, as in MNE's browser."""
    raw.set_annotations(annotate_review(hypno, 0.2))
    places = np.flatnonzero(np.char.find(raw.annotations.description, " or ") >= 0)
    for place, stage in zip(places, (_first, _second), strict=True):
        raw.annotations.description[place] = stage or raw.annotations.description[place]
    return raw.annotations


def test_the_least_certain_epochs_are_annotated(raw, hypno):
    """At their time, with the two most probable stages."""
    annotations = review(raw, hypno)
    uncertain = annotations[annotations.description == "Review: N2 or N1"]
    assert (uncertain.onset - raw.first_time).tolist() == [60, 180]
    assert sorted(epochs_to_review(hypno, 0.2)["epoch"]) == [2, 6]


@pytest.mark.parametrize(
    ("description", "stage"),
    [("Sleep stage 1", "N1"), ("UNS", "UNS"), ("Movement time", "ART"), ("BAD", "UNS")],
)
def test_corrections_are_read_back(raw, hypno, description, stage):
    """What was not reviewed stays unchanged, and other events do not matter."""
    annotations = review(raw, hypno, None, description)
    onset = raw.first_time + np.array([20.0, 100.0, 185.0])
    annotations.append(onset, [30.0, 45.0, 20.0], ["BAD", "Apnea", "Apnea"])
    corrected = read_review(hypno, annotations)
    expected = ["N2"] * 6 + [stage] + ["N2"] * 3
    assert list(corrected.hypno) == expected
    assert corrected.start == hypno.start


def test_only_corrections_can_be_read(raw, hypno):
    """The others are unscored."""
    annotations = review(raw, hypno, "N1", "R")
    corrected = read_review(hypno, annotations, only_reviewed=True)
    expected = ["UNS"] * 2 + ["N1"] + ["UNS"] * 3 + ["REM"] + ["UNS"] * 3
    assert list(corrected.hypno) == expected


def test_without_corrections_nothing_changes(raw, hypno):
    """Also if there is no annotation at all."""
    for annotations in (review(raw, hypno), mne.Annotations([], [], [])):
        assert list(read_review(hypno, annotations).hypno) == list(hypno.hypno)
