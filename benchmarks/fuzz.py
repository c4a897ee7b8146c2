"""What happens with hostile and damaged files? Prints a table, and every failure.

Each case is a file that `hostile_files.py` makes from a seed. It must end in one error
that this package raises on purpose (OSError, ValueError or TypeError), or in a reading
whose values are possible. A failure is anything else: another error, a crash, more than
10 s of CPU time, more than twice the memory of an intact file (and 32 MiB), a file that
is written, code that is executed. The exit code is 1 if there is one.

Needs Linux (``/proc``). A case is run again by its number: ``--first N --cases 1``.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import mne
import numpy as np
import torch
from hostile_files import N_EPOCHS, HostileEDF, HostileHypnograms
from hostile_weights import HostileWeights

import mne_mc2sleep
from mne_mc2sleep import MC2SleepClassifier, read_hypnogram, simulate_night
from mne_mc2sleep.io.hypnograms import stages_on_grid
from mne_mc2sleep.io.recordings import read_recording

KINDS = {
    "weights": HostileWeights,
    "edf": HostileEDF,
    "hypnogram": HostileHypnograms,
}
MIB = 2**20
CPU_LIMIT = 10.0  # seconds for one case
WALL_LIMIT = 60.0  # the same on a busy machine; then the worker is killed
SLACK = 32 * MIB  # what allocators and caches take from one case to another
ADDRESS_SPACE = 2048 * MIB  # more than a worker has at its start: guards the machine
# As imported: somebody may edit the files meanwhile.
LINES = {
    str(path): path.read_text().splitlines()
    for path in Path(mne_mc2sleep.__file__).parent.rglob("*.py")
}


def read_weights(fname):
    """Load weights and stage a recording by them."""
    hypno = MC2SleepClassifier.from_pretrained(fname).predict(read_weights.raw)
    proba = hypno.proba.to_numpy()
    assert proba.shape == (N_EPOCHS, 5)
    assert np.isfinite(proba).all()
    assert np.allclose(proba.sum(axis=1), 1)


def read_edf(fname):
    """Read a recording as epochs."""
    recording = read_recording(fname)
    assert recording.n_epochs == len(recording.signals) == len(recording.reasons) > 0
    assert recording.signals.shape[1] == 3000
    assert np.isfinite(recording.signals).all()
    assert recording.usable.any()


def read_both_ways(fname):
    """Read a hypnogram, and put it on the grid of a recording."""
    try:
        stages = stages_on_grid(fname, 20, read_both_ways.start)
        assert stages.shape == (20,)
        assert np.isin(stages, range(-1, 5)).all()
    except (ValueError, TypeError, OSError) as error:
        # What cannot be aligned with the recording may be a sound hypnogram.
        if not is_ours(error):
            raise
    hypno = read_hypnogram(fname)
    assert hypno.n_epochs > 0
    assert np.isin(hypno.as_int(), range(-2, 5)).all()
    if hypno.proba is not None:
        assert np.isfinite(hypno.proba.to_numpy()).all()
        assert np.allclose(hypno.proba.sum(axis=1), 1, atol=1e-3)


READERS = {"weights": read_weights, "edf": read_edf, "hypnogram": read_both_ways}


def is_ours(error):
    """Tell whether the package raised an error on purpose, with a message."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    if place.name == "_errors_name":  # puts the file's name before any ValueError
        return is_ours(error.__cause__)
    lines = LINES.get(place.filename)
    return (
        isinstance(error, OSError | ValueError | TypeError)
        and lines is not None
        and lines[place.lineno - 1].strip().startswith("raise ")
        and len(str(error)) > 20
        and "allocate" not in str(error)
    )


