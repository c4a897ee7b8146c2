"""Faults while working: what was there stays whole, and what can go on does."""

import os
import resource
import signal
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from yasa import Hypnogram

from mne_mc2sleep._utils import replace_file
from mne_mc2sleep.inference import sliding_window as inference
from mne_mc2sleep.inference.sliding_window import encode_epochs, log_posteriors
from mne_mc2sleep.io.hypnograms import write_hypnogram
from mne_mc2sleep.weights.file_format import save_weights


@pytest.fixture(params=["weights", "csv"])
def save(request, net, tmp_path):
    """Return a function that saves 10 kB and more under a name, and that name."""
    suffix = {"weights": "safetensors"}.get(request.param, request.param)
    fname = tmp_path / f"saved.{suffix}"
    if request.param == "weights":
        return lambda: save_weights(fname, net, {}, overwrite=True), fname
    hypno = Hypnogram.from_integers(np.arange(1000) % 5)
    return lambda: write_hypnogram(fname, hypno, overwrite=True), fname


@contextmanager
def full_disk(n_bytes=4096):
    """Let no file grow beyond some bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def kill_at(step):
    """Kill this process, as kill -9 does, in the middle of saving."""

    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    class HalfFile:
        def __init__(self, path):
            self.path = path

        def __enter__(self):
            return self

        def __exit__(self, *args):
            pass

        def write(self, content):
            with open(self.path, "wb") as file:
                file.write(content[: len(content) // 2])
            die()

    if step == "write":
        Path.open = lambda path, mode: HalfFile(path)
    else:
        Path.replace = die


def run_and_die(function, step):
    """Call a function in a process that is killed at a step; return its signal."""
    if process := os.fork():
        _, status = os.waitpid(process, 0)
        return os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    try:
        kill_at(step)
        function()
    finally:
        os._exit(1)


def test_a_link_is_replaced_and_not_followed(tmp_path):
    """What it points to, elsewhere, stays as it was."""
    other, fname = tmp_path / "other", tmp_path / "saved"
    other.write_text("mine")
    fname.symlink_to(other)
    replace_file(fname, b"new")
    assert other.read_text() == "mine"
    assert not fname.is_symlink()
    assert fname.read_text() == "new"


class SmallMemory(torch.nn.Module):
    """A network on a GPU that holds a few epochs or windows at once."""

    def __init__(self, net, n_rows):
        super().__init__()
        self.net, self.n_rows, self.asked = net, n_rows, []
        self.config = net.config

    def encode(self, signals):
        """Embed, if there is memory for it."""
        self._allocate(len(signals))
        return self.net.encode(signals)

    def contextualize(self, embeddings, *args, **kwargs):
        """Read sequences, if there is memory for it."""
        self._allocate(len(embeddings[0]))
        return self.net.contextualize(embeddings, *args, **kwargs)

    def stage(self, contexts):
        """Give logits."""
        return self.net.stage(contexts)

    def _allocate(self, n_rows):
        self.asked.append(n_rows)
        if n_rows > self.n_rows:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture
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
    """Return the log-posteriors of a night."""
    return log_posteriors(net, encode_epochs(net, night.inputs), night.usable)


@pytest.mark.usefixtures("_gpu")
@pytest.mark.parametrize("n_rows", [1, 4])
def test_staging_goes_on_when_the_gpu_is_full(trained, make_night, n_rows):
    """With smaller batches, and the same result."""
    night = make_night(7, n_epochs=45)
    found = stage(SmallMemory(trained.net, n_rows), night)
    np.testing.assert_allclose(found, stage(trained.net, night), atol=1e-5)


@pytest.mark.usefixtures("_gpu")
def test_a_gpu_without_any_memory_is_one_clear_error(net, make_night):
    """A batch of one epoch cannot be halved; the message says what to do."""
    inputs = make_night(7).inputs
    with pytest.raises(RuntimeError, match=r"does not hold .* pass device='cpu'"):
        encode_epochs(SmallMemory(net, 0), inputs)
