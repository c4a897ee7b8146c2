"""Several processes that train together: what equals one process, and what does not."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import ranks
import torch
from safetensors.torch import load_file

assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)


def torchrun(folder):
    """Run `ranks` by two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", ranks.__file__, str(folder)]
    # The package that is tested, wherever another one is installed.
    paths = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=os.environ | paths, capture_output=True, text=True, timeout=120
    )


def read(folder, name, rank=0):
    """Return the weights and the history that a process wrote."""
    fname = folder / f"{name} {rank}.json"
    return load_file(fname.with_suffix(".safetensors")), json.loads(fname.read_text())


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Return the folder with the trainings of two processes, one of them killed."""
    folder = tmp_path_factory.mktemp("together")
    assert "SIGKILL" in torchrun(folder).stderr
    assert not list(folder.glob("*.json"))
    done = torchrun(folder)
    assert done.returncode == 0, done.stderr
    return folder


def assert_same_curve(found, expected):
    """Check that two histories have the same losses and scores, but for rounding."""
    assert len(found) == len(expected) == 4
    for row, other in zip(found, expected, strict=True):
        assert row.pop("phase") == other.pop("phase")
        assert row == pytest.approx(other, rel=1e-3, abs=1e-5)


def test_finetuning_by_two_equals_one_with_twice_the_batch(together):
    """All losses, validation scores and weights, unscored epochs or not."""
    found, history = read(together, "finetune")
    expected, expected_history = ranks.finetune(ranks.OPTIONS)
    assert_same_curve(history, expected_history)
    torch.testing.assert_close(found, dict(expected.state_dict()), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["finetune", "pretrain own", "real", "real resumed"])
def test_all_processes_end_with_the_same_weights(together, name):
    """To the bit, with the statistics of BatchNorm, and with the same history."""
    (first, history), (second, other) = (
        read(together, name, rank) for rank in range(2)
    )
    assert_equal(first, second)
    assert history == other


def test_a_training_by_two_that_was_cut_off_ends_with_the_same_weights(together):
    """To the bit, though each process draws its own masks and dropout."""
    expected, expected_history = read(together, "real")
    found, history = read(together, "real resumed")
    assert_equal(found, expected)
    assert history == expected_history


def test_one_process_goes_not_on_after_two(together):
    """Its batches would be others."""
    options = replace(ranks.OPTIONS, batch_size=ranks.BATCH_SIZE // 2)
    with pytest.raises(ValueError, match="number of processes is 2 there and 1 here"):
        ranks.pretrain_real(options, together / "cut off.safetensors")


def test_after_kill_9_the_same_command_goes_on(together):
    """It loses the train epoch that had begun and ends with the same weights."""
    expected, expected_history = read(together, "real")
    found, (*history, end) = read(together, "killed")
    assert_equal(found, expected)
    assert history == expected_history
    # Of the four train epochs two were left, of two steps each.
    assert end == {"n_steps": 4}
