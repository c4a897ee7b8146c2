"""Names of stages, stages as intervals, and which of them an epoch gets."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yasa import Hypnogram

from mne_mc2sleep.io.hypnograms import annotations_to_hypnogram, stages_on_grid
from mne_mc2sleep.io.stage_intervals import own_stages, parse_stage

NAMES = {
    0: "W|Wake|AWAKE|S0|N0|Wach|Éveil|Eveil|Veille|Éveillé|Despierto|Vigilia|Veglia|"
    "Wakker|StageW|SLEEP-S0|Sleep stage W|sleep_stage_w|STAGE - W|Wake stage|Stage 0",
    1: "N1|n-1|S1|NREM 1|NREM-1|NREM_1|NonREM1|Non-REM 1|Stage 1|Sleep stage 1|STADE 1|"
    "Stadium N1|Stage I|SLEEP-S1|N1@@C4-M1",
    2: "N2|S2|NREM2|Sleep_stage_N2|Fase N2|Estadio 2|Stage II|Sleep stage N2@@C4-M1",
    3: "N3|N4|S3|S4|NREM 3|nrem-4|SWS|Slow-wave sleep|Sleep stage 3|Sleep stage 4|"
    "Stage 4 sleep|Stage N3 (SWS)|S3/S4|NREM III|SLEEP-S4",
    4: "R|REM|rem sleep|REM-Schlaf|Paradoxical|Sommeil paradoxal|SP|Sleep stage R|"
    "StageR|SLEEP-REM",
    -1: "ART|Artefakt|MT|Movement time|Movement (MT)|Bewegung|Sleep stage M|SLEEP-MT",
    -2: "UNS|Unscored|Unknown|?|Sleep stage ?|ND|NotScored|n/a|SLEEP-UNSCORED",
}
OTHERS = (
    "1|0|I|si|sleep|stage|Sleep stage X|Sleep stage N5|NREM|Light|Lights off|Fase 2|"
)
OTHERS += "Stimulus/S  1|EEG arousal|Sleep spindle|BAD_move|A|N2期|非R|sleep 1|Phase 1|"


@pytest.mark.parametrize(("integer", "names"), NAMES.items())
def test_names_of_stages(integer, names):
    """English, German, French, Spanish, Italian, Dutch; R&K, AASM and vendors."""
    names = names.split("|")
    assert {name: parse_stage(name).integer for name in names} == dict.fromkeys(
        names, integer
    )


@pytest.mark.parametrize("name", OTHERS.split("|"))
def test_other_names_are_not_stages(name):
    """A stage is taken only where we are sure."""
    assert parse_stage(name) == (None, False)


def annotate(*stages):
    return mne.Annotations(*zip(*stages, strict=True))


def test_a_mapping_of_the_users_own_does_not_matter():
    """YASA lets a Hypnogram have other integers: names count."""
    hypno = Hypnogram(["W", "N1", "N2", "N3", "R"])
    hypno.mapping = {"WAKE": 5, "N1": 3, "N2": 2, "N3": 1, "REM": 0}
    np.testing.assert_array_equal(stages_on_grid(hypno, 5), range(5))


def test_the_stage_over_more_than_half_of_an_epoch_wins_and_is_logged():
    """A grid 12 s off gives the stage with 18 s; half and half is unscored."""
    hypno = annotate((12, 30, "N1"), (42, 30, "N2"), (72, 33, "N3"), (105, 30, "R"))
    with mne.utils.catch_logging(verbose="info") as log:
        stages = stages_on_grid(hypno, 6)
    np.testing.assert_array_equal(stages, [1, 2, 3, -1, -1, -1])
    assert "up to 15 s off" in log.getvalue()


@given(st.floats(-1e5, 1e5), st.lists(st.integers(0, 4), min_size=1, max_size=30))
@settings(max_examples=50, deadline=None)
@pytest.mark.filterwarnings("ignore:The hypnogram ends at")
def test_any_shift_gives_the_majority_of_each_epoch(shift, night):
    """Against a count of the milliseconds that each stage covers."""
    shift = round(shift % 90 - 45, 3)
    hypno = annotate(*((30 * i + shift, 30, f"S{s}") for i, s in enumerate(night)))
    track = np.full(150_000, -1)
    for i, stage in enumerate(night):
        first = 45_000 + 30_000 * i + round(1000 * shift)
        track[max(first, 0) : max(first + 30_000, 0)] = min(stage, 3)
    expected = []
    for epoch in track[45_000:135_000].reshape(3, -1):
        counts = np.bincount(epoch + 1, minlength=5)[1:]
        expected.append(counts.argmax() if counts.max() > 15_000 else -1)
    if (track[45_000:135_000].reshape(3, -1) >= 0).sum(axis=1).max() > 15_000:
        np.testing.assert_array_equal(stages_on_grid(hypno, 3), expected)


def test_annotations_that_are_no_stages_are_ignored():
    """Scorers mark lights, arousals, bad segments and triggers in the same file."""
    others = ["Lights off", "BAD_move", "EEG arousal", "Sleep spindle", "1", "S  1 on"]
    hypno = annotate((0, 90, "Sleep stage R"), *((0, 90, name) for name in others))
    np.testing.assert_array_equal(stages_on_grid(hypno, 4), [4, 4, 4, -1])


@pytest.mark.parametrize("name", ["Schlaf", "Sleep stage N5", "Arousal", "light"])
def test_a_name_that_alone_covers_time_is_warned_of(name):
    """With its minutes; a lost last stage does not shorten the night."""
    hypno = annotate((0, 300, "W"), (300, 300, "Sleep stage 2"), (600, 90, name))
    match = rf"\['{name}'\] cover 1.5 min, which become unscored"
    with pytest.warns(RuntimeWarning, match=match):
        assert stages_on_grid(hypno, 23).tolist() == [0] * 10 + [2] * 10 + [-1] * 3
    with pytest.warns(RuntimeWarning, match=match):
        assert annotations_to_hypnogram(hypno).n_epochs == 23


def every_epoch(*names):
    return annotate(*((30 * i, 30, name) for i, name in enumerate(names)))


@pytest.mark.parametrize(
    "annotations",
    [
        annotate((1, 0, "S1"), (9, 0.1, "R"), (40, 0, "W"), (50, 1, "?")),
        annotate((0, 30, "W"), (60, 30, "R"), (120, 30, "S2")),
        annotate((0, 400, "W")),
        annotate((0, 30, "N1"), (30, 30, "N2")),
        annotate((0, 300, "Lights off"), (10, 5, "Movement")),
        mne.Annotations([], [], []),
    ],
)
def test_event_markers_are_not_a_recordings_own_stages(annotations):
    """Bare names that do not tile the night may be anything."""
    assert own_stages(annotations, 20) is None


def test_bare_names_that_are_ignored_are_named():
    annotations = every_epoch(*(["W", "N1"] * 12), *["Lights on"] * 40)
    with pytest.warns(RuntimeWarning, match=r"\['N1', 'W'\] cover 12 min .* several"):
        assert own_stages(annotations, 64) is None


@pytest.mark.parametrize(
    "annotations",
    [
        every_epoch(*["W", "N1", "N2", "R", "?"] * 4),
        every_epoch(*["S1", "S2"] * 6),
        every_epoch("Sleep stage W", "Sleep stage 2"),
        every_epoch("Stage 1", "REM"),
        every_epoch("REM sleep|5"),
        every_epoch("SLEEP-S2", "SLEEP-REM"),
        every_epoch(*["Wake"] * 15, *["NREM 2"] * 5),
    ],
)
def test_a_recordings_own_stages_are_marked_or_tile_the_night(annotations):
    """A word for "stage" is enough for all."""
    assert own_stages(annotations, 20).stage.size == len(annotations)


@pytest.mark.parametrize(
    ("events", "stages"),
    [
        # An annotation that is there twice, and one within another.
        ([(0, 60, "N2"), (0, 60, "N2"), (10, 5, "N2"), (60, 30, "R")], [2, 2, 4]),
        # Movement contradicts no stage.
        ([(0, 60, "N2"), (0, 30, "Movement time"), (30, 60, "?")], [2, 2, -1]),
        # A marker without a duration covers nothing.
        ([(0, 60, "N2"), (60, 0, "Sleep stage ?"), (30, 0, "N1")], [2, 2, -1]),
        # A duration of ages is clipped to the recording.
        ([(0, 30, "N1"), (30, 1e15, "N2"), (1e15, 30, "N3")], [1, 2, 2]),
    ],
)
@pytest.mark.filterwarnings("ignore:The hypnogram ends at")
def test_events_that_overlap(events, stages):
    np.testing.assert_array_equal(stages_on_grid(annotate(*events), 3), stages)


@pytest.mark.parametrize(
    ("hypno", "error", "match"),
    [
        ({}, TypeError, "found dict"),
        (None, TypeError, "found NoneType"),
        (3, TypeError, "found int"),
        ([[0, 1], [2, 3]], TypeError, "one per epoch"),
        ([Hypnogram(["W"])], TypeError, "one per epoch"),
        ([0, None], TypeError, "one per epoch"),
        (np.zeros((2, 2), int), ValueError, r"shape \(2, 2\)"),
        ([], ValueError, r"shape \(0,\)"),
        (np.array([0.0, np.nan]), ValueError, "found .nan."),
        (np.array([0, 0.5]), ValueError, "found .0.5."),
        (np.array([0, 5, -3]), ValueError, r"found .-3.0, 5.0."),
        (np.array([0, None], dtype=object), ValueError, "found .nan."),
        (np.array([0, {}], dtype=object), TypeError, "integers or names"),
        (np.array([True, False]), TypeError, "integers or names"),
        (["W", "NREM", "X"], ValueError, r"\['NREM', 'X'\] cover 1 min"),
        (["1", "5"], ValueError, r"found \[5.0\]"),
        (Hypnogram(["W", "S"], n_stages=2), ValueError, "has 2 stages"),
        (mne.Annotations([], [], []), ValueError, "hold no sleep stage"),
        (annotate((0, 30, "W"), (30, -30, "N1")), ValueError, "duration -30 s"),
        (annotate((0, 30, "W"), (30, np.inf, "N1")), ValueError, "duration inf s"),
        (annotate((600, 30, "W")), ValueError, r"600 s to 630 s.*0 s to 150 s"),
    ],
)
def test_bad_input_is_one_clear_sentence(hypno, error, match):
    with pytest.raises(error, match=match):
        stages_on_grid(hypno, 5)
