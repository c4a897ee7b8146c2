"""List the licences of the packages that ``pip install mne-mc2sleep`` brings.

``python docs/write_licences.py > docs/licences.md`` writes the page.
"""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

TITLE = """# Licences of the dependencies

The packages that `pip install mne-mc2sleep` brings, and the licence that each one
declares. `python docs/write_licences.py` writes this page from the installed packages,
with the CPU build of PyTorch; a build for GPUs brings more packages. "Indirect"
packages are needed by another package.

| package | version | licence | |
|---|---|---|---|"""


def names(requirements):
    """Return the names of the packages that are needed here, without extras."""
    needed = map(Requirement, requirements or ())
    return {
        re.sub(r"[-_.]+", "-", requirement.name).lower()
        for requirement in needed
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }


def licence(metadata):
    """Return the licence that a package declares, in short."""
    classifiers = [
        text.split(" :: ")[-1]
        for text in metadata.get_all("Classifier", [])
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    # Some packages have the whole text as their "License".
    title = (metadata["License"] or "").strip().split("\n")[0]
    return metadata["License-Expression"] or "; ".join(classifiers) or title


def main():
    """Print the page."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    direct = names(project["dependencies"])
    found, new = {}, direct
    while new:
        found |= {name: distribution(name) for name in new}
        needed = set().union(*(names(found[name].requires) for name in new))
        new = needed - found.keys()
    print(TITLE)
    for name, package in sorted(found.items()):
        how = "" if name in direct else "indirect"
        text = licence(package.metadata) or "not declared"
        print(f"| {name} | {package.version} | {text} | {how} |")


if __name__ == "__main__":
    main()
