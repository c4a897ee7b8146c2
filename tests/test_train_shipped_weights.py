"""Tests of the script that trains the shipped weights, on nights made up of numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mne_mc2sleep import MC2SleepClassifier, simulate_night
from mne_mc2sleep.weights.file_format import load_weights

SCRIPTS = Path(__file__).parents[1] / "training_scripts"
N_SUBJECTS, N_EPOCHS = 10, 24
# As where only torch, NumPy, SciPy, scikit-learn and safetensors are.
RUN = """
import runpy, sys
for name in ("mne", "yasa", "matplotlib", "pooch"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
sys.path.insert(0, str(__import__("pathlib").Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def powers(tmp_path_factory):
    """Write ten short nights of ten subjects, whose delta depends on the stage."""
    rng = np.random.default_rng(0)
    n_rows = N_SUBJECTS * N_EPOCHS
    stage = np.tile(np.repeat(np.arange(-1, 5), N_EPOCHS // 6), N_SUBJECTS)
    bands = np.array([2.0, 1.0, 0.0, -1.0, -2.0]) + 0.3 * rng.normal(
        size=(n_rows, 2, 5)
    )
    bands[..., 0] += stage[:, None]
    fname = tmp_path_factory.mktemp("powers") / "nights.npz"
    np.savez(
        fname,
        night=[f"SC4{i:02d}1E0" for i in range(N_SUBJECTS)],
        first_epoch=np.arange(N_SUBJECTS + 1) * N_EPOCHS,
        log_band_power=bands.astype(np.float16),
        log_variance=(bands[..., 0] + 2).astype(np.float16),
        mobility=np.full((n_rows, 2), 0.3, np.float16),
        stage=stage.astype(np.int8),
    )
    return fname


def train(powers, folder, *more):
    """Run the script, as short as it can be; return what it printed."""
    script = SCRIPTS / "train_shipped_weights.py"
    options = ["--pretrain-train-epochs", "1", "--finetune-train-epochs", "1", *more]
    command = [script, powers, "--out-dir", folder, "--threads", "1", *options]
    path = [str(powers.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, command)],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def trained(powers, tmp_path_factory):
    """Train once; return the folder and what was printed."""
    folder = tmp_path_factory.mktemp("weights")
    return folder, train(powers, folder)


def test_weights_are_trained_without_mne(trained):
    """Where MNE and YASA are missing, the script writes weights that can stage."""
    folder, _ = trained
    clf = MC2SleepClassifier.from_pretrained(folder / "small.safetensors")
    assert (clf.stager_.net.config.sequence_length, clf.stager_.scaling) == (
        60,
        "spectrum",
    )
    raw, _ = simulate_night(600, random_state=0)
    assert len(clf.predict(raw)) == 20


def test_weights_tell_whom_they_do_not_know(trained):
    """The subjects of tests and validation are written down, and are not the same."""
    folder, _ = trained
    clf = MC2SleepClassifier.from_pretrained(folder / "small.safetensors")
    told = clf.stager_.provenance[-1]
    test, validation = (
        set(told[f"{part}_subjects"]) for part in ("test", "validation")
    )
    assert test
    assert validation
    assert not test & validation
    assert told["n_subjects"] == N_SUBJECTS - len(test | validation)
    assert "resynthesised" in told["source"]


def test_the_same_command_again_trains_nothing_again(powers, trained):
    """All train epochs are in the checkpoints, so the second run makes no new one."""
    folder, first = trained
    before, _ = load_weights(folder / "small.safetensors")
    second = train(powers, folder)
    assert "Train epoch 1" in first
    assert "Train epoch 1" not in second
    after, _ = load_weights(folder / "small.safetensors")
    for one, other in zip(before.parameters(), after.parameters(), strict=True):
        assert torch.equal(one, other)


def test_third_step_continues_on_heads_and_a_teacher(powers, trained):
    """The weights change, and the provenance names the subjects and the teacher."""
    folder, _ = trained
    base = powers.parent
    (base / "uniform.py").write_text(
        "import numpy as np\n"
        "def teach(signal, sfreq):\n"
        "    return np.full((len(signal) // round(30 * sfreq), 5), 0.2)\n"
    )
    rng = np.random.default_rng(0)
    np.savez(
        base / "heads.npz",
        x=rng.integers(-400, 400, (96, 500)).astype(np.int16),
        scale=0.05,
        night=np.repeat(["SC4001E0", "SC4021E0", "SC4041E0", "SC4071E0"], 24),
        stage=np.tile(np.repeat(np.arange(4), 6), 4).astype(np.int8),
    )
    start = folder / "small.safetensors"
    options = ["--heads", base / "heads.npz", "--teachers", "uniform:teach"]
    options += ["--passes", "1", "--start", start]
    train(powers, base / "third", *options)
    before, _ = load_weights(start)
    after, metadata = load_weights(base / "third" / "small.safetensors")
    assert not torch.equal(before.total_head.weight, after.total_head.weight)
    first, last = metadata["provenance"]
    assert "resynthesised" in first["source"]
    assert last["heads_subjects"] == ["SC400", "SC402"]
    assert last["teachers"] == ["uniform:teach"]
    assert "real EEG" in last["source"]
