"""Weights in files: written whole or not at all, read strictly."""

import json
import os
import pickle
import signal
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from mne_mc2sleep.network import MC2SleepNet
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.weights.file_format import (
    load_tensors,
    load_weights,
    save_tensors,
    save_weights,
)

METADATA = {
    "parameters": {"picks": ["Fz", "µ"]},
    "scaling": "none",
    "calibration_temperature": 1.25,
    "can_stage": True,
    "was_finetuned": False,
    "validation_subjects": [],
    "provenance": [{"n_epochs": {"N1": 3}}],
    "scores": {},
    "profile": None,
    "levels": None,
}


@pytest.fixture
def fname(tmp_path):
    return tmp_path / "lab.safetensors"


@pytest.fixture
def saved(fname, net):
    save_weights(fname, net, METADATA)
    return fname


def rewrite(fname, edit_state=None, **edit_header):
    """Rewrite the file with other tensors or metadata and a correct checksum."""
    state, header = load_tensors(fname)
    if edit_state is not None:
        edit_state(state)
    save_tensors(fname, state, header | edit_header)


def assert_is_refused(fname, match):
    """Check that the file is refused in one sentence with a remedy that names it."""
    with pytest.raises(ValueError, match=match) as info:
        load_weights(fname)
    message = str(info.value)
    assert str(fname) in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(fname))


@pytest.mark.parametrize(
    ("name", "error", "match"),
    [
        ("lab.pt", ValueError, r"must end in \.safetensors, got 'lab\.pt'"),
        ("lab.safetensors.gz", ValueError, r"must end in \.safetensors"),
        ("nowhere/lab.safetensors", FileNotFoundError, "folder .*nowhere.* not exist"),
    ],
)
def test_a_name_that_cannot_be_written_is_refused(tmp_path, net, name, error, match):
    with pytest.raises(error, match=match):
        save_weights(tmp_path / name, net, {})
    assert not list(tmp_path.iterdir())


def test_only_overwrite_replaces_a_file(saved, net, config):
    before = saved.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_weights(saved, net, METADATA)
    assert saved.read_bytes() == before
    other = MC2SleepNet(replace(config, width=32))
    save_weights(saved, other, METADATA | {"scaling": "robust"}, overwrite=True)
    loaded, metadata = load_weights(saved)
    torch.testing.assert_close(loaded.state_dict(), other.state_dict(), rtol=0, atol=0)
    assert metadata == METADATA | {"scaling": "robust"}


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir])
def test_a_missing_file_is_an_error(fname, make):
    make(fname)
    with pytest.raises(FileNotFoundError, match=r"lab\.safetensors.*save wrote"):
        load_weights(fname)


@pytest.mark.parametrize("part", ["length", "header", "tensors"])
def test_a_flipped_bit_is_refused(saved, part):
    content, rng = saved.read_bytes(), np.random.default_rng(0)
    n_header = 8 + int.from_bytes(content[:8], "little")
    first, end = {
        "length": (0, 8),
        "header": (8, n_header),
        "tensors": (n_header, len(content)),
    }[part]
    for place in rng.integers(first, end, size=5):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        saved.write_bytes(flipped)
        assert_is_refused(saved, "damaged|holds no weights")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, fname):
        self.fname = fname

    def __reduce__(self):
        return Path.touch, (self.fname,)


@pytest.mark.parametrize("dump", [pickle.dump, torch.save])
def test_a_pickle_is_refused_and_not_run(fname, dump):
    sprung = fname.with_name("sprung")
    with fname.open("wb") as file:
        dump(Trap(sprung), file)
    assert_is_refused(fname, "damaged or not a safetensors file")
    assert not sprung.exists()


@pytest.mark.parametrize(
    "header", [None, {"format": "pt"}, {"format": "mne_mc2sleep/2"}]
)
def test_weights_of_another_format_are_refused(fname, net, header):
    """Of another package, with the very same tensors, or of a later version."""
    save_file(net.state_dict(), fname, header)
    assert_is_refused(fname, "no weights that this version of mne_mc2sleep can read")


@pytest.mark.parametrize(
    "edit",
    [
        {"edit_state": lambda s: s.update({"total_head.bias": torch.zeros(6)})},
        {"edit_state": lambda s: s.pop("total_head.bias")},
        {"edit_state": lambda s: s.update({"total_head.scale": torch.zeros(5)})},
        {"config": {"depth": 3}},
        {"config": {"width": "wide"}},
        {"config": {"width": 15}},
        {"config": {"dropout": 7}},
        {"config": {"signal_channels": [4]}},
        {"config": {"width": 10**6}},
        {"config": {"sequence_layers": 10**9}},
        {"config": {"signal_convolutions": (10**9, 1, 1, 1, 1)}},
        {"config": {"sequence_length": 10**12}},
        {"config": {"sequence_layers": -(10**6), "width": 10**6}},
        {"config": {"pool_size": 10**12}},
        {"config": "{"},
        {"config": "null"},
        {"metadata": ""},
        {"metadata": "3"},
    ],
    ids=lambda edit: str(*edit),
)
def test_content_that_makes_no_network_is_refused_at_once(saved, config, edit):
    """Before a network of many gigabytes or without end is made."""
    if isinstance(edit.get("config"), dict):
        edit = {"config": json.dumps(asdict(config) | edit["config"])}
    rewrite(saved, **edit)
    begin = time.process_time()
    assert_is_refused(saved, "do not fit their configuration")
    assert time.process_time() - begin < 5


def test_weights_that_are_not_finite_are_refused(fname, net):
    """They could stage nothing, and would say so only with the first recording."""
    net.total_head.bias.data[2] = np.nan
    save_weights(fname, net, METADATA)
    assert_is_refused(fname, "posteriors are not finite")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("calibration_temperature", 0),
        ("calibration_temperature", float("nan")),
        ("calibration_temperature", float("inf")),
        ("calibration_temperature", "hot"),
        ("can_stage", "yes"),
        ("provenance", None),
        ("scores", [0.9]),
        ("scaling", "\0"),
        ("levels", 3),
        ("levels", [[0.0] * 13] * 4),
        ("levels", [[float("nan")] * 13] * 5),
        ("profile", [0.0]),
        ("profile", {}),
    ],
)
def test_metadata_that_make_no_sense_are_refused(saved, name, value):
    rewrite(saved, metadata=json.dumps(METADATA | {name: value}))
    with pytest.raises(ValueError, match=rf"'{name}' in .*lab\.safetensors"):
        Stager.load(saved, "cpu")


# Python 3.12 warns of threads in the parent; the child needs none.
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_kill_9_before_the_rename_leaves_the_old_file(saved, net, monkeypatch):
    before = saved.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        if not (process := os.fork()):
            try:
                save_weights(saved, net, {}, overwrite=True)
            finally:
                os._exit(1)
        _, status = os.waitpid(process, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert saved.read_bytes() == before
    save_weights(saved, net, {}, overwrite=True)
    assert saved.read_bytes() != before
