"""Read damaged and hostile files of weights, recordings and hypnograms.

Each case is a file made from a seed. It must end in an OSError, ValueError or TypeError
that this package raises with a message, or in a reading with possible values. Anything
else is a failure: another error, a crash, more than 10 s of CPU time, more memory than
the limit, a file that is written, code that is executed. Prints a table and every
failure; the exit code is 1 if there is one. Needs Linux.

    python benchmarks/fuzz.py [--kind weights] [--cases 4000] [--first 0] [--seed 0]
"""

import argparse
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

import mne
import numpy as np
import torch
from safetensors import safe_open

import mne_mc2sleep
from mne_mc2sleep import (
    MC2SleepClassifier,
    hypnogram_to_annotations,
    read_hypnogram,
    simulate_night,
    write_hypnogram,
)
from mne_mc2sleep.io.hypnograms import stages_on_grid
from mne_mc2sleep.io.recordings import read_recording
from mne_mc2sleep.network import MC2SleepConfig
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.weights.file_format import save_tensors

N_EPOCHS = 3
CPU_LIMIT = 10.0  # seconds for one case
WALL_LIMIT = 60  # seconds; then the process is killed
ADDRESS_SPACE = 1024 * 2**20  # bytes beyond what a process has at its start
SIZES = {"sequence_length": 8, "width": 16, "n_heads": 2, "feedforward": 32}
SIZES |= {"signal_channels": (4, 4, 4, 4, 8), "signal_convolutions": (1, 1, 1, 1, 1)}
SIZES |= {"stem_kernel": 15, "stem_stride": 4, "pool_size": 3}
TEXTS = ["0", "-1", "-30", "1e6", "1e9", "1e18", "1e308", "1e999", "nan", "inf", "#"]
TEXTS += [
    "",
    " ",
    "\0",
    '"',
    "\t",
    "n/a",
    "Wäke",
    "💤",
    "31.12.84",
    "0.00001",
    "9" * 400,
]
TEXTS += ["9" * 5000, "Sleep stage 9", "Sleep stage N2", "Startdate 01-JAN-0001 X X X"]
NUMBERS = [0, -1, 1, 7, 10**3, 10**6, 10**9, 10**12, 10**30, -(10**9), 0.5]
NUMBERS += [float("nan"), float("inf"), -float("inf")]
JUNK = [None, True, False, "", "wide", "µ", "\0", "../x", [], {}, [[]], [1, 2]]
# Fields of an EDF header: first byte, width; then those of each channel.
FIELDS = [(0, 8), (8, 80), (88, 80), (168, 8), (176, 8), (184, 8), (192, 44), (236, 8)]
FIELDS += [(244, 8), (252, 4)]
CHANNEL_FIELDS = [(0, 16), (16, 80), (96, 8), (104, 8), (112, 8), (120, 8), (128, 8)]
CHANNEL_FIELDS += [(136, 80), (216, 8)]
# As imported: the files may be edited during the run.
LINES = {
    str(path): path.read_text().splitlines()
    for path in Path(mne_mc2sleep.__file__).parent.rglob("*.py")
}


class Trap:
    """Leaves a file where the pickle that holds it is loaded."""

    def __reduce__(self):
        """Return what pickle should call."""
        return exec, ("open('executed', 'w').close()",)


def pick(choices, rng):
    """Draw one of a sequence, without turning it into an array."""
    return choices[rng.integers(len(choices))]


def damage(content, rng):
    """Cut, change, delete or replace bytes."""
    first = int(rng.integers(len(content)))
    n_bytes = int(rng.integers(1, 64))
    kind = rng.integers(5)
    if kind == 0:
        return content[:first]
    if kind == 1:
        flipped = content[first] ^ 1 << int(rng.integers(8))
        return content[:first] + bytes([flipped]) + content[first + 1 :]
    if kind == 2:
        return content[:first] + rng.bytes(n_bytes) + content[first + n_bytes :]
    if kind == 3:
        return content[:first] + content[first + n_bytes :]
    others = (b"", b"\0" * 4096, pickle.dumps(Trap()), b"PK\3\4", rng.bytes(900))
    return pick(others, rng)


