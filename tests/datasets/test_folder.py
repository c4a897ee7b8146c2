"""Finding nights by a table or in a BIDS folder."""

import shutil
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from mne_mc2sleep import read_hypnogram, write_hypnogram
from mne_mc2sleep.datasets import folder, read_night
from mne_mc2sleep.io.recordings import read_recording

RECORDING, HYPNOGRAM = "SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf"


@pytest.fixture
def write_table(rehearsal_folder):
    """Return a function that writes a table beside nights, and returns its path."""
    fname = rehearsal_folder / "physionet" / "nights.csv"

    def write_table(**columns):
        pd.DataFrame(columns).to_csv(fname, index=False)
        return fname

    yield write_table
    fname.unlink(missing_ok=True)


@pytest.fixture
def bids(tmp_path, rehearsal_folder):
    """Write a BIDS folder of two subjects, one with sessions."""
    source = rehearsal_folder / "physionet"
    hypno = read_hypnogram(source / HYPNOGRAM)
    stems = "sub-a/eeg/sub-a_task-sleep", "sub-b/ses-1/eeg/sub-b_ses-1_task-sleep"
    for stem in stems:
        recording = tmp_path / f"{stem}_eeg.edf"
        recording.parent.mkdir(parents=True)
        shutil.copy(source / RECORDING, recording)
        recording.with_suffix(".json").write_text("{}")
        write_hypnogram(tmp_path / f"{stem}_events.tsv", hypno)
    return tmp_path


def test_reads_a_table(write_table):
    """Paths count from the table; a night has its own channel and subject."""
    table = write_table(
        recording=[RECORDING, "SC4002E0-PSG.edf"],
        hypnogram=[HYPNOGRAM, ""],
        subject=["007 ", "8"],
        picks=["EEG Pz-Oz", ""],
    )
    first, second = folder.find_nights(table, picks="EEG Fpz-Cz").records
    assert (first.subject, first.picks) == ("007", "EEG Pz-Oz")
    assert (second.hypnogram, second.picks) == (None, "EEG Fpz-Cz")
    assert read_night(first).is_scored


def test_optional_columns_may_be_absent(write_table):
    table = write_table(recording=[RECORDING], subject=["1"])
    (record,) = folder.find_nights(table, ["C4-M1", "EEG Fpz-Cz"], "margin").records
    assert record.picks == ("C4-M1", "EEG Fpz-Cz")
    assert (record.hypnogram, record.trim) == (None, "margin")
    names = [RECORDING, table.name]
    table = write_table(recording=names, subject=[1, 2], hypnogram=[HYPNOGRAM] * 2)
    with pytest.warns(RuntimeWarning, match="hypnograms of several recordings"):
        folder.find_nights(table)


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (([RECORDING] * 2, [1, 2]), ValueError, "more than once"),
        (([RECORDING], [""]), ValueError, "Line 2 of nights.csv names no subject"),
        (([RECORDING, "no.edf"], [1, 2]), FileNotFoundError, "Line 3 .* no file"),
        (([], []), ValueError, "no scored night"),
    ],
)
def test_refuses_tables(write_table, columns, error, message):
    recording, subject = columns
    with pytest.raises(error, match=message):
        folder.find_nights(write_table(recording=recording, subject=subject))


def test_finds_bids(bids):
    records, skipped = folder.find_nights(bids, picks="EEG Fpz-Cz")
    assert [record.subject for record in records] == ["a", "b"]
    names = [record.hypnogram.name.removesuffix("_events.tsv") for record in records]
    assert names == ["sub-a_task-sleep", "sub-b_ses-1_task-sleep"]
    assert not skipped
    assert all(read_night(record).is_scored for record in records)


def test_recordings_in_other_folders_are_reported(tmp_path):
    (tmp_path / "below").mkdir()
    for name in ("above.edf", "below/night.bdf", "below/night_hypnogram.edf"):
        (tmp_path / name).touch()
    with pytest.warns(RuntimeWarning, match=r"has 1 recordings .*night\.bdf, which"):
        assert folder.list_recordings(tmp_path) == [tmp_path / "above.edf"]


