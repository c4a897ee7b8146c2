"""The table of bad inputs, run through every sub-command."""

import warnings

import numpy as np
import pytest
from bad_input import MISFITS, REFUSED, STAGED
from mne.io import BaseRaw
from yasa import Hypnogram

from mne_mc2sleep import read_hypnogram, write_hypnogram
from mne_mc2sleep.commands.main import main

COMMANDS = ("stage", "evaluate")
WARNING = "mne-mc2sleep: warning: "


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_clf, two_nights):
    """Save the weights, the good night, and the stages of both."""
    folder = tmp_path_factory.mktemp("files")
    tiny_clf.save(folder / "lab.safetensors")
    two_nights[1][0].save(folder / "good_raw.fif")
    for name, (_, stages) in zip(("bad", "good"), two_nights, strict=True):
        write_hypnogram(folder / f"{name}.csv", Hypnogram.from_integers(stages))
    return folder


def save(folder, recording):
    """Write a bad recording to a file, as whatever it is; return the file."""
    if isinstance(recording, str):
        return folder / recording
    if isinstance(recording, np.ndarray):
        np.save(folder / "night.npy", recording)
        return folder / "night.npy"
    is_raw = isinstance(recording, BaseRaw)
    fname = folder / ("night_raw.fif" if is_raw else "night-epo.fif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        recording.save(fname, fmt="double")
    return fname


@pytest.fixture
def run(folder, tmp_path, capsys):
    """Return a function that runs a command: its status, and the lines of stderr."""
    out_dir = tmp_path / "out"
    out_dir.mkdir()

    def run(command, fname, hypno=folder / "bad.csv"):
        weights = ["--weights", folder / "lab.safetensors"]
        arguments = {
            "stage": [fname, *weights, "--out-dir", out_dir, "--outputs", "csv"],
            "evaluate": [fname, *weights, "--hypnograms", hypno],
        }[command]
        with warnings.catch_warnings():
            warnings.simplefilter("default", RuntimeWarning)
            status = main([command, *map(str, arguments)])
        lines = capsys.readouterr().err.splitlines()
        # Without the progress.
        return status, [line for line in lines if line.startswith("mne-mc2sleep: ")]

    return run


@pytest.mark.parametrize("command", COMMANDS)
# FIF files cannot hold an annotation without a time.
@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"BAD without a time"}))
def test_a_file_that_cannot_be_staged_is_one_sentence(
    name, command, run, two_nights, tmp_path
):
    """Exit status 1, one line that names the file, and nothing is written."""
    fname = save(tmp_path, REFUSED[name].make(two_nights[0][0]))
    status, lines = run(command, fname)
    # MNE itself may warn of what it reads.
    (error,) = [line for line in lines if not line.startswith(WARNING)]
    assert status == 1
    assert error.startswith("mne-mc2sleep: error: ")
    assert str(fname) in error
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", STAGED)
def test_an_odd_file_is_staged_with_one_warning_at_most(
    name, run, two_nights, tmp_path
):
    """Exit status 0, and the warning in one line."""
    case = STAGED[name]
    fname = save(tmp_path, case.make(two_nights[0][0]))
    status, lines = run("stage", fname)
    # What is odd may be unlike the training, too.
    odd = [line for line in lines if "is unlike the recordings" not in line]
    assert (status, len(odd)) == (0, case.warning is not None)
    assert all(line.startswith(WARNING) for line in lines)
    hypno = read_hypnogram(tmp_path / "out" / "night_raw_hypnogram.csv")
    assert hypno.n_epochs == case.n_epochs
    assert tuple(np.flatnonzero(hypno.hypno == "UNS")) == case.unusable


@pytest.mark.parametrize("name", MISFITS)
def test_a_hypnogram_file_that_does_not_fit_is_one_sentence(
    name, run, folder, two_nights, tmp_path
):
    """Exit status 1, and one line that names the file."""
    raw, stages = two_nights[0]
    misfit = MISFITS[name][0](stages, raw.info["meas_date"])
    if isinstance(misfit, np.ndarray):
        fname = tmp_path / "stages.txt"
        np.savetxt(fname, misfit, fmt="%d")
    else:
        fname = tmp_path / "stages-annot.fif"
        misfit.save(fname)
    status, lines = run("evaluate", folder / "good_raw.fif", fname)
    assert (status, len(lines)) == (1, 1)
    assert fname.name in lines[0]
