"""``mne-mc2sleep stage``."""

import json
import os
import resource
import shutil
from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_array_equal

from mne_mc2sleep import read_hypnogram, simulate_night
from mne_mc2sleep.commands.main import main

SUFFIXES = (".csv", ".edf", ".json", ".png", ".tsv")
STEMS = ("first_raw", "second")


@pytest.fixture
def stage(run, weights, tmp_path):
    """Return a function that stages recordings into a folder, as tables."""

    def stage(*arguments):
        options = ("--weights", weights, "--out-dir", tmp_path / "out")
        if "--outputs" not in arguments:
            options += ("--outputs", "csv,tsv")
        return run("stage", *arguments, *options)

    return stage


@pytest.fixture(scope="module")
def staged(weights, nights, tmp_path_factory):
    folder = tmp_path_factory.mktemp("staged")
    fnames = [night.fname for night in nights]
    command = ["stage", *fnames, "--weights", weights, "--out-dir", str(folder)]
    assert main(command) == 0
    return folder


def test_files_hold_what_predict_gives(staged, clf, nights):
    """Five files for each recording; read back, each format has the stages."""
    assert {path.name for path in staged.iterdir()} == {
        f"{s}_hypnogram{suffix}" for s in STEMS for suffix in SUFFIXES
    }
    for night, name in zip(nights, STEMS, strict=True):
        expected = clf.predict(night.fname)
        for suffix in (".csv", ".tsv", ".edf"):
            written = read_hypnogram(staged / f"{name}_hypnogram{suffix}")
            assert_array_equal(written.as_int(), expected.as_int())
        written = read_hypnogram(staged / f"{name}_hypnogram.csv")
        assert_array_equal(written.proba.to_numpy(), expected.proba.to_numpy())
        # The local time of the recorder has no time zone; MNE takes it for UTC.
        table = pd.read_csv(staged / f"{name}_hypnogram.csv")
        assert not table["time"].str.contains(r"\+|Z").any()
    image = matplotlib.image.imread(staged / "second_hypnogram.png")
    assert image.std() > 0
    assert plt.get_fignums() == []


def test_an_overwrite_that_is_interrupted_is_done_again(
    stage, nights, tmp_path, monkeypatch
):
    """Old stages beside a new sidecar would pass for those of the new weights."""
    fname = nights[1].fname
    stage(fname)

    def interrupt(self, target, replace=Path.replace):
        replace(self, target)
        if Path(target).suffix == ".json":
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", interrupt)
        assert stage(fname, "--overwrite")[0] == 130
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".json"}
    status, _, err = stage(fname)
    assert status == 0
    assert "1 of 1 staged" in err


def test_every_file_names_the_software_and_the_weights(staged, weights):
    """The sidecar in full, the CSV by its scorer, the EDF in its recording field."""
    sidecar = json.loads((staged / "second_hypnogram.json").read_text())
    (made_by,) = sidecar["GeneratedBy"]
    sha256 = made_by["Weights"]["SHA256"]
    names = (made_by["Name"], made_by["Weights"]["Name"])
    assert names == ("mne_mc2sleep", Path(weights).name)
    assert sidecar["Channel"] == "EEG Fpz-Cz"
    scorer = read_hypnogram(staged / "second_hypnogram.csv").scorer
    assert scorer == sidecar["Scorer"]
    for part in ("mne_mc2sleep", "lab.safetensors", sha256[:12], "EEG Fpz-Cz"):
        assert part in scorer
    column = sidecar["trial_type"]
    stages = set(pd.read_csv(staged / "second_hypnogram.tsv", sep="\t")["trial_type"])
    assert stages <= column["Levels"].keys() == column["HED"].keys()
    field = (staged / "second_hypnogram.edf").read_bytes()[88:168].decode()
    assert "MC2SleepNet mne_mc2sleep" in field
    assert sha256[:8] in field


