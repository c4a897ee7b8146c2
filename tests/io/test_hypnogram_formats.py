"""Hypnogram files: what is written is read back, here and by other readers."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import edfio
import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yasa import Hypnogram

from mne_mc2sleep.io import hypnograms
from mne_mc2sleep.io.hypnograms import (
    hypnogram_to_annotations,
    make_hypnogram,
    read_hypnogram,
    stages_on_grid,
    write_hypnogram,
)

START = datetime(2024, 3, 5, 22, 30, 0, 250000, tzinfo=UTC)
SHORT = ["W", "W", "N1", "N2", "N3", "R", "Art", "Uns"]
NIGHTS = st.lists(st.integers(-2, 4), min_size=1, max_size=60)
STARTS = st.none() | st.datetimes(
    datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)
)
ANY_NIGHT = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def staged(n_epochs=50, start=START):
    """Make a hypnogram with probabilities, two of its epochs unusable."""
    proba = np.random.default_rng(0).dirichlet(np.ones(5), n_epochs)
    return make_hypnogram(proba, np.arange(n_epochs) > 1, start)


def long_night():
    """Make 30 h with another stage in each epoch."""
    return Hypnogram.from_integers(np.arange(3600) % 5, start=START)


def saved(fname, hypno):
    """Write a hypnogram and give the file's name."""
    write_hypnogram(fname, hypno, overwrite=True)
    return fname


@given(night=NIGHTS, start=STARTS)
@ANY_NIGHT
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".edf"])
def test_what_is_written_is_read_back(night, start, suffix, tmp_path):
    """Stages and start, to the microsecond; a TSV has no start."""
    hypno = Hypnogram.from_integers(night, start=start)
    back = read_hypnogram(saved(tmp_path / f"night{suffix}", hypno))
    assert back.as_int().tolist() == night
    assert back.start == (None if suffix == ".tsv" else hypno.start)
    assert back.freq == "30s"


@pytest.mark.parametrize("start", [None, START, pd.Timestamp("2024-03-05 22:30")])
def test_a_csv_keeps_every_digit_and_the_scorer(start, tmp_path):
    """Probabilities are equal, not close; a naive start stays naive."""
    hypno = staged(start=start)
    back = read_hypnogram(saved(tmp_path / "night.csv", hypno), scorer="not this one")
    pd.testing.assert_frame_equal(back.proba, hypno.proba, check_exact=True)
    assert (back.start, back.scorer) == (hypno.start, "MC2SleepNet")


def test_a_csv_keeps_the_duration_of_its_epochs(tmp_path):
    """A hypnogram of YASA may have others than 30 s."""
    hypno = Hypnogram(SHORT, freq="20s")
    back = read_hypnogram(saved(tmp_path / "night.csv", hypno), scorer="me")
    assert (back.freq, back.scorer) == ("20s", "me")


def test_a_csv_is_a_table_with_a_row_per_epoch(tmp_path):
    """The columns, in their order."""
    table = pd.read_csv(saved(tmp_path / "night.csv", staged()))
    assert list(table) == [
        *("epoch", "onset", "duration", "time", "stage", "scorer"),
        *("WAKE", "N1", "N2", "N3", "REM", "UNS"),
    ]
    assert table["onset"].tolist() == [30 * i for i in range(50)]
    assert table["time"][1] == "2024-03-05T22:30:30.250000+00:00"


def test_a_csv_through_a_spreadsheet_is_still_read(tmp_path):
    """Excel writes a byte order mark and CRLF."""
    fname = saved(tmp_path / "night.csv", staged())
    text = fname.read_text().replace("\n", "\r\n")
    fname.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert (read_hypnogram(fname) == staged()).all()


def test_a_tsv_is_a_bids_events_file(tmp_path):
    """Onset and duration first, then trial_type, in seconds."""
    fname = saved(tmp_path / "night.tsv", Hypnogram(SHORT, start=START))
    first, second, third = fname.read_text().splitlines()[:3]
    assert first.split("\t") == ["onset", "duration", "trial_type"]
    assert second.split("\t") == ["0.0", "60.0", "Sleep stage W"]
    assert third.split("\t") == ["60.0", "30.0", "Sleep stage N1"]


def test_foreign_bids_events_may_hold_other_events_and_gaps(tmp_path):
    """Rows with n/a, columns of their own."""
    fname = tmp_path / "sub-01_events.tsv"
    fname.write_text(
        "onset\tduration\tvalue\ttrial_type\n"
        "0\tn/a\t8\tLights off\n15\t30\tn/a\tN1\n45\t60\t2\tREM\n3\t0\t1\tn/a\n"
    )
    assert read_hypnogram(fname).as_int().tolist() == [-2, -2, 4]
    assert stages_on_grid(fname, 3).tolist() == [-1, -1, 4]


