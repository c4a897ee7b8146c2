"""Stages of every form on the recording's grid, and hypnograms made from them."""

from __future__ import annotations

import subprocess
import sys
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
    """Make annotations from (onset, duration, description)."""
    return mne.Annotations(*zip(*stages, strict=True), orig_time=orig_time)


def night_annotations(names, orig_time=None):
    """Annotate each epoch of NIGHT."""
    stages = [(30 * i, 30, names[stage]) for i, stage in enumerate(NIGHT)]
    return annotate(*stages, orig_time=orig_time)


def r_and_k_annotations(orig_time=None):
    """Annotate NIGHT as Sleep-EDF does."""
    names = [f"Sleep stage {name}" for name in ["W", "1", "2", "3", "R", "?"]]
    return night_annotations([*names, "Movement time"], orig_time)


def night_hypnogram(**kwargs):
    """Make a hypnogram of NIGHT."""
    return Hypnogram.from_integers(NIGHT, **kwargs)


def written(tmp_path, suffix):
    """Write NIGHT to a file."""
    fname = tmp_path / f"night{suffix}"
    write_hypnogram(fname, night_hypnogram(start=START))
    return fname


FORMS = {
    "Hypnogram": lambda _: night_hypnogram(),
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
    "short names": lambda _: night_annotations(
        ["Wake", "N1", "N2", "N3", "R", "?", "MT"]
    ),
    "REMlogic names": lambda _: night_annotations(
        [f"SLEEP-{name}" for name in ["S0", "S1", "S2", "S4", "REM", "UNSCORED", "MT"]]
    ),
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
    "objects": lambda _: NIGHT.astype(object),
    "Series of YASA": lambda _: night_hypnogram(start=START).as_int(),
    "categories of YASA": lambda _: night_hypnogram().hypno,
    "short YASA names": lambda _: [
        ["W", "n1", "N2", "n3", "r", "Uns", "Art"][stage] for stage in NIGHT
    ],
    "R&K names": lambda _: np.array(["W", "S1", "S2", "S4", "REM", "ND", "MT"])[NIGHT],
    "long names": lambda _: tuple(
        f"Sleep stage {['W', '1', 'N2', '4', 'R', '?', 'M'][stage]}" for stage in NIGHT
    ),
    "CSV file": lambda tmp_path: written(tmp_path, ".csv"),
    "TSV file": lambda tmp_path: written(tmp_path, ".tsv"),
    "EDF file": lambda tmp_path: str(written(tmp_path, ".edf")),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_night_gives_the_same_stages(form, tmp_path):
    """Every form becomes the same array, with unscored as -1."""
    stages = stages_on_grid(FORMS[form](tmp_path), NIGHT.size, START)
    np.testing.assert_array_equal(stages, STAGES)
    assert stages.dtype == np.int8


def test_the_input_stays_as_it_was():
    """Neither an array nor annotations are changed."""
    values, annotations = NIGHT.copy(), r_and_k_annotations(START)
    stages_on_grid(values, 15)
    stages_on_grid(annotations, 5, START + timedelta(seconds=30))
    np.testing.assert_array_equal(values, NIGHT)
    assert annotations == r_and_k_annotations(START)


@pytest.mark.parametrize("n_epochs", [10, 13, 18])
def test_a_recording_of_another_length_is_aligned_at_its_start(n_epochs):
    """The rest of the hypnogram is cut, that of the recording is unscored."""
    expected = np.full(n_epochs, -1)
    expected[: NIGHT.size] = STAGES[:n_epochs]
    np.testing.assert_array_equal(stages_on_grid(NIGHT, n_epochs), expected)


@pytest.mark.parametrize(
    ("n_values", "step"),
    [
        *((28_800, "1"), (28_815, "1"), (5760, "5"), (2880, "10"), (1440, "20")),
        *((1441, "20"), (1920, "15"), (7200, "4"), (14_400, "2"), (288_000, "0.1")),
        *((2_880_000, "0.01"), (7_372_800, "0.00390625"), (5_763_000, "0.005")),
    ],
)
@pytest.mark.parametrize("as_form", [np.asarray, Hypnogram.from_integers])
def test_values_in_another_step_are_refused(n_values, step, as_form):
    """The message says how to convert; per sample at 100 Hz, for example."""
    if as_form is not np.asarray and n_values > 30_000:
        pytest.skip("a Hypnogram of millions of epochs takes seconds")
    values = as_form(np.arange(n_values) % 5)
    match = rf'stand for {step} s.*freq="{step}s".*epoch_duration={step}\)'
    with pytest.raises(ValueError, match=match):
        stages_on_grid(values, 960)


@pytest.mark.parametrize("freq", ["1s", "5s", "10s", "20s"])
def test_a_hypnogram_with_its_own_step_is_converted(freq):
    """The remedy that the error names."""
    per_epoch = 30 / pd.Timedelta(freq).total_seconds()
    night = np.arange(960) // 2 % 5
    values = night[(np.arange(960 * per_epoch) / per_epoch).astype(int)]
    hypno = Hypnogram.from_integers(values, freq=freq)
    np.testing.assert_array_equal(stages_on_grid(hypno, 960), night)


@pytest.mark.parametrize(
    ("n_values", "effect"), [(700, "260 epochs of the rec"), (1000, "40 epochs were")]
)
def test_another_length_is_warned_of(n_values, effect):
    """Beyond a few epochs."""
    with pytest.warns(RuntimeWarning, match=f"the last {effect}"):
        stages_on_grid(np.zeros(n_values, int), 960)
    assert stages_on_grid(np.zeros(955, int), 960).sum() == -5


@pytest.mark.parametrize("hours", [-2, -1, 1])
def test_a_clock_off_by_whole_hours_is_warned_of(hours):
    """The hypnogram says 22:30 in another time zone than the recording."""
    hypno = Hypnogram(["W"] * 960, start=START + timedelta(hours=hours))
    match = f"{120 * abs(hours)} of 960 epochs are outside .* is {abs(hours)} h"
    with pytest.warns(RuntimeWarning, match=match):
        stages_on_grid(hypno, 960, START)


@pytest.mark.parametrize(("minutes", "n_outside"), [(-20, 40), (7, 14), (90, 180)])
def test_another_offset_is_logged(minutes, n_outside):
    """With the epochs that stay unscored."""
    hypno = Hypnogram(["W"] * 960, start=START + timedelta(minutes=minutes))
    with mne.utils.catch_logging(verbose="info") as log:
        stages_on_grid(hypno, 960, START)
    assert f"{n_outside} of 960 epochs are outside" in log.getvalue()


FORMS_OF_ITS_OWN = {name: form for name, form in FORMS.items() if "zone" not in name}


@pytest.mark.parametrize("form", FORMS_OF_ITS_OWN)
def test_without_a_recording_the_hypnogram_has_its_own_grid(form, tmp_path):
    """Every form becomes integers at once, regardless of its start."""
    hypno = FORMS_OF_ITS_OWN[form](tmp_path)
    np.testing.assert_array_equal(stages_on_grid(hypno), STAGES)


@pytest.mark.parametrize("shift", [-2, 3])
@pytest.mark.parametrize(
    "make", [r_and_k_annotations, lambda start: night_hypnogram(start=start)]
)
def test_different_starts_are_aligned_by_time(make, shift):
    """A hypnogram that begins earlier or later is moved by whole epochs."""
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


@pytest.mark.parametrize(
    "hypno", [r_and_k_annotations(START), night_hypnogram(start=START)]
)
def test_a_hypnogram_of_another_day_names_both_times_and_the_remedy(hypno):
    """An overlap of nothing is an error, not a night without stages."""
    match = (
        r"2024-03-05 22:30:00.* to 2024-03-05 22:36:30.*"
        r"1985-01-01 00:00:00.* to 1985-01-01 00:02:30.*orig_time=None"
    )
    with pytest.raises(ValueError, match=match):
        stages_on_grid(hypno, 5, datetime(1985, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "hypno", [r_and_k_annotations(START), night_hypnogram(start=START)]
)
def test_a_dated_hypnogram_needs_a_dated_recording(hypno):
    """To take both starts for the same would be a guess."""
    with pytest.raises(ValueError, match=r"recording has no start.*orig_time=None"):
        stages_on_grid(hypno, 5)


def probabilities(n_epochs, dtype=np.float64):
    """Draw stage probabilities."""
    return np.random.default_rng(0).dirichlet(np.ones(5), n_epochs).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_probabilities_sum_to_one_in_double_precision(dtype):
    """YASA refuses half precision: rows are renormalised."""
    hypno = make_hypnogram(probabilities(500, dtype), np.ones(500, bool))
    assert (hypno.proba.dtypes == np.float64).all()
    np.testing.assert_allclose(hypno.proba.sum(axis=1), 1, rtol=0, atol=3e-16)


def test_the_stage_is_the_most_probable_one():
    """In the order of the probabilities' columns."""
    proba = probabilities(50)
    hypno = make_hypnogram(proba.tolist(), [True] * 50, START)
    np.testing.assert_array_equal(hypno.as_int(), proba.argmax(axis=1))
    assert list(hypno.proba) == ["WAKE", "N1", "N2", "N3", "REM"]


def test_start_and_scorer_are_as_yasa_sets_them():
    """A UTC time stamp, and the name that evaluate() needs."""
    hypno = make_hypnogram(probabilities(300), np.ones(300, bool), START)
    assert (hypno.start, hypno.scorer) == (pd.Timestamp(START), "MC2SleepNet")
    values = np.roll(hypno.as_int(), 1)
    expert = Hypnogram.from_integers(values, start=START, scorer="expert")
    assert np.isfinite(expert.evaluate(hypno).get_agreement()).all()


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


@pytest.mark.parametrize(
    ("shape", "n_usable"), [((3, 4), 3), ((3, 5), 2), ((5,), 5), ((0, 5), 0)]
)
def test_shapes_that_do_not_fit_are_refused(shape, n_usable):
    """Five columns, and one flag per row."""
    with pytest.raises(ValueError, match="must be of shape"):
        make_hypnogram(np.full(shape, 0.2), [True] * n_usable)


NIGHTS = st.lists(st.integers(-2, 4), min_size=1, max_size=60)
STARTS = st.none() | st.datetimes(
    datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)
)


@given(NIGHTS, STARTS)
@settings(max_examples=60, deadline=None)
def test_the_way_to_annotations_and_back_is_exact(night, start):
    """Stages, start and epochs of 30 s."""
    hypno = Hypnogram.from_integers(night, start=start)
    back = annotations_to_hypnogram(hypnogram_to_annotations(hypno), scorer="me")
    assert back.as_int().tolist() == night
    assert (back.start, back.freq, back.scorer) == (hypno.start, "30s", "me")


def test_annotations_are_one_per_run_with_aasm_names():
    """As EDFbrowser and Sleep-EDF write them."""
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
    """A hypnogram of 20-s epochs has onsets in multiples of 20 s."""
    annotations = hypnogram_to_annotations(Hypnogram(["W", "N1", "N1"], freq="20s"))
    assert annotations.onset.tolist() == [0, 20]
    assert annotations.duration.tolist() == [20, 40]


def test_a_time_below_the_microsecond_is_cut():
    """MNE's times have no nanoseconds."""
    start = pd.Timestamp("2024-03-05 22:30:00.123456789", tz="Europe/Paris")
    orig_time = hypnogram_to_annotations(Hypnogram(["W"], start=start)).orig_time
    assert orig_time == datetime(2024, 3, 5, 21, 30, 0, 123456, tzinfo=UTC)


def test_gaps_between_annotations_are_unscored():
    """A hypnogram has no gaps."""
    hypno = annotations_to_hypnogram(annotate((0, 30, "W"), (90, 30, "R")))
    assert hypno.as_int().tolist() == [0, -2, -2, 4]


@pytest.mark.parametrize(
    ("orig_time", "start", "values"),
    [(START, 72, [1, 2]), (None, None, [-2, -2, 1, 2])],
)
def test_a_late_first_stage(orig_time, start, values):
    """With a time the hypnogram starts with it, else with the recording."""
    hypno = annotations_to_hypnogram(
        annotate((72, 30, "N1"), (102, 30, "N2"), orig_time=orig_time)
    )
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


@pytest.mark.parametrize("duration", [10, 1e10])
def test_too_few_or_too_many_seconds_for_a_hypnogram(duration):
    """A damaged duration must not fill the memory."""
    with pytest.raises(ValueError, match="one epoch to one year"):
        annotations_to_hypnogram(annotate((0, duration, "W")))


@pytest.mark.parametrize(
    "convert", [annotations_to_hypnogram, hypnogram_to_annotations]
)
def test_conversions_refuse_other_types(convert):
    """An array has no times."""
    with pytest.raises(TypeError, match="found ndarray"):
        convert(NIGHT)


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

    def test_the_start_of_the_hypnogram_is_that_of_the_recording(self):
        """read_hypnogram takes it from the header."""
        hypno = read_hypnogram(self.fname, scorer="expert")
        assert (hypno.n_epochs, hypno.start) == (2880, pd.Timestamp(self.start))
        assert hypno.scorer == "expert"

    def test_mne_annotations_without_time_begin_with_the_recording(self):
        """The remedy that the error names."""
        stages = stages_on_grid(mne.read_annotations(self.fname), 2880, START)
        assert (stages == 3).sum() == 220

    def test_the_error_for_another_day_names_the_file(self):
        """One among hundreds must be found."""
        with pytest.raises(ValueError, match=r"^SC4001EC.*edf: .*no epoch in"):
            stages_on_grid(self.fname, 100, START)


def test_importing_the_module_imports_neither_yasa_nor_torch():
    """They cost seconds."""
    code = (
        "import sys; from mne.io import BaseRaw; of_mne = set(sys.modules); "
        "import mne_mc2sleep.io.hypnograms; added = set(sys.modules) - of_mne; "
        "assert not {'yasa', 'torch', 'matplotlib.pyplot'} & added"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_is_told_as_such(tmp_path):
    """In one sentence, not as an error of the system."""
    with pytest.raises(ValueError, match="It is a folder; pass the file in it"):
        read_hypnogram(tmp_path)
