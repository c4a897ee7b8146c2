"""Time one train epoch of both phases, and the adaptation to a new laboratory.

The train epochs are of recordings in memory. The adaptation fine-tunes the shipped
weights on nights in EDF files.

    python benchmarks/training.py [--what phases laboratory] [--sizes small base]
"""

import argparse
import tempfile
from pathlib import Path

import mne
from common import (
    SIZES,
    clock,
    describe_machine,
    make_nights,
    medians,
    print_header,
    print_row,
    write_edf,
)

from mne_mc2sleep import MC2SleepClassifier

PHASES = ("pretrain", "finetune")
WAYS = {
    "subjects left out in turn (default)": {},
    "adaptation=1, nobody left out": {"adaptation": 1.0, "validation_fraction": 0.0},
}


def main():
    """Measure what is asked for and print a table for each."""
    args = parse_arguments()
    mne.set_log_level("error")
    print(f"{describe_machine()}; medians of {args.repeats}")
    if "phases" in args.what:
        for size in args.sizes:
            print_phases(size, args)
    if "laboratory" in args.what:
        print_laboratory(args)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whats = ("phases", "laboratory")
    parser.add_argument("--what", choices=whats, nargs="+", default=whats)
    parser.add_argument("--sizes", choices=SIZES, nargs="+", default=SIZES)
    parser.add_argument("--nights", type=int, default=4, help="of the train epochs")
    parser.add_argument("--hours", type=float, default=4, help="of its nights")
    parser.add_argument("--laboratory-nights", type=int, default=5)
    parser.add_argument("--laboratory-hours", type=float, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def print_phases(size, args):
    """Print the seconds of one train epoch of each phase, with reading the nights."""
    raws, hypnos = make_nights(args.nights, args.hours)
    train(size, raws[:1], hypnos[:1])  # warm up
    runs = [train(size, raws, hypnos) for _ in range(args.repeats)]
    n_epochs = sum(map(len, hypnos))
    print(f"\n`{size}`: one train epoch of {args.nights} nights ({n_epochs} epochs)")
    print_header("phase", "s", "epochs/s")
    for phase, seconds in medians(runs).items():
        print_row(phase, seconds, n_epochs / seconds)


def train(size, raws, hypnos):
    """Train one train epoch in each phase; return the seconds of each."""
    clf = MC2SleepClassifier(
        raws[0].ch_names[0],
        size=size,
        pretrain_train_epochs=1,
        finetune_train_epochs=1,
        validation_fraction=0,
        random_state=0,
    )
    seconds = {}
    for phase in PHASES:
        fit = getattr(clf, phase)
        seconds[phase] = clock(lambda fit=fit: fit(raws, hypnos))["wall_s"]
    return seconds


def print_laboratory(args):
    """Print what adapting the shipped weights takes, from EDF files."""
    n_nights, hours = args.laboratory_nights, args.laboratory_hours
    raws, hypnos = make_nights(n_nights, hours)
    n_epochs = sum(map(len, hypnos))
    print(
        f"\nAdapting the shipped weights to {n_nights} nights of {hours:g} h "
        f"({n_epochs} epochs) from EDF files"
    )
    print_header("way", "s", "CPU, s")
    with tempfile.TemporaryDirectory() as folder:
        fnames = [Path(folder) / f"night-{i}.edf" for i in range(n_nights)]
        for fname, raw in zip(fnames, raws, strict=True):
            write_edf(fname, raw)
        for way, parameters in WAYS.items():
            runs = [adapt(parameters, fnames, hypnos) for _ in range(args.repeats)]
            print_row(way, *medians(runs).values())


def adapt(parameters, fnames, hypnos):
    """Load the shipped weights and fine-tune them; return the seconds."""

    def load_and_finetune():
        clf = MC2SleepClassifier.from_pretrained()
        clf.set_params(random_state=0, **parameters).finetune(fnames, hypnos)

    return clock(load_and_finetune)


if __name__ == "__main__":
    main()
