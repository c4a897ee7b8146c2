"""Damaged and hostile recordings and hypnograms, and some of `benchmarks/fuzz.py`."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from yasa import Hypnogram

from mne_mc2sleep import simulate_night
from mne_mc2sleep.io.hypnograms import read_hypnogram, stages_on_grid, write_hypnogram
from mne_mc2sleep.io.recordings import read_recording

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.skipif(not FUZZ.exists(), reason="benchmarks/ is not in the sdist")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_hostile_files_at_random():
    """Each is refused with a message or read; no crash, hang or waste of memory."""
    command = [sys.executable, FUZZ, "--cases", "12", "--first", "100000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for kind in ("weights", "edf", "hypnogram"):
        assert f"| {kind} | 12 |" in ended.stdout


@pytest.mark.parametrize("duration", ["1000000", "99999999", "1e18"])
def test_records_of_years_are_refused_before_the_grid_is_made(tmp_path, duration):
    """A rate near zero would have a billion epochs, or dates beyond Python's range."""
    fname = tmp_path / "night.edf"
    simulate_night(90.0, random_state=0)[0].export(fname, verbose="ERROR")
    content = bytearray(fname.read_bytes())
    content[244:252] = duration.encode().ljust(8)
    fname.write_bytes(content)
    with pytest.raises(ValueError, match=r"MNE cannot read|sampled at"):
        read_recording(fname)


def test_a_cut_fif_file_is_refused_by_its_name(tmp_path):
    fname = tmp_path / "night_raw.fif"
    simulate_night(90.0, random_state=0)[0].save(fname, verbose="ERROR")
    content = fname.read_bytes()
    fname.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"cut short|cannot read"):
        read_recording(fname)


@pytest.fixture
def hypno_file(tmp_path):
    """Return a function that writes a hypnogram and edits its bytes."""

    def write(suffix, edit):
        fname = tmp_path / f"night{suffix}"
        hypno = Hypnogram.from_integers(np.arange(40) % 5, start="2024-03-05 22:30")
        write_hypnogram(fname, hypno, overwrite=True)
        fname.write_bytes(edit(fname.read_bytes()))
        return fname

    return write


@pytest.mark.parametrize("n_bytes", [1, 30, 500])
def test_an_edf_hypnogram_that_is_cut_short_is_refused(hypno_file, n_bytes):
    """Or the end of the night would be lost without a word."""
    fname = hypno_file(".edf", lambda content: content[:-n_bytes])
    for read in (read_hypnogram, lambda fname: stages_on_grid(fname, 40)):
        with pytest.raises(ValueError, match=f"cut short.* {n_bytes} bytes"):
            read(fname)


def test_annotations_of_thousands_of_digits_are_no_hang(hypno_file):
    """Looking for annotations takes a time that grows with the file, not faster."""

    def edit(content):
        return content[:517] + b"+".ljust(len(content) - 517, b"9")

    with pytest.raises(ValueError, match="holds no annotations"):
        read_hypnogram(hypno_file(".edf", edit))


@pytest.mark.parametrize("n_left", [0, 1, -1])
@pytest.mark.parametrize(
    ("suffix", "cell"), [(".csv", b",REM"), (".tsv", b"\tSleep stage R")]
)
def test_a_table_that_is_cut_in_a_row_is_refused(hypno_file, suffix, cell, n_left):
    fname = hypno_file(suffix, lambda content: content[: content.rindex(cell) + n_left])
    with pytest.raises(ValueError, match="is empty or missing"):
        read_hypnogram(fname)


def test_rows_longer_than_the_header_are_refused(hypno_file):
    fname = hypno_file(".tsv", lambda content: content.replace(b"Sleep", b"x\tSleep"))
    with pytest.raises(ValueError, match="more cells than its header"):
        read_hypnogram(fname)


@pytest.mark.parametrize("number", ["one", "", "nan", "1e999"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_table_with_wrong_numbers_is_refused(hypno_file, column, number):
    def edit(content):
        lines = content.decode().splitlines()
        cells = lines[5].split(",")
        cells[column] = number
        lines[5] = ",".join(cells)
        return "\n".join(lines).encode()

    match = r"must hold numbers|does not count|not follow|is empty"
    with pytest.raises(ValueError, match=match):
        read_hypnogram(hypno_file(".csv", edit))


@pytest.mark.parametrize(("days", "is_read"), [(366, True), (367, False)])
def test_a_hypnogram_may_be_a_year_long(tmp_path, days, is_read):
    """More is a typing error, and would fill the memory from one short line."""
    fname = tmp_path / "year.tsv"
    fname.write_text(f"onset\tduration\ttrial_type\n0\t{days * 86400}\tN2\n")
    if is_read:
        assert read_hypnogram(fname).n_epochs == days * 2880
        return
    with pytest.raises(ValueError, match="from one epoch to one year"):
        read_hypnogram(fname)
