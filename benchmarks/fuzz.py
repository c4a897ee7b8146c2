"""Read damaged and hostile files of weights, recordings and hypnograms.

Each case is a file made from a seed. It must end in an OSError, ValueError or TypeError
that this package raises with a message, or in a reading with possible values. Anything
else is a failure: another error, a crash, more than 10 s of CPU time, more memory than
the limit, a file that is written, code that is executed. Prints a table and every
failure; the exit code is 1 if there is one. Needs Linux.

    python benchmarks/fuzz.py [--kind weights] [--cases 4000] [--first 0]
"""

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import mne
import numpy as np
from common import print_header, print_row

import mne_mc2sleep
from mne_mc2sleep import MC2SleepClassifier, simulate_night
from mne_mc2sleep.weights.file_format import load_tensors, save_tensors

PACKAGE = Path(mne_mc2sleep.__file__).parent
CLF = MC2SleepClassifier.from_pretrained()
SEPARATORS = {".csv": b",", ".tsv": b"\t"}
CPU_LIMIT = 10.0  # seconds for one case
ADDRESS_SPACE = 1024 * 2**20  # bytes beyond what a process has at its start
TEXTS = ["", " ", "\0", "\t", '"', "#", "n/a", "Wäke", "💤", "31.12.84", "0.00001"]
TEXTS += ["0", "-1", "-30", "1e6", "1e9", "1e18", "1e308", "1e999", "nan", "inf"]
TEXTS += ["9" * 400, "9" * 5000, "Sleep stage 9", "Startdate 01-JAN-0001 X X X"]
NUMBERS = [0, -1, 1, 7, 10**3, 10**6, 10**9, 10**12, 10**30, -(10**9), 0.5]
NUMBERS += [float("nan"), float("inf"), -float("inf")]
JUNK = [None, True, False, "", "wide", "µ", "\0", "../x", [], {}, [[]], [1, 2]]
# Loading it leaves a file.
PICKLE = b"cbuiltins\nexec\n(S\"open('executed', 'w')\"\ntR."
# Widths of the fields of an EDF header, and of those of each channel.
WIDTHS = (8, 80, 80, 8, 8, 8, 44, 8, 8, 4)
CHANNEL_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8)


def pick(choices, rng):
    """Draw one of a sequence, without turning it into an array."""
    return choices[rng.integers(len(choices))]


def damage(content, rng, n_bytes=None):
    """Cut, change, delete or replace some of the first bytes (None: of all)."""
    content, rest = content[:n_bytes], content[n_bytes:] if n_bytes else b""
    first = int(rng.integers(len(content)))
    last = first + int(rng.integers(1, 64))
    flipped = bytes([content[first] ^ 1 << int(rng.integers(8))])
    changed = (
        content[:first],
        content[:first] + flipped + content[first + 1 :],
        content[:first] + rng.bytes(last - first) + content[last:],
        content[:first] + content[last:],
        pick((b"", b"\0" * 4096, PICKLE, b"PK\3\4", rng.bytes(900)), rng),
    )
    return pick(changed, rng) + rest


def lie_in_header(content, rng):
    """Replace one field of an EDF header."""
    widths = pick([WIDTHS, CHANNEL_WIDTHS], rng)
    index = int(rng.integers(len(widths)))
    first, width = sum(widths[:index]), widths[index]
    if widths is CHANNEL_WIDTHS:
        n_channels = content[252:256].strip()
        n_channels = (n_channels.isdigit() and int(n_channels)) or 3
        first = 256 + n_channels * first + int(rng.integers(n_channels)) * width
    lie = pick(TEXTS, rng).encode("utf-8")[:width].ljust(width)
    return content[:first] + lie + content[first + width :]


def lie_in_annotation(content, rng):
    """Replace the onset and the duration of an EDF annotation."""
    parts = content[512:].split(b"\x14")
    index = int(rng.integers(len(parts)))
    onset, duration = (pick(TEXTS, rng).encode() for _ in range(2))
    parts[index] = parts[index].rpartition(b"+")[0] + b"+" + onset + b"\x15" + duration
    return content[:512] + b"\x14".join(parts)


