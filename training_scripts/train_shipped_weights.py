"""Train the weights that ship: on resynthesised nights, then on real EEG and teachers.

::

    python training_scripts/train_shipped_weights.py band_power_nights.npz \
        --heads sleep_edf_heads.npz --ucddb ucddb.npz \
        --teachers yasa robust_teacher:stage --out-dir weights_small

Four steps. Pretraining and fine-tuning read real nights resynthesised from their band
powers; in each train epoch every night has another montage, recorder and texture, see
``training_scripts/synthesis``. They need neither MNE nor YASA. With ``--heads``, the
third step continues all layers on soft targets: on resynthesised nights that the first
teacher stages, and on real nights glued from 5-s heads that all teachers stage. The
fourth step teaches this to ``small``, whose encoder is faster than that of the first
three steps, see ``training_scripts/distillation.py``.

The same command resumes after the last train epoch that was finished. On one core the
first two steps take about 1 h, the third about 3 h, 40 min of it to draw the nights,
and the fourth about 1 h. ``--start`` takes the weights of the first two steps from a
file. ``--fold`` chooses the test subjects.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from band_power_nights import SCALING, make_nights, read_power_nights, split_nights
from continuation import loss_of_targets
from continuation import train as continue_training
from distillation import ImitationLoss, start_from
from sleep_edf_heads import read_heads
from soft_nights import (
    HEADS_VERSIONS,
    POWER_VERSIONS,
    draw_head_nights,
    draw_power_nights,
    read_pass,
)
from teachers import load_teacher
from ucddb_runs import read_runs

from mne_mc2sleep import __version__, training
from mne_mc2sleep._utils import find_device
from mne_mc2sleep.data.nights import count_stages
from mne_mc2sleep.inference.sliding_window import (
    encode_epochs,
    fit_temperature,
    log_posteriors,
)
from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet
from mne_mc2sleep.preprocessing.novelty import fit_profile
from mne_mc2sleep.preprocessing.short_recordings import fit_levels
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.training import TrainingOptions

logger = logging.getLogger("mne")


class Phase(NamedTuple):
    """One phase of the third step."""

    passes: int
    planned_passes: int
    learning_rate: float
    with_runs: bool
    narrow_share: float
    power_sources: tuple[str, ...] = ("power",)  # of the passes, in turn


SEQUENCE_LENGTH = 60
# Fine-tuning reads each night in these versions, encoded once each: each has its
# own montage and recorder, and in every second one the powers of single epochs vary.
FINETUNE_MAX_SPREADS = (0.0, 0.7, 0.0, 0.7)
# Shares of the stages in a night of healthy adults, about (our choice). The nights of
# the training are of rather old people, with little N3, and with wake around them.
USUAL_SHARES = {"WAKE": 0.18, "N1": 0.08, "N2": 0.45, "N3": 0.15, "REM": 0.14}
VALIDATION_SEED = 1
# Of the third step: a batch holds whole sequences, 300 epochs or a little more.
EPOCHS_PER_STEP = 310
# The third step: passes, passes that the learning rate is planned for, its highest
# value, whether runs of UCDDB are read, and the share of nearly flat recorders. It was
# found step by step: a phase begins where the one before was stopped.
# The shipped weights were made phase by phase, with other drawings of some nights, so a
# run of this script does not give them to the bit.
PHASES = (
    Phase(4, 4, 4e-4, False, 0.0),
    Phase(6, 9, 4e-4, False, 0.0),
    Phase(7, 7, 3e-4, True, 0.4),
    Phase(4, 4, 2.5e-4, True, 0.4),
)
# Both begin after the last phase, and are averaged: without and with events, which
# differ in what they stage better.
BRANCHES = (
    Phase(5, 5, 3e-4, True, 0.4),
    Phase(5, 5, 3e-4, True, 0.4, ("events",)),
)
# The encoder of the first three steps of "small". Its own encoder takes half as long.
FIRST_ENCODER = {"small": {"stem_stride": 4, "frame_stride": 1}}
# The fourth step: the backbones alone, then all layers, twice. For each phase, the
# weight of the posteriors of the third step in the targets, and the share of the steps
# after which its embeddings are no longer imitated.
DISTILLATION = (
    (Phase(1, 1, 1.5e-3, True, 0.4, ("events", "power")), 0.5, float("inf")),
    (Phase(6, 6, 5e-4, True, 0.4, ("events", "power")), 0.5, 1 / 3),
    (Phase(5, 5, 4e-4, True, 0.4, ("events", "power")), 0.75, 0.0),
)
# The weights after the last passes of the last phase, of the branches, and of the
# fourth step are averaged.
N_AVERAGED = 3
N_COPIES_OF_RUNS = 2
# Both chosen on the real EEG of the validation: teachers find too little N1, and soft
# targets make the network less confident than it should be.
N1_SHIFT = 0.4
TEMPERATURE = 0.75
LEVELS_SEED = 20_000

DATA = (
    "nights resynthesised from the band powers of the sleep cassette nights of the "
    "PhysioNet Sleep-EDF Database Expanded 1.0.0 (Kemp et al. 2000, Goldberger et al. "
    "2000), never their raw signal"
)

# Subjects whose heads are validated and tested on. Their resynthesised nights are left
# out of the third step as well. SC412 is in the training of the first two steps.
HEADS_VALIDATION_SUBJECTS = ("SC404", "SC412", "SC416")
HEADS_TEST_SUBJECTS = ("SC407", "SC414", "SC415")
TEACHERS = {
    "yasa": "YASA 0.8.1 (BSD-3-Clause; trained on nights of the NSRR)",
    "robust_teacher:stage": "RobustSleepNet (MIT; on glued heads only; its models that "
    "hold out Sleep-EDF, DOD-H, DOD-O and MASS)",
}
HEADS_DATA = (
    "the same nights, and real EEG: the first 5 s of each epoch of Fpz-Cz "
    "of the same database (ODC-By 1.0), glued into epochs of 30 s, and runs of wake "
    "and of N3 of some patients of UCDDB 1.0.0 (ODC-By 1.0), by a loss conditional on "
    "one of the two. The targets are mixtures of the experts' stages and of the "
    "teachers' probabilities for the same signal"
)


def training_options(args):
    """Return the settings of both stages."""
    return TrainingOptions(
        pretrain_train_epochs=args.pretrain_train_epochs,
        finetune_train_epochs=args.finetune_train_epochs,
        batch_size=5,
        learning_rate=1.5e-3,
        weight_decay=0.02,
        patience=max(args.pretrain_train_epochs, args.finetune_train_epochs),
        validation_fraction=0.0,
        seed=args.seed,
        label_smoothing=0.05,
        average_decay=0.995,
        precision="bfloat16",
    )


def encode(net, nights):
    """Replace the signals of nights by their embeddings."""
    return [n.encoded(encode_epochs(net, n.signals)) for n in nights]


def first_config(size, sequence_length=20):
    """Return the sizes of the network in the first three steps."""
    config = MC2SleepConfig.from_size(size, sequence_length)
    return replace(config, **FIRST_ENCODER.get(size, {}))


def train_on_powers(args):
    """Pretrain and fine-tune; return the stager."""
    nights = read_power_nights(args.fname)
    train_nights, validation_nights, test_nights = split_nights(nights, args.fold)
    device, options = find_device(args.device), training_options(args)
    seeds = {"pretrain": 0, "finetune": 10_000}

    def draw(part, number, max_spread=0.0):
        seed = (args.seed, seeds[part] + number)
        return make_nights(train_nights, seed, device, True, max_spread)

    with training.seeded(args.seed):
        net = MC2SleepNet(first_config(args.size, SEQUENCE_LENGTH)).to(device)
    validation = make_nights(validation_nights, (VALIDATION_SEED, args.fold), device)
    training.fit_input_statistics(net, draw("pretrain", 0), args.seed)
    stager = Stager(net, scaling=SCALING, can_stage=True, was_finetuned=True)
    training.train(
        training.Pretraining(net, options),
        lambda train_epoch: draw("pretrain", train_epoch),
        validation,
        stager.history,
        checkpoint=args.out_dir / "pretraining.pt",
    )

    @lru_cache
    def version(index):
        return encode(net, draw("finetune", index, FINETUNE_MAX_SPREADS[index]))

    validation = encode(net, validation)
    training.train(
        training.Finetuning(net, options),
        lambda train_epoch: version(train_epoch % len(FINETUNE_MAX_SPREADS)),
        validation,
        stager.history,
        checkpoint=args.out_dir / "finetuning.pt",
    )
    counts = count_stages(version(0))
    lean_to_usual_shares(net, counts)
    stager.calibration_temperature = calibrate(net, validation)
    # Once more the nights of the first version, but as signals.
    stager.profile = fit_profile(draw("finetune", 0))
    # Whole nights.
    stager.levels = fit_levels(
        make_nights(train_nights, (args.seed, LEVELS_SEED), device)
    )
    stager.scores = {"validation_macro_f1": max_score(stager.history)}
    stager.validation_subjects = sorted({n.subject for n in validation_nights})
    step = {
        "phase": "pretraining and fine-tuning",
        "package_version": __version__,
        "source": DATA,
        "licences": ["ODC-By 1.0"],
        "n_nights": len(train_nights),
        "n_subjects": len({night.subject for night in train_nights}),
        "n_epochs": counts,
        "fold": args.fold,
        "seed": args.seed,
        "test_subjects": sorted({night.subject for night in test_nights}),
        "validation_subjects": stager.validation_subjects,
    }
    stager.provenance = [step]
    return stager


def continue_on_soft_targets(args, stager):
    """Continue all layers on soft targets; return the stager."""
    nights = read_power_nights(args.fname)
    power_nights, _, _ = split_nights(nights, args.fold)
    kept_back = {*HEADS_VALIDATION_SUBJECTS, *HEADS_TEST_SUBJECTS}
    power_nights = [n for n in power_nights if n.subject not in kept_back]
    head_nights = [n for n in read_heads(args.heads) if n.subject not in kept_back]
    teachers = [load_teacher(name) for name in args.teachers]
    folder = args.out_dir / "drawn"
    for source in ("power", "events"):
        for version in range(len(POWER_VERSIONS)):
            draw_power_nights(
                power_nights, version, folder, teachers[0], args.seed, source
            )
    for version in range(len(HEADS_VERSIONS)):
        draw_head_nights(head_nights, version, folder, teachers, args.seed)
    runs = read_runs(args.ucddb, stager.levels) if args.ucddb else []
    last = len(PHASES) - 1
    for index, phase in enumerate(PHASES):
        run_phase(stager.net, phase, folder, runs, index, args)
    for index, phase in enumerate(BRANCHES, last + 1):
        average_last_passes(stager.net, args.out_dir, last)
        run_phase(stager.net, phase, folder, runs, index, args)
    average_last_passes(stager.net, args.out_dir, last + 1, last + 2)
    if args.size in FIRST_ENCODER:
        stager.net = distil(stager.net, folder, runs, last + 3, args)
    with torch.no_grad():
        stager.net.total_head.bias[1] += N1_SHIFT
    stager.calibration_temperature = TEMPERATURE
    stager.scores = {}
    step = describe_data(args, power_nights, head_nights, runs)
    stager.provenance = [*stager.provenance, step]
    return stager


def distil(teacher, folder, runs, first, args):
    """Run the fourth step; return the faster network."""
    config = MC2SleepConfig.from_size(args.size, SEQUENCE_LENGTH)
    net = start_from(teacher, config)
    net.requires_grad_(False)
    for backbone in net.backbones:
        backbone.requires_grad_(True)
    for index, (phase, weight, faded_at) in enumerate(DISTILLATION, first):
        loss = ImitationLoss(teacher, weight, faded_at)
        run_phase(net, phase, folder, runs, index, args, loss)
        net.requires_grad_(True)
    average_last_passes(net, args.out_dir, index)
    return net


def run_phase(net, phase, folder, runs, index, args, find_loss=loss_of_targets):
    """Run one phase of the third or fourth step."""
    seed = args.seed + index

    def draw(number):
        source = phase.power_sources[number % len(phase.power_sources)]
        recordings = read_pass(folder, number, phase.narrow_share, seed, source)
        return recordings + phase.with_runs * N_COPIES_OF_RUNS * runs

    def after_pass(number, average):
        fname = args.out_dir / f"phase{index}_pass{number:03d}.pt"
        torch.save(average.state_dict(), fname)

    n_epochs = sum(len(recording.targets) for recording in draw(0))
    continue_training(
        net,
        draw,
        phase.passes if args.passes is None else args.passes,
        -(-phase.planned_passes * n_epochs // EPOCHS_PER_STEP),
        phase.learning_rate,
        seed=seed,
        checkpoint=args.out_dir / f"continuation{index}.pt",
        after_pass=after_pass,
        find_loss=find_loss,
    )


def average_last_passes(net, folder, *phases):
    """Load the mean of the weights after the last passes of some phases."""
    fnames = []
    for index in phases:
        fnames += sorted(folder.glob(f"phase{index}_pass*.pt"))[-N_AVERAGED:]
    states = [torch.load(fname, weights_only=True) for fname in fnames]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in states[-1].items()
    }
    net.load_state_dict(mean)


def describe_data(args, power_nights, head_nights, runs):
    """Return what the third and fourth step were trained on, for the provenance."""
    phases = [*PHASES, *BRANCHES]
    if args.size in FIRST_ENCODER:
        phases += [phase for phase, _, _ in DISTILLATION]
    return {
        "phase": "continuation on soft targets",
        "package_version": __version__,
        "source": HEADS_DATA,
        "licences": ["ODC-By 1.0"],
        "teachers": [TEACHERS.get(name, name) for name in args.teachers],
        "n_nights": len(power_nights),
        "n_subjects": len({night.subject for night in power_nights}),
        "n_epochs": count_targets(power_nights),
        "n_head_nights": len(head_nights),
        "n_head_epochs": count_targets(head_nights),
        "heads_subjects": sorted({night.subject for night in head_nights}),
        "heads_validation_subjects": list(HEADS_VALIDATION_SUBJECTS),
        "heads_test_subjects": list(HEADS_TEST_SUBJECTS),
        "ucddb_subjects": sorted({run.subject for run in runs}),
        "passes": [phase.passes for phase in phases],
        "seed": args.seed,
    }


def count_targets(nights):
    """Count the scored epochs of nights by stage."""
    stages = np.concatenate([night.stages for night in nights])
    return {name: int((stages == i).sum()) for i, name in enumerate(USUAL_SHARES)}


@torch.no_grad()
def lean_to_usual_shares(net, counts):
    """Correct half of the difference between the training's and the usual shares."""
    total = sum(counts.values())
    shift = [np.log(USUAL_SHARES[s] / (n / total)) / 2 for s, n in counts.items()]
    net.total_head.bias += torch.tensor(shift).to(net.total_head.bias)


