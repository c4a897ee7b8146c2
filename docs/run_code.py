"""Run the code of the pages as a reader would copy it.

    python docs/run_code.py [docs/first_night.md ...]

``make test-docs-code`` runs it where only ``pip install .`` was done. Each page starts
in a folder of its own that holds six simulated nights, and with the variables that
`name_nights` returns. Its blocks of Python run in one session; then come the lines that
begin with ``mne-mc2sleep``. Trainings take one pass per phase. A warning is an error.
"""

import argparse
import inspect
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from glob import glob
from importlib.metadata import entry_points
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"

import joblib
from matplotlib import pyplot as plt

from mne_mc2sleep import MC2SleepClassifier, simulate_night, write_hypnogram

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SEEDS = (10, 3, 69)  # of short nights: the first holds all five stages
(PROGRAM,) = entry_points(group="console_scripts", name="mne-mc2sleep")


def find_blocks(text, language):
    """Return blocks of code, each below as many lines as in the page."""
    return [
        "\n" * text[: match.start(2)].count("\n") + match[2]
        for match in FENCE.finditer(text)
        if match[1] == language
    ]


def write_nights(folder):
    """Write the files that a reader has, and return the nights."""
    nights = [simulate_night(1200, random_state=seed) for seed in SEEDS * 2]
    (folder / "recordings").mkdir(parents=True)
    table = ["recording,subject,hypnogram"]
    for number, (raw, hypno) in enumerate(nights, start=1):
        fnames = [f"recordings/S{number}-{kind}.edf" for kind in ("PSG", "Hypnogram")]
        raw.export(folder / fnames[0], verbose="error")
        write_hypnogram(folder / fnames[1], hypno)
        table.append(f"{fnames[0]},S{number},{fnames[1]}")
    (folder / "nights.csv").write_text("\n".join(table), "utf-8")
    shutil.copy(folder / "recordings" / "S1-PSG.edf", folder / "night.edf")
    (folder / "scores.txt").write_text("\n".join(["W", "N1", "N2"] * 40))
    return nights


def name_nights(nights):
    """Return the variables that a page may use without defining them."""
    raws = [raw.copy() for raw, _ in nights]
    hypnos = [hypno for _, hypno in nights]
    return {
        "raws": raws,
        "hypnos": hypnos,
        "subjects": [f"S{number}" for number in range(1, 7)],
        "raw": raws[0].copy(),
        "unscored": raws[:2],
        "new_raws": raws[3:],
        "new_hypnos": hypnos[3:],
        "recordings": sorted(glob("recordings/*-PSG.edf")),
        "hypnograms": sorted(glob("recordings/*-Hypnogram.edf")),
    }


def run_command(line):
    """Run a command with patterns, as a shell does."""
    _, *words = shlex.split(line, comments=True)
    if "--out" in words:
        # A block may have written it: the command does the same without Python.
        Path(words[words.index("--out") + 1]).unlink(missing_ok=True)
    arguments = [name for word in words for name in sorted(glob(word)) or [word]]
    try:
        status = PROGRAM.load()(arguments)
    except SystemExit as ended:
        status = ended.code
    if status:
        raise RuntimeError(f"{line!r} ended with status {status}.")


def run_page(name, text, names):
    """Run the code of a page; return how many blocks and commands it has."""
    blocks = find_blocks(text, "python")
    lines = "\n".join(find_blocks(text, "")).splitlines()
    commands = [line for line in lines if line.startswith("mne-mc2sleep ")]
    for block in blocks:
        exec(compile(block, name, "exec"), names)
    for command in commands:
        run_command(command)
    return len(blocks) + len(commands)


def main():
    """Run the pages, print one line for each, and return whether one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, help="(default: all)")
    pages = parser.parse_args().pages or [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]
    defaults = inspect.unwrap(MC2SleepClassifier.__init__).__kwdefaults__
    defaults |= {"pretrain_train_epochs": 1, "finetune_train_epochs": 1}
    plt.show = lambda: None
    warnings.simplefilter("error")
    n_failed = 0
    with tempfile.TemporaryDirectory() as folder, joblib.parallel_config("sequential"):
        nights = write_nights(intact := Path(folder, "intact"))
        for page in sorted(map(Path.resolve, pages)):
            name, start = str(page.relative_to(ROOT)), time.process_time()
            here = shutil.copytree(intact, Path(folder, page.stem))
            output = io.StringIO()
            with chdir(here), redirect_stdout(output), redirect_stderr(output):
                try:
                    n_parts = run_page(
                        name, page.read_text("utf-8"), name_nights(nights)
                    )
                    result = f"{n_parts} blocks and commands run"
                except Exception:
                    n_failed += 1
                    result = f"FAILED\n{output.getvalue()}\n{traceback.format_exc()}"
            plt.close("all")
            seconds = time.process_time() - start
            if not result.startswith("0 "):
                print(f"{name} ({seconds:.0f} s of CPU): {result}", flush=True)
    return n_failed > 0


if __name__ == "__main__":
    sys.exit(main())
