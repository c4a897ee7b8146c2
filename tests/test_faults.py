"""Faults while writing: what was there stays whole."""

import os
import signal
from pathlib import Path

import pytest

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
