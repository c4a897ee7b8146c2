"""``mne-mc2sleep train``."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from mne_mc2sleep import MC2SleepClassifier, simulate_night
from mne_mc2sleep.training import trainer as _loop

QUICK = ("--train-epochs", 1, "-q")


@pytest.fixture(autouse=True)
def _tiny(tiny_small):
    """Let "small" be a network that trains within a moment."""


@pytest.fixture
def out(tmp_path):
    """Return where to write weights."""
    return tmp_path / "out.safetensors"


@pytest.fixture
def no_training(monkeypatch):
    """Let any training end the test: an error must come before it."""

    def train(*_args, **_kwargs):
        raise AssertionError("The training began.")

    monkeypatch.setattr(MC2SleepClassifier, "fit", train)
    monkeypatch.setattr(MC2SleepClassifier, "finetune", train)


def interrupt_pass(monkeypatch, n_done):
    """Press Ctrl-C after some passes over the nights."""
    train_once, done = _loop._train_once, []

    def train_or_interrupt(*args):
        if len(done) == n_done:
            raise KeyboardInterrupt
        done.append(1)
        return train_once(*args)

    monkeypatch.setattr(_loop, "_train_once", train_or_interrupt)


def fnames(nights):
    """Return the recordings' names."""
    return [night.fname for night in nights]


def test_history_is_written_while_training(run, nights, out, monkeypatch):
    """After Ctrl-C in the second pass, the file has the first one."""
    interrupt_pass(monkeypatch, 1)
    history = out.with_suffix(".csv")
    options = ("--train-epochs", 2, "--history", history, "-q")
    run("train", *fnames(nights), "--out", out, *options)
    assert list(pd.read_csv(history)["train_epoch"]) == [1]


def test_recordings_with_annotations_train_a_stager(run, nights, out):
    """Without --hypnograms, the stages are those in the recordings."""
    status, printed, err = run("train", *fnames(nights), "--out", out, *QUICK)
    assert (status, err) == (0, "")
    assert printed.endswith(f"Wrote {out}\n")
    assert MC2SleepClassifier.from_pretrained(out).stager_.can_stage


def test_hypnograms_train_a_stager(run, nights, tmp_path, out):
    """A recording without annotations is scored by a file."""
    raw, _ = simulate_night(360.0, random_state=0)
    raw.save(tmp_path / "bare_raw.fif", verbose="ERROR")
    command = ("train", tmp_path / "bare_raw.fif", "--out", out, *QUICK)
    status, _, err = run(*command, "--hypnograms", nights[0].hypno_fname)
    assert (status, err) == (0, "")
    n_epochs = MC2SleepClassifier.from_pretrained(out).stager_.provenance[-1][
        "n_epochs"
    ]
    assert sum(n_epochs.values()) == 12


def test_the_history_is_printed(run, nights, out):
    """One line for each pass of each stage of the training."""
    _, printed, _ = run("train", *fnames(nights), "--out", out, *QUICK)
    assert [line.split()[:2] for line in printed.splitlines()[:3]] == [
        ["phase", "train_epoch"],
        ["Pretraining", "1"],
        ["Fine-tuning", "1"],
    ]


def test_the_progress_is_shown(run, nights, out):
    """Both stages of the training have a progress bar, unless -q is given."""
    command = ("train", *fnames(nights), "--out", out, "--train-epochs", 1)
    _, _, err = run(*command)
    assert "Pretraining" in err
    assert "Fine-tuning" in err


def test_the_same_random_state_gives_the_same_weights(run, nights, tmp_path):
    """It is 0 if not given."""
    for name, options in {"a": (), "b": ("--random-state", 0)}.items():
        out = tmp_path / f"{name}.safetensors"
        run("train", nights[0].fname, "--out", out, *options, *QUICK)
    a, b = (load_file(tmp_path / f"{name}.safetensors") for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("picks", "stored"),
    [
        ("EEG Pz-Oz", "EEG Pz-Oz"),
        ("Cz,EEG Fpz-Cz", ["Cz", "EEG Fpz-Cz"]),
    ],
)
def test_picks_are_kept_with_the_weights(run, nights, out, picks, stored):
    """Of several names, the first that a recording has is taken."""
    run("train", nights[0].fname, "--out", out, "--picks", picks, *QUICK)
    assert MC2SleepClassifier.from_pretrained(out).picks == stored


def test_recordings_of_one_subject_are_not_split(run, nights, out):
    """With one name in --groups, no subject is left to hold out."""
    command = ("train", *fnames(nights), "--out", out, "--train-epochs", 1)
    _, alone, _ = run(*command, "--groups", "anna", "anna")
    _, split, _ = run(*command, "--groups", "anna", "bert", "--overwrite")
    assert "No subject is held out" in alone
    assert "No subject is held out" not in split


def test_weights_are_fine_tuned(run, nights, weights, out):
    """With --weights the backbones stay, and the sequence level learns."""
    options = ("--weights", weights, "--out", out, *QUICK)
    status, _, err = run("train", nights[0].fname, *options)
    assert (status, err) == (0, "")
    old, new = load_file(weights), load_file(out)
    changed = {
        name.split(".")[0] for name in old if not torch.equal(old[name], new[name])
    }
    assert changed == {
        "signal_stack",
        "spectrogram_stack",
        "modality_head",
        "total_head",
    }