def lie_in_header(content, rng):
    """Replace one field of an EDF header."""
    n_channels = content[252:256].strip()
    n_channels = (n_channels.isdigit() and int(n_channels)) or 3
    first, width = pick(FIELDS, rng)
    if rng.random() < 0.5:
        first, width = pick(CHANNEL_FIELDS, rng)
        first = 256 + n_channels * first + int(rng.integers(n_channels)) * width
    lie = pick(TEXTS, rng).encode("utf-8")[:width].ljust(width)
    return content[:first] + lie + content[first + width :]


class HostileEDF:
    """Recordings: damaged EDF files, and headers that lie."""

    def __init__(self, folder):
        raw, hypno = simulate_night(30.0 * N_EPOCHS, random_state=0)
        raw.export(folder / "plain.edf", verbose="ERROR")
        raw.set_annotations(hypnogram_to_annotations(hypno))
        raw.export(folder / "annotated.edf", verbose="ERROR")
        self.intact = [folder / "plain.edf", folder / "annotated.edf"]

    def make(self, folder, rng):
        """Write one hostile file."""
        content = pick(self.intact, rng).read_bytes()
        if rng.random() < 0.4:
            # Half of the damage is in the header: most bytes are of the signal.
            split = 1024 if rng.random() < 0.5 else len(content)
            content = damage(content[:split], rng) + content[split:]
        else:
            for _ in range(rng.integers(1, 3)):
                content = lie_in_header(content, rng)
        fname = folder / pick(
            ["a.edf"] * 8 + ["a.bdf", "nächtlich 💤.edf", "a\nb.edf"], rng
        )
        fname.write_bytes(content)
        return fname

    def read(self, fname):
        """Read a recording as epochs."""
        recording = read_recording(fname)
        assert recording.n_epochs == len(recording.signals) > 0
        assert np.isfinite(recording.signals).all()


class HostileHypnograms:
    """Hypnograms: damaged files, changed cells and annotations."""

    def __init__(self, folder):
        _, hypno = simulate_night(600.0, random_state=0)
        suffixes = (".csv", ".tsv", ".edf")
        self.intact = [folder / f"night{suffix}" for suffix in suffixes]
        for fname in self.intact:
            write_hypnogram(fname, hypno)
        self.start = hypno.start

    def make(self, folder, rng):
        """Write one hostile file."""
        intact = pick(self.intact, rng)
        content = intact.read_bytes()
        if rng.random() < 0.3:
            content = damage(content, rng)
        elif intact.suffix != ".edf":
            separator = b"\t" if intact.suffix == ".tsv" else b","
            lines = content.split(b"\n")
            for _ in range(rng.integers(1, 4)):
                index = int(rng.integers(len(lines)))
                cells = lines[index].split(separator)
                cells[rng.integers(len(cells))] = pick(TEXTS, rng).encode()
                lines[index] = pick([separator.join(cells), pick(lines, rng)], rng)
            content = b"\n".join(lines)
        elif rng.random() < 0.5:
            content = lie_in_header(content, rng)
        else:
            parts = content[512:].split(b"\x14")
            index = int(rng.integers(len(parts)))
            onset, duration = (pick(TEXTS, rng).encode() for _ in range(2))
            before = parts[index].rpartition(b"+")[0]
            parts[index] = before + b"+" + onset + b"\x15" + duration
            content = content[:512] + b"\x14".join(parts)
        other = pick([".csv", ".tsv", ".edf", ".txt"], rng)
        fname = folder / f"a{other if rng.random() < 0.05 else intact.suffix}"
        fname.write_bytes(content)
        return fname

    def read(self, fname):
        """Read a hypnogram, and put it on the grid of a recording."""
        try:
            stages = stages_on_grid(fname, 20, self.start)
            assert np.isin(stages, range(-2, 5)).all()
        except (ValueError, TypeError, OSError) as error:
            # What cannot be aligned with the recording may be a valid hypnogram.
            if not is_ours(error):
                raise
        hypno = read_hypnogram(fname)
        assert hypno.n_epochs > 0
        assert hypno.proba is None or np.isfinite(hypno.proba.to_numpy()).all()


