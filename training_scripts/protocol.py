"""Functions shared by sleep_edf.py, shhs.py and folder.py.

All that a run has made lies in its ``--out-dir``, where the same command goes on:

- ``prepared/``: the nights, see `mne_mc2sleep.prepare_cohort`;
- ``seed-0/fold-00/``: checkpoints while the fold is trained; then the weights,
  ``stager.safetensors``, and ``result.npz`` with the probabilities for the test nights;
- ``results.md``, ``results.csv``, ``seed-0/confusion.png``: of the folds that are done.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import torch
from mne.utils import ProgressBar, logger
from results import write_result, write_tables
from torch import distributed

from mne_mc2sleep import MC2SleepClassifier
from mne_mc2sleep._constants import STAGES
from mne_mc2sleep._utils import find_device, replace_file
from mne_mc2sleep.network import MC2SleepConfig
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.training import TrainingOptions

# The passes of --fast in each stage of the training.
FAST_TRAIN_EPOCHS = 2
USER_ERRORS = (ValueError, OSError, RuntimeError)
# The others wait while the first process fetches and prepares thousands of nights. One
# that has died is noticed by torchrun, whatever this is.
PATIENCE = timedelta(days=7)
PHASES = ("pretraining", "finetuning")


@dataclass(frozen=True)
class Cohort:
    """Nights, prepared and trimmed, and how they are split."""

    name: str
    """As in published.csv."""
    nights: list
    folds: list
    """The subjects of each."""
    counts: pd.DataFrame
    """Scored epochs by stage: those found and, where known, those published."""
    picks: str | list[str] | None


def make_parser(description):
    """Return a parser of the options that the scripts share."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--out-dir", type=Path, required=True, help="where all results are written")
    add("--size", choices=["small", "base"], default="base")
    add("--seed", type=int, nargs="+", default=[0], help="one or several")
    add("--device", help="cpu or cuda (default: a GPU if there is one)")
    add("--precision", choices=["float32", "bfloat16"], default="float32")
    defaults = MC2SleepClassifier()
    add(
        "--train-epochs",
        type=int,
        default=defaults.pretrain_train_epochs,
        help="passes in each stage of the training, at most (default: %(default)s)",
    )
    add(
        "--batch-size",
        type=int,
        default=defaults.batch_size,
        help="sequences of one step, of all processes together (default: %(default)s)",
    )
    add("--prepared", type=Path, help="the prepared nights (default: OUT_DIR/prepared)")
    add("--n-jobs", type=int, help="nights prepared at once (default: 1)")
    add(
        "--fast",
        action="store_true",
        help="a rehearsal: one night of three subjects each, "
        f"{FAST_TRAIN_EPOCHS} passes",
    )
    return parser


def run(args, load):
    """Do what is not done yet, and write the table; return the exit code.

    ``load`` takes ``args`` and returns the `Cohort`; one process calls it. The exit
    code is 0; 2 after an error, which is reported in one sentence on stderr; 130 after
    Ctrl-C.
    """
    args.prepared = args.prepared or args.out_dir / "prepared"
    if args.fast:
        args.train_epochs = FAST_TRAIN_EPOCHS
    try:
        with joined_processes(args.device):
            cohort = from_first(lambda: prepare(args, load))
            for seed in args.seed:
                for index, fold in enumerate(cohort.folds):
                    folder = args.out_dir / f"seed-{seed}" / f"fold-{index:02d}"
                    run_fold(cohort, fold, folder, seed, args)
            if is_first():
                write_tables(args.out_dir, cohort, list_settings(args))
                print((args.out_dir / "results.md").read_text())
        return 0
    except USER_ERRORS as error:
        if is_first():
            text = " ".join(str(error).split())
            print(f"{Path(sys.argv[0]).name}: error: {text}", file=sys.stderr)
        logger.debug("The error arose here:", exc_info=error)
        return 2
    except KeyboardInterrupt:
        return 130


@contextmanager
def joined_processes(device):
    """Let the processes that torchrun started find each other, if it did."""
    if not distributed.is_torchelastic_launched():
        yield
        return
    backend = "gloo"
    if torch.cuda.is_available() and device != "cpu":
        backend = "nccl"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group(backend, timeout=PATIENCE)
    if not is_first():
        mne.set_log_level("ERROR")
    yield
    # After an error the others may wait for this process, so it ends without them.
    distributed.destroy_process_group()


def is_first():
    """Return whether this is the process that prepares, writes and reports."""
    return int(os.environ.get("RANK", 0)) == 0


