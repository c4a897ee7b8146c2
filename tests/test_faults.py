"""Faults while working: what was there stays whole, and what can go on does."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from mne_mc2sleep.inference import sliding_window as inference
from mne_mc2sleep.inference.sliding_window import encode_epochs, log_posteriors
from mne_mc2sleep.weights.file_format import save_weights


@pytest.fixture
def old_file(tmp_path):
    fname = tmp_path / "lab.safetensors"
    fname.write_text("old")
    return fname


# Python 3.12 warns of threads in the parent; the child needs none.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_kill_9_before_the_rename_leaves_the_old_file(net, old_file, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        if not (process := os.fork()):
            try:
                save_weights(old_file, net, {}, overwrite=True)
            finally:
                os._exit(1)
        _, status = os.waitpid(process, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert old_file.read_text() == "old"
    save_weights(old_file, net, {}, overwrite=True)
    assert old_file.stat().st_size > 10_000


class SmallMemory(torch.nn.Module):
    """A network on a GPU that holds a few epochs or windows at once."""

    def __init__(self, net, n_rows):
        super().__init__()
        self.net, self.n_rows, self.asked = net, n_rows, []
        self.config = net.config

    def encode(self, signals):
        self._allocate(len(signals))
        return self.net.encode(signals)

    def contextualize(self, embeddings, *args, **kwargs):
        self._allocate(len(embeddings[0]))
        return self.net.contextualize(embeddings, *args, **kwargs)

    def stage(self, contexts):
        return self.net.stage(contexts)

    def _allocate(self, n_rows):
        self.asked.append(n_rows)
        if n_rows > self.n_rows:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture(autouse=True)
def _gpu(monkeypatch):
    """Let parts be computed as on a GPU, though on the CPU."""
    compute = inference._map_in_threads
    monkeypatch.setattr(inference, "fuse", lambda net: net)
    monkeypatch.setattr(
        inference,
        "_map_in_threads",
        lambda function, parts, device: compute(function, parts, torch.device("cuda")),
    )


def stage(net, night):
    return log_posteriors(net, encode_epochs(net, night.inputs), night.usable)


@pytest.mark.parametrize("n_rows", [1, 4])
def test_staging_goes_on_when_the_gpu_is_full(trained, make_night, n_rows):
    """With smaller batches, and the same result."""
    night = make_night(7, n_epochs=45)
    found = stage(SmallMemory(trained.net, n_rows), night)
    np.testing.assert_allclose(found, stage(trained.net, night), atol=1e-5)


def test_a_gpu_without_any_memory_is_one_clear_error(net, make_night):
    """A batch of one epoch cannot be halved; the message says what to do."""
    inputs = make_night(7).inputs
    with pytest.raises(RuntimeError, match=r"too little memory .* pass device='cpu'"):
        encode_epochs(SmallMemory(net, 0), inputs)