def test_outputs_are_those_asked_for(run, nights, weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ("stage", nights[1].fname, "--weights", weights)
    assert run(*command, "--outputs", "tsv", "-q") == (0, "", "")
    assert {path.suffix for path in tmp_path.iterdir()} == {".tsv", ".json"}
    _, out, err = run(*command, "--outputs", "tsv,csv", "-v")
    assert "TST" in out
    assert "1 of 1 staged" in err


def test_channels_are_alternatives_or_averaged(stage, clf, nights, tmp_path):
    summary, written = tmp_path / "nights.json", tmp_path / "out/second_hypnogram.csv"
    fname, channels = nights[1].fname, ["EEG Fpz-Cz", "EEG Pz-Oz"]
    stage(fname, "--picks", "Cz, EEG Pz-Oz", "--summary", summary)
    (row,) = json.loads(summary.read_text())
    assert row["channel"] == "EEG Pz-Oz"
    stage(fname, "--average-channels", ",".join(channels), "--overwrite")
    proba = clf.predict(fname, average_channels=channels).proba
    assert_array_equal(read_hypnogram(written).proba.to_numpy(), proba.to_numpy())


def test_wrong_names_are_refused_before_staging(fails, nights, weights, tmp_path):
    out_dir = tmp_path / "staged"
    fnames = [nights[1].fname, tmp_path / "Second.bdf"]
    match = "2 of the recordings would all be written as second_hypnogram.*"
    options = ("--weights", weights, "--out-dir", out_dir)
    fails("stage", *fnames, *options, match=match)
    match = "holds no recording that ends in one of .edf"
    fails("stage", tmp_path, *options, match=match)
    latin1 = os.fsdecode(b"M\xfcller.edf")
    fails("stage", latin1, *options, match="udcfcller.edf' is not valid UTF-8")
    assert not out_dir.exists()


def test_files_of_others_are_kept(stage, nights, tmp_path):
    fname = tmp_path / "out" / "second_hypnogram.tsv"
    fname.parent.mkdir()
    fname.write_text("mine")
    status, _, err = stage(nights[1].fname)
    assert status == 1
    assert "second_hypnogram.tsv, which mne_mc2sleep did not write" in err
    assert fname.read_text() == "mine"
    assert stage(nights[1].fname, "--overwrite")[0] == 0
    assert fname.read_text() != "mine"


@pytest.mark.parametrize("key", ["Weights", "Channels"])
def test_hypnograms_by_other_weights_are_kept_with_a_warning(
    stage, nights, tmp_path, key
):
    stage(nights[1].fname)
    sidecar = tmp_path / "out" / "second_hypnogram.json"
    content = json.loads(sidecar.read_text())
    content["GeneratedBy"][0][key] = "others"
    sidecar.write_text(json.dumps(content))
    status, _, err = stage(nights[1].fname)
    assert status == 0
    assert "1 finished recordings were staged by other weights or channels" in err


def test_hypnograms_by_other_channels_do_not_stay_beside_new_ones(
    stage, nights, tmp_path
):
    """Nor do new ones replace them, or files of others, without --overwrite."""
    fname, mine = nights[1].fname, tmp_path / "out/second_hypnogram.tsv"
    tables, others = ("--outputs", "csv,tsv"), ("--picks", "EEG Pz-Oz")
    stage(fname, "--outputs", "csv,edf")
    assert "hypnogram.edf, made by other weights" in stage(fname, *tables, *others)[2]
    mine.write_text("mine")
    assert "hypnogram.tsv, which mne_mc2sleep did not" in stage(fname, *tables)[2]
    for options, n_files in (((), 4), (others, 3)):
        assert stage(fname, *tables, *options, "--overwrite")[0] == 0
        assert len(list(mine.parent.iterdir())) == n_files


def test_only_the_same_recording_is_finished(stage, nights, tmp_path):
    """A changed file is staged again; another one of that name replaces nothing."""
    for folder in "ab":
        (tmp_path / folder).mkdir()
    ours, theirs = tmp_path / "a" / "night.edf", tmp_path / "b" / "night.edf"
    content = Path(nights[1].fname).read_bytes()
    ours.write_bytes(content)
    theirs.write_bytes(content[: len(content) * 3 // 4])
    shorter = theirs.read_bytes()
    written = tmp_path / "out" / "night_hypnogram.csv"
    stage(ours)
    n_epochs = len(read_hypnogram(written))
    status, _, err = stage(theirs)
    assert status == 1
    assert f"made from another recording, {ours}" in err
    assert "1 finished before" in stage(ours)[2]
    assert "1 finished before" in stage(shutil.copy2(ours, tmp_path / "b"))[2]
    ours.with_suffix(".eeg").write_bytes(b"signals of BrainVision")
    assert "1 of 1 staged" in stage(ours)[2]
    ours.write_bytes(shorter)
    assert "1 of 1 staged" in stage(ours)[2]
    assert len(read_hypnogram(written)) < n_epochs


def test_a_missing_recording_is_an_error(fails, weights, tmp_path):
    options = ("--weights", weights, "--out-dir", tmp_path)
    fails("stage", "nowhere.edf", *options, match="nowhere.edf: There is no", status=1)


def test_a_summary_of_other_recordings_is_kept(stage, nights, tmp_path):
    summary = tmp_path / "nights.csv"
    summary.write_text("file,age\nother.edf,30\n")
    status, _, err = stage(nights[1].fname, "--summary", summary)
    assert status == 2
    assert "Pass --overwrite" in err
    assert "other.edf" in summary.read_text()


def test_a_warning_names_the_recording(stage, tmp_path):
    raw, _ = simulate_night(600.0, random_state=0)
    fname, summary = tmp_path / "smooth_raw.fif", tmp_path / "nights.csv"
    raw.filter(None, 12, verbose="ERROR").save(fname, verbose="ERROR")
    status, _, err = stage(fname, "--summary", summary)
    warned = [line for line in err.splitlines() if ": warning: " in line]
    assert status == 0
    assert all(line.startswith(f"mne-mc2sleep: warning: {fname}") for line in warned)
    assert any("low-pass" in line for line in warned)
    assert "low-pass" in pd.read_csv(summary)["warnings"][0]
    sidecar = tmp_path / "out" / "smooth_raw_hypnogram.json"
    content = json.loads(sidecar.read_text(), parse_constant=pytest.fail)
    assert "low-pass" in content["Summary"]["warnings"]


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


def test_a_link_in_the_folder_is_not_followed(stage, nights, tmp_path):
    """Somebody's file that it points to stays, even if it is to be created."""
    link, mine = tmp_path / "out" / "second_hypnogram.csv", tmp_path / "mine"
    link.parent.mkdir()
    link.symlink_to(mine)
    assert stage(nights[1].fname)[0] == 0
    assert not mine.exists()


def test_a_full_disk_leaves_the_old_files(stage, nights, tmp_path):
    stage(nights[1].fname)
    out_dir = tmp_path / "out"
    before = {path: path.read_bytes() for path in out_dir.iterdir()}
    # The TSV of a short night is smaller, its CSV is larger.
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))
    try:
        status, _, err = stage(nights[1].fname, "--outputs", "tsv,csv", "--overwrite")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1
    assert f"error: {nights[1].fname}: [Errno 27] File too large" in err
    assert {path: path.read_bytes() for path in out_dir.iterdir()} == before