@pytest.mark.parametrize(
    ("recording", "hypnogram"),
    [
        ("SC4001E0-PSG.edf", "SC4001EC-Hypnogram.edf"),
        ("shhs1-200001.edf", "shhs1-200001-nsrr.xml"),
        ("night_raw.fif.gz", "night_stages.csv"),
        ("Night 1.EDF", "night 1.txt"),
    ],
)
def test_pairs_by_name(tmp_path, recording, hypnogram):
    """The names agree but for words of their role, the scorer, case and format."""
    other = tmp_path / "other.csv"
    hidden = f"._{recording}"  # macOS writes these beside the files
    for name in (recording, hypnogram, other.name, hidden):
        (tmp_path / name).touch()
    assert folder.list_recordings(tmp_path) == [tmp_path / recording]
    assert folder.pair_by_name([tmp_path / recording]) == [tmp_path / hypnogram]
    assert folder.pair_by_name([tmp_path / recording], [other] * 2) == [None]
    elsewhere = [tmp_path / "elsewhere" / hypnogram]
    assert folder.pair_by_name([tmp_path / recording], elsewhere) == elsewhere


def test_equal_names_are_not_paired_by_name(tmp_path):
    """But in the same folder, or in the order given."""
    recordings, beside, elsewhere = (
        [tmp_path / name for name in names]
        for names in (
            ("a/night.edf", "b/night.edf"),
            ("b/night.txt", "a/night.txt"),
            ("c/night.txt", "d/night.txt"),
        )
    )
    assert folder.pair_by_name(recordings, beside) == beside[::-1]
    assert folder.pair_by_name(recordings, elsewhere) == elsewhere
    with pytest.raises(ValueError, match="cannot be paired by its name"):
        folder.pair_by_name(recordings, elsewhere[:1])


def test_order_does_not_pair_other_numbers():
    """As shells sort them."""
    recordings = [Path(f"P{number}.edf") for number in ("02", "10")]
    hypnograms = [Path(f"score{number}.txt") for number in (10, 2)]
    with pytest.raises(ValueError, match="in another order"):
        folder.pair_by_name(recordings, hypnograms)
    assert folder.pair_by_name(recordings, hypnograms[::-1]) == hypnograms[::-1]


@pytest.mark.parametrize("naming", ["neuromag", "bids"])
def test_parts_of_a_split_file_are_one_recording(naming, tmp_path):
    first, second = {
        "neuromag": ("night_raw.fif", "night_raw-1.fif"),
        "bids": ("sub-1_split-01_eeg.fif", "sub-1_split-02_eeg.fif"),
    }[naming]
    raw = mne.io.RawArray(np.zeros((1, 400_000)), mne.create_info(1, 100.0), verbose=0)
    options = {"split_size": "2MB", "split_naming": naming, "verbose": "error"}
    raw.save(tmp_path / first.replace("_split-01", ""), fmt="double", **options)
    assert (tmp_path / second).exists()
    assert folder.list_recordings(tmp_path) == [tmp_path / first]
    with pytest.raises(ValueError, match=f"is a part of {first}"):
        read_recording(tmp_path / second)


@pytest.mark.parametrize("suffix", [".tsv", ".csv"])
@pytest.mark.parametrize(
    "events", ["trial_type\n0\t0\tS 99\n", "value\n3.5\tn/a\t12\n", "trial_type\n"]
)
def test_triggers_do_not_hide_a_hypnogram(bids, events, suffix):
    """Events without stages are not one; a recording without hypnogram is skipped."""
    (fname,) = bids.glob("sub-a/eeg/*_events.tsv")
    (recording,) = bids.glob("sub-a/eeg/*.edf")
    recording.rename(recording.with_suffix(".EDF"))
    hypnogram = fname.with_name(f"sub-a_task-sleep_hypnogram{suffix}")
    write_hypnogram(hypnogram, read_hypnogram(fname))
    fname.write_text(f"onset\tduration\t{events}")
    assert folder.find_nights(bids).records[0].hypnogram == hypnogram
    hypnogram.unlink()
    records, skipped = folder.find_nights(bids)
    assert [record.subject for record in records] == ["b"]
    assert "no hypnogram" in skipped["sub-a_task-sleep_eeg.EDF"]


def test_refuses_what_holds_no_nights(write_table, tmp_path):
    with pytest.raises(ValueError, match=r"lacks the columns \['subject'\]"):
        folder.find_nights(write_table(recording=[RECORDING]))
    with pytest.raises(FileNotFoundError, match="no table or folder"):
        folder.find_nights(tmp_path / "nights.csv")
    with pytest.raises(FileNotFoundError, match="holds no recording"):
        folder.find_nights(tmp_path)