def lie_in_cells(content, separator, rng):
    """Replace cells and lines of a table."""
    lines = content.split(b"\n")
    for _ in range(rng.integers(1, 4)):
        index = int(rng.integers(len(lines)))
        cells = lines[index].split(separator)
        cells[rng.integers(len(cells))] = pick(TEXTS, rng).encode()
        lines[index] = pick([separator.join(cells), pick(lines, rng)], rng)
    return b"\n".join(lines)


class HostileEDF:
    """Recordings: damaged EDF files, and headers that lie."""

    def __init__(self, folder):
        raw, hypno = simulate_night(90.0, random_state=0)
        raw.export(folder / "plain.edf")
        raw.set_annotations(mne_mc2sleep.hypnogram_to_annotations(hypno))
        raw.export(folder / "annotated.edf")
        self.intact = [folder / "plain.edf", folder / "annotated.edf"]

    def make(self, folder, rng):
        """Write one hostile file."""
        content = pick(self.intact, rng).read_bytes()
        if rng.random() < 0.4:
            # Half of the damage is in the header: most bytes are of the signal.
            content = damage(content, rng, pick([1024, None], rng))
        else:
            for _ in range(rng.integers(1, 3)):
                content = lie_in_header(content, rng)
        names = ["a.edf"] * 8 + ["a.bdf", "nächtlich 💤.edf", "a\nb.edf"]
        fname = folder / pick(names, rng)
        fname.write_bytes(content)
        return fname

    def read(self, fname):
        """Stage a recording."""
        assert CLF.predict(fname).proba.notna().all(axis=None)


class HostileHypnograms:
    """Hypnograms: damaged files, changed cells and annotations."""

    def __init__(self, folder):
        self.raw, hypno = simulate_night(600.0, random_state=0)
        self.intact = [folder / f"night{suffix}" for suffix in (".csv", ".tsv", ".edf")]
        for fname in self.intact:
            mne_mc2sleep.write_hypnogram(fname, hypno)

    def make(self, folder, rng):
        """Write one hostile file."""
        intact = pick(self.intact, rng)
        content = intact.read_bytes()
        if rng.random() < 0.3:
            content = damage(content, rng)
        elif intact.suffix != ".edf":
            content = lie_in_cells(content, SEPARATORS[intact.suffix], rng)
        else:
            content = pick([lie_in_header, lie_in_annotation], rng)(content, rng)
        other = pick([".csv", ".tsv", ".edf", ".txt"], rng)
        fname = folder / f"a{other if rng.random() < 0.05 else intact.suffix}"
        fname.write_bytes(content)
        return fname

    def read(self, fname):
        """Read a hypnogram, and compare it with that of a recording."""
        try:
            assert mne_mc2sleep.evaluate(CLF, self.raw, fname)["n_epochs"].max() <= 20
        except (ValueError, TypeError, OSError) as error:
            # What cannot be aligned with the recording may be a valid hypnogram.
            if not is_ours(error):
                raise
        hypno = mne_mc2sleep.read_hypnogram(fname)
        assert hypno.n_epochs > 0
        assert hypno.proba is None or np.isfinite(hypno.proba.to_numpy()).all()


