"""Tests of the script that trains the shipped weights, on nights made up of numbers."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import train_shipped_weights as script
from stagers import TINY_SMALL, is_equal

from mne_mc2sleep import MC2SleepClassifier, simulate_night
from mne_mc2sleep.weights.file_format import load_weights

N_SUBJECTS, N_EPOCHS = 10, 24
# As where only torch, NumPy, SciPy, scikit-learn and safetensors are.
RUN = f"""
import runpy, sys
for name in ("mne", "yasa", "matplotlib", "pooch"):
    sys.modules[name] = None
from mne_mc2sleep.network import config
config._SIZES["small"] = {TINY_SMALL}
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
    bands = np.arange(2, -3, -1) + 0.3 * rng.normal(size=(n_rows, 2, 5))
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


def command(powers, folder, *more):
    """Return the command line of a training as short as it can be."""
    options = ["--pretrain-train-epochs", 1, "--finetune-train-epochs", 1, *more]
    options = [powers, "--out-dir", folder, "--threads", 1, *options]
    return [script.__file__, *map(str, options)]


@pytest.fixture
def train(powers, monkeypatch, training_log, tiny_small):
    """Return a function that runs the script in this process, and returns its log."""

    def train(folder, *more):
        monkeypatch.setattr(sys, "argv", command(powers, folder, *more))
        script.main()
        return training_log.text

    return train


@pytest.fixture(scope="module")
def trained(powers, tmp_path_factory):
    """Train once, where MNE and YASA are missing; return the folder and the log."""
    folder = tmp_path_factory.mktemp("weights")
    run = [sys.executable, "-c", RUN, *command(powers, folder)]
    done = subprocess.run(run, check=True, capture_output=True, text=True)
    return folder, done.stdout + done.stderr


def test_weights_are_trained_without_mne_and_tell_whom_they_know(trained):
    """The subjects of tests and validation are written down, and are not the same."""
    folder, _ = trained
    clf = MC2SleepClassifier.from_pretrained(folder / "small.safetensors")
    assert clf.stager_.net.config.sequence_length == 60
    assert clf.stager_.scaling == "spectrum"
    raw, _ = simulate_night(600, random_state=0)
    assert len(clf.predict(raw)) == 20
    told = clf.stager_.provenance[-1]
    test, validation = set(told["test_subjects"]), set(told["validation_subjects"])
    assert len(test) * len(validation) > 0
    assert not test & validation
    assert told["n_subjects"] == N_SUBJECTS - len(test | validation)
    assert "resynthesised" in told["source"]


def test_the_same_command_again_trains_nothing_again(trained, train):
    """All train epochs are in the checkpoints, so the second run makes no new one."""
    folder, first = trained
    before, _ = load_weights(folder / "small.safetensors")
    second = train(folder)
    assert "Train epoch 1" in first
    assert "Train epoch 1" not in second
    after, _ = load_weights(folder / "small.safetensors")
    assert is_equal(before.state_dict(), after.state_dict())


def test_third_step_continues_on_heads_and_a_teacher(
    powers, trained, train, monkeypatch
):
    """The weights change, and the provenance names the subjects and the teacher."""
    folder, _ = trained
    base = powers.parent
    monkeypatch.syspath_prepend(str(base))
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
    train(base / "third", *options)
    before, _ = load_weights(start)
    after, metadata = load_weights(base / "third" / "small.safetensors")
    assert not torch.equal(before.total_head.weight, after.total_head.weight)
    first, last = metadata["provenance"]
    assert "resynthesised" in first["source"]
    assert last["heads_subjects"] == ["SC400", "SC402"]
    assert last["teachers"] == ["uniform:teach"]
    assert "real EEG" in last["source"]
