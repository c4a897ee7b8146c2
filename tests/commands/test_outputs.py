"""Where the command line writes, and what is there if it cannot."""

from __future__ import annotations

import resource
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.mark.parametrize("out_dir", ["in/../staged", "../other"])
def test_all_files_are_in_the_folder_that_was_asked_for(
    run, weights, nights, tmp_path, monkeypatch, out_dir
):
    """For any path of the recording."""
    work = tmp_path / "work"
    (work / "in").mkdir(parents=True)
    shutil.copy(nights[1].fname, tmp_path / "night.edf")
    monkeypatch.chdir(work)
    before = set(tmp_path.rglob("*.*"))
    options = ("--weights", weights, "--out-dir", out_dir, "--outputs", "csv")
    assert run("stage", "in//../../night.edf", *options)[0] == 0
    asked = Path(out_dir).resolve()
    written = {asked / f"night_hypnogram{suffix}" for suffix in (".csv", ".json")}
    assert set(tmp_path.rglob("*.*")) - before == written


def test_a_link_in_the_folder_is_not_followed(run, nights, weights, tmp_path):
    """Somebody's file that it points to stays, even if it is to be created."""
    out_dir, mine = tmp_path / "staged", tmp_path / "mine"
    out_dir.mkdir()
    (out_dir / "second_hypnogram.csv").symlink_to(mine)
    command = ("stage", nights[1].fname, "--weights", weights, "--out-dir", out_dir)
    assert run(*command, "--outputs", "csv")[0] == 0
    assert not mine.exists()


@contextmanager
def full_disk(n_bytes):
    """Let no file grow beyond some bytes; not even a log of the tests, if held on."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_old_files(fails, run, nights, weights, tmp_path):
    """None is replaced if one cannot be written."""
    out_dir = tmp_path / "staged"
    command = ("stage", nights[1].fname, "--weights", weights, "--out-dir", out_dir)
    run(*command, "--outputs", "csv,tsv")
    before = {path: path.read_bytes() for path in out_dir.iterdir()}
    # The TSV of a short night is smaller, its CSV is larger.
    options = ("--outputs", "tsv,csv", "--overwrite")
    with full_disk(1024):
        fails(*command, *options, match="File too large", status=1)
    assert {path: path.read_bytes() for path in out_dir.iterdir()} == before


def test_a_full_disk_leaves_the_old_table(fails, nights, weights, tmp_path):
    """``evaluate --out`` replaces its table in one step."""
    fname = tmp_path / "scores.csv"
    fname.write_text("old")
    command = ("evaluate", nights[1].fname, "--hypnograms", nights[1].hypno_fname)
    options = ("--weights", weights, "--out", fname, "--overwrite")
    with full_disk(16):
        fails(*command, *options, match="File too large")
    assert fname.read_text() == "old"
    assert list(tmp_path.iterdir()) == [fname]
