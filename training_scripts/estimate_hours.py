"""Estimate the hours of sleep_edf.py and shhs.py on this machine, by its throughput.

::

    python training_scripts/estimate_hours.py --sizes small base
    python training_scripts/estimate_hours.py --device cuda --precision bfloat16 \
        --nights 64

Trains for one pass on simulated nights that are prepared on the disk. README.md has the
formula; early stopping makes the hours fewer. On a CPU the loader and the training take
turns; on a GPU the next batch is read meanwhile, so that nothing waits while the
loader's share is below 100 %.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import contextmanager
from copy import deepcopy
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
    for protocol, (n_nights, *_, n_epochs) in PUBLISHED_COUNTS.items():
        folds = sleep_edf.get_folds(protocol)
        share = len(folds[0].validation) / len(sleep_edf.SUBJECTS[protocol])
        shares = share, 1 / len(folds)
        plans[protocol] = Plan(len(folds), n_epochs, *shares, 24 * n_nights)
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
    clf = MC2SleepClassifier(
        size=size,
        pretrain_train_epochs=1,
        finetune_train_epochs=1,
        validation_fraction=0,
        random_state=0,
    )
    options = TrainingOptions.from_parameters(clf.get_params())
    options = replace(options, precision=args.precision)
    config = MC2SleepConfig.from_size(size)
    seconds, rng = {}, np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        fnames, hypnos = simulate(Path(folder), args.nights)
        with clock(seconds, "preparing"):
            nights = prepare_cohort(fnames, Path(folder, "prepared"), hypnos)
        stager = Stager.untrained(config, 0, args.device)
        # To warm up, too.
        with FlopCounterMode(display=False) as counter:
            stager.pretrain(nights[:1], options)
        gflop = counter.get_total_flops() / len(nights[0].stages) / 1e9
        with clock(seconds, "loader"):
            length, n_sequences = config.sequence_length, options.batch_size
            list(map(len, iterate_batches(nights, length, n_sequences, rng)))
        with clock(seconds, "pretraining"):
            stager.pretrain(nights, options)
        with clock(seconds, "encoding"):
            for night in nights:
                encode_epochs(stager.net, night.inputs[:])
        # Encoding, which comes first, is in both.
        for name, n in (("few", 1), ("many", 1 + N_FINETUNE)):
            more = replace(options, finetune_train_epochs=n, patience=n)
            # Weights that were fine-tuned would be adapted.
            new = deepcopy(stager)
            with clock(seconds, name):
                new.finetune(nights, more)
    seconds["fine-tuning"] = (seconds.pop("many") - seconds.pop("few")) / N_FINETUNE
    n_epochs = sum(len(night.stages) for night in nights)
    return {name: n_epochs / s for name, s in seconds.items()}, gflop


def simulate(folder, n_nights):
    """Simulate one night of two hours, and save it under several names."""
    raw, hypno = simulate_night(2 * 3600, random_state=0)
    fnames = [folder / f"{i:04d}_raw.fif" for i in range(n_nights)]
    raw.save(fnames[0])
    for fname in fnames[1:]:
        os.link(fnames[0], fname)
    return fnames, [hypno.as_int().to_numpy()] * n_nights


@contextmanager
def clock(seconds, name):
    """Add the seconds that a block takes."""
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start


def main():
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", default=["small", "base"])
    parser.add_argument("--device")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--nights", type=int, default=4)
    args = parser.parse_args()
    mne.set_log_level("ERROR")
    print(
        f"{describe_hardware(args.device)}, load before {os.getloadavg()[0]:.1f}, "
        f"{args.precision}, {N_TRAIN_EPOCHS} passes in each stage\n"
    )
    for size in args.sizes:
        rates, gflop = measure(size, args)
        rounded = {f"{name}, epochs/s": round(rate) for name, rate in rates.items()}
        share = rates["pretraining"] / rates["loader"]
        rounded["loader's share of pretraining, %"] = round(100 * share, 1)
        rounded["pretraining, GFLOP/epoch"] = round(gflop, 2)
        print(f"`{size}`\n\n{to_markdown(pd.DataFrame([rounded]))}")
        rows = [{"": k, **estimate(v, rates)} for k, v in make_plans().items()]
        print(to_markdown(pd.DataFrame(rows)), flush=True)


if __name__ == "__main__":
    main()