class HostileWeights:
    """Weights: damaged, or with wrong content under a right checksum."""

    def __init__(self, folder):
        self.intact = [folder / "intact.safetensors"]
        MC2SleepClassifier.from_pretrained().save(self.intact[0])
        self.state, self.header = load_tensors(self.intact[0])
        self.raw = simulate_night(90.0, random_state=1)[0]

    def make(self, folder, rng):
        """Write one hostile file."""
        fname = folder / "a.safetensors"
        content = self.intact[0].read_bytes()
        share = rng.random()
        if share < 0.4:
            fname.write_bytes(damage(content, rng, pick([8192, None], rng)))
        elif share < 0.5:
            length = pick([2**63 - 1, 2**40, 10**8, 10**6, 0, 1], rng)
            fname.write_bytes(length.to_bytes(8, "little") + content[8:])
        elif share < 0.6:
            state = dict(self.state)
            name = pick(list(state), rng)
            tensor = state.pop(name)
            others = [tensor[..., None], tensor.bool(), tensor.double() * float("nan")]
            save_tensors(fname, state | {name: pick(others, rng)}, self.header)
        else:
            part = "config" if share < 0.8 else "metadata"
            values = json.loads(self.header[part])
            self._change(values, rng)
            save_tensors(fname, self.state, self.header | {part: json.dumps(values)})
        return fname

    def _change(self, values, rng):
        """Replace a value of a nested dict."""
        name = pick(list(values), rng)
        if isinstance(values[name], dict) and values[name] and rng.random() < 0.8:
            self._change(values[name], rng)
        elif isinstance(values[name], list) and values[name]:
            values[name][rng.integers(len(values[name]))] = pick(NUMBERS, rng)
        else:
            values[name] = pick(NUMBERS * 2 + JUNK, rng)

    def read(self, fname):
        """Load weights and stage a recording by them."""
        hypno = MC2SleepClassifier.from_pretrained(fname).predict(self.raw)
        assert np.allclose(hypno.proba.to_numpy().sum(axis=1), 1)


KINDS = {"weights": HostileWeights, "edf": HostileEDF, "hypnogram": HostileHypnograms}


def is_ours(error):
    """Return whether the package raised an error on purpose, with a message."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    if place.name == "_errors_name":  # puts the file's name before any ValueError
        return is_ours(error.__cause__)
    is_raised = PACKAGE in Path(place.filename).parents and "raise " in place.line
    kinds = OSError | ValueError | TypeError
    return isinstance(error, kinds) and is_raised and len(str(error)) > 20


def judge(hostile, fname):
    """Read a file; return how that ended, and why it failed."""
    start = time.process_time()
    try:
        hostile.read(fname)
        ending, why = "read", ""
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{error!r:.200} at {Path(place.filename).name}:{place.lineno}"
        ending = "refused" if is_ours(error) else "failed"
    if time.process_time() - start > CPU_LIMIT:
        return "failed", "took too long"
    if left := sorted({path.name for path in Path().iterdir()} - {fname.name}):
        return "failed", f"wrote {left}"
    return ending, why


def run(kind, numbers, folder):
    """Return how many cases of a kind ended in each way, and the failures."""
    counts, failures = Counter(), []
    hostile = KINDS[kind](folder)
    for fname in hostile.intact:
        hostile.read(fname)
    n_pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = n_pages * resource.getpagesize() + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    for number in numbers:
        (case := folder / f"{kind} {number}").mkdir()
        os.chdir(case)
        rng = np.random.default_rng([list(KINDS).index(kind), number])
        fname = hostile.make(Path(), rng)
        signal.alarm(60)  # s; then this process ends
        ending, why = judge(hostile, fname)
        signal.alarm(0)
        counts[ending] += 1
        if ending == "failed":
            failures.append(f"{kind} {number}: {why}")
        os.chdir(folder)
        shutil.rmtree(case)
    return counts, failures


def main():
    """Run the cases, print the table, and return the failures or 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=4000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--kind", choices=list(KINDS), help="(default: all)")
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    warnings.simplefilter("ignore")
    numbers, failures = range(args.first, args.first + args.cases), []
    with tempfile.TemporaryDirectory() as folder:
        print(f"A case that ends this process stays in {folder}.", flush=True)
        print_header("file", "cases", "refused", "read", "failures")
        for kind in [args.kind] if args.kind else KINDS:
            counts, failed = run(kind, numbers, Path(folder))
            endings = [counts[name] for name in ("refused", "read", "failed")]
            print_row(kind, sum(endings), *endings)
            failures += failed
    return "\n".join(failures) or 0


if __name__ == "__main__":
    sys.exit(main())
