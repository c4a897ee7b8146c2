"""Stages of every form on the recording's grid, and hypnograms made from them."""

import re
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yasa import Hypnogram

from mne_mc2sleep.io.hypnograms import (
    annotations_to_hypnogram,
    hypnogram_to_annotations,
    make_hypnogram,
    read_hypnogram,
    stages_on_grid,
    write_hypnogram,
)

START = datetime(2024, 3, 5, 22, 30, tzinfo=UTC)
NIGHT = np.array([-2, 0, 0, 1, 2, 2, 3, 3, 2, 4, 4, -1, 0])
STAGES = np.where(NIGHT < 0, -1, NIGHT)
HYPNOGRAMS = Path(__file__).parents[3] / "shared" / "data" / "sleep_edf" / "hypnograms"


def annotate(*stages, orig_time=None):
    return mne.Annotations(*zip(*stages, strict=True), orig_time=orig_time)


def night_annotations(names, orig_time=None):
    stages = [(30 * i, 30, names[stage]) for i, stage in enumerate(NIGHT)]
    return annotate(*stages, orig_time=orig_time)


def r_and_k_annotations(orig_time=None):
    """Annotate NIGHT as Sleep-EDF does."""
    names = [f"Sleep stage {name}" for name in ["W", "1", "2", "3", "R", "?"]]
    return night_annotations([*names, "Movement time"], orig_time)


def night_hypnogram(**kwargs):
    return Hypnogram.from_integers(NIGHT, **kwargs)


def written(tmp_path, suffix):
    fname = tmp_path / f"night{suffix}"
    write_hypnogram(fname, night_hypnogram(start=START))
    return fname


