"""Weights in files: written whole or not at all, read strictly."""

import json
import os
import pickle
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet
from mne_mc2sleep.weights import file_format as weights
from mne_mc2sleep.weights.file_format import load_weights, save_weights

METADATA = {
    "temperature": 1.25,
    "picks": ["Fz", "µ"],
    "n_epochs": {"N1": 3},
    "no": None,
}


@pytest.fixture
def fname(tmp_path):
    """Return the name of a file in a folder of its own."""
    return tmp_path / "lab.safetensors"


@pytest.fixture
def saved(fname, net):
    """Return the file of a saved network."""
    save_weights(fname, net, METADATA)
    return fname


def assert_same_state(net, other):
    """Check that two networks have the same weights and buffers to the bit."""
    torch.testing.assert_close(net.state_dict(), other.state_dict(), rtol=0, atol=0)


def rewrite(fname, edit_state=None, seal=True, **edit_header):
    """Write the file anew, sound but with other tensors or another description."""
    with safe_open(fname, framework="pt") as file:
        header = file.metadata() | edit_header
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if edit_state is not None:
        edit_state(state)
    if seal:
        del header["sha256"]
        header["sha256"] = weights._checksum(state, header)
    save_file(state, fname, header)


def assert_is_refused(fname, match):
    """Check that the file is refused in one sentence with a remedy that names it."""
    with pytest.raises(ValueError, match=match) as info:
        load_weights(fname)
    message = str(info.value)
    assert str(fname) in message
    assert "\n" not in message
    assert len(message) < 500 + len(str(fname))


def test_save_and_load_keep_every_bit(saved, net):
    """Weights, buffers, configuration and metadata come back as they were."""
    loaded, metadata = load_weights(saved)
    assert_same_state(loaded, net)
    assert loaded.config == net.config
    assert metadata == METADATA


def test_loaded_networks_stage_alike(saved, net):
    """What is not stored, such as positions, is made anew alike."""
    signals = torch.randn(1, 8, 3000)
    loaded, _ = load_weights(saved)
    with torch.no_grad():
        assert torch.equal(loaded(signals).total, net(signals).total)


def test_a_loaded_network_is_in_eval_mode(fname, net):
    """Whatever mode it was saved in."""
    save_weights(fname, net.train(), {})
    assert not load_weights(fname)[0].training


def test_what_training_has_changed_is_saved(fname, net):
    """BatchNorm statistics and the statistics of the inputs travel along."""
    net.train()
    net.fit_input_statistics(50 * torch.randn(4, 3000))
    net.encode(50 * torch.randn(4, 3000))
    save_weights(fname, net, {})
    assert_same_state(load_weights(fname)[0], net)


@pytest.mark.parametrize("size", ["small", "base"])
def test_both_sizes_make_the_round_trip(fname, size):
    """Every size that users train can be saved."""
    net = MC2SleepNet(MC2SleepConfig.from_size(size, sequence_length=11))
    save_weights(fname, net, {})
    loaded, _ = load_weights(fname)
    assert loaded.config == net.config
    assert_same_state(loaded, net)


@pytest.mark.parametrize(("n_saving", "n_loading"), [(1, 2), (2, 1)])
def test_weights_do_not_depend_on_the_number_of_threads(
    fname, net, n_saving, n_loading
):
    """Saved by one thread and loaded by two, or the other way, they are the same."""
    n_threads = torch.get_num_threads()
    try:
        torch.set_num_threads(n_saving)
        save_weights(fname, net, METADATA)
        torch.set_num_threads(n_loading)
        loaded, _ = load_weights(fname)
    finally:
        torch.set_num_threads(n_threads)
    assert_same_state(loaded, net)


def test_names_may_be_strings(saved, net):
    """Paths are given as text, too."""
    save_weights(str(saved), net, {"new": 1}, overwrite=True)
    assert load_weights(str(saved))[1] == {"new": 1}


def test_a_name_without_folder_is_saved_where_the_user_is(tmp_path, net, monkeypatch):
    """In the working directory."""
    monkeypatch.chdir(tmp_path)
    save_weights("lab.safetensors", net, {})
    assert os.listdir(tmp_path) == ["lab.safetensors"]


