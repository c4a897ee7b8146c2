"""What is shipped, what it brings along, and that it calls nobody."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from mne_mc2sleep import simulate_night

ROOT = Path(__file__).parents[1]
LICENCES = ROOT / "docs" / "licences.md"
# Of packages that may be shipped with BSD-licensed ones.
PERMISSIVE = re.compile(r"\b(BSD|0BSD|MIT|Apache|PSF|Python Software|MPL|CMU|Zlib)\b")

STAGE_WITHOUT_NETWORK = """
import socket, sys

def refuse(*args, **kwargs):
    raise SystemExit(f"the network was used: {args}")

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, refuse)

from mne_mc2sleep import MC2SleepClassifier

clf = MC2SleepClassifier.from_pretrained()
print(len(clf.predict(sys.argv[1])), "epochs")
"""


def test_nothing_connects_at_import_load_and_predict(tmp_path):
    """In a new process in which every connection ends the program."""
    recording = tmp_path / "night_raw.fif"
    simulate_night(600.0, random_state=0)[0].save(recording, verbose="ERROR")
    command = [sys.executable, "-c", STAGE_WITHOUT_NETWORK, recording]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("20 epochs\n")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build wheel and sdist as a build front end would; return their paths."""
    pytest.importorskip("hatchling", reason="hatchling, the build backend, is missing")
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def sources(folder):
    """Return the package's files in a folder, without what Python adds."""
    return {
        f"{folder.name}/{path.relative_to(folder)}"
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    added = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    expected = sources(ROOT / "mne_mc2sleep") | {f"{info}/{name}" for name in added}
    assert names == expected


def test_the_sdist_holds_package_and_tests(built):
    with tarfile.open(built[1]) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames()}
    texts = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "PKG-INFO", "README.md"}
    texts |= {"SECURITY.md", "pyproject.toml", ".gitignore"}
    assert sources(ROOT / "mne_mc2sleep") <= names
    assert {f"tests/{path.name}" for path in (ROOT / "tests").glob("*.py")} <= names
    assert {n for n in names if not n.startswith(("mne_mc2sleep/", "tests/"))} == texts


@pytest.mark.skipif(not LICENCES.exists(), reason="the sdist has no docs")
def test_all_dependencies_are_under_permissive_licences():
    """The page names each, and none that would bind users, such as the (A)GPL."""
    rows = re.findall(r"^\| (\S+) \| \S+ \| (.*?) \|", LICENCES.read_text(), re.M)
    found = {name: text for name, text in rows if name not in ("package", "---")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", text)[0] for text in project["dependencies"]}
    assert {name.replace("_", "-") for name in names} <= found.keys()
    assert [name for name, text in found.items() if not PERMISSIVE.search(text)] == []
    assert [name for name, text in found.items() if "GPL" in text] == []


def test_nothing_in_the_package_unpickles():
    text = "\n".join(p.read_text() for p in (ROOT / "mne_mc2sleep").rglob("*.py"))
    modules = "pickle|marshal|shelve|dill"
    assert not re.search(rf"^\s*(import|from) ({modules})\b", text, re.M)
    assert "joblib.load(" not in text
    calls = re.findall(r"\btorch\.load\([^\n]*", text)
    assert all("weights_only=True" in call for call in calls)
    assert "allow_pickle=True" not in text
