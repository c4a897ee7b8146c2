"""``mne-mc2sleep stage``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from numpy.testing import assert_array_equal

from mne_mc2sleep import MC2SleepClassifier, read_hypnogram, simulate_night
from mne_mc2sleep.commands._outputs import stem
from mne_mc2sleep.commands.main import main

SUFFIXES = (".csv", ".edf", ".json", ".png", ".tsv")
STEMS = ("first_raw", "second")


@pytest.fixture(scope="module")
def clf(weights):
    """Load the stager."""
    return MC2SleepClassifier.from_pretrained(weights)


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
    """Stage both nights; return the folder, which must not be modified."""
    folder = tmp_path_factory.mktemp("staged")
    fnames = [night.fname for night in nights]
    command = ["stage", *fnames, "--weights", weights, "--out-dir", str(folder)]
    assert main(command) == 0
    return folder


def test_five_files_are_written_for_each_recording(staged):
    """The folder is made, and holds nothing else."""
    names = {path.name for path in staged.iterdir()}
    assert names == {f"{s}_hypnogram{suffix}" for s in STEMS for suffix in SUFFIXES}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".edf"])
def test_files_hold_the_stages_that_predict_gives(staged, clf, nights, suffix):
    """Read back, every format has the stages of clf.predict."""
    for night, name in zip(nights, STEMS, strict=True):
        written = read_hypnogram(staged / f"{name}_hypnogram{suffix}")
        assert_array_equal(written.as_int(), clf.predict(night.fname).as_int())


def test_the_csv_holds_the_probabilities(staged, clf, nights):
    """Read back, they are those of clf.predict to the last digit."""
    written = read_hypnogram(staged / "second_hypnogram.csv")
    proba = clf.predict(nights[1].fname).proba
    assert_array_equal(written.proba.to_numpy(), proba.to_numpy())


def test_the_clock_of_the_recorder_has_no_time_zone(staged):
    """It is local time; MNE takes it for UTC."""
    table = pd.read_csv(staged / "second_hypnogram.csv")
    assert not table["time"].str.contains(r"\+|Z").any()


def test_the_picture_can_be_read(staged):
    """The PNG is an image with something on it, and no figure stays open."""
    image = matplotlib.image.imread(staged / "second_hypnogram.png")
    assert image.std() > 0
    assert plt.get_fignums() == []


def test_every_file_names_the_software_and_the_weights(staged, weights):
    """The sidecar in full, the CSV by its scorer, the EDF in its recording field."""
    sidecar = json.loads((staged / "second_hypnogram.json").read_text())
    (made_by,) = sidecar["GeneratedBy"]
    sha256 = made_by["Weights"]["SHA256"]
    assert (made_by["Name"], made_by["Weights"]["Name"]) == (
        "mne_mc2sleep",
        Path(weights).name,
    )
    assert sidecar["Channel"] == "EEG Fpz-Cz"
    scorer = read_hypnogram(staged / "second_hypnogram.csv").scorer
    assert scorer == sidecar["Scorer"]
    for part in ("mne_mc2sleep", "lab.safetensors", sha256[:12], "EEG Fpz-Cz"):
        assert part in scorer
    field = (staged / "second_hypnogram.edf").read_bytes()[88:168].decode()
    assert "MC2SleepNet mne_mc2sleep" in field
    assert sha256[:8] in field


def test_the_sidecar_explains_every_stage_of_the_table(staged):
    """With a meaning and a HED tag."""
    column = json.loads((staged / "second_hypnogram.json").read_text())["trial_type"]
    found = set(pd.read_csv(staged / "second_hypnogram.tsv", sep="\t")["trial_type"])
    assert found <= set(column["Levels"])
    assert set(column["Levels"]) == set(column["HED"])


def test_outputs_are_those_asked_for(stage, nights, tmp_path):
    """With the sidecar; asking for more stages again."""
    assert stage(nights[1].fname, "--outputs", "tsv")[0] == 0
    suffixes = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert suffixes == {".tsv", ".json"}
    _, _, err = stage(nights[1].fname, "--outputs", "tsv,csv")
    assert "1 of 1 staged" in err


def test_statistics_are_printed_on_request(stage, nights):
    """By -v only."""
    _, out, _ = stage(nights[1].fname, "-v")
    assert "TST" in out


def test_quiet_reports_nothing(stage, nights):
    """Unless a recording fails."""
    assert stage(nights[1].fname, "-q") == (0, "", "")


def test_channels_are_averaged(stage, clf, nights, tmp_path):
    """--average-channels is the parameter of predict."""
    channels = ["EEG Fpz-Cz", "EEG Pz-Oz"]
    stage(nights[1].fname, "--average-channels", ",".join(channels))
    written = read_hypnogram(tmp_path / "out" / "second_hypnogram.csv")
    expected = clf.predict(nights[1].fname, average_channels=channels)
    assert_array_equal(written.proba.to_numpy(), expected.proba.to_numpy())


def test_picks_are_alternatives(stage, tmp_path, nights):
    """The first that the recording has is taken, and named in the summary."""
    summary = tmp_path / "nights.json"
    stage(nights[1].fname, "--picks", "Cz, EEG Pz-Oz", "--summary", summary)
    (row,) = json.loads(summary.read_text())
    assert row["channel"] == "EEG Pz-Oz"


def test_files_go_to_the_current_folder(run, nights, weights, tmp_path, monkeypatch):
    """Without --out-dir."""
    monkeypatch.chdir(tmp_path)
    run("stage", nights[0].fname, "--weights", weights, "--outputs", "csv")
    assert Path("first_raw_hypnogram.csv").exists()


@pytest.mark.parametrize(
    ("recording", "name"),
    [
        ("a/night.edf", "night"),
        ("night_raw.fif.gz", "night_raw"),
        ("sub-01.v2.bdf", "sub-01.v2"),
    ],
)
def test_the_stem_is_the_name_without_its_format(recording, name):
    """Dots in a name and compression are handled."""
    assert stem(recording) == name


def test_equal_stems_are_refused_before_staging(fails, nights, weights, tmp_path):
    """Two recordings must not overwrite each other's hypnograms."""
    out_dir = tmp_path / "staged"
    fnames = [nights[1].fname, tmp_path / "second.bdf"]
    match = "2 of the recordings would all be written as second_hypnogram.*"
    fails("stage", *fnames, "--weights", weights, "--out-dir", out_dir, match=match)
    assert not out_dir.exists()