@pytest.mark.parametrize("name", ["lab.pt", "lab", "lab.safetensors.gz"])
def test_another_suffix_is_refused(tmp_path, net, name):
    """Nobody shall take the file for a pickle."""
    with pytest.raises(ValueError, match=r"'\*\.safetensors', not 'lab"):
        save_weights(tmp_path / name, net, {})
    assert not list(tmp_path.iterdir())


def test_an_existing_file_is_not_replaced_unasked(saved, net):
    """An error that says what to do, and the file stays as it was."""
    before = saved.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        save_weights(saved, net, {"other": True})
    assert saved.read_bytes() == before


def test_overwrite_replaces_the_file(saved, config):
    """Weights and metadata are the new ones."""
    other = MC2SleepNet(replace(config, width=32))
    save_weights(saved, other, {"other": True}, overwrite=True)
    loaded, metadata = load_weights(saved)
    assert_same_state(loaded, other)
    assert metadata == {"other": True}


def test_a_missing_folder_is_an_error(tmp_path, net):
    """It is not made: it may be a misspelt one."""
    with pytest.raises(FileNotFoundError, match=r"folder .*nowhere.* does not exist"):
        save_weights(tmp_path / "nowhere" / "lab.safetensors", net, {})
    assert not list(tmp_path.iterdir())


def test_metadata_that_json_cannot_hold_write_nothing(tmp_path, net):
    """The error comes before the file."""
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_weights(tmp_path / "lab.safetensors", net, {"array": np.zeros(2)})
    assert not list(tmp_path.iterdir())


def test_saving_leaves_no_other_file(saved):
    """No temporary file stays behind."""
    assert os.listdir(saved.parent) == [saved.name]


