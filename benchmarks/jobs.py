"""Time the staging of several recordings in series, by threads and by processes.

python benchmarks/jobs.py [--hours 1 8] [--recordings 4 20]
"""

import argparse
import tempfile
import time
from pathlib import Path

import mne
from common import (
    describe_machine,
    exponent,
    make_night,
    print_header,
    print_row,
    write_edf,
)
from joblib import parallel_config

from mne_mc2sleep import MC2SleepClassifier

BACKENDS = ("sequential", "threading", "loky", "loky")


def seconds(clf, recordings, backend):
    """Return how long staging takes with two jobs."""
    start = time.perf_counter()
    with parallel_config(backend=backend):
        clf.predict(recordings, n_jobs=2)
    return time.perf_counter() - start


def main():
    """Print a row for each number and length of the recordings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 8])
    parser.add_argument("--recordings", type=int, nargs="+", default=[4, 20])
    args = parser.parse_args()
    mne.set_log_level("error")
    print(describe_machine())
    ways = ("serial, s", "threads, s", "new processes, s", "processes again, s")
    print_header("recordings", "hours", *ways)
    clf = MC2SleepClassifier.from_pretrained()
    for hours in args.hours:
        with tempfile.TemporaryDirectory() as folder:
            fname = Path(folder, "night.edf")
            write_edf(fname, make_night(hours)[0])
            clf.predict(fname)
            rows = []
            for number in args.recordings:
                rows.append([seconds(clf, [fname] * number, way) for way in BACKENDS])
                print_row(number, hours, *rows[-1])
        exponents = [exponent(args.recordings, t) for t in zip(*rows, strict=True)]
        print_row("exponent", hours, *exponents)


if __name__ == "__main__":
    main()
