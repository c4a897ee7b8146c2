"""Estimate the hours of sleep_edf.py and shhs.py on this machine, by its throughput.

::

    python training_scripts/estimate_hours.py --sizes small base
    python training_scripts/estimate_hours.py --device cuda --precision bfloat16 \
        --nights 64

Trains for one pass on simulated nights that are prepared on the disk. With the epochs/s
of pretraining (P), of encoding (E) and of fine-tuning (F), N epochs to train on and
p passes in each stage, one fold takes at most

    p N / P + N / E + p N / F + ((p + 1) validation epochs + test epochs) / E   seconds:

early stopping makes it less. Fetching is not in it. On a CPU the loader and the
training take turns, so the loader's share is waited for; on a GPU the next batch is
read meanwhile, and nothing is waited for while the share is below 100 %.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np
import pandas as pd
from protocol import describe_hardware
from results import to_markdown
from sleep_edf import PUBLISHED_COUNTS
from torch.utils.flop_counter import FlopCounterMode

from mne_mc2sleep import MC2SleepClassifier, prepare_cohort, simulate_night
from mne_mc2sleep._constants import EPOCH_DURATION
from mne_mc2sleep.data.nights import iterate_batches
from mne_mc2sleep.datasets import sleep_edf
from mne_mc2sleep.inference.sliding_window import encode_epochs
from mne_mc2sleep.network import MC2SleepConfig
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.training import TrainingOptions

N_TRAIN_EPOCHS = MC2SleepClassifier().pretrain_train_epochs
# Passes that fine-tuning is timed by.
N_FINETUNE = 5
# Of one prepared epoch; see `mne_mc2sleep.prepare_cohort`.
BYTES_PER_EPOCH = 6006


class Plan(NamedTuple):
    """Size of a protocol."""

    n_folds: int
    n_epochs: int
    validation: float  # shares of the epochs
    test: float
    recorded_hours: float


def make_plans():
    """Return the plan of each cohort."""
    plans = {}
    for protocol, hours in (("edf20", 24), ("edf78", 24)):
        folds = sleep_edf.get_folds(protocol)
        n_subjects = len(sleep_edf.SUBJECTS[protocol])
        n_nights, *_, n_epochs = PUBLISHED_COUNTS[protocol]
        validation = len(folds[0].validation) / n_subjects
        plans[protocol] = Plan(
            len(folds),
            n_epochs,
            validation,
            1 / len(folds),
            hours * n_nights,
        )
    # Its trimmed epochs are not published: 8 h of each night are our assumption.
    plans["shhs, 5,800 nights of 8 h"] = Plan(1, 5800 * 960, 100 / 5800, 0.3, 5800 * 8)
    return plans


def estimate(plan, rates):
    """Return the hours of preparing and of training and testing all folds, and GB."""
    n_validation, n_test = plan.validation * plan.n_epochs, plan.test * plan.n_epochs
    n_train = plan.n_epochs - n_validation - n_test
    passes = N_TRAIN_EPOCHS * (1 / rates["pretraining"] + 1 / rates["fine-tuning"])
    encoded = n_train + (N_TRAIN_EPOCHS + 1) * n_validation + n_test
    seconds = n_train * passes + encoded / rates["encoding"]
    n_recorded = plan.recorded_hours * 3600 / EPOCH_DURATION
    return {
        "folds": plan.n_folds,
        "preparing, h": n_recorded / rates["preparing"] / 3600,
        "training and testing, h": plan.n_folds * seconds / 3600,
        "prepared, GB": n_recorded * BYTES_PER_EPOCH / 1e9,
    }


def measure(size, args):
    """Return the epochs/s of each part, and the GFLOP of pretraining by an epoch."""
    timer = time.process_time if args.cpu_time else time.perf_counter
    clf = MC2SleepClassifier(
        size=size,
        pretrain_train_epochs=1,
        finetune_train_epochs=1,
        validation_fraction=0,
        batch_size=args.batch_size,
        random_state=0,
    )
    options = TrainingOptions.from_parameters(clf.get_params())
    options = replace(options, precision=args.precision)
    config = MC2SleepConfig.from_size(size)
    with tempfile.TemporaryDirectory() as folder:
        nights, preparing = make_nights(Path(folder), args, timer)
        stager = Stager.untrained(config, 0, args.device)
        # To warm up, too.
        with FlopCounterMode(display=False) as counter:
            stager.pretrain(nights[:1], options)
        gflop = counter.get_total_flops() / len(nights[0].stages) / 1e9
        n_epochs = sum(len(night.stages) for night in nights)
        loader = iterate_batches(
            nights, config.sequence_length, args.batch_size, np.random.default_rng(0)
        )
        seconds = {
            "loader": clock(timer, lambda: [None for _ in loader]),
            "pretraining": clock(timer, lambda: stager.pretrain(nights, options)),
            "encoding": clock(
                timer, lambda: [encode_epochs(stager.net, n.inputs[:]) for n in nights]
            ),
        }
        # Encoding, which comes first, is in both.
        few, many = (
            clock(
                timer,
                lambda n=n: stager.finetune(nights, replace(options, **passes(n))),
            )
            for n in (1, 1 + N_FINETUNE)
        )
    seconds["fine-tuning"] = (many - few) / N_FINETUNE
    rates = {name: n_epochs / s for name, s in seconds.items()}
    return rates | {"preparing": n_epochs / preparing}, gflop


def passes(n):
    """Return the options of ``n`` passes of fine-tuning."""
    return {"finetune_train_epochs": n, "patience": n}


def make_nights(folder, args, timer):
    """Simulate one night, prepare it under several names; return the seconds too."""
    raw, hypno = simulate_night(args.hours * 3600, random_state=0)
    fnames = [folder / f"{i:04d}_raw.fif" for i in range(args.nights)]
    raw.save(fnames[0])
    for fname in fnames[1:]:
        os.link(fnames[0], fname)
    hypnos, start = [hypno.as_int().to_numpy()] * args.nights, timer()
    nights = prepare_cohort(fnames, folder / "prepared", hypnos)
    return nights, timer() - start


def clock(timer, function):
    """Return the seconds that a function takes."""
    start = timer()
    function()
    return timer() - start


def main():
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["small", "base"])
    parser.add_argument("--device")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--nights", type=int, default=4)
    parser.add_argument("--hours", type=float, default=2, help="of each night")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count CPU seconds: on a busy machine, those of one thread "
        "(OMP_NUM_THREADS=1) are nearly the seconds of a quiet core",
    )
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    print(
        f"{describe_hardware(args.device)}, load before {os.getloadavg()[0]:.1f}, "
        f"{'CPU' if args.cpu_time else 'wall'} time, {args.precision}, "
        f"batches of {args.batch_size}, {N_TRAIN_EPOCHS} passes in each stage\n"
    )
    for size in args.sizes:
        rates, gflop = measure(size, args)
        share = rates["pretraining"] / rates["loader"]
        rounded = {f"{name}, epochs/s": round(rate) for name, rate in rates.items()}
        rounded["loader's share of pretraining, %"] = round(100 * share, 1)
        rounded["pretraining, GFLOP/epoch"] = round(gflop, 2)
        print(f"`{size}`\n\n{to_markdown(pd.DataFrame([rounded]))}")
        rows = [{"": k, **estimate(v, rates)} for k, v in make_plans().items()]
        print(to_markdown(pd.DataFrame(rows)), flush=True)


if __name__ == "__main__":
    main()