FORMS = {
    "Hypnogram with start": lambda _: night_hypnogram(start=START),
    "Hypnogram with naive start": lambda _: night_hypnogram(
        start=START.replace(tzinfo=None)
    ),
    "Hypnogram in another zone": lambda _: night_hypnogram(
        start=START.astimezone(timezone(timedelta(hours=2)))
    ),
    "Hypnogram of 10 s": lambda _: Hypnogram.from_integers(NIGHT.repeat(3), freq="10s"),
    "R&K annotations": lambda _: r_and_k_annotations(),
    "R&K annotations with orig_time": lambda _: r_and_k_annotations(START),
    "AASM annotations": lambda _: hypnogram_to_annotations(night_hypnogram()),
    "NSRR names": lambda _: night_annotations(
        [
            *("Wake|0", "Stage 1 sleep|1", "Stage 2 sleep|2", "Stage 4 sleep|4"),
            *("REM sleep|5", "Unscored|9", "Movement time"),
        ]
    ),
    "integers": lambda _: NIGHT,
    "list of integers": lambda _: NIGHT.tolist(),
    "integers as floats": lambda _: NIGHT.astype(float),
    "nullable integers": lambda _: pd.Series(NIGHT, dtype="Int64"),
    "Series of YASA": lambda _: night_hypnogram(start=START).as_int(),
    "categories of YASA": lambda _: night_hypnogram().hypno,
    "R&K names": lambda _: np.array(["W", "S1", "S2", "S4", "REM", "ND", "MT"])[NIGHT],
    "CSV file": lambda tmp_path: written(tmp_path, ".csv"),
    "TSV file": lambda tmp_path: written(tmp_path, ".tsv"),
    "EDF file": lambda tmp_path: str(written(tmp_path, ".edf")),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_night_gives_the_same_stages(form, tmp_path):
    hypno = FORMS[form](tmp_path)
    stages = stages_on_grid(hypno, NIGHT.size, START)
    np.testing.assert_array_equal(stages, STAGES)
    assert stages.dtype == np.int8
    if "zone" not in form:
        # Without a recording it has its own grid, regardless of its start.
        np.testing.assert_array_equal(stages_on_grid(hypno), STAGES)


@pytest.mark.parametrize("n_epochs", [10, 13, 18])
def test_a_recording_of_another_length_is_aligned_at_its_start(n_epochs):
    """The rest of the hypnogram is cut, that of the recording is unscored."""
    expected = np.full(n_epochs, -1)
    expected[: NIGHT.size] = STAGES[:n_epochs]
    np.testing.assert_array_equal(stages_on_grid(NIGHT, n_epochs), expected)


@pytest.mark.parametrize("step", [1, 3, 5, 10, 15, 20, 0.1, 1 / 50, 1 / 128])
@pytest.mark.parametrize("n_more", [0, 1])
def test_values_of_another_step_are_never_of_30_s(step, n_more, tmp_path):
    """They are refused, and the step that the error names gives the right stages."""
    # The recording may have an incomplete last epoch.
    night = np.tile(STAGES, 2)
    n_values = int(30 * (night.size + (n_more if step >= 1 else 0)) / step)
    epochs = (np.arange(n_values) * step / 30 + 1e-9).astype(int)
    values = np.append(night, 0)[epochs]
    with pytest.raises(ValueError, match="seems to stand for") as error:
        stages_on_grid(values, night.size)
    named = float(re.search(r"epoch_duration=([\d.]+)", str(error.value))[1])
    assert named == pytest.approx(step, rel=1e-6)
    np.save(tmp_path / "steps.npy", values)
    hypno = read_hypnogram(tmp_path / "steps.npy", epoch_duration=named)
    np.testing.assert_array_equal(stages_on_grid(hypno, night.size), night)


@pytest.mark.parametrize(
    ("n_values", "effect"), [(700, "260 epochs of the rec"), (1000, "40 epochs were")]
)
def test_another_length_is_warned_of(n_values, effect):
    with pytest.warns(RuntimeWarning, match=f"the last {effect}"):
        stages_on_grid(np.zeros(n_values, int), 960)
    assert stages_on_grid(np.zeros(955, int), 960).sum() == -5


@pytest.mark.parametrize(
    ("n_epochs", "effect"), [(960, "947 epochs of the rec"), (7, "6 epochs were")]
)
def test_events_of_another_recording_are_warned_of(n_epochs, effect):
    with pytest.warns(RuntimeWarning, match=f"at 390 s .*the last {effect}"):
        stages_on_grid(r_and_k_annotations(), n_epochs)
    stages_on_grid(r_and_k_annotations(), 20)


def test_a_clock_alone_is_compared_in_exports_too(tmp_path):
    """RemLogic's and Domino's, if their header has no date."""
    events = "RemLogic\nTime [hh:mm:ss]\tEvent\tDuration[s]\n22:31:30\tSLEEP-S0\t30\n"
    profile = "Signal ID: Profile\nRate: 30 s\n\n22:31:30,000; Wach\n"
    for text in (events, profile):
        (tmp_path / "night.txt").write_text(text)
        with pytest.warns(RuntimeWarning, match="by 90 s"):
            stages_on_grid(tmp_path / "night.txt", 1, START)


def test_integers_of_rechtschaffen_and_kales_are_warned_of():
    nap = [0, 1, 2, *([3, 3, 4] * 5), 3, 2]
    with pytest.warns(RuntimeWarning, match="stage 4 of R&K"):
        stages_on_grid(nap)


@pytest.mark.parametrize(
    ("first", "warns"),
    [("22:30:10", False), ("20:30:00", False), ("00:00:00", False), ("22:31:30", True)],
)
def test_a_clock_without_a_date_is_compared(tmp_path, first, warns):
    """The stages begin with the recording, at 22:30, in any case."""
    times = pd.Timestamp(f"2024-03-05 {first}") + pd.to_timedelta(
        30 * np.arange(13), "s"
    )
    table = pd.DataFrame({"time": times.strftime("%H:%M:%S"), "stage": NIGHT})
    table.to_csv(tmp_path / "night.csv", index=False)
    expected = pytest.warns(RuntimeWarning, match="by 90 s") if warns else nullcontext()
    with expected:
        stages = stages_on_grid(tmp_path / "night.csv", len(NIGHT), START)
    np.testing.assert_array_equal(stages, STAGES)


@pytest.mark.parametrize(
    ("minutes", "n_values", "warns"),
    [
        (-120, 960, True),
        (60, 960, True),
        (60, 120, True),
        (65, 960, True),
        (65, 120, False),
        (1 / 60, 120, False),
    ],
)
def test_a_clock_of_another_time_zone_is_warned_of(minutes, n_values, warns):
    """A whole number of hours, or the scoring ends after the recording."""
    hypno = Hypnogram(["W"] * n_values, start=START + timedelta(minutes=minutes))
    expected = nullcontext()
    if warns:
        match = f"starts {60 * abs(minutes)} s .* of different time zones"
        expected = pytest.warns(RuntimeWarning, match=match)
    with expected:
        stages_on_grid(hypno, 960, START)


@pytest.mark.parametrize("shift", [-2, 3])
@pytest.mark.parametrize(
    "make", [r_and_k_annotations, lambda start: night_hypnogram(start=start)]
)
def test_different_starts_are_aligned_by_time(make, shift):
    hypno = make(START + shift * timedelta(seconds=30))
    expected = np.full(20, -1)
    expected[max(shift, 0) : NIGHT.size + shift] = STAGES[max(-shift, 0) :]
    np.testing.assert_array_equal(stages_on_grid(hypno, 20, START), expected)


def test_raw_annotations_of_a_cropped_recording_keep_their_time():
    """MNE counts them from meas_date; the recording starts later."""
    raw = mne.io.RawArray(np.zeros((1, 39000)), mne.create_info(1, 100.0), verbose=0)
    raw.set_meas_date(START).set_annotations(r_and_k_annotations())
    raw.crop(60.0)
    start = raw.info["meas_date"] + timedelta(seconds=raw.first_time)
    stages = stages_on_grid(raw.annotations, 11, start)
    np.testing.assert_array_equal(stages, STAGES[2:])
    raw.set_meas_date(None)
    with pytest.warns(RuntimeWarning, match="begins at 60 s.* subtract raw.first_time"):
        annotations_to_hypnogram(raw.annotations)


@pytest.mark.parametrize(
    "hypno", [r_and_k_annotations(START), night_hypnogram(start=START)]
)
def test_a_dated_hypnogram_needs_a_recording_of_that_day(hypno):
    """An overlap of nothing is an error, not a night without stages."""
    match = (
        r"2024-03-05 22:30:00.* to 2024-03-05 22:36:30.*"
        r"1985-01-01 00:00:00.* to 1985-01-01 00:02:30.*orig_time=None"
    )
    with pytest.raises(ValueError, match=match):
        stages_on_grid(hypno, 5, datetime(1985, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match=r"recording has no start.*orig_time=None"):
        stages_on_grid(hypno, 5)


def probabilities(n_epochs, dtype=np.float64):
    return np.random.default_rng(0).dirichlet(np.ones(5), n_epochs).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_probabilities_sum_to_one_in_double_precision(dtype):
    """YASA refuses half precision: rows are renormalised."""
    hypno = make_hypnogram(probabilities(500, dtype), np.ones(500, bool))
    assert (hypno.proba.dtypes == np.float64).all()
    np.testing.assert_allclose(hypno.proba.sum(axis=1), 1, rtol=0, atol=3e-16)


def test_the_stage_is_the_most_probable_one():
    proba = probabilities(50)
    hypno = make_hypnogram(proba.tolist(), [True] * 50, START)
    np.testing.assert_array_equal(hypno.as_int(), proba.argmax(axis=1))
    assert list(hypno.proba) == ["WAKE", "N1", "N2", "N3", "REM"]


def test_unusable_epochs_are_unscored_with_a_column_of_their_own():
    """Their probabilities do not change the others."""
    proba, usable = probabilities(4), np.array([True, False, True, False])
    before = make_hypnogram(proba, np.ones(4, bool)).proba
    proba[~usable] = np.nan
    hypno = make_hypnogram(proba, usable)
    assert (hypno.hypno.to_numpy() == "UNS").tolist() == (~usable).tolist()
    assert hypno.proba["UNS"].tolist() == [0.0, 1.0, 0.0, 1.0]
    pd.testing.assert_frame_equal(hypno.proba.iloc[usable, :5], before[usable])
    np.testing.assert_array_equal(hypno.proba.sum(axis=1).round(15), 1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -0.1, 5.0, 0.0])
def test_rows_that_are_no_distribution_are_refused(value):
    """NaN, infinite, negative, and logits instead of probabilities."""
    proba = np.full((3, 5), 0.2)
    proba[1] = value
    with pytest.raises(ValueError, match=r"finite.*in epoch 1"):
        make_hypnogram(proba, [True] * 3)


NIGHTS = st.lists(st.integers(-2, 4), min_size=1, max_size=60)
STARTS = st.none() | st.datetimes(
    datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)
)


