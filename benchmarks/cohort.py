"""Measure the time and memory of prepared nights and of training on them.

Preparing is timed on EDF files of one channel at 100 Hz, one recording at a time, and
so is opening what is prepared. The memory is the peak (VmHWM) of a new process that
opens the nights and trains on them by both stages. Pretraining makes the same number of
steps on any number of nights, because the peak of torch's own memory also rises with
the steps; batches are small, so that it hides less. Fine-tuning keeps the embeddings of
all epochs. With ``--storage memory`` the same nights are held in memory, to see what
the cache saves.

All files of a size are one night under different names: what the signals hold matters
neither to the time nor to the memory.

    python benchmarks/cohort.py [--what cost memory] [--nights 30 300] [--size small]
"""

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import (
    SIZES,
    clock,
    describe_machine,
    make_night,
    memory,
    print_header,
    print_row,
    run_child,
    write_edf,
)

STORAGES = ("disk", "memory")


def main():
    """Measure what is asked for and print a table for each."""
    args = parse_arguments()
    if args.child:
        print(json.dumps(train(*json.loads(args.child))))
        return
    print(describe_machine())
    with tempfile.TemporaryDirectory() as folder:
        if "cost" in args.what:
            print_cost(Path(folder), args)
        if "memory" in args.what:
            print_memory(Path(folder), args)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whats = ("cost", "memory")
    parser.add_argument("--what", choices=whats, nargs="+", default=whats)
    parser.add_argument("--cost-nights", type=int, default=20)
    parser.add_argument("--cost-hours", type=float, default=8)
    parser.add_argument("--nights", type=int, nargs="+", default=[30, 300])
    parser.add_argument("--hours", type=float, default=0.5, help="of --nights")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--storage", choices=STORAGES, nargs="+", default=["disk"])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def print_cost(folder, args):
    """Print what preparing a night and opening it again takes."""
    fnames, hypno = write_nights(folder / "cost", args.cost_nights, args.cost_hours)
    cache, n_nights = folder / "cost cache", len(fnames)
    seconds = [clock(lambda: prepare(fnames, cache, hypno))["wall_s"] for _ in range(2)]
    n_bytes = sum(fname.stat().st_size for fname in cache.iterdir()) / n_nights
    print(f"\n{n_nights} nights of {args.cost_hours:g} h, for each night")
    print_header("MB", "preparing, s", "opening, s")
    print_row(n_bytes / 1e6, *(s / n_nights for s in seconds))


def print_memory(folder, args):
    """Print the peak memory of training on each number of nights."""
    fnames, hypno = write_nights(folder / "memory", max(args.nights), args.hours)
    prepare(fnames, folder / "memory cache", hypno)
    print(f"\n`{args.size}`, nights of {args.hours:g} h: peak memory in MiB")
    print_header("storage", "nights", "opened", "pretraining", "fine-tuning", "s")
    for storage in args.storage:
        peaks = []
        for n_nights in args.nights:
            passes = max(args.nights) // n_nights
            options = args.size, args.batch_size, passes, storage
            run = run_child(__file__, str(folder), n_nights, *options)
            peaks.append([run[stage] for stage in ("open", "pretrain", "finetune")])
            print_row(storage, n_nights, *peaks[-1], run["process_wall_s"])
        ratios = np.divide(peaks[-1], peaks[0]).round(3)
        print_row(storage, "last / first", *ratios.tolist(), "")


def write_nights(folder, n_nights, hours):
    """Write one night under ``n_nights`` names; return these, and its stages."""
    folder.mkdir()
    raw, hypno = make_night(hours)
    fnames = [folder / f"{i:05d}.edf" for i in range(n_nights)]
    write_edf(fnames[0], raw)
    for fname in fnames[1:]:
        os.link(fnames[0], fname)
    hypno = hypno.as_int().to_numpy()
    # For the new process.
    np.save(folder / "stages.npy", hypno)
    return fnames, hypno


def prepare(fnames, cache, hypno):
    """Prepare nights, or open them if they are prepared."""
    from mne_mc2sleep.data.cohort_cache import prepare_cohort

    return prepare_cohort(fnames, cache, [hypno] * len(fnames), verbose="error")


def train(folder, n_nights, size, batch_size, passes, storage):
    """Pretrain, and fine-tune by one pass; return the peaks of the memory."""
    import mne

    from mne_mc2sleep import MC2SleepClassifier
    from mne_mc2sleep.network import MC2SleepConfig
    from mne_mc2sleep.stager import Stager
    from mne_mc2sleep.training import TrainingOptions

    mne.set_log_level("error")
    sources = Path(folder) / "memory"
    fnames = sorted(sources.glob("*.edf"))[:n_nights]
    nights = prepare(
        fnames, Path(folder) / "memory cache", np.load(sources / "stages.npy")
    )
    if storage == "memory":
        nights = [replace(night, inputs=night.signals[:]) for night in nights]
    peaks = {"open": memory("VmHWM")}
    clf = MC2SleepClassifier(
        size=size,
        batch_size=batch_size,
        pretrain_train_epochs=passes,
        finetune_train_epochs=1,
        validation_fraction=0,
        random_state=0,
    )
    options = TrainingOptions.from_parameters(clf.get_params())
    config = MC2SleepConfig.from_size(size)
    stager = Stager.untrained(config, seed=0, device="cpu")
    for stage in ("pretrain", "finetune"):
        getattr(stager, stage)(nights, options)
        peaks[stage] = memory("VmHWM")
    return peaks


if __name__ == "__main__":
    main()