@pytest.mark.parametrize("error", [OSError("No space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["save", "fsync", "replace"])
def test_a_failing_save_leaves_the_old_file(saved, net, monkeypatch, step, error):
    """Whatever step fails, the old weights stay and no litter is left."""
    before = saved.read_bytes()

    def fail(*args):
        raise error

    owner = {"save": weights, "fsync": os, "replace": Path}[step]
    monkeypatch.setattr(owner, step, fail)
    with pytest.raises(type(error)):
        save_weights(saved, net, {"other": True}, overwrite=True)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


def test_a_failing_save_leaves_no_new_file(fname, net, monkeypatch):
    """Where there was no file before there is none after."""
    monkeypatch.delattr(os, "fsync")
    with pytest.raises(AttributeError):
        save_weights(fname, net, {})
    assert not list(fname.parent.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
def test_colleagues_may_read_the_file(fname, net):
    """The permissions are those that the user gives to new files."""
    umask = os.umask(0o027)
    try:
        save_weights(fname, net, {})
    finally:
        os.umask(umask)
    assert fname.stat().st_mode & 0o777 == 0o640


def test_weights_that_are_in_use_can_be_replaced(saved, net, config):
    """A network that was loaded keeps its weights when its file gets others."""
    loaded, _ = load_weights(saved)
    save_weights(saved, MC2SleepNet(config), {}, overwrite=True)
    assert_same_state(loaded, net)


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir])
def test_a_missing_file_is_an_error(fname, make):
    """Nothing there, or a folder: the message says what to pass."""
    make(fname)
    with pytest.raises(FileNotFoundError, match=r"lab\.safetensors.*save wrote"):
        load_weights(fname)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    """Wherever the download broke off."""
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert_is_refused(saved, "damaged or not a safetensors file")


def test_a_file_that_is_too_long_is_refused(saved):
    """Two downloads in one file are no weights."""
    saved.write_bytes(saved.read_bytes() + b"more")
    assert_is_refused(saved, "damaged or not a safetensors file")


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_are_refused(fname, seed):
    """Any other file that got the name."""
    fname.write_bytes(np.random.default_rng(seed).bytes(4096))
    assert_is_refused(fname, "damaged or not a safetensors file")


@pytest.mark.parametrize("part", ["length", "header", "tensors"])
def test_a_flipped_bit_is_refused(saved, part):
    """Wherever it is: in what describes the tensors, in the metadata, in a weight."""
    content, rng = saved.read_bytes(), np.random.default_rng(0)
    n_header = 8 + int.from_bytes(content[:8], "little")
    first, end = {
        "length": (0, 8),
        "header": (8, n_header),
        "tensors": (n_header, len(content)),
    }[part]
    for place in rng.integers(first, end, size=60):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        saved.write_bytes(flipped)
        assert_is_refused(saved, "damaged|holds no weights")


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, fname):
        self.fname = fname

    def __reduce__(self):
        """Tell pickle what to call."""
        return Path.touch, (self.fname,)


@pytest.mark.parametrize("dump", [pickle.dump, torch.save])
def test_a_pickle_is_refused_and_not_run(fname, dump):
    """A file of weights from anywhere can be opened without danger."""
    sprung = fname.with_name("sprung")
    with fname.open("wb") as file:
        dump(Trap(sprung), file)
    assert_is_refused(fname, "damaged or not a safetensors file")
    assert not sprung.exists()


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_weights_of_another_origin_are_refused(fname, net, metadata):
    """A sound file of another package, even with the very same tensors."""
    save_file(net.state_dict(), fname, metadata)
    assert_is_refused(fname, "no weights that this version of mne_mc2sleep can read")


def test_weights_of_a_later_format_are_refused(saved):
    """The message names the format that was found."""
    rewrite(saved, format="mne_mc2sleep/2")
    assert_is_refused(saved, "'mne_mc2sleep/2', not 'mne_mc2sleep/1'")


@pytest.mark.parametrize(
    "edit",
    [
        {"edit_state": lambda state: state["total_head.bias"].add_(1e-6)},
        {"metadata": "{}"},
        {"config": json.dumps(asdict(MC2SleepConfig(width=16)))},
        {"licence": "any"},
        {"sha256": ""},
    ],
    ids=["tensor", "metadata", "config", "header", "checksum"],
)
def test_a_sound_file_with_other_content_is_refused(saved, edit):
    """The checksum covers weights, configuration and metadata."""
    rewrite(saved, seal=False, **edit)
    assert_is_refused(saved, "does not match its checksum")


def resize(state):
    """Give a tensor another size."""
    state["total_head.bias"] = torch.zeros(6)


def remove(state):
    """Take a tensor away."""
    del state["total_head.bias"]


def rename(state):
    """Give a tensor another name."""
    state["head.bias"] = state.pop("total_head.bias")


def add(state):
    """Add a tensor that no network has."""
    state["total_head.scale"] = torch.zeros(5)


@pytest.mark.parametrize("edit", [resize, remove, rename, add])
def test_tensors_that_do_not_fit_are_refused(saved, edit):
    """The message names the tensor, in one sentence."""
    rewrite(saved, edit)
    assert_is_refused(saved, "do not fit their configuration .*head")


def test_the_configuration_of_another_size_is_refused(saved):
    """Hundreds of tensors that do not fit are still one sentence."""
    rewrite(saved, config=json.dumps(asdict(MC2SleepConfig.from_size("small"))))
    assert_is_refused(saved, "do not fit their configuration")


@pytest.mark.parametrize(
    "edit",
    [
        {"depth": 3},
        {"width": None},
        {"width": "wide"},
        {"width": -16},
        {"width": 15},
        {"n_heads": 0},
        {"n_heads": 3},
        {"dropout": 7},
        {"signal_channels": [4]},
        {"signal_channels": 4},
        {"sequence_length": -1},
    ],
    ids=lambda edit: "-".join(map(str, *edit.items())),
)
def test_an_impossible_configuration_is_refused(saved, config, edit):
    """Unknown sizes, and those of which no network can be made."""
    rewrite(saved, config=json.dumps(asdict(config) | edit))
    assert_is_refused(saved, "do not fit their configuration")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, text) for name in ("config", "metadata") for text in ("", "{", "\0")),
        *(("config", text) for text in ("null", "[]", "3", '"width"')),
    ],
)
def test_a_description_that_is_no_table_is_refused(saved, name, text):
    """What is no JSON, or not what is expected, does not pass for nothing."""
    rewrite(saved, **{name: text})
    assert_is_refused(saved, "do not fit their configuration")


@pytest.mark.parametrize("name", ["config", "metadata"])
def test_a_file_without_description_is_refused(fname, net, name):
    """Both parts of the description must be there."""
    header = {"format": "mne_mc2sleep/1", "config": "{}", "metadata": "{}"}
    del header[name]
    header["sha256"] = weights._checksum(net.state_dict(), header)
    save_file(net.state_dict(), fname, header)
    assert_is_refused(fname, "do not fit their configuration")
