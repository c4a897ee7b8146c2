"""Damaged and hostile files: what `benchmarks/fuzz.py` found, and some of its cases."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from yasa import Hypnogram

from mne_mc2sleep import MC2SleepClassifier, simulate_night
from mne_mc2sleep.io.hypnograms import read_hypnogram, stages_on_grid, write_hypnogram
from mne_mc2sleep.io.recordings import read_recording
from mne_mc2sleep.weights.file_format import (
    load_tensors,
    load_weights,
    save_tensors,
    save_weights,
)

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.mark.skipif(not FUZZ.exists(), reason="benchmarks/ is not in the sdist")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_hostile_files_at_random():
    """Each is refused with a message or read; no crash, hang or waste of memory."""
    command = [sys.executable, FUZZ, "--cases", "40", "--first", "100000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for kind in ("weights", "edf", "hypnogram"):
        assert f"| {kind} | 40 |" in ended.stdout


@pytest.fixture
def saved(net, tmp_path):
    """Return weights in a file."""
    fname = tmp_path / "lab.safetensors"
    save_weights(fname, net, {})
    return fname


def reseal(fname, **header):
    """Rewrite weights with another header and a correct checksum."""
    tensors, old = load_tensors(fname)
    save_tensors(fname, tensors, old | header)


@pytest.mark.parametrize(
    "edit",
    [
        {"width": 10**6},
        {"feedforward": 10**9},
        {"sequence_layers": 10**9},
        {"spectrogram_layers": 10**9},
        {"signal_convolutions": (10**9, 1, 1, 1, 1)},
        {"signal_channels": (10**9, 4, 4, 4, 8)},
        {"stem_kernel": 10**9},
        {"sequence_length": 10**12},
        {"pool_size": 10**12},
        {"stem_stride": 10**12},
        {"sequence_layers": -(10**6), "width": 10**6},
        {"pool_size": 0.5},
        {"stem_stride": (1, 2)},
    ],
    ids=str,
)
def test_sizes_beyond_the_tensors_are_refused_at_once(saved, config, edit):
    """Before a network of many gigabytes or without end is made."""
    reseal(saved, config=json.dumps(asdict(config) | edit))
    with pytest.raises(ValueError, match=r"do not fit their configuration"):
        load_weights(saved)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(net, tmp_path, value):
    """They could stage nothing, and would say so only with the first recording."""
    net.total_head.bias.data[2] = value
    save_weights(tmp_path / "lab.safetensors", net, {})
    with pytest.raises(ValueError, match="posteriors are not finite"):
        load_weights(tmp_path / "lab.safetensors")


@pytest.fixture
def stager_file(trained, tmp_path):
    """Return a function that saves a stager with one entry of its metadata changed."""
    fname = tmp_path / "lab.safetensors"

    def save(name, value):
        trained.save(fname, {}, overwrite=True)
        _, header = load_tensors(fname)
        metadata = json.loads(header["metadata"]) | {name: value}
        reseal(fname, metadata=json.dumps(metadata))
        return fname

    return save


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_an_impossible_temperature_is_refused(stager_file, value):
    """At loading, and not as probabilities that make no sense."""
    with pytest.raises(ValueError, match="not a number above 0"):
        MC2SleepClassifier.from_pretrained(
            stager_file("calibration_temperature", value)
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("calibration_temperature", "hot"),
        ("validation_subjects", {"a": 1}),
        ("can_stage", "yes"),
        ("parameters", ["picks"]),
        ("provenance", None),
        ("scores", [0.9]),
    ],
)
def test_metadata_of_another_type_are_refused(stager_file, name, value):
    """The message names what is wrong."""
    with pytest.raises(ValueError, match=f"metadata '{name}' in"):
        MC2SleepClassifier.from_pretrained(stager_file(name, value))


def test_metadata_that_are_no_table_are_refused(saved):
    """A list of JSON, under a right checksum."""
    reseal(saved, metadata="[1, 2]")
    with pytest.raises(ValueError, match="metadata are not a table"):
        MC2SleepClassifier.from_pretrained(saved)


@pytest.fixture
def edf(tmp_path):
    """Return a function that writes a recording with a lie in its header."""

    def write(*lies):
        fname = tmp_path / "night.edf"
        simulate_night(90.0, random_state=0)[0].export(fname, verbose="ERROR")
        content = bytearray(fname.read_bytes())
        for first, text in lies:
            content[first : first + 8] = text.encode().ljust(8)
        fname.write_bytes(content)
        return fname

    return write


@pytest.mark.parametrize("duration", ["1000000", "99999999"])
def test_a_rate_near_zero_is_refused_before_the_grid_is_made(edf, duration):
    """Records of years would have a billion epochs."""
    with pytest.raises(ValueError, match="sampled at"):
        read_recording(edf((244, duration)))


def test_records_longer_than_all_time_are_refused(edf):
    """Dates outside Python's range do not raise an OverflowError."""
    with pytest.raises(ValueError, match=r"MNE cannot read|sampled at"):
        read_recording(edf((244, "1e18")))


