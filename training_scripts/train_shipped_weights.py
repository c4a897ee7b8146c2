"""Train the weights that ship, on real nights resynthesised from their band powers.

::

    python training_scripts/train_shipped_weights.py band_power_nights.npz \
        --out-dir weights_small

Needs torch, NumPy, SciPy, scikit-learn and safetensors, but neither MNE nor YASA. The
same command again goes on after the last train epoch that was finished. In each train
epoch every night has another montage, recorder and texture; see
``training_scripts/synthesis``. ``--fold`` chooses the subjects that are left for tests.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from band_power_nights import SCALING, make_nights, read_power_nights, split_nights

from mne_mc2sleep import __version__, training
from mne_mc2sleep._utils import find_device
from mne_mc2sleep.data.nights import count_stages
from mne_mc2sleep.inference.calibration import fit_temperature
from mne_mc2sleep.inference.sliding_window import encode_epochs, log_posteriors
from mne_mc2sleep.network import MC2SleepConfig, MC2SleepNet
from mne_mc2sleep.preprocessing.novelty import fit_profile
from mne_mc2sleep.preprocessing.short_recordings import fit_levels
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.training import TrainingOptions

logger = logging.getLogger("mne")

SEQUENCE_LENGTH = 60
# Fine-tuning reads each night in these versions, encoded once each: each has a montage
# and a recorder of its own, and in every second one the powers of single epochs stray.
FINETUNE_MAX_SPREADS = (0.0, 0.7, 0.0, 0.7)
# Shares of the stages in a night of healthy adults, about (our choice). The nights of
# the training are of rather old people, with little N3, and with wake around them.
USUAL_SHARES = {"WAKE": 0.18, "N1": 0.08, "N2": 0.45, "N3": 0.15, "REM": 0.14}
VALIDATION_SEED = 1
LEVELS_SEED = 20_000

DATA = (
    "nights resynthesised from the band powers of the sleep cassette nights of the "
    "PhysioNet Sleep-EDF Database Expanded 1.0.0 (Kemp et al. 2000, Goldberger et al. "
    "2000), never their raw signal"
)


def training_options(args):
    """Return the settings of both stages."""
    return TrainingOptions(
        pretrain_train_epochs=args.pretrain_train_epochs,
        finetune_train_epochs=args.finetune_train_epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        weight_decay=0.02,
        patience=max(args.pretrain_train_epochs, args.finetune_train_epochs),
        excluded_neighbors=5,
        validation_fraction=0.0,
        seed=args.seed,
        label_smoothing=0.05,
        average_decay=0.995,
        precision=args.precision,
    )


def encode(net, nights):
    """Replace the signals of nights by their embeddings."""
    return [n.encoded(encode_epochs(net, n.signals)) for n in nights]


def train(args):
    """Train both stages; return the stager."""
    nights = read_power_nights(args.fname)[:: args.every]
    train_nights, validation_nights, test_nights = split_nights(nights, args.fold)
    device, options = find_device(args.device), training_options(args)
    seeds = {"pretrain": 0, "finetune": 10_000}

    def draw(part, number, max_spread=0.0):
        seed = (args.seed, seeds[part] + number)
        return make_nights(train_nights, seed, device, True, max_spread)

    with training.seeded(args.seed):
        config = MC2SleepConfig.from_size(args.size, SEQUENCE_LENGTH)
        net = MC2SleepNet(config).to(device)
    validation = make_nights(validation_nights, (VALIDATION_SEED, args.fold), device)
    training.fit_input_statistics(net, draw("pretrain", 0), args.seed)
    stager = Stager(net, scaling=SCALING, can_stage=True, was_finetuned=True)
    training.pretrain(
        net,
        lambda train_epoch: draw("pretrain", train_epoch),
        validation,
        options,
        stager.history,
        checkpoint=args.out_dir / "pretraining.pt",
    )

    @lru_cache
    def version(index):
        return encode(net, draw("finetune", index, FINETUNE_MAX_SPREADS[index]))

    validation = encode(net, validation)
    training.finetune(
        net,
        lambda train_epoch: version(train_epoch % len(FINETUNE_MAX_SPREADS)),
        validation,
        options,
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


@torch.no_grad()
def lean_to_usual_shares(net, counts):
    """Take half of what the training's shares of the stages have taught, by Bayes."""
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
    parser.add_argument("fname", help="band_power_nights.npz")
    parser.add_argument("--out-dir", type=Path, required=True)
    parser.add_argument("--size", default="small", choices=["small", "base"])
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device")
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--batch-size", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=1.5e-3)
    parser.add_argument("--pretrain-train-epochs", type=int, default=12)
    parser.add_argument("--finetune-train-epochs", type=int, default=24)
    parser.add_argument("--every", type=int, default=1, help="of so many nights, one")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def main():
    """Train, save, and say how long it took."""
    args = parse_args()
    args.out_dir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.DEBUG)
    start = time.monotonic()
    stager = train(args)
    hours = (time.monotonic() - start) / 3600
    fname = args.out_dir / f"{args.size}.safetensors"
    stager.save(fname, {}, overwrite=True)
    history = fname.with_suffix(".history.json")
    history.write_text(json.dumps({"hours": hours, "history": stager.history}))
    print(f"{fname}: {hours:.2f} h in this run, scores {stager.scores}")


if __name__ == "__main__":
    main()