def memory(name):
    """Return the resident memory (VmRSS), its peak (VmHWM) or VmSize in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def measure(read, fname):
    """Read a file; return the error if any, warnings, seconds and bytes it took."""
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    before, error = memory("VmRSS"), None
    start = time.process_time()
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        try:
            read(fname)
        except Exception as caught:
            error = caught
    seconds = time.process_time() - start
    return error, shown, seconds, memory("VmHWM") - before


def judge(case, error, seconds, n_bytes, allowed):
    """Return how a case ended: "refused", "read", or "failed" and why."""
    if left := sorted({path.name for path in Path().iterdir()} - {case.fname.name}):
        return "failed", f"wrote {left}"
    if n_bytes > allowed:
        return "failed", f"took {n_bytes / MIB:.0f} MiB of {allowed / MIB:.0f} allowed"
    if seconds > CPU_LIMIT:
        return "failed", f"took {seconds:.0f} s"
    if error is None:
        return ("failed", "was read") if case.must_fail else ("read", "")
    if is_ours(error):
        return "refused", ""
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}:{last.lineno}"
    return "failed", f"{type(error).__name__} at {place}: {str(error)[:200]}"


def work(kind, seed, first, end, connection):
    """Run cases in a process of its own; send what came of each."""
    mne.set_log_level("WARNING")
    torch.set_num_threads(1)
    raw, hypno = simulate_night(30.0 * N_EPOCHS, random_state=1)
    read_weights.raw, read_both_ways.start = raw, hypno.start
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        hostile, read = KINDS[kind](folder), READERS[kind]
        needs = defaultdict(int)
        for fname in hostile.intact * 2:
            error, _, _, n_bytes = measure(read, fname)
            if error is not None:
                raise error
            # The first time, whatever is imported on the way counts.
            needs[fname] = n_bytes
        size = min(fname.stat().st_size for fname in hostile.intact)
        limit = memory("VmSize") + ADDRESS_SPACE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        place = folder / "case"
        for number in range(first, end):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            os.chdir(place)
            rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
            case = hostile.make(place, rng)
            connection.send(("begin", number, case.made_by))
            error, shown, seconds, n_bytes = measure(read, case.fname)
            # A larger file may need more.
            share = max(1, case.fname.stat().st_size / size)
            allowed = 2 * max(needs.values()) * share + SLACK
            ending = judge(case, error, seconds, n_bytes, allowed)
            connection.send(("end", *ending, bool(shown), seconds, n_bytes))
            os.chdir(folder)


class Tally:
    """What came of the cases of one kind."""

    def __init__(self, kind):
        self.kind, self.counts, self.failures = kind, Counter(), []
        self.seconds = self.n_bytes = 0

    def add(self, number, made_by, ending, why, warned=False, seconds=0.0, n_bytes=0):
        """Count a case."""
        self.counts[ending] += 1
        self.counts["warned"] += ending == "read" and warned
        self.seconds = max(self.seconds, seconds)
        self.n_bytes = max(self.n_bytes, n_bytes)
        if ending == "failed":
            self.failures.append(f"{self.kind} {number} ({made_by}): {why}")

    def row(self):
        """Return the row of the table."""
        counts = self.counts
        cells = [
            self.kind,
            counts["refused"] + counts["read"] + counts["failed"],
            counts["refused"],
            counts["read"],
            counts["warned"],
            counts["failed"],
            f"{self.seconds:.2f}",
            f"{self.n_bytes / MIB:.0f}",
        ]
        return f"| {' | '.join(map(str, cells))} |"


def run(kind, seed, first, n_cases):
    """Run the cases of one kind; a worker that dies or hangs is replaced."""
    tally, end = Tally(kind), first + n_cases
    context = multiprocessing.get_context("fork")
    while first < end:
        ours, theirs = context.Pipe()
        args = (kind, seed, first, end, theirs)
        worker = context.Process(target=work, args=args)
        worker.start()
        theirs.close()
        number, made_by = None, ""
        try:
            # To get ready, it has more time.
            while ours.poll(WALL_LIMIT if number is not None else 300):
                event, *values = ours.recv()
                if event == "begin":
                    number, made_by = values
                else:
                    tally.add(number, made_by, *values)
                    number = first = number + 1
            why = f"took more than {WALL_LIMIT:g} s"
        except EOFError:
            worker.join()
            why = f"the process ended with {worker.exitcode}"
        worker.kill()
        worker.join()
        if number is None:
            raise RuntimeError(f"The worker for {kind} could not start: {why}.")
        if first < end:
            tally.add(number, made_by, "failed", why)
            first = number + 1
    return tally


def main():
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=4000, help="of each kind")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(KINDS), help="(default: all)")
    args = parser.parse_args()
    kinds = [args.kind] if args.kind else list(KINDS)
    tallies = [run(kind, args.seed, args.first, args.cases) for kind in kinds]
    print("| file | cases | refused | read | with a warning | failures |", end="")
    print(" slowest case, CPU s | most memory, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    print(*(tally.row() for tally in tallies), sep="\n")
    failures = [failure for tally in tallies for failure in tally.failures]
    print(*failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
