"""Check the types of the README's code with mypy, and that mypy knows its results."""

import sys
import tempfile
from pathlib import Path

from mypy import api
from run_code import ROOT, find_blocks

# The last line needs its "ignore", or mypy complains about it.
CODE = """
raw, raws, hypnos, subjects = object(), [object()], [object()], ["S1"]
{}
clf.predict(raw).sleep_statistics()
len(clf.predict([raw]))
n: int = clf.predict_proba("night.edf")  # type: ignore[assignment]
"""


def main():
    """Print what mypy finds, and return its exit status."""
    code = find_blocks((ROOT / "README.md").read_text("utf-8"), "python")[0]
    with tempfile.TemporaryDirectory() as folder:
        (fname := Path(folder, "readme.py")).write_text(CODE.format(code), "utf-8")
        found, errors, status = api.run([str(fname)])
    print(found + errors, end="")
    return status


if __name__ == "__main__":
    sys.exit(main())
