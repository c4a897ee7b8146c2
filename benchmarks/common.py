"""Functions shared by the benchmarks: nights, untrained weights, new processes, tables.

MNE and the package are imported where they are used: a new process that stages by YASA
must not pay for what only the others need.
"""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

SIZES = ("small", "base")
STAGERS = ("yasa", *SIZES)


def channel_names(n_channels):
    """Name the channels of `make_night`."""
    return [f"EEG {i + 1}" for i in range(n_channels)]


def make_night(hours, n_channels=1, sfreq=100.0, random_state=0):
    """Simulate a night of any number of channels; return recording and hypnogram.

    Further channels are the first two, shifted in time: the content of the signals does
    not matter for the time.
    """
    import mne

    from mne_mc2sleep import simulate_night

    names = channel_names(n_channels)
    raw, hypno = simulate_night(
        hours * 3600, ch_names=names[:2], sfreq=sfreq, random_state=random_state
    )
    if n_channels > 2:
        meas_date, signals = raw.info["meas_date"], raw.get_data()
        signals = np.stack([np.roll(signals[i % 2], i) for i in range(n_channels)])
        info = mne.create_info(names, sfreq, "eeg")
        raw = mne.io.RawArray(signals, info, verbose="error")
        raw.set_meas_date(meas_date)
    return raw, hypno


def make_nights(n_nights, hours):
    """Simulate nights of one channel; return the recordings and the hypnograms."""
    nights = [make_night(hours, random_state=i) for i in range(n_nights)]
    raws, hypnos = zip(*nights, strict=True)
    return list(raws), list(hypnos)


def write_edf(fname, raw):
    """Write a recording as EDF."""
    raw.export(fname, overwrite=True, verbose="error")
    # Else the kernel may write to the disk while the first stager is timed.
    os.sync()


def save_weights(fname, size):
    """Save the shipped weights of a size, or untrained ones if none are shipped."""
    from mne_mc2sleep import MC2SleepClassifier
    from mne_mc2sleep.weights.registry import KNOWN_WEIGHTS

    if size in KNOWN_WEIGHTS:
        MC2SleepClassifier.from_pretrained(size).save(fname)
        return
    raw, _ = make_night(1 / 3)
    clf = MC2SleepClassifier(
        raw.ch_names[0],
        size=size,
        scaling="spectrum",
        pretrain_train_epochs=1,
        finetune_train_epochs=1,
        random_state=0,
    )
    clf.fit(raw, np.arange(40) % 5, verbose="error").save(fname)


def clock(function):
    """Call a function; return its wall and CPU seconds (of all threads)."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall_s": wall, "cpu_s": cpu}


def memory(name):
    """Return the resident memory (VmRSS) of this process, or its peak (VmHWM), in MiB.

    On Linux. ``getrusage`` would count what the parent had before this process was its
    own.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) / 1024


def run_child(script, *arguments):
    """Run ``script --child`` in a new process.

    Parameters
    ----------
    script : path-like
        It must print one JSON object as its last line.
    *arguments
        What JSON can hold; the script gets it as a JSON list.

    Returns
    -------
    figures : dict
        What the script printed, and the ``process_wall_s`` and ``process_cpu_s`` from
        its start to its end.
    """
    command = [sys.executable, "-W", "ignore", script, "--child", json.dumps(arguments)]
    cpu, wall = _cpu_of_children(), time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    wall, cpu = time.perf_counter() - wall, _cpu_of_children() - cpu
    figures = json.loads(done.stdout.splitlines()[-1])
    return figures | {"process_wall_s": wall, "process_cpu_s": cpu}


def _cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def medians(runs):
    """Return the median of each figure over the dicts of several runs."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def exponent(x, y):
    """Fit a power law ``y ~ x ** exponent`` by least squares on logs.

    Returns
    -------
    text : str
        The exponent over all points, and over the upper half of them, where a constant
        cost hides less.
    """
    fits = []
    for first in (0, (len(x) - 1) // 2):
        xs, ys = np.log(x[first:]), np.log(y[first:])
        fits.append(np.polyfit(xs, ys, 1)[0] if len(xs) > 1 else np.nan)
    return f"{fits[0]:.2f} ({fits[1]:.2f} over the upper half)"


def describe_machine():
    """Describe the machine and the versions in one line."""
    names = ("torch", "mne", "yasa", "numpy", "scipy")
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return (
        f"{len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[0]:.1f}, "
        f"OMP_NUM_THREADS {threads}, Python {sys.version.split()[0]}, "
        + ", ".join(f"{name} {version(name)}" for name in names)
    )


def print_header(*names):
    """Print the first two lines of a Markdown table."""
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)


def print_row(*values):
    """Print a row of a Markdown table, as soon as it is known."""
    texts = (f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)
    print(f"| {' | '.join(texts)} |", flush=True)
