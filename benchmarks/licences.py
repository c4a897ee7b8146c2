"""Which licences come with the package? Prints docs/licences.md.

    python benchmarks/licences.py > docs/licences.md

Reads what the packages that are installed say of themselves: those that ``pip install
mne-mc2sleep`` brings, directly or through others.
"""

import re
from importlib.metadata import distribution

from packaging.requirements import Requirement

PACKAGE = "mne-mc2sleep"
TITLE = """# Licences of the dependencies

What `pip install mne-mc2sleep` brings, as each package says of itself; written by
`benchmarks/licences.py`. Packages that are needed only through others are marked
"indirect". Read beside the CPU build of PyTorch: a build for GPUs brings more packages,
which the script lists where they are installed.

| package | version | licence | |
|---|---|---|---|"""


def requirements(name):
    """Return the names of the packages that a package needs here, without extras."""
    needed = map(Requirement, distribution(name).requires or ())
    return {
        re.sub(r"[-_.]+", "-", requirement.name).lower()
        for requirement in needed
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }


def all_requirements(name):
    """Return a package's requirements, and theirs in turn."""
    found, new = set(), requirements(name)
    while new:
        found |= new
        new = set().union(*map(requirements, new)) - found
    return found


def licence(name):
    """Return what a package says of its licence, in short."""
    metadata = distribution(name).metadata
    classifiers = [
        text.split(" :: ")[-1]
        for text in metadata.get_all("Classifier", [])
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    # Of some, "License" is the whole text.
    title = (metadata["License"] or "").strip().split("\n")[0]
    return metadata["License-Expression"] or "; ".join(classifiers) or title


def main():
    """Print the page."""
    print(TITLE)
    direct = requirements(PACKAGE)
    for name in sorted(all_requirements(PACKAGE)):
        how = "" if name in direct else "indirect"
        version = distribution(name).version
        print(f"| {name} | {version} | {licence(name) or 'not told'} | {how} |")


if __name__ == "__main__":
    main()