@given(night=NIGHTS, start=STARTS)
@ANY_NIGHT
def test_mne_reads_the_edf_file(night, start, tmp_path):
    """The same annotations, but for the start, which MNE leaves out."""
    hypno = Hypnogram.from_integers(night, start=start)
    annotations = mne.read_annotations(saved(tmp_path / "night.edf", hypno))
    expected = hypnogram_to_annotations(hypno)
    np.testing.assert_allclose(annotations.onset, expected.onset, atol=1e-9)
    assert annotations.duration.tolist() == expected.duration.tolist()
    assert annotations.description.tolist() == expected.description.tolist()


@given(night=NIGHTS, start=STARTS)
@ANY_NIGHT
def test_edfio_reads_the_edf_file(night, start, tmp_path):
    """The same annotations and, if there is one, start."""
    hypno = Hypnogram.from_integers(night, start=start)
    edf = edfio.read_edf(saved(tmp_path / "night.edf", hypno))
    expected = hypnogram_to_annotations(hypno)
    found = [tuple(annotation) for annotation in edf.annotations]
    assert found == list(
        zip(expected.onset, expected.duration, expected.description, strict=True)
    )
    if start is not None:
        assert edf.startdatetime == start.replace(tzinfo=None)


def test_a_long_night_takes_several_edf_records(tmp_path):
    """None above the 61,440 bytes that the format asks for, all read by all."""
    fname = saved(tmp_path / "night.edf", long_night())
    edf = edfio.read_edf(fname)
    assert edf.num_data_records == 4
    assert (fname.stat().st_size - 512) / edf.num_data_records <= 61_440
    assert edf.is_continuous
    assert len(edf.annotations) == len(mne.read_annotations(fname)) == 3600
    assert (read_hypnogram(fname) == long_night()).all()


@pytest.mark.parametrize(
    ("start", "recording", "date"),
    [
        (None, "Startdate X X X X", "01.01.8500.00.00"),
        ("1989-04-24 16:13", "Startdate 24-APR-1989 X X X", "24.04.8916.13.00"),
        ("2031-12-01 01:02:03", "Startdate 01-DEC-2031 X X X", "01.12.3101.02.03"),
    ],
)
def test_the_edf_header_follows_edf_plus(start, recording, date, tmp_path):
    """512 bytes; no start is 1985 and an X."""
    fname = saved(tmp_path / "night.edf", Hypnogram(SHORT, start=start))
    header = fname.read_bytes()[:512].decode("ascii")
    assert header[88:168].rstrip() == recording
    assert header[168:184] == date
    assert header[192:197] == "EDF+C"
    assert header[236:244].split() + header[244:252].split() == ["1", "0"]
    assert header[256:272].rstrip() == "EDF Annotations"


def test_an_edf_file_is_in_utc(tmp_path):
    """As MNE takes the times of recordings."""
    start = pd.Timestamp("2024-03-05 23:30", tz="Europe/Paris")
    fname = saved(tmp_path / "night.edf", Hypnogram(SHORT, start=start))
    assert edfio.read_edf(fname).startdatetime == datetime(2024, 3, 5, 22, 30)
    assert read_hypnogram(fname).start == start


@pytest.mark.parametrize(
    ("recording", "date", "start"),
    [
        (b"Startdate X X X X", b"01.01.8500.00.00", None),
        (b"Startdate 01-JAN-1985 X X X", b"01.01.8500.00.00", None),
        (b"Startdate X X X X", b"01.01.8522.30.00", "1985-01-01 22:30Z"),
        (b"any text", b"24.04.8916.13.00", "1989-04-24 16:13Z"),
        (b"any text", b"24.04.0416.13.00", "2004-04-24 16:13Z"),
        (b"Startdate 24-APR-2089 X X X", b"24.04.yy16.13.00", "2089-04-24 16:13Z"),
        (b"Startdate 24-ABC-1989 X X X", b"24.04.8916.13.00", None),
        (b"any text", b"24.13.8916.13.00", None),
        (b"any text", b"        16.13.00", None),
    ],
)
def test_the_start_in_an_edf_header(recording, date, start, tmp_path):
    """The long date before the short one; anonymised and invalid dates are none."""
    fname = saved(tmp_path / "night.edf", Hypnogram(SHORT))
    content = bytearray(fname.read_bytes())
    content[88:168] = recording.ljust(80)
    content[168:184] = date
    fname.write_bytes(content)
    expected = None if start is None else pd.Timestamp(start)
    assert read_hypnogram(fname).start == expected


