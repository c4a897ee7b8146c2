"""Tests of finding weights: by name, by path, and on a server."""

from __future__ import annotations

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mne_mc2sleep import MC2SleepClassifier
from mne_mc2sleep.weights import registry
from mne_mc2sleep.weights.registry import (
    KNOWN_WEIGHTS,
    KnownWeights,
    cache_folder,
    find_weights,
)

CONTENT = b"weights, as far as a server knows"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def server(tmp_path):
    """Serve a file of weights; yields the address of the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "lab.safetensors").write_bytes(CONTENT)
    handler = partial(_Handler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep what is fetched in a folder of the test's own."""
    monkeypatch.setenv("MNE_MC2SLEEP_WEIGHTS", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("name", KNOWN_WEIGHTS)
def test_known_weights_are_what_the_registry_says(name):
    """A file in the package has its size and checksum, and fits a wheel of 5 MB."""
    known = KNOWN_WEIGHTS[name]
    content = find_weights(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == known.sha256
    assert len(content) == known.n_bytes <= 5e6


def test_a_path_is_the_file_itself(tmp_path):
    """A file that exists is found where it is."""
    fname = tmp_path / "lab.safetensors"
    fname.write_bytes(CONTENT)
    assert find_weights(fname) == find_weights(str(fname)) == fname


def test_an_address_is_fetched_once(server, cache):
    """What was fetched lies in the cache, and is there without a server."""
    url = f"{server}/lab.safetensors"
    fname = find_weights(url, SHA256)
    assert fname.read_bytes() == CONTENT
    assert fname.parent == cache
    other = url.replace(server, "http://127.0.0.1:9")
    assert find_weights(other, f"sha256:{SHA256.upper()}") == fname


def test_known_weights_elsewhere_are_fetched(server, monkeypatch):
    """A name that has an address is fetched from there and checked."""
    known = KnownWeights("a", SHA256, 33, "", f"{server}/lab.safetensors")
    monkeypatch.setitem(registry.KNOWN_WEIGHTS, "a", known)
    assert find_weights("a").read_bytes() == CONTENT


def test_error_of_another_content(server, cache):
    """What does not have the checksum is refused and not kept."""
    with pytest.raises(ValueError, match="does not have the sha256 0000"):
        find_weights(f"{server}/lab.safetensors", "0" * 64)
    assert not list(cache.glob("*"))


@pytest.mark.parametrize("path", ["missing.safetensors", ""])
def test_error_of_a_server_that_does_not_give_it(server, path):
    """No such file there, or no server: the cause, and what to do."""
    address = f"{server}/{path}" if path else "http://127.0.0.1:9/lab.safetensors"
    with pytest.raises(ConnectionError, match=r"could not be downloaded .* Try again"):
        find_weights(address, SHA256)


def test_error_of_an_address_without_checksum(server):
    """A server is not trusted."""
    with pytest.raises(ValueError, match="need 'sha256'"):
        find_weights(f"{server}/lab.safetensors")


def test_error_of_an_unknown_name():
    """A word that does not name a file is read as a name; the error lists the names."""
    with pytest.raises(ValueError, match=r"no weights named 'huge'.* 'small'"):
        find_weights("huge")


def test_error_of_a_missing_file(tmp_path):
    """A path that leads nowhere is named."""
    with pytest.raises(FileNotFoundError, match=r"file of weights .*lab\.safe"):
        find_weights(tmp_path / "lab.safetensors")


def test_the_cache_is_beside_the_data_of_mne(monkeypatch, tmp_path):
    """Without a folder of their own, weights go to MNE_DATA."""
    monkeypatch.delenv("MNE_MC2SLEEP_WEIGHTS")
    monkeypatch.setenv("MNE_DATA", str(tmp_path))
    assert cache_folder() == tmp_path / "mne_mc2sleep"


def test_shipped_weights_are_loaded_by_default():
    """Without an argument the stager in the package is loaded, ready to stage."""
    clf = MC2SleepClassifier.from_pretrained(device="cpu")
    assert clf.weights == "small"
    assert clf.stager_.can_stage
    assert clf.stager_.calibration_temperature > 0
