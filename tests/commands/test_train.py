"""``mne-mc2sleep train``."""

import shutil

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from stagers import interrupt_training

from mne_mc2sleep import MC2SleepClassifier, simulate_night

QUICK = ("--train-epochs", 1, "-q")


@pytest.fixture(autouse=True)
def _tiny(tiny_small):
    """Let "small" be a network that trains within a moment."""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.safetensors"


def test_recordings_with_annotations_train_a_stager(run, nights, out, tmp_path):
    """The history is printed, and the progress is shown unless -q is given."""
    fname = tmp_path / "nights.csv"
    table = pd.DataFrame({"recording": [night.fname for night in nights]})
    table.assign(subject="anna").to_csv(fname)
    command = ("train", fname, "--out", out, "--train-epochs", 1)
    status, alone, progress = run(*command)
    assert status == 0
    assert "Pretraining" in progress
    assert [line.split()[:2] for line in alone.splitlines()[-4:]] == [
        ["phase", "train_epoch"],
        ["Pretraining", "1"],
        ["Fine-tuning", "1"],
        ["Wrote", str(out)],
    ]
    assert "No subject is held out" in alone
    assert MC2SleepClassifier.from_pretrained(out).stager_.can_stage
    table.assign(subject=["anna", "bert"]).to_csv(fname)
    _, split, _ = run(*command, "--overwrite")
    assert "Fine-tuning" in split
    assert "No subject is held out" not in split


def test_the_same_random_state_gives_the_same_weights(run, nights, tmp_path):
    """It is 0 if not given. Of several picks, the first of a recording is taken."""
    outs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for out, options in zip(outs, [(), ("--random-state", 0)], strict=True):
        picks = ("--picks", "Cz,EEG Fpz-Cz")
        run("train", nights[0].fname, "--out", out, *picks, *options, *QUICK)
    a, b = map(load_file, outs)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert MC2SleepClassifier.from_pretrained(out).picks == ["Cz", "EEG Fpz-Cz"]


def test_weights_are_fine_tuned(run, nights, weights, out):
    """The backbones stay, and the sequence level learns; --out may be --weights."""
    # By default, nights of one subject change nothing.
    MC2SleepClassifier.from_pretrained(weights).set_params(adaptation=0.5).save(out)
    options = ("--weights", out, "--out", out, "--overwrite", *QUICK)
    status, _, err = run("train", nights[0].fname, *options)
    assert (status, err) == (0, "")
    old, new = load_file(weights), load_file(out)
    changed = {
        name.split(".")[0] for name in old if not torch.equal(old[name], new[name])
    }
    assert changed == {"signal_stack", "spectrogram_stack", "total_head"}


@pytest.mark.filterwarnings("default:No epoch of:RuntimeWarning")
def test_a_recording_is_scored_by_a_file(run, fails, tmp_path, out):
    """The user learns in one line that a stage cannot be learnt, or all."""
    raw, _ = simulate_night(360.0, random_state=0)
    raw.save(tmp_path / "bare_raw.fif", verbose="ERROR")
    command = ("train", tmp_path / "bare_raw.fif", "--out", out, "--train-epochs", 1)
    fails(*command, match="None of the 1", status=1)
    hypno_fname = tmp_path / "stages.tsv"
    hypno_fname.write_text("onset\tduration\ttrial_type\n0\t360\tSleep stage 2\n")
    status, _, err = run(*command, "--hypnograms", hypno_fname)
    assert status == 0
    assert "mne-mc2sleep: warning: No epoch of WAKE, N1, N3, REM is" in err
    (step, *_) = MC2SleepClassifier.from_pretrained(out).stager_.provenance
    assert sum(step["n_epochs"].values()) == 12


def test_ctrl_c_keeps_what_was_learnt(run, nights, out, monkeypatch):
    interrupt_training(monkeypatch, n_done=1)
    history = out.with_suffix(".csv")
    options = ("--out", out, "--train-epochs", 3, "--history", history, "-q")
    status, printed, _ = run("train", nights[0].fname, *options)
    assert status == 0
    assert list(pd.read_csv(history)["train_epoch"]) == [1]
    assert printed.endswith(f"Wrote {out}\n")
    assert MC2SleepClassifier.from_pretrained(out).stager_.can_stage


@pytest.mark.parametrize("is_finetuned", [False, True])
def test_ctrl_c_before_anything_was_learnt(
    run, nights, weights, out, monkeypatch, is_finetuned
):
    interrupt_training(monkeypatch, n_done=0)
    options = ("--weights", weights) if is_finetuned else ()
    command = ("train", nights[0].fname, "--out", out, "-q", *options)
    status, printed, err = run(*command)
    assert (status, printed) == (130, "")
    assert err.startswith("mne-mc2sleep: interrupted: no weights were trained")
    assert not out.exists()


def test_an_existing_file_is_kept(fails, nights, out, monkeypatch):
    monkeypatch.delattr(MC2SleepClassifier, "fit")
    out.write_text("mine")
    command = ("train", nights[0].fname, "--out", out)
    fails(*command, match="exists. Pass --overwrite")
    history = ("--overwrite", "--history", out.with_suffix(".txt"))
    fails(*command, *history, match="must end in .csv")
    assert out.read_text() == "mine"


def test_a_folder_is_trained_on(run, nights, weights, out, tmp_path):
    """Its hypnograms are those beside the recordings, its subjects those of BIDS."""
    for name in ("sub-1_ses-1", "sub-1_ses-2"):
        shutil.copy(nights[1].fname, tmp_path / f"{name}_eeg.edf")
        shutil.copy(nights[1].hypno_fname, tmp_path / f"{name}_hypnogram.csv")
    command = ("train", tmp_path, "--weights", weights, "--out", out)
    assert run(*command, *QUICK)[0] == 0
    step = MC2SleepClassifier.from_pretrained(out).stager_.provenance[-1]
    assert (step["n_nights"], step["n_subjects"]) == (2, 1)
