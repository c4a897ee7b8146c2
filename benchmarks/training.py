"""Profile both stages of the training, and time the adaptation to a new laboratory.

The profile runs the public methods as they are, on recordings in memory (see
profiling.py), for one pass in each stage. The adaptation fine-tunes saved weights on
nights in EDF files with hypnograms, and makes all of its passes.

    python benchmarks/training.py [--what profile laboratory] [--sizes small base]
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
    save_weights,
    write_edf,
)
from profiling import ENCODE, NEW, PARTS, READ, Profiler

from mne_mc2sleep import MC2SleepClassifier

STAGES_OF_TRAINING = ("pretrain", "finetune")


def main():
    """Measure what is asked for and print a table for each."""
    args = parse_arguments()
    mne.set_log_level("error")
    print(f"{describe_machine()}; medians of {args.repeats}")
    if "profile" in args.what:
        for size in args.sizes:
            print_profile(size, args)
    if "laboratory" in args.what:
        print_laboratory(args)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whats = ("profile", "laboratory")
    parser.add_argument("--what", choices=whats, nargs="+", default=whats)
    parser.add_argument("--sizes", choices=SIZES, nargs="+", default=SIZES)
    parser.add_argument("--nights", type=int, default=4, help="of the profile")
    parser.add_argument("--hours", type=float, default=4, help="of its nights")
    parser.add_argument("--laboratory-nights", type=int, default=5)
    parser.add_argument("--laboratory-hours", type=float, default=8)
    parser.add_argument("--train-epochs", type=int, default=20, help="of fine-tuning")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def print_profile(size, args):
    """Print where one pass over the nights spends its time, in each stage."""
    raws, hypnos = make_nights(args.nights, args.hours)
    profile(size, raws[:1], hypnos[:1])  # warm up
    runs = [profile(size, raws, hypnos) for _ in range(args.repeats)]
    stages = [medians([run[stage] for run in runs]) for stage in STAGES_OF_TRAINING]
    n_epochs = sum(map(len, hypnos))
    print(f"\n`{size}`: one train epoch of {args.nights} nights ({n_epochs} epochs)")
    print_header("part", "pretraining, s", "%", "fine-tuning, s", "%")
    for name in stages[0]:
        cells = []
        for stage in stages:
            cells += [stage[name], f"{100 * stage[name] / sum(stage.values()):.0f}"]
        print_row(name, *cells)
    # Fine-tuning encodes once, before its first pass.
    pretraining = seconds_without(stages[0], READ, NEW)
    finetuning = seconds_without(stages[1], READ, ENCODE)
    rates = n_epochs / pretraining, n_epochs / finetuning
    print_row("**epochs/s of a pass**", rates[0], "", rates[1], "")
    print_caching(args.train_epochs, pretraining, finetuning, stages[1][ENCODE])


def seconds_without(stage, *names):
    """Sum the seconds of all other parts than ``names``."""
    return sum(seconds for name, seconds in stage.items() if name not in names)


def print_caching(n_passes, pretraining, finetuning, encoding):
    """Print what it saves that the frozen backbones encode once, not in every pass."""
    once = encoding + n_passes * finetuning
    anew, whole = n_passes * (encoding + finetuning), n_passes * pretraining
    print(f"\n{n_passes} train epochs, computed from the seconds above")
    print_header("", "s", "ratio")
    print_row("fine-tuning, each epoch encoded once (as built)", once, 1.0)
    print_row("fine-tuning, encoded anew in every pass", anew, anew / once)
    print_row("pretraining", whole, whole / once)


def profile(size, raws, hypnos):
    """Train one train epoch in each stage; return the seconds of each part."""
    clf = MC2SleepClassifier(
        raws[0].ch_names[0],
        size=size,
        pretrain_train_epochs=1,
        finetune_train_epochs=1,
        validation_fraction=0,
        random_state=0,
    )
    seconds = {}
    for stage in STAGES_OF_TRAINING:
        profiler = Profiler()
        with profiler.installed(), profiler.part("rest"):
            getattr(clf, stage)(raws, hypnos)
        seconds[stage] = {name: profiler.seconds[name] for name in (*PARTS, "rest")}
    return seconds


def print_laboratory(args):
    """Print what fine-tuning from saved weights takes, from EDF files, all passes."""
    n_nights, hours = args.laboratory_nights, args.laboratory_hours
    raws, hypnos = make_nights(n_nights, hours)
    n_epochs = sum(map(len, hypnos))
    print(
        f"\nFine-tuning saved weights on {n_nights} nights of {hours:g} h ({n_epochs} "
        f"epochs) from EDF files, {args.train_epochs} train epochs, no early stop"
    )
    print_header("size", "s", "CPU, s")
    with tempfile.TemporaryDirectory() as folder:
        fnames = [Path(folder) / f"night-{i}.edf" for i in range(n_nights)]
        for fname, raw in zip(fnames, raws, strict=True):
            write_edf(fname, raw)
        for size in args.sizes:
            weights = Path(folder) / f"{size}.safetensors"
            save_weights(weights, size)
            runs = [adapt(weights, fnames, hypnos, args) for _ in range(args.repeats)]
            print_row(size, *medians(runs).values())


def adapt(weights, fnames, hypnos, args):
    """Load weights and fine-tune them; return the seconds."""

    def load_and_finetune():
        clf = MC2SleepClassifier.from_pretrained(weights)
        n = args.train_epochs
        clf.set_params(finetune_train_epochs=n, patience=n, random_state=0)
        clf.finetune(fnames, hypnos)

    return clock(load_and_finetune)


if __name__ == "__main__":
    main()
