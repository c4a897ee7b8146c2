"""Measure what each part of the method contributes, by leaving it out.

::

    python training_scripts/ablations.py band_power_nights.npz docs/ablations.json
    python training_scripts/ablations.py --table docs/ablations.json
    python training_scripts/ablations.py band_power_nights.npz trial.json --fast

Every variant sees the same nights for as many passes, with the same three seeds. Nights
are resynthesised from the band powers of real ones by Fpz-Cz, without the montages and
recorders at random that the shipped weights are trained on. A run that is in the file
already is not done again. The budget is small on purpose: 48 runs in about an hour of
one core. What helps here may not help in a long training, nor the other way round.
``--fast`` tries every variant in minutes, with one seed, few nights and few passes.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from band_power_nights import read_power_nights, split_nights
from synthesis import resynthesize
from train_shipped_weights import first_config

from mne_mc2sleep import training
from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.inference.sliding_window import encode_epochs, log_posteriors
from mne_mc2sleep.metrics import score_stages
from mne_mc2sleep.network import Embeddings, MC2SleepNet
from mne_mc2sleep.training import TrainingOptions

# The evening that is left out, in epochs.
N_EVENING = 30


class Budget(NamedTuple):
    """Number of nights and passes for every variant."""

    seeds: tuple = (0, 1, 2)
    n_nights: int = 20
    n_test_nights: int = 8
    n_epochs: int = 500
    pretrain_passes: int = 4
    finetune_passes: int = 8


FAST = Budget((0,), n_nights=2, n_test_nights=1, n_epochs=80, finetune_passes=1)


class OneModalityNet(MC2SleepNet):
    """A network that is blind in one modality."""

    blind = "spectrogram"

    def encode(self, signals):
        """Embed each epoch, one modality as zeros."""
        if self.blind == "spectrogram":
            seen = self.signal_backbone(signals)
            return Embeddings(seen, torch.zeros_like(seen))
        seen = self.spectrogram_backbone(signals)
        return Embeddings(torch.zeros_like(seen), seen)


class SpectrogramOnlyNet(OneModalityNet):
    """A network that sees no raw signal."""

    blind = "signal"


ALONE = {"contrastive_weight": 0.0, "reconstruction_weight": 0.0}
# What differs from the whole method: options, and the arguments of `run`.
VARIANTS = {
    "whole method": ({}, {}),
    "raw signal only": (ALONE, {"network": OneModalityNet}),
    "spectrogram only": (ALONE, {"network": SpectrogramOnlyNet}),
    "without InfoNCE": ({"contrastive_weight": 0.0}, {}),
    "without cross-masking": ({"reconstruction_weight": 0.0}, {}),
    "mask ratio 0": ({"mask_ratio": 0.0}, {}),
    "mask ratio 0.25": ({"mask_ratio": 0.25}, {}),
    "mask ratio 0.75": ({"mask_ratio": 0.75}, {}),
    "backbones not frozen": ({}, {"frozen": False}),
    "no pretraining": (ALONE, {"finetune": False}),
    **{
        f"{n} scored nights, {how}": ({}, {"n_scored": n, "unlabelled": unlabelled})
        for n in (5, 10, 20)
        for how, unlabelled in (
            ("pretrained without labels on all 20", True),
            ("whole method on these alone", False),
        )
    },
}


def make_nights(power_nights, n_epochs, seed):
    """Resynthesise the beginning of nights by Fpz-Cz."""
    nights = []
    for index, night in enumerate(power_nights):
        part = slice(N_EVENING, N_EVENING + n_epochs)
        signals = resynthesize(
            night.log_band_power[part, :1],
            night.log_variance[part, :1],
            random_state=np.random.default_rng([seed, index]),
        )
        signals = torch.from_numpy(signals.reshape(n_epochs, -1))
        usable = np.ones(n_epochs, dtype=bool)
        nights.append(Night(signals, night.stages[part], usable, night.subject))
    return nights


def without_stages(night):
    """Return the night without its stages."""
    return replace(night, stages=np.full_like(night.stages, -1))


def make_options(budget, seed, changes):
    """Return the options of the whole method, with some changed."""
    options = TrainingOptions(
        pretrain_train_epochs=budget.pretrain_passes,
        finetune_train_epochs=budget.finetune_passes,
        batch_size=10,
        learning_rate=2e-3,
        patience=100,
        validation_fraction=0.0,
        seed=seed,
        precision="bfloat16",
    )
    return replace(options, **changes)


def run(
    nights,
    test,
    options,
    network=MC2SleepNet,
    frozen=True,
    finetune=True,
    n_scored=None,
    unlabelled=False,
):
    """Train a variant; return its kappa and macro-F1 on the test nights."""
    with training.seeded(options.seed):
        net = network(first_config("small"))
    training.fit_input_statistics(net, nights, options.seed)
    scored = nights[:n_scored]
    seen = [without_stages(n) for n in nights] if unlabelled else scored
    # The same number of steps for any nights.
    n_pretrain, n_finetune = (
        options.pretrain_train_epochs,
        options.finetune_train_epochs,
    )
    options = replace(
        options,
        pretrain_train_epochs=n_pretrain * len(nights) // len(seen),
        finetune_train_epochs=n_finetune * len(nights) // len(scored),
    )
    training.train(training.Pretraining(net, options), seen, [], [])
    if finetune and frozen:
        encoded = [n.encoded(encode_epochs(net, n.signals)) for n in scored]
        training.train(training.Finetuning(net, options), encoded, [], [])
    elif finetune:
        # All layers are trained further, on the losses of the stages only.
        more = replace(options, seed=options.seed + 1, **ALONE)
        training.train(training.Pretraining(net, more), scored, [], [])
    predicted = [
        log_posteriors(net, encode_epochs(net, n.inputs), n.usable).argmax(axis=1)
        for n in test
    ]
    reference = np.concatenate([night.stages for night in test])
    scores = score_stages(reference, np.concatenate(predicted))
    return {name: scores[name] for name in ("kappa", "macro_f1", "n_epochs")}


def do_all(powers, fname, budget):
    """Do the runs that the file does not hold, and add each to it."""
    train, _, unseen = split_nights(read_power_nights(powers))
    long = [n for n in train if len(n.stages) >= budget.n_epochs + N_EVENING]
    order = np.random.default_rng(0).permutation(len(long))[: budget.n_nights]
    test = make_nights(unseen[: budget.n_test_nights], budget.n_epochs, seed=1000)
    results = json.loads(fname.read_text()) if fname.exists() else {}
    for seed in budget.seeds:
        nights = make_nights([long[i] for i in order], budget.n_epochs, seed)
        for name, (changes, arguments) in VARIANTS.items():
            if f"{name}|{seed}" in results:
                continue
            start = time.monotonic()
            options = make_options(budget, seed, changes)
            scores = run(nights, test, options, **arguments)
            scores["seconds"] = round(time.monotonic() - start)
            results[f"{name}|{seed}"] = scores
            fname.write_text(json.dumps(results, indent=1) + "\n")
            print(name, seed, scores, flush=True)


def print_rows(title, columns, rows):
    """Print a table as Markdown."""
    print("|", " | ".join([title, *columns]), "|")
    print("|" + "---|" * (len(columns) + 1))
    for name, cells in rows.items():
        print("|", " | ".join([name, *cells]), "|")
    print()


def spread(values, sign=""):
    """Return mean and standard deviation over the seeds as text."""
    deviation = np.std(values, ddof=min(len(values) - 1, 1))
    return f"{np.mean(values):{sign}.3f} ± {deviation:.3f}"


def print_table(fname):
    """Print mean and spread over the seeds."""
    results, rows = json.loads(fname.read_text()), {}
    for name in VARIANTS:
        runs = [v for key, v in results.items() if key.rpartition("|")[0] == name]
        if runs:
            cells = [spread([run[k] for run in runs]) for k in ("kappa", "macro_f1")]
            rows[name] = [*cells, str(len(runs))]
    print_rows("variant", ["kappa", "macro-F1", "seeds"], rows)


def main():
    """Do the runs, or print the table of those that were done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("powers", nargs="?", help="the file of make_band_powers.py")
    parser.add_argument("results", type=Path, help="a JSON file")
    parser.add_argument("--table", action="store_true", help="print what is there")
    parser.add_argument("--fast", action="store_true", help="a trial, in minutes")
    args = parser.parse_args()
    if not args.table:
        torch.set_num_threads(1)
        do_all(args.powers, args.results, FAST if args.fast else Budget())
    print_table(args.results)


if __name__ == "__main__":
    main()