def calibrate(net, nights):
    """Fit the temperature on encoded nights."""
    posteriors = [log_posteriors(net, n.inputs, n.usable) for n in nights]
    targets = [night.targets for night in nights]
    return fit_temperature(np.concatenate(posteriors), np.concatenate(targets))


def max_score(history):
    """Return the validation score of the state that fine-tuning kept."""
    return max(
        row["validation_macro_f1"] for row in history if row["phase"] == "Fine-tuning"
    )


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fname", help="the file of make_band_powers.py")
    parser.add_argument("--out-dir", type=Path, required=True)
    parser.add_argument("--size", default="small", choices=["small", "base"])
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    parser.add_argument("--pretrain-train-epochs", type=int, default=12)
    parser.add_argument("--finetune-train-epochs", type=int, default=24)
    parser.add_argument("--heads", help="sleep_edf_heads.npz; without it, two steps")
    parser.add_argument("--teachers", nargs="+", default=["yasa"])
    parser.add_argument("--start", help="weights of the first two steps")
    parser.add_argument("--ucddb", help="ucddb.npz, for the third step")
    parser.add_argument("--passes", type=int, help="of each phase, for a trial")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def main():
    """Train, save, and print how long it took."""
    args = parse_args()
    args.out_dir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.DEBUG)
    start = time.monotonic()
    if args.start:
        stager, _ = Stager.load(args.start, args.device)
    else:
        stager = train_on_powers(args)
    if args.heads:
        stager = continue_on_soft_targets(args, stager)
    hours = (time.monotonic() - start) / 3600
    fname = args.out_dir / f"{args.size}.safetensors"
    stager.save(fname, {}, overwrite=True)
    history = fname.with_suffix(".history.json")
    history.write_text(json.dumps({"hours": hours, "history": stager.history}))
    print(f"{fname}: {hours:.2f} h in this run, scores {stager.scores}")


if __name__ == "__main__":
    main()