def test_files_of_others_are_kept(stage, nights, tmp_path):
    """An expert's hypnogram in the folder is an error, unless --overwrite is given."""
    fname = tmp_path / "out" / "second_hypnogram.tsv"
    fname.parent.mkdir()
    fname.write_text("mine")
    status, _, err = stage(nights[1].fname)
    assert status == 1
    assert "second_hypnogram.tsv, which mne_mc2sleep did not write" in err
    assert fname.read_text() == "mine"
    assert stage(nights[1].fname, "--overwrite")[0] == 0
    assert fname.read_text() != "mine"


def test_hypnograms_by_other_weights_are_kept_with_a_warning(stage, nights, tmp_path):
    """A second run by other weights does not hide that nothing was staged."""
    stage(nights[1].fname)
    sidecar = tmp_path / "out" / "second_hypnogram.json"
    content = json.loads(sidecar.read_text())
    content["Summary"] |= {"weights_sha256": "0", "weights": "old"}
    sidecar.write_text(json.dumps(content))
    status, _, err = stage(nights[1].fname)
    assert status == 0
    assert "1 finished recordings were staged by other weights (old)" in err


def test_a_summary_of_other_recordings_is_kept(stage, nights, tmp_path):
    """Nor is any other table replaced, unless --overwrite is given."""
    summary = tmp_path / "nights.csv"
    summary.write_text("file,age\nother.edf,30\n")
    status, _, err = stage(nights[1].fname, "--summary", summary)
    assert status == 2
    assert "Pass --overwrite" in err
    assert "other.edf" in summary.read_text()


