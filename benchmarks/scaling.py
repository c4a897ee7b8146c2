"""Fit how the cost grows with length, channels and nights, as a power law.

Staging is timed warm, on recordings in memory at 100 Hz, each in a new process; the
memory is the peak of that process beyond what it held with the recording in memory.
Training is one pass over the nights in each stage: pretraining, and fine-tuning with
the encoding that precedes it. Figures are medians; the runs of one row alternate.

    python benchmarks/scaling.py [--what length channels training] [--sizes small base]
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

SFREQ = 100.0
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
        if "length" in args.what:
            points = [(hours, 1) for hours in args.hours]
            measure_staging("hours", points, args, folder)
        if "channels" in args.what:
            points = [(args.channel_hours, n_channels) for n_channels in args.channels]
            measure_staging("channels", points, args, folder)
        if "training" in args.what:
            measure_training(args)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whats = ("length", "channels", "training")
    hours, channels = [1, 2, 4, 8, 16, 24, 48], [1, 2, 4, 8, 16, 32]
    parser.add_argument("--what", choices=whats, nargs="+", default=whats)
    parser.add_argument("--sizes", choices=SIZES, nargs="+", default=SIZES)
    parser.add_argument("--hours", type=float, nargs="+", default=hours)
    parser.add_argument("--channels", type=int, nargs="+", default=channels)
    parser.add_argument("--channel-hours", type=float, default=8, help="of --channels")
    parser.add_argument("--nights", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--night-hours", type=float, default=2, help="of --nights")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure_staging(what, points, args, folder):
    """Stage each of ``points``, (hours, n_channels), and print the table."""
    fname, column = folder / "signals", what == "channels"
    # Shorter recordings, and fewer channels, are the beginning of the file.
    raw, _ = make_night(*max(points))
    raw.get_data().tofile(fname)
    del raw
    print_header("size", what, "s", "CPU, s", "MiB beyond the recording")
    for size in args.sizes:
        weights = str(folder / f"{size}.safetensors")
        runs = alternate(points, args.repeats, "stage", str(fname), weights)
        for point, figures in zip(points, runs, strict=True):
            seconds = figures["wall_s"], figures["cpu_s"]
            print_row(size, f"{point[column]:g}", *seconds, figures["memory_MiB"])
        x = [point[column] for point in points]
        y = [figures["wall_s"] for figures in runs]
        print_row(size, "exponent", exponent(x, y), "", "")


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


def read_signals(fname, hours, n_channels):
    """Read the beginning of the file as a recording, without a copy on the way."""
    import mne

    n_times = round(hours * 3600 * SFREQ)
    signals = np.fromfile(fname, count=n_channels * n_times)
    info = mne.create_info(channel_names(n_channels), SFREQ, "eeg")
    return mne.io.RawArray(signals.reshape(n_channels, n_times), info)


def stage(fname, weights, hours, n_channels):
    """Stage one recording warm; return the seconds, and the memory that it took."""
    import mne

    from mne_mc2sleep import MC2SleepClassifier

    mne.set_log_level("error")
    clf = MC2SleepClassifier.from_pretrained(weights)
    clf.predict(read_signals(fname, min(hours, WARM_UP_HOURS), 1), picks="EEG 1")
    raw = read_signals(fname, hours, n_channels)
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
