"""The site names all that is public, and its figures come from scripts."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import mne_mc2sleep
from mne_mc2sleep import datasets, network, simulation

ROOT = Path(__file__).parents[1]
API_PAGE = ROOT / "docs" / "api.rst"


def test_every_public_name_is_on_the_api_page():
    """And nothing else of the package itself is."""
    listed = re.findall(r"^   ([\w.]+)$", API_PAGE.read_text("utf-8"), re.MULTILINE)
    top = [name for name in listed if "." not in name]
    assert sorted(top) == sorted(mne_mc2sleep.__all__)
    for package in (datasets, network, simulation):
        prefix = package.__name__.rpartition(".")[2]
        for name in set(package.__all__) - set(top):
            assert any(f"{entry}.".startswith(f"{prefix}.{name}.") for entry in listed)


def test_the_table_of_the_ablations_is_what_its_script_prints():
    """No figure in it was typed."""
    script = ROOT / "training_scripts" / "ablations.py"
    command = [sys.executable, script, ROOT / "docs" / "ablations.json", "--table"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.count("|") > 50
    assert done.stdout in (ROOT / "docs" / "ablations.md").read_text("utf-8")


def test_the_table_of_layers_is_the_import_contract():
    """The same layers in the same order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    layers = project["tool"]["importlinter"]["contracts"][0]["layers"]
    table = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("| layer |")[2]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    listed = [sorted(re.findall(r"`(\w+)`", cell)) for cell in cells]
    assert listed == [sorted(re.split(r" [|:] ", layer)) for layer in layers]