class HostileWeights:
    """Weights: damaged, or with wrong content under a right checksum."""

    def __init__(self, folder):
        self.intact = [folder / "intact.safetensors"]
        stager = Stager.untrained(MC2SleepConfig(**SIZES), seed=0, device="cpu")
        stager.can_stage = True
        stager.save(self.intact[0], {"picks": "EEG Fpz-Cz"})
        with safe_open(self.intact[0], framework="pt") as file:
            self.header = file.metadata()
            self.state = {name: file.get_tensor(name) for name in sorted(file.keys())}
        del self.header["sha256"]
        self.raw = simulate_night(30.0 * N_EPOCHS, random_state=1)[0]

    def make(self, folder, rng):
        """Write one hostile file."""
        fname = folder / "a.safetensors"
        content = self.intact[0].read_bytes()
        share = rng.random()
        if share < 0.4:
            fname.write_bytes(damage(content, rng))
        elif share < 0.45:
            torch.save({"state": self.state, "trap": Trap()}, fname)
        elif share < 0.5:
            length = pick([2**63 - 1, 2**40, 10**8, 10**6, 0, 1], rng)
            fname.write_bytes(struct.pack("<Q", length) + content[8:])
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
    lines = LINES.get(place.filename)
    is_raised = lines is not None and lines[place.lineno - 1].strip().startswith(
        "raise "
    )
    kinds = OSError | ValueError | TypeError
    return isinstance(error, kinds) and is_raised and len(str(error)) > 20


def judge(hostile, fname):
    """Read a file; return how that ended, and why it failed."""
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
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


def work(kind, numbers, seed, connection):
    """Run the cases of one kind in a process of its own, and send the endings."""
    mne.set_log_level("ERROR")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        hostile = KINDS[kind](folder)
        for fname in hostile.intact:
            hostile.read(fname)
        n_pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = n_pages * resource.getpagesize() + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number in numbers:
            shutil.rmtree(folder / "case", ignore_errors=True)
            (folder / "case").mkdir()
            os.chdir(folder / "case")
            rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
            fname = hostile.make(Path(), rng)
            signal.alarm(WALL_LIMIT)
            connection.send((number, *judge(hostile, fname)))
            signal.alarm(0)
        os.chdir(folder.parent)


def run(kind, numbers, seed):
    """Return how many cases ended in each way, and the failures."""
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.Process(target=work, args=(kind, numbers, seed, theirs))
    worker.start()
    theirs.close()
    counts, failures = Counter(), []
    try:
        while True:
            number, ending, why = ours.recv()
            counts[ending] += 1
            if ending == "failed":
                failures.append(f"{kind} {number}: {why}")
    except EOFError:
        worker.join()
    if (n := counts.total()) < len(numbers):
        counts["failed"] += 1
        failures.append(f"{kind} {numbers[n]}: the process ended, {worker.exitcode}")
    return counts, failures


def main():
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=4000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(KINDS), help="(default: all)")
    args = parser.parse_args()
    numbers = range(args.first, args.first + args.cases)
    print("| file | cases | refused | read | failures |\n|---|---|---|---|---|")
    failures = []
    for kind in [args.kind] if args.kind else KINDS:
        counts, failed = run(kind, numbers, args.seed)
        endings = [counts[name] for name in ("refused", "read", "failed")]
        print(f"| {kind} | {' | '.join(map(str, [sum(endings), *endings]))} |")
        failures += failed
    print(*failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    sys.exit(main())
