"""Fit how the cost grows with length, channels, rate and nights, as a power law.

Staging is timed warm, on recordings in memory, each in a new process; the memory is the
peak of that process beyond what it held with the recording in memory.
Training is one pass over the nights in each stage: pretraining, and fine-tuning with
the encoding that precedes it. Figures are medians; the runs of one row alternate.

    python benchmarks/scaling.py [--what length channels rate training]
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from common import (
    SIZES,
    channel_names,
    clock,
    describe_machine,
    exponent,
    make_night,
    make_nights,
    medians,
    memory,
    print_header,
    print_row,
    run_child,
    save_weights,
)

# By what grows: its name, and its place in the points (hours, n_channels, sfreq).
POINTS = {
    "length": ("hours", 0, [(n, 1, 100) for n in (1, 2, 4, 8, 16, 24, 48)]),
    "channels": ("channels", 1, [(8, n, 100) for n in (1, 2, 4, 8, 16, 32)]),
    "rate": ("Hz", 2, [(8, 1, sfreq) for sfreq in (100, 256, 512, 1000)]),
}
# Enough for batches of the usual size, which torch prepares for at their first use.
WARM_UP_HOURS = 1


def main():
    """Measure what is asked for and print a table for each."""
    args = parse_arguments()
    if args.child:
        kind, *arguments = json.loads(args.child)
        child = {"stage": stage, "train": train}[kind]
        print(json.dumps(child(*arguments)))
        return
    print(f"{describe_machine()}; medians of {args.repeats}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for size in args.sizes:
            save_weights(folder / f"{size}.safetensors", size)
        for what in filter(args.what.__contains__, POINTS):
            measure_staging(*POINTS[what], args, folder)
        if "training" in args.what:
            measure_training(args)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whats = (*POINTS, "training")
    parser.add_argument("--what", choices=whats, nargs="+", default=whats)
    parser.add_argument("--sizes", choices=SIZES, nargs="+", default=SIZES)
    parser.add_argument("--nights", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--night-hours", type=float, default=2, help="of --nights")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_staging(what, column, points, args, folder):
    """Stage each of ``points``, (hours, n_channels, sfreq), and print the table."""
    # Shorter recordings, and fewer channels, are the beginning of the file of a rate.
    for point in {point[2]: point for point in sorted(points)}.values():
        make_night(*point)[0].get_data().tofile(folder / f"{point[2]:g}")
    print_header("size", what, "s", "CPU, s", "MiB beyond the recording")
    names = ("wall_s", "cpu_s", "memory_MiB")
    for size in args.sizes:
        weights = str(folder / f"{size}.safetensors")
        runs = alternate(points, args.repeats, "stage", str(folder), weights)
        for point, figures in zip(points, runs, strict=True):
            print_row(size, f"{point[column]:g}", *(figures[name] for name in names))
        x = [point[column] for point in points]
        fits = (exponent(x, [figures[name] for figures in runs]) for name in names)
        print_row(size, "exponent", *fits)


def measure_training(args):
    """Train on each number of nights and print the table."""
    print(f"\nNights of {args.night_hours:g} h, one train epoch in each stage")
    print_header("size", "nights", "pretraining, s", "fine-tuning, s")
    for size in args.sizes:
        points = [(n_nights,) for n_nights in args.nights]
        runs = alternate(points, args.repeats, "train", size, args.night_hours)
        for n_nights, figures in zip(args.nights, runs, strict=True):
            print_row(size, n_nights, figures["pretrain_s"], figures["finetune_s"])
        names = ("pretrain_s", "finetune_s")
        columns = ([figures[name] for figures in runs] for name in names)
        print_row(size, "exponent", *(exponent(args.nights, y) for y in columns))


def alternate(points, repeats, *arguments):
    """Run a new process for each point, in turn; return the medians of each point."""
    rounds = [
        [run_child(__file__, *arguments, *point) for point in points]
        for _ in range(repeats)
    ]
    return [medians(runs) for runs in zip(*rounds, strict=True)]


def read_signals(folder, hours, n_channels, sfreq):
    """Read the beginning of the file as a recording, without a copy on the way."""
    import mne

    n_times = round(hours * 3600 * sfreq)
    signals = np.fromfile(f"{folder}/{sfreq:g}", count=n_channels * n_times)
    info = mne.create_info(channel_names(n_channels), sfreq, "eeg")
    return mne.io.RawArray(signals.reshape(n_channels, n_times), info)


def stage(folder, weights, *point):
    """Stage one recording warm; return the seconds, and the memory that it took."""
    import mne

    from mne_mc2sleep import MC2SleepClassifier

    mne.set_log_level("error")
    clf = MC2SleepClassifier.from_pretrained(weights)
    warm_up = read_signals(folder, min(point[0], WARM_UP_HOURS), 1, point[2])
    clf.predict(warm_up, picks="EEG 1")
    raw = read_signals(folder, *point)
    before = memory("VmRSS")
    figures = clock(lambda: clf.predict(raw, average_channels=raw.ch_names))
    return figures | {"memory_MiB": memory("VmHWM") - before}


def train(size, night_hours, n_nights):
    """Train on nights in memory, warm; return the seconds of both stages."""
    import mne

    from mne_mc2sleep import MC2SleepClassifier

    mne.set_log_level("error")
    raws, hypnos = make_nights(n_nights, night_hours)
    clf = MC2SleepClassifier(
        "EEG 1",
        size=size,
        pretrain_train_epochs=1,
        finetune_train_epochs=1,
        validation_fraction=0,
        random_state=0,
    )
    clf.fit(*make_night(min(night_hours, WARM_UP_HOURS)))
    seconds = {}
    for name in ("pretrain", "finetune"):
        learn = getattr(clf, name)
        seconds[f"{name}_s"] = clock(lambda learn=learn: learn(raws, hypnos))["wall_s"]
    return seconds


if __name__ == "__main__":
    main()
