"""Where the command line writes, and what is there if it cannot."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest


@pytest.mark.parametrize("out_dir", ["in/../staged", "../other"])
def test_all_files_are_in_the_folder_that_was_asked_for(
    run, weights, nights, tmp_path, monkeypatch, out_dir
):
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


def test_a_full_disk_leaves_the_old_files(fails, run, nights, weights, tmp_path):
    out_dir = tmp_path / "staged"
    command = ("stage", nights[1].fname, "--weights", weights, "--out-dir", out_dir)
    run(*command, "--outputs", "csv,tsv")
    before = {path: path.read_bytes() for path in out_dir.iterdir()}
    # The TSV of a short night is smaller, its CSV is larger.
    options = ("--outputs", "tsv,csv", "--overwrite")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        fails(*command, *options, match="File too large", status=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path: path.read_bytes() for path in out_dir.iterdir()} == before
