"""A technician's folder: twelve recordings, four of them broken."""

import os
import shutil
import signal
import subprocess
import sys

import pandas as pd
import pytest

from mne_mc2sleep import MC2SleepClassifier, simulate_night

GOOD = [f"night{number:02}" for number in range(1, 9)]
BROKEN = ["cut", "empty", "no_eeg", "other_channel"]


@pytest.fixture(scope="module")
def folder(nights, tmp_path_factory):
    """Fill a folder with recordings, and with files of other kinds."""
    folder = tmp_path_factory.mktemp("recordings")
    source = nights[1].fname
    for name in (*GOOD, "SC4001EC-Hypnogram"):
        shutil.copy(source, folder / f"{name}.edf")
    raw, _ = simulate_night(120.0, random_state=0)
    raw = raw.pick([0])
    for name, ch_name in {"no_eeg": "ECG", "other_channel": "Fp1-A2"}.items():
        renamed = raw.copy().rename_channels({raw.ch_names[0]: ch_name})
        renamed.export(folder / f"{name}.edf", verbose="ERROR")
    (folder / "empty.edf").write_bytes(b"")
    (folder / "cut.edf").write_bytes((folder / "night01.edf").read_bytes()[:300])
    (folder / "notes.txt").write_text("Slept badly.")
    return folder


@pytest.fixture
def stage(run, folder, weights, tmp_path):
    """Return a function that stages the folder: status, lines of stderr, summary."""
    summary = tmp_path / "nights.csv"

    def stage(*options):
        command = ("stage", folder, "--weights", weights, "--picks", "EEG Fpz-Cz")
        files = ("--out-dir", tmp_path / "staged", "--outputs", "csv,tsv")
        status, out, err = run(*command, *files, "--summary", summary, *options)
        assert out == ""
        assert "Traceback" not in err
        return status, err.splitlines(), pd.read_csv(summary).set_index("file")

    return stage


def whole_nights(out_dir, suffixes=(".csv", ".json", ".tsv")):
    """Return the nights in a folder, and check that no other file is there."""
    names = {path.name for path in out_dir.iterdir()}
    found = {name.partition("_hypnogram")[0] for name in names}
    assert names == {f"{n}_hypnogram{suffix}" for n in found for suffix in suffixes}
    return sorted(found)


def interrupt_at(monkeypatch, number):
    """Press Ctrl-C while that many recordings have begun to be staged."""
    predict, begun = MC2SleepClassifier.predict, []

    def predict_or_interrupt(self, raws, **kwargs):
        begun.append(raws)
        if len(begun) == number:
            raise KeyboardInterrupt
        return predict(self, raws, **kwargs)

    monkeypatch.setattr(MC2SleepClassifier, "predict", predict_or_interrupt)


def test_a_folder_with_broken_files_an_interrupt_and_a_second_run(
    stage, folder, tmp_path, monkeypatch
):
    """What is finished stays, what is broken is named, and nothing is done twice."""
    out_dir = tmp_path / "staged"
    with monkeypatch.context() as patch:
        # In the order of names: cut, empty, night01, night02, night03, ...
        interrupt_at(patch, 5)
        status, lines, table = stage()
    assert status == 130
    assert whole_nights(out_dir) == ["night01", "night02"]
    assert lines[-1].startswith("mne-mc2sleep: interrupted: 2 of 12 staged, 2 failed.")
    assert list(table["status"]) == ["failed", "failed", "staged", "staged"]

    status, lines, table = stage()
    assert status == 1
    assert whole_nights(out_dir) == GOOD
    assert "[12/12] other_channel.edf" in "\n".join(lines)
    assert "6 of 12 staged, 2 finished before, 4 failed:" in lines
    errors = [line for line in lines if ": error: " in line]
    for name, line in zip(BROKEN, errors, strict=True):
        assert str(folder / f"{name}.edf") in line
    assert len(errors) == len(table["error"].dropna()) == 4
    assert len(table) == 12
    good = table.loc[[str(folder / f"{name}.edf") for name in GOOD]]
    assert (good["n_epochs"] == 15).all()
    columns = ["channel", "weights_sha256", "version", "start", "TST"]
    assert good[columns].notna().all(axis=None)

    before = {path: path.stat().st_mtime_ns for path in out_dir.iterdir()}
    status, lines, table = stage()
    assert status == 1
    assert "0 of 12 staged, 8 finished before, 4 failed:" in lines
    assert {path: path.stat().st_mtime_ns for path in out_dir.iterdir()} == before
    again = table.loc[good.index].drop(columns="status")
    assert good.drop(columns="status").equals(again)

    # Finished means that all files are there.
    (out_dir / "night03_hypnogram.csv").unlink()
    assert "1 of 12 staged, 7 finished before, 4 failed:" in stage()[1]
    _, lines, table = stage("--overwrite", "-q")
    assert len(lines) == 4
    assert (table["status"] == "staged").sum() == 8


def test_ctrl_c_in_a_terminal_with_two_jobs(run, folder, weights, tmp_path):
    """All processes end, what is there is whole, and a second run resumes."""
    good = ["night01", "night02"]
    nights = [str(folder / f"{name}.edf") for name in ["cut", "empty", *good]]
    # Reading a pipe that nobody writes to takes until Ctrl-C.
    endless, out_dir = tmp_path / "endless.edf", tmp_path / "staged"
    os.mkfifo(endless)
    options = ["--weights", weights, "--out-dir", str(out_dir), "--outputs", "csv"]
    command = [sys.executable, "-m", "mne_mc2sleep", "stage", *nights, str(endless)]
    process = subprocess.Popen(
        [*command, *options, "--n-jobs", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # The third line comes when three recordings have ended, two of them broken.
    lines = [process.stderr.readline() for _ in range(3)]
    assert lines[2].startswith("[3/5]")
    os.killpg(process.pid, signal.SIGINT)
    *_, last = process.communicate(timeout=300)[1].splitlines()
    assert process.returncode == 130
    assert last.startswith("mne-mc2sleep: interrupted: ")
    n_before = len(whole_nights(out_dir, (".csv", ".json")))
    assert 1 <= n_before <= 2
    _, _, err = run("stage", *nights, *options)
    counts = f"{2 - n_before} of 4 staged, {n_before} finished before, 2 failed:"
    assert counts in err
    assert whole_nights(out_dir, (".csv", ".json")) == good