def n_processes():
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def from_first(make):
    """Let the first process make something, and send it or its error to all."""
    if not distributed.is_initialized():
        return make()
    outcome = [None, None]
    if is_first():
        try:
            outcome = [make(), None]
        except USER_ERRORS as error:
            outcome = [None, str(error)]
    distributed.broadcast_object_list(outcome)
    made, message = outcome
    if message is not None:
        raise RuntimeError(message)
    return made


def prepare(args, load):
    """Load the cohort; refuse to mix results of different options or nights."""
    if args.batch_size % n_processes():
        raise ValueError(
            f"A --batch-size of {args.batch_size} cannot be shared evenly by "
            f"{n_processes()} processes; pass a multiple of {n_processes()}."
        )
    args.out_dir.mkdir(parents=True, exist_ok=True)
    keep(args.out_dir / "settings.json", list_settings(args))
    cohort = load(args)
    n_epochs = sum(len(night.stages) for night in cohort.nights)
    found = {"nights": len(cohort.nights), "epochs": n_epochs}
    keep(args.out_dir / "nights.json", found)
    return cohort


def list_settings(args):
    """Return the options that the results depend on, except the seed."""
    others = {"out_dir", "prepared", "data", "seed", "device", "n_jobs"}
    return {name: value for name, value in vars(args).items() if name not in others}


def keep(fname, values):
    """Write values into a file, or check that they are those in it."""
    if not fname.exists():
        replace_file(fname, json.dumps(values, indent=1).encode())
        return
    kept = json.loads(fname.read_text())
    different = [
        f"{name} is {kept.get(name)!r} there and {value!r} here"
        for name, value in values.items()
        if kept.get(name) != value
    ]
    if different:
        raise ValueError(
            f"{fname.parent} holds results of another run ({', '.join(different)}); "
            "pass another --out-dir, or the same options and nights."
        )


def count_epochs(nights):
    """Count the scored epochs of nights by stage; return a table of one row."""
    stages = np.concatenate([night.stages for night in nights])
    counts = np.bincount(stages[stages >= 0], minlength=len(STAGES))
    columns = ["n_nights", *STAGES, "total"]
    row = [len(nights), *counts, counts.sum()]
    return pd.DataFrame([row], columns=columns, index=["found"])


def run_fold(cohort, fold, folder, seed, args):
    """Train and test one fold, unless its result is there."""
    fname = folder / "result.npz"
    if from_first(fname.exists):
        return
    from_first(lambda: folder.mkdir(parents=True, exist_ok=True))
    is_resumed, start = any(folder.glob("*.safetensors")), time.monotonic()
    train, validation, test = fold.split(cohort.nights)
    logger.info("%s: %d nights to train on.", folder, len(train))
    clf, options = make_options(cohort, seed, args)
    config = MC2SleepConfig.from_size(args.size)
    stager = Stager.untrained(config, options.seed, clf.device)
    for name, learn in zip(PHASES, (stager.pretrain, stager.finetune), strict=True):
        checkpoint = folder / f"{name}.pt"
        learn(
            train,
            options,
            validation,
            progress=ProgressBar,
            checkpoint=checkpoint,
        )
    if not is_first():
        return
    probabilities = [stager.stage([night], novelties=()) for night in test]
    for step in stager.provenance:
        step |= {"source": cohort.name, "seed": seed, "test_subjects": fold.test}
    clf.stager_ = stager
    clf.save(folder / "stager.safetensors", overwrite=True)
    record = {
        "hours": (time.monotonic() - start) / 3600,
        "is_resumed": is_resumed,
        "hardware": describe_hardware(clf.device),
        "history": stager.history,
    }
    write_result(fname, test, probabilities, record)
    for name in PHASES:
        for checkpoint in folder.glob(f"{name}.pt*"):
            checkpoint.unlink()
    write_tables(args.out_dir, cohort, list_settings(args))


def make_options(cohort, seed, args):
    """Return the stager's parameters and the options: the defaults of the package."""
    clf = MC2SleepClassifier(
        cohort.picks,
        size=args.size,
        pretrain_train_epochs=args.train_epochs,
        finetune_train_epochs=args.train_epochs,
        batch_size=args.batch_size // n_processes(),
        device=args.device,
        random_state=seed,
    )
    options = TrainingOptions.from_parameters(clf.get_params())
    return clf, replace(options, precision=args.precision)


def describe_hardware(device):
    """Describe the hardware in a few words."""
    device = find_device(device)
    if device.type == "cuda":
        return f"{n_processes()} x {torch.cuda.get_device_name(device)}"
    n_threads = n_processes() * torch.get_num_threads()
    return f"{platform.machine()}, {n_threads} threads"