@given(NIGHTS, STARTS)
@settings(max_examples=60, deadline=None)
def test_the_way_to_annotations_and_back_is_exact(night, start):
    hypno = Hypnogram.from_integers(night, start=start)
    back = annotations_to_hypnogram(hypnogram_to_annotations(hypno), scorer="me")
    assert back.as_int().tolist() == night
    assert (back.start, back.freq, back.scorer) == (hypno.start, "30s", "me")


def test_annotations_are_one_per_run_with_aasm_names():
    annotations = hypnogram_to_annotations(
        Hypnogram(["W", "W", "N1", "N2", "N3", "R", "Art", "Uns"], start=START)
    )
    assert annotations.description.tolist() == [
        *(f"Sleep stage {name}" for name in ["W", "N1", "N2", "N3", "R"]),
        "Movement time",
        "Sleep stage ?",
    ]
    assert annotations.duration.tolist() == [60, 30, 30, 30, 30, 30, 30]
    assert annotations.orig_time == START


def test_annotations_keep_the_duration_of_other_epochs():
    annotations = hypnogram_to_annotations(Hypnogram(["W", "N1", "N1"], freq="20s"))
    assert annotations.onset.tolist() == [0, 20]
    assert annotations.duration.tolist() == [20, 40]


@pytest.mark.parametrize(
    ("orig_time", "start", "values"),
    [(START, 72, [1, 2, -2, 4]), (None, None, [-2, -2, 1, 2, -2, 4])],
)
def test_a_late_first_stage_and_a_gap(orig_time, start, values):
    """With a time the hypnogram starts with it, else with the recording."""
    stages = [(72, 30, "N1"), (102, 30, "N2"), (162, 30, "R")]
    expected = nullcontext() if start else pytest.warns(RuntimeWarning, match="no date")
    with expected:
        hypno = annotations_to_hypnogram(annotate(*stages, orig_time=orig_time))
    assert hypno.as_int().tolist() == values
    assert hypno.start == (None if start is None else START + timedelta(seconds=start))