def test_the_edf_of_another_program_is_read_whatever_its_encoding(tmp_path):
    """Capital suffix, a Latin-1 event, no time-keeping annotation, two in a TAL."""
    fname = saved(tmp_path / "NIGHT.EDF", Hypnogram(SHORT))
    tals = (
        "+0\x1530\x14Sleep stage W\x14Körper\x14\0+30\x14Pulse\x14\0+30.0\x1530\x14N1"
    )
    before = fname.read_bytes()
    content = before[:512] + f"{tals}\x14\0".encode("latin1")
    fname.write_bytes(content.ljust(len(before), b"\0"))
    assert read_hypnogram(fname).as_int().tolist() == [0, 1]


@pytest.mark.parametrize("suffix", ["-annot.fif", ".txt", ".csv"])
def test_the_annotation_files_of_mne_are_read(suffix, tmp_path):
    """With their orig_time."""
    fname = tmp_path / f"night{suffix}"
    hypnogram_to_annotations(Hypnogram(SHORT, start=START)).save(fname)
    hypno = read_hypnogram(fname)
    assert hypno.as_int().tolist() == [0, 0, 1, 2, 3, 4, -1, -2]
    assert hypno.start == pd.Timestamp(START)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("night.xyz", "W\nW\n", "Unknown annotation file format"),
        ("night.txt", "W\nN1\n", "cannot be read as a hypnogram"),
        ("night.csv", "a,b\n1,2\n", "cannot be read as a hypnogram"),
        ("night.csv", "stage\nW\n", r"found \['stage'\] and 1 rows"),
        ("night.csv", "epoch,duration,stage\n", "and 0 rows"),
        ("night.csv", "epoch,duration,stage\n0,30,W\n2,30,W\n", "rows are missing"),
        ("night.csv", "epoch,duration,stage\n0,30,W\nx,30,W\n", "'epoch' must hold"),
        ("night.csv", "epoch,duration,stage\n0,30,X\n", "do not match"),
        ("night.csv", "epoch,duration,stage,N1\n0,30,W,2\n", "must sum to 1"),
        ("night.tsv", "onset\tstage\n0\tW\n", r"found \['onset', 'stage'\] and 1 rows"),
        ("night.tsv", "onset\tduration\ttrial_type\nx\t30\tW\n", "'onset' must hold"),
        ("night.tsv", "onset\tduration\ttrial_type\n0\t30\tGo\n", "no sleep stage"),
        ("night.edf", "not an EDF", "has no valid EDF header"),
        ("night.edf", "", "has no valid EDF header"),
    ],
)
def test_a_file_that_is_no_hypnogram_is_named(name, content, match, tmp_path):
    """One sentence with the file and the reason."""
    fname = tmp_path / name
    fname.write_text(content)
    with pytest.raises(ValueError, match=f"^{name}: .*{match}"):
        read_hypnogram(fname)


@pytest.mark.parametrize("read", [read_hypnogram, lambda f: stages_on_grid(f, 3)])
def test_a_missing_file_is_said_to_be_missing(read, tmp_path):
    """Not an unknown stage name."""
    with pytest.raises(FileNotFoundError, match=r"night.edf does not exist"):
        read(str(tmp_path / "night.edf"))


def test_an_existing_file_is_kept_unless_overwritten(tmp_path):
    """The error says how."""
    fname = saved(tmp_path / "night.csv", Hypnogram(["W"]))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        write_hypnogram(fname, Hypnogram(["R"]))
    assert read_hypnogram(fname).as_int().tolist() == [0]
    write_hypnogram(fname, Hypnogram(["R"]), overwrite=True)
    assert read_hypnogram(fname).as_int().tolist() == [4]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    """And nothing beside it."""
    fname = saved(tmp_path / "night.csv", Hypnogram(["W"]))

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(hypnograms.Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_hypnogram(fname, Hypnogram(["R"]), overwrite=True)
    assert os.listdir(tmp_path) == ["night.csv"]
    assert read_hypnogram(fname).as_int().tolist() == [0]


@pytest.mark.parametrize(
    ("name", "hypno", "error", "match"),
    [
        ("night.xlsx", Hypnogram(["W"]), ValueError, r"use .csv, .tsv or .edf"),
        ("night", Hypnogram(["W"]), ValueError, r"use .csv, .tsv or .edf"),
        ("night.csv", [0, 1], TypeError, "found list"),
        ("night.csv", Hypnogram(["W", "S"], n_stages=2), ValueError, "has 2 stages"),
    ],
)
def test_what_cannot_be_written_is_refused(name, hypno, error, match, tmp_path):
    """Before a file is made."""
    with pytest.raises(error, match=match):
        write_hypnogram(tmp_path / name, hypno)
    assert not os.listdir(tmp_path)
