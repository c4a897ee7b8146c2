"""Several processes that train together under torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import ranks
import torch
from stagers import assert_equal


def torchrun(folder):
    """Run `ranks` by two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", ranks.__file__, str(folder)]
    # The package that is tested, wherever another one is installed.
    paths = {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, env=os.environ | paths, capture_output=True, text=True, timeout=400
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return weights and history by name and process, after one process was killed."""
    folder = tmp_path_factory.mktemp("together")
    assert "SIGKILL" in torchrun(folder).stderr
    assert not list(folder.glob("*.json"))
    done = torchrun(folder)
    assert done.returncode == 0, done.stderr
    return {
        path.stem: (torch.load(path.with_suffix(".pt")), json.loads(path.read_text()))
        for path in folder.glob("*.json")
    }


@pytest.mark.parametrize("name", ["resumed", "whole", "finetuned"])
def test_all_processes_end_with_the_same_weights(results, name):
    """To the bit, with the statistics of BatchNorm, and with the same history."""
    assert_equal(*(results[f"{name} {rank}"][0] for rank in range(2)))
    assert results[f"{name} 0"][1] == results[f"{name} 1"][1]


def test_after_kill_9_training_resumes_to_the_same_weights(results):
    """To the bit, though each process draws its own masks and dropout."""
    assert_equal(results["resumed 0"][0], results["whole 0"][0])
    assert results["resumed 0"][1] == results["whole 0"][1]


def test_two_processes_equal_one_with_twice_the_batch(results):
    """Losses, validation scores and weights, up to rounding."""
    net, history = ranks.finetune(ranks.OPTIONS)
    found, rows = results["finetuned 0"]
    torch.testing.assert_close(found, dict(net.state_dict()), rtol=1e-3, atol=1e-4)
    for row, expected in zip(rows, history, strict=True):
        assert row.pop("phase") == expected.pop("phase")
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-5)