def test_fine_tuning_can_replace_its_weights(run, nights, weights, out):
    """--out may be --weights, if --overwrite says so."""
    out.write_bytes(Path(weights).read_bytes())
    options = ("--weights", out, "--out", out, "--overwrite", *QUICK)
    status, _, err = run("train", nights[0].fname, *options)
    assert (status, err) == (0, "")
    assert out.read_bytes() != Path(weights).read_bytes()


def test_ctrl_c_keeps_what_was_learnt(run, nights, out, monkeypatch):
    """After a pass, the weights are written."""
    interrupt_pass(monkeypatch, n_done=1)
    options = ("--out", out, "--train-epochs", 3, "-q")
    status, printed, _ = run("train", nights[0].fname, *options)
    assert status == 0
    assert printed.endswith(f"Wrote {out}\n")
    assert MC2SleepClassifier.from_pretrained(out).stager_.can_stage


@pytest.mark.parametrize("is_finetuned", [False, True])
def test_ctrl_c_before_anything_was_learnt(
    run, nights, weights, out, monkeypatch, is_finetuned
):
    """Within the first pass nothing is written, and the exit code is 130."""
    interrupt_pass(monkeypatch, n_done=0)
    options = ("--weights", weights) if is_finetuned else ()
    command = ("train", nights[0].fname, "--out", out, "-q", *options)
    status, printed, err = run(*command)
    assert (status, printed) == (130, "")
    assert err.startswith("mne-mc2sleep: interrupted: nothing was learnt")
    assert not out.exists()


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("lab.pth", "must end in .safetensors"),
        ("nowhere/lab.safetensors", "does not exist"),
        ("lab.safetensors", "exists. Pass --overwrite"),
    ],
)
def test_the_output_is_checked_before_training(fails, nights, tmp_path, name, match):
    """An hour of training must not be lost for a name."""
    (tmp_path / "lab.safetensors").write_text("mine")
    fails("train", nights[0].fname, "--out", tmp_path / name, match=match)
    assert (tmp_path / "lab.safetensors").read_text() == "mine"


@pytest.mark.usefixtures("no_training")
def test_a_folder_that_cannot_be_written_to(fails, nights, out, monkeypatch):
    """Permission is asked for before the training."""
    monkeypatch.setattr(os, "access", lambda *_args: False)
    fails("train", nights[0].fname, "--out", out, match="is not writable")


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("options", "match"),
    [
        (("--weights", "no.safetensors"), "'no.safetensors'"),
        (("--weights", "a", "--size", "base"), "not allowed with argument --weights"),
        (("--size", "huge"), "invalid choice: 'huge'"),
        (("--device", "abacus"), "cannot compute on the device 'abacus'"),
    ],
)
def test_bad_options_are_one_sentence(fails, nights, out, options, match):
    """What can be told before the training is."""
    fails("train", nights[0].fname, "--out", out, *options, match=match)


@pytest.mark.parametrize(
    ("options", "match", "status"),
    [
        (("--picks", "Cz"), "'Cz'", 1),
        (("--hypnograms", "no.edf"), "no.edf does not exist", 1),
        (("--random-state", -1), "--random-state", 1),
        (("--groups", "anna", "bert"), "1 recordings but 2 --groups", 2),
        (("--train-epochs", 0), "must be 1 or more, got 0", 2),
    ],
)
def test_bad_input_is_one_sentence(fails, nights, out, options, match, status):
    """What cannot be used is named by its option, and no weights are written."""
    command = ("train", nights[0].fname, "--out", out)
    fails(*command, *options, match=match, status=status)
    assert not out.exists()


def test_a_folder_is_trained_on(run, nights, weights, out, tmp_path):
    """Its hypnograms are those beside the recordings, its subjects those of BIDS."""
    for name in ("sub-1_ses-1", "sub-1_ses-2"):
        shutil.copy(nights[1].fname, tmp_path / f"{name}_eeg.edf")
        shutil.copy(nights[1].hypno_fname, tmp_path / f"{name}_hypnogram.csv")
    command = ("train", tmp_path, "--weights", weights, "--out", out)
    assert run(*command, *QUICK)[0] == 0
    step = MC2SleepClassifier.from_pretrained(out).stager_.provenance[-1]
    assert (step["n_nights"], step["n_subjects"]) == (2, 1)


def test_recordings_without_stages_are_one_sentence(fails, tmp_path, out):
    """There is nothing to learn."""
    raw, _ = simulate_night(360.0, random_state=0)
    raw.save(tmp_path / "bare_raw.fif", verbose="ERROR")
    fails(
        "train",
        tmp_path / "bare_raw.fif",
        "--out",
        out,
        match="None of the 1",
        status=1,
    )


@pytest.mark.filterwarnings("default:No epoch of:RuntimeWarning")
def test_an_absent_stage_is_a_warning(run, tmp_path, out):
    """The user learns in one line that a stage cannot be learnt."""
    raw, _ = simulate_night(360.0, random_state=0)
    raw.save(tmp_path / "bare_raw.fif", verbose="ERROR")
    hypno_fname = tmp_path / "stages.tsv"
    hypno_fname.write_text("onset\tduration\ttrial_type\n0\t360\tSleep stage 2\n")
    command = ("train", tmp_path / "bare_raw.fif", "--out", out, *QUICK)
    status, _, err = run(*command[:-1], "--hypnograms", hypno_fname)
    assert status == 0
    assert "mne-mc2sleep: warning: No epoch of WAKE, N1, N3, REM is" in err