def make_file(folder, kind):
    """Write a recording that cannot be staged."""
    if kind == "short.edf":
        raw, _ = simulate_night(30.0, random_state=0)
        raw.crop(0, 20).export(folder / kind, verbose="ERROR")
    elif kind == "flat_raw.fif":
        raw, _ = simulate_night(60.0, random_state=0)
        raw._data[:] = 0
        raw.save(folder / kind, verbose="ERROR")
    return folder / kind


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("short.edf", "at least one epoch of 30 s"),
        ("text.xyz", "There is no recording"),
        ("flat_raw.fif", "cannot be staged"),
    ],
)
def test_bad_recordings_are_one_sentence(fails, weights, tmp_path, kind, match):
    """What cannot be staged is named with the reason, and the exit status is 1."""
    fname = make_file(tmp_path, kind)
    command = ("stage", fname, "--weights", weights, "--out-dir", tmp_path)
    fails(*command, match=f"{fname}: ", status=1)
    fails(*command, match=match, status=1)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--device", "abacus"), "device 'abacus'"),
        (("--weights", "no.safetensors"), "'no.safetensors'"),
        (("--out-dir", __file__), "is a file. Pass a folder with --out-dir"),
        (("--n-jobs", "0"), "--n-jobs must be 1 or more, or -1"),
        (("--outputs", "csv,doc"), "invalid choice: ['doc']"),
        (("--picks", "Cz,"), "empty name between its commas"),
        (("--summary", "nights.doc"), "must end in .csv or .json"),
        (("--picks", "Cz", "--average-channels", "Cz,Pz"), "not allowed with"),
    ],
)
def test_bad_options_are_one_sentence(fails, nights, weights, tmp_path, options, match):
    """Nothing is staged, and the exit status is 2."""
    command = ("stage", nights[0].fname, "--weights", weights, "--out-dir", tmp_path)
    fails(*command, *options, match=match)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_channel_names_the_option(fails, nights, weights, tmp_path):
    """And not the parameter of Python."""
    options = ("--weights", weights, "--out-dir", tmp_path, "--picks", "Cz")
    fails("stage", nights[0].fname, *options, match="'Cz'", status=1)


def test_damaged_weights_are_one_sentence(fails, nights, weights, tmp_path):
    """A truncated file holds no stager."""
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(Path(weights).read_bytes()[:1000])
    fails("stage", nights[0].fname, "--weights", damaged, match="is damaged")


def test_a_warning_names_the_recording(stage, tmp_path):
    """It is one line, and stands in the summary and the sidecar."""
    raw, _ = simulate_night(600.0, random_state=0)
    fname, summary = tmp_path / "smooth_raw.fif", tmp_path / "nights.csv"
    raw.filter(None, 12, verbose="ERROR").save(fname, verbose="ERROR")
    status, _, err = stage(fname, "--summary", summary)
    warned = [line for line in err.splitlines() if ": warning: " in line]
    assert status == 0
    assert all(line.startswith("mne-mc2sleep: warning: ") for line in warned)
    assert all(str(fname) in line for line in warned)
    assert any("low-pass" in line for line in warned)
    assert "low-pass" in pd.read_csv(summary)["warnings"][0]
    sidecar = tmp_path / "out" / "smooth_raw_hypnogram.json"
    assert "low-pass" in json.loads(sidecar.read_text())["Summary"]["warnings"]


def test_the_matplotlib_backend_of_the_environment_does_not_matter(
    nights, weights, tmp_path, monkeypatch
):
    """A notebook's may not be installed here."""
    import subprocess
    import sys

    monkeypatch.setenv("MPLBACKEND", "module://no_such_module.backend")
    command = [sys.executable, "-m", "mne_mc2sleep", "stage", nights[1].fname, "-q"]
    command += ["--weights", weights, "--out-dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "second_hypnogram.png").exists()


def test_recordings_are_not_modified(run, weights, tmp_path, nights):
    """The file of the recording is the same afterwards, even beside its hypnogram."""
    fname = tmp_path / "second.edf"
    shutil.copy(nights[1].fname, fname)
    before = fname.read_bytes()
    run("stage", fname, "--weights", weights, "--out-dir", tmp_path)
    assert fname.read_bytes() == before


def test_a_folder_without_recordings_is_an_error(fails, weights, tmp_path):
    """The endings that are looked for are listed."""
    match = "holds no recording that ends in one of .edf"
    fails("stage", tmp_path, "--weights", weights, match=match)
    assert np.size(list(tmp_path.iterdir())) == 0
