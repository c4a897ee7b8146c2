"""Reading nights of any cohort."""

import shutil
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest
from rehearsal import STAGES, simulate_signals

from mne_mc2sleep.datasets import NightRecord, prepare_nights, read_night
from mne_mc2sleep.datasets.records import trim_wake
from mne_mc2sleep.io.hypnograms import read_hypnogram, stages_on_grid

SHARED = Path(__file__).parents[3] / "shared" / "data" / "sleep_edf"
SLEEP = [1, 2, -1, 2, 0, 4]


def make_record(folder, name="SC4001E", **settings):
    recording = folder / "physionet" / f"{name}0-PSG.edf"
    hypnogram = folder / "physionet" / f"{name}C-Hypnogram.edf"
    settings = {"picks": "EEG Fpz-Cz", "trim": "margin"} | settings
    return NightRecord(0, recording, hypnogram, **settings)


@pytest.fixture
def record(rehearsal_folder):
    return make_record(rehearsal_folder)


@pytest.mark.parametrize("name", ["SC4001E", "SC4002E", "SC4362F"])
def test_reads_sleep_edf(rehearsal_folder, name):
    """Stages 3 and 4 are N3, movement and "?" unscored, 30 min of wake are kept."""
    night = read_night(make_record(rehearsal_folder, name))
    last = np.flatnonzero(STAGES > 0)[-1]
    np.testing.assert_array_equal(night.stages, STAGES[10 : last + 61])
    assert night.inputs.shape == (len(night.stages), 3000)


def test_trimmed_signals_belong_to_the_stages(record):
    """The first epoch of sleep, 10 epochs earlier, looks like that of the recording."""
    first = np.flatnonzero(STAGES > 0)[0]
    signals = simulate_signals(STAGES, seed=1)[0].reshape(-1, 3000)
    epoch = read_night(record).inputs[first - 10].numpy()
    correlations = [np.corrcoef(epoch, signal)[0, 1] for signal in signals]
    assert np.argmax(correlations) == first
    # The signals are a copy, not a view of the whole recording.
    inputs = read_night(record).inputs
    assert inputs.untyped_storage().nbytes() == inputs.numel() * 4


@pytest.mark.parametrize(
    ("rule", "n_evening", "n_morning", "expected"),
    [
        # At most 60 epochs are kept on each side of the sleep.
        ("margin", 70, 70, (10, 136)),
        ("margin", 60, 60, (0, 126)),
        ("margin", 0, 61, (0, 66)),
        # As much wake is kept outside sleep as there is N2, here two epochs.
        ("balance", 1, 1, (0, 8)),
        ("balance", 5, 1, (4, 12)),
        ("balance", 1, 5, (1, 9)),
        ("balance", 0, 4, (0, 8)),
        (None, 70, 70, (0, 146)),
    ],
)
def test_wake_is_trimmed_by_a_rule(rule, n_evening, n_morning, expected):
    """The convention of Sleep-EDF, that of SHHS, or none."""
    stages = np.array([0] * n_evening + SLEEP + [0] * n_morning, dtype=np.int8)
    part = trim_wake(stages, rule)
    assert (part.start, part.stop) == expected


def test_refuses_unknown_trim():
    with pytest.raises(ValueError, match="'trim' must be None or one of"):
        NightRecord(0, Path("night.edf"), None, trim="wake")


def test_prepared_nights_are_what_is_read(rehearsal_folder, tmp_path):
    records = [
        make_record(rehearsal_folder, picks=("EEG Cz", "EEG Pz-Oz")),
        make_record(rehearsal_folder, "SC4362F"),
        make_record(rehearsal_folder, "SC4002E", picks=("EEG Cz", "EEG Pz-Oz")),
    ]
    # Whole nights are prepared, so another trim uses the same files.
    whole = prepare_nights([replace(record, trim=None) for record in records], tmp_path)
    files = {fname: fname.stat().st_mtime_ns for fname in tmp_path.iterdir()}
    prepared = prepare_nights(records, tmp_path)
    assert {fname: fname.stat().st_mtime_ns for fname in tmp_path.iterdir()} == files
    assert {len(night.stages) for night in whole} == {len(STAGES)}
    for record, night in zip(records, prepared, strict=True):
        read = read_night(record)
        assert night.subject == 0
        np.testing.assert_array_equal(night.stages, read.stages)
        np.testing.assert_array_equal(night.usable, read.usable)
        np.testing.assert_allclose(night.inputs[:], read.inputs, atol=0.05)


def test_unusable_nights_are_left_out(record, tmp_path):
    damaged, awake = tmp_path / "damaged.edf", tmp_path / "awake.edf"
    damaged.write_text("no recording")
    shutil.copy(record.recording, awake)
    mne.Annotations(0, 3000, "Sleep stage W").save(tmp_path / "awake_annot.csv")
    records = [
        NightRecord(1, damaged, record.hypnogram, record.picks, "margin"),
        NightRecord(2, awake, tmp_path / "awake_annot.csv", record.picks, "margin"),
        record,
    ]
    with pytest.warns(RuntimeWarning) as warnings:
        nights = prepare_nights(records, tmp_path / "prepared")
    assert [night.subject for night in nights] == [0]
    messages = [str(warning.message) for warning in warnings]
    assert any("damaged.edf" in message for message in messages)
    assert any("awake is left out" in message for message in messages), messages


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"there is no {SHARED}")
def test_real_hypnograms_have_the_known_counts():
    """Trimmed, 15 real hypnograms have the stages that the field counts in them."""
    with np.load(SHARED / "band_power_nights.npz") as file:
        names, edges = file["night"], file["first_epoch"]
        stages, measured = file["stage"], file["measured"]
    n_compared = 0
    for hypnogram in sorted((SHARED / "hypnograms").glob("*.edf")):
        (night,) = np.flatnonzero([name[:6] == hypnogram.name[:6] for name in names])
        if not measured[night]:
            continue
        start = read_hypnogram(hypnogram).start
        day = stages_on_grid(hypnogram, 24 * 120, start)
        kept = day[trim_wake(day, "margin")]
        known = stages[edges[night] : edges[night + 1]]
        np.testing.assert_array_equal(np.bincount(kept[kept >= 0]), np.bincount(known))
        n_compared += 1
    assert n_compared == 15