def test_a_cut_fif_file_is_refused_by_its_name(tmp_path):
    """MNE finds out only when it reads the data."""
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


@pytest.mark.parametrize("content", [b"0" * 100, b"\0" * 600, b"no EDF" * 100])
def test_what_is_no_edf_is_refused(tmp_path, content):
    """The message names the file."""
    (tmp_path / "night.edf").write_bytes(content)
    with pytest.raises(
        ValueError,
        match=r"^night\.edf: The file (has no valid EDF header|is cut short|is empty)",
    ):
        read_hypnogram(tmp_path / "night.edf")


@pytest.mark.parametrize("n_left", [0, 1, -1])
@pytest.mark.parametrize(
    ("suffix", "cell"), [(".csv", b",REM"), (".tsv", b"\tSleep stage R")]
)
def test_a_table_that_is_cut_in_a_row_is_refused(hypno_file, suffix, cell, n_left):
    """Before the last cell or right after the separator."""
    fname = hypno_file(suffix, lambda content: content[: content.rindex(cell) + n_left])
    with pytest.raises(ValueError, match="is empty or missing"):
        read_hypnogram(fname)


def test_rows_longer_than_the_header_are_refused(hypno_file):
    """Pandas would take the first cells for names and shift the columns."""
    fname = hypno_file(".tsv", lambda content: content.replace(b"Sleep", b"x\tSleep"))
    with pytest.raises(ValueError, match="more cells than its header"):
        read_hypnogram(fname)


@pytest.mark.parametrize("number", ["one", "", "9" * 5000, "nan", "1e999"])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_a_table_with_wrong_numbers_is_refused(hypno_file, column, number):
    """Epochs, onsets and durations in a CSV file."""

    def edit(content):
        lines = content.decode().splitlines()
        cells = lines[5].split(",")
        cells[column] = number
        lines[5] = ",".join(cells)
        return "\n".join(lines).encode()

    match = r"must hold numbers|does not count|not follow|is empty"
    with pytest.raises(ValueError, match=match):
        read_hypnogram(hypno_file(".csv", edit))


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"\n2,60.0,", b"\n2,75.0,"), (b",60.0,30.0,", b",60.0,45.0,")],
)
def test_epochs_that_do_not_follow_each_other_are_refused(hypno_file, before, after):
    """A table that was edited by hand must not be shifted in silence."""
    fname = hypno_file(".csv", lambda content: content.replace(before, after))
    with pytest.raises(ValueError, match="do not follow each other"):
        read_hypnogram(fname)


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\0\0\x81", b'onset,stage\n"0', b"\0"]
)
def test_what_is_no_table_is_refused(tmp_path, suffix, content):
    """In our words, with the name of the file."""
    fname = tmp_path / f"night{suffix}"
    fname.write_bytes(content)
    with pytest.raises(ValueError, match=r"^night\.\wsv: (A cell|The )"):
        read_hypnogram(fname)


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
