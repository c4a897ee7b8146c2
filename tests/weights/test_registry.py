"""Tests of finding weights: by name, by path, and on a server."""

import hashlib

import pytest
from rehearsal import serve

from mne_mc2sleep.weights import registry
from mne_mc2sleep.weights.registry import KNOWN_WEIGHTS, KnownWeights, find_weights

CONTENT = b"weights, as far as a server knows"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NOWHERE = "http://127.0.0.1:9/"


@pytest.fixture
def url(tmp_path):
    """Serve a weights file; yields its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "lab.safetensors").write_bytes(CONTENT)
    with serve(folder) as server:
        yield f"{server.url}lab.safetensors"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep what is fetched in a folder of the test's own."""
    monkeypatch.setenv("MNE_DATA", str(tmp_path))
    return tmp_path / "mne_mc2sleep"


@pytest.mark.parametrize("name", KNOWN_WEIGHTS)
def test_known_weights_are_what_the_registry_says(name):
    """A file in the package has its size and checksum, and fits a wheel of 5 MB."""
    known = KNOWN_WEIGHTS[name]
    content = find_weights(name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == known.sha256
    assert len(content) == known.n_bytes <= 5e6


def test_an_address_is_fetched_once(url, cache, monkeypatch):
    """What was fetched lies in the cache, and is there without a server."""
    fname = find_weights(url, SHA256)
    assert fname.read_bytes() == CONTENT
    assert fname.parent == cache
    elsewhere = f"{NOWHERE}lab.safetensors"
    assert find_weights(elsewhere, f"sha256:{SHA256.upper()}") == fname
    known = KnownWeights("a", SHA256, 33, "", elsewhere)
    monkeypatch.setitem(registry.KNOWN_WEIGHTS, "a", known)
    assert find_weights("a") == fname


def test_error_of_another_content(url, cache):
    with pytest.raises(OSError, match="does not have the hash sha256:0000"):
        find_weights(url, "0" * 64)
    assert not list(cache.glob("*"))


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (f"{NOWHERE}lab.safetensors", "need 'sha256'"),
        ("huge", "no weights named 'huge'.* 'small'"),
        (("small", "0" * 64), "does not have the sha256 0000"),
    ],
)
def test_error_of_weights_that_are_not_there(weights, match):
    with pytest.raises(ValueError, match=match):
        find_weights(*([weights] if isinstance(weights, str) else weights))