@pytest.mark.parametrize("lead", [20, 30, 95])
@pytest.mark.filterwarnings("ignore:Unknown stage names")
def test_an_event_before_the_first_stage_leaves_the_epochs_of_the_scorer(lead):
    """The hypnogram begins earlier by whole epochs."""
    stages = [(100 + 30 * i, 30, name) for i, name in enumerate(["W", "N1", "N2", "R"])]
    arousals = [(100 - lead, 5, "arousal"), (300, 12, "arousal")]
    hypno = annotations_to_hypnogram(annotate(*arousals, *stages, orig_time=START))
    n_before = -(-lead // 30)
    assert hypno.start == START + timedelta(seconds=100 - 30 * n_before)
    assert hypno.as_int().tolist()[: n_before + 4] == [-2] * n_before + [0, 1, 2, 4]


@pytest.mark.skipif(not HYPNOGRAMS.exists(), reason="../shared is missing")
class TestSleepEDF:
    """An original R&K hypnogram: 24 h from 16:13, scored to 22:05 h of it."""

    fname = HYPNOGRAMS / "SC4001EC-Hypnogram.edf"
    start = datetime(1989, 4, 24, 16, 13, tzinfo=UTC)

    def test_stages_3_and_4_are_n3_and_the_tail_is_unscored(self):
        """220 epochs of N3, 58 of N1, no stage in the last 115 min."""
        stages = stages_on_grid(self.fname, 2880, self.start)
        assert np.bincount(stages + 1).tolist() == [230, 1997, 58, 250, 220, 125]
        assert (stages[2650:] == -1).all()

    def test_a_recording_that_starts_later_is_aligned_by_its_time(self):
        """MNE drops the header's start, this package does not."""
        later = self.start + timedelta(hours=8)
        np.testing.assert_array_equal(
            stages_on_grid(self.fname, 100, later),
            stages_on_grid(self.fname, 2880, self.start)[960:1060],
        )

    def test_mne_annotations_without_time_begin_with_the_recording(self):
        stages = stages_on_grid(mne.read_annotations(self.fname), 2880, START)
        assert (stages == 3).sum() == 220

    def test_the_error_for_another_day_names_the_file(self):
        with pytest.raises(ValueError, match=r"^SC4001EC.*edf: .*no epoch in"):
            stages_on_grid(self.fname, 100, START)
