"""Measure what each part of the method contributes on real EEG, by leaving it out.

::

    python training_scripts/real_ablations.py docs/real_ablations.json \
        --heads sleep_edf_heads.npz --ucddb ucddb.npz --pydynamo pydynamo.npz \
        --polysomnography noxturnal_2min.edf
    python training_scripts/real_ablations.py docs/real_ablations.json --table

Every variant trains from scratch on the same real nights, which are glued from 5-s
heads, for as many passes, with the same three seeds, and is scored on real EEG of other
people. The last part needs no training: it turns off what the shipped weights do to a
recording. What the file holds already is not done again.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache, partial
from itertools import product
from pathlib import Path
from sys import path
from typing import NamedTuple

import mne
import numpy as np
import torch
from ablations import ALONE, OneModalityNet, SpectrogramOnlyNet, print_rows, spread
from sleep_edf_heads import (
    N_HEADS,
    draw_donors,
    glue,
    read_heads,
    record_signal,
    stage_shares,
)
from teachers import mix_targets, yasa_teacher
from train_shipped_weights import (
    HEADS_TEST_SUBJECTS,
    HEADS_VALIDATION_SUBJECTS,
    first_config,
)

from mne_mc2sleep import (
    MC2SleepClassifier,
    expected_calibration_error,
    score_stages,
    training,
)
from mne_mc2sleep._constants import N_TIMES, SFREQ
from mne_mc2sleep.data.nights import Night
from mne_mc2sleep.inference.sliding_window import encode_epochs
from mne_mc2sleep.io.recordings import read_recording
from mne_mc2sleep.network import MC2SleepNet
from mne_mc2sleep.preprocessing.scaling import (
    approach_reference,
    median_distances,
    scale_signals,
)
from mne_mc2sleep.preprocessing.short_recordings import fit_levels
from mne_mc2sleep.stager import Stager
from mne_mc2sleep.training import TrainingOptions

path.append(str(Path(__file__).parents[1] / "benchmarks"))
from real_eeg import cut_half_hours, glue_nights, make_raw, read_pydynamo, read_ucddb

SEEDS = (0, 1, 2)
# A pass reads one half of each night, glued in one of the two ways.
PRETRAIN_PASSES, FINETUNE_PASSES = 2, 3
BATCH_SIZE, LEARNING_RATE = 5, 1.5e-3
DRAW_SEED = 80_000
HEADS_SUBJECTS = {
    "validation": HEADS_VALIDATION_SUBJECTS,
    "test": HEADS_TEST_SUBJECTS,
}
# Epochs of wake that make a day of a night.
N_WAKE = 1560
WHOLE_METHOD = "whole method"


class Variant(NamedTuple):
    """Difference from the whole method."""

    options: dict = {}
    network: type = MC2SleepNet
    passes: tuple = (PRETRAIN_PASSES, FINETUNE_PASSES)
    frozen: bool = True
    scaling: str = "spectrum"
    teacher_weight: float = 0.0
    # Whether epochs are glued from one stage, in turn.
    same_stage: tuple = (False, True)


VARIANTS = {
    "parts of the method": {
        WHOLE_METHOD: Variant(),
        "raw signal only": Variant(ALONE, OneModalityNet),
        "spectrogram only": Variant(ALONE, SpectrogramOnlyNet),
        "without InfoNCE": Variant({"contrastive_weight": 0.0}),
        "without cross-masking": Variant({"reconstruction_weight": 0.0}),
        "without both": Variant(ALONE),
        "mask ratio 0.25": Variant({"mask_ratio": 0.25}),
        "mask ratio 0.75": Variant({"mask_ratio": 0.75}),
        "backbones not frozen": Variant(frozen=False),
        "no pretraining": Variant(
            passes=(0, PRETRAIN_PASSES + FINETUNE_PASSES), frozen=False
        ),
    },
    "scaling and teacher": {
        "scaling robust": Variant(scaling="robust"),
        "scaling none": Variant(scaling="none"),
        "teacher weight 0.25": Variant(teacher_weight=0.25),
        "teacher weight 0.5": Variant(teacher_weight=0.5),
        "teacher weight 0.75": Variant(teacher_weight=0.75),
    },
    "gluing and passes": {
        "glued from neighbours": Variant(same_stage=(False,)),
        "glued from one stage": Variant(same_stage=(True,)),
        **{f"{n} + {n} passes": Variant(passes=(n, n)) for n in (1, 4, 8, 16)},
    },
}
# What is turned off in the shipped weights.
MECHANISMS = {
    "as shipped": set(),
    "no rescaling by stages": {"rescaling"},
    "no lowering by novelty": {"novelty"},
    "no limit of the gain": {"limit"},
}
# Recordings in another unit, or with much larger amplitudes.
ENLARGED, ENLARGEMENT = ("022", "heads, validation", "pyDYNAM-O"), 5
# The names of EEG and EOG channels in a polysomnography by Nox Medical.
_EEG = re.compile(r"[CFOE]\d(-M\d)?")
# Not part of the difference from the whole method.
TEST_SET = "heads, test"


class RealNights:
    """Nights of the training subjects, glued from heads.

    ``fname`` is ``sleep_edf_heads.npz``; ``n_nights`` takes the first only, for a
    rehearsal. Numbers are rounded to half precision.
    """

    def __init__(self, fname, n_nights=None):
        others = {*HEADS_VALIDATION_SUBJECTS, *HEADS_TEST_SUBJECTS}
        nights = [n for n in read_heads(fname) if n.subject not in others]
        self.nights = nights[:n_nights]

    @lru_cache  # noqa: B019
    def glued(self, index, same_stage):
        """Return a night in µV through a random recorder, and the stages' shares."""
        night = self.nights[index]
        rng = np.random.default_rng([DRAW_SEED, index, same_stage])
        donors = draw_donors(night.stages, same_stage, rng)
        signal = record_signal(glue(night.heads, donors), rng).astype(np.float16)
        shares = stage_shares(night.stages, donors).astype(np.float16)
        return signal.astype(np.float32).reshape(-1, N_TIMES), shares

    @lru_cache  # noqa: B019
    def teacher(self, index, same_stage):
        """Return YASA's probabilities for a glued night."""
        signals, _ = self.glued(index, same_stage)
        return yasa_teacher(signals.ravel().astype(float), SFREQ).astype(np.float16)

    @lru_cache  # noqa: B019
    def scaled(self, index, same_stage, scaling):
        """Return the scaled signals of a glued night."""
        signals, _ = self.glued(index, same_stage)
        usable = np.ones(len(signals), dtype=bool)
        return torch.from_numpy(scale_signals(signals, usable, scaling))

    def draw(self, variant, number):
        """Return the nights of one pass: one half of each, glued in turn."""
        nights = []
        for index, night in enumerate(self.nights):
            n_epochs = len(night.stages) // 2
            half = slice(number % 2 * n_epochs, (number % 2 + 1) * n_epochs)
            turn = (number // 2 + number + index) % len(variant.same_stage)
            same_stage = variant.same_stage[turn]
            _, soft = self.glued(index, same_stage)
            if variant.teacher_weight:
                proba = self.teacher(index, same_stage)
                soft = mix_targets(None, proba, variant.teacher_weight, soft)
            signals = self.scaled(index, same_stage, variant.scaling)[half]
            usable = np.ones(n_epochs, dtype=bool)
            stages = night.stages[half]
            nights.append(Night(signals, stages, usable, night.subject, soft[half]))
        return nights

    @lru_cache  # noqa: B019
    def levels(self):
        """Return the spectra of the stages, by which short recordings are scaled."""
        nights = []
        for index, night in enumerate(self.nights):
            signals = self.scaled(index, False, "spectrum")
            usable = np.ones(len(signals), dtype=bool)
            nights.append(Night(signals, night.stages, usable, night.subject))
        return fit_levels(nights)


def train(nights, variant, seed):
    """Train a variant from scratch; return its stager."""
    n_pretrain, n_finetune = variant.passes
    options = TrainingOptions(
        pretrain_train_epochs=max(n_pretrain, 1),
        finetune_train_epochs=n_finetune,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        patience=100,
        validation_fraction=0.0,
        seed=seed,
        precision="bfloat16",
    )
    options = replace(options, **variant.options)
    draw = partial(nights.draw, variant)
    with training.seeded(seed):
        net = variant.network(first_config("small"))
    training.fit_input_statistics(net, draw(0), seed)
    if n_pretrain:
        training.train(training.Pretraining(net, options), draw, [], [])
    if variant.frozen:
        versions = [
            [n.encoded(encode_epochs(net, n.signals)) for n in draw(number)]
            for number in range(2)
        ]
        phase = training.Finetuning(net, options)
        training.train(phase, lambda number: versions[number % 2], [], [])
    else:
        # All layers are trained further, on the losses of the stages only.
        more = replace(
            options, pretrain_train_epochs=n_finetune, seed=seed + 1000, **ALONE
        )
        training.train(training.Pretraining(net, more), draw, [], [])
    is_spectrum = variant.scaling == "spectrum"
    levels = nights.levels() if is_spectrum else None
    return Stager(net, scaling=variant.scaling, can_stage=True, levels=levels)


def read_sets(args, half_hours=("022",)):
    """Return by name the recordings of each set, read but not scaled."""
    sets = {}
    if args.heads:
        for part, subjects in HEADS_SUBJECTS.items():
            nights = glue_nights(args.heads, subjects)
            sets[f"heads, {part}"] = [(*n, np.arange(len(n[1]))) for n in nights], 100
    if args.ucddb:
        sets["022"] = [read_ucddb(args.ucddb)], 128
    if args.pydynamo:
        sets["pyDYNAM-O"] = [read_pydynamo(args.pydynamo)], 100
    for name in half_hours:
        if name in sets:
            nights, sfreq = sets[name]
            cuts = [cut for night in nights for cut in cut_half_hours(*night)]
            sets[f"{name}, half hours"] = cuts, sfreq
    # The test set comes last.
    order = sorted(sets, key=lambda name: (name.startswith(TEST_SET), name))
    return {name: read_set(*sets[name]) for name in order}


def read_set(recordings, sfreq):
    """Read recordings as MNE's are read; return each with its stages."""
    return [
        (read_recording(make_raw(signals, sfreq)), stages)
        for signals, stages, *_ in recordings
    ]


def stage(stager, recording, without=frozenset()):
    """Stage a recording; return its probabilities and whether it is novel."""
    if "limit" in without:
        distances = median_distances(recording.signals[recording.usable])
        signals = approach_reference(recording.signals, distances, distances)
    else:
        signals = scale_signals(recording.signals, recording.usable, stager.scaling)
    channels = [replace(recording, signals=signals)]
    novelties = stager.measure_novelty(channels)
    if "rescaling" in without:
        stager = replace(stager, levels=None)
    lowered_by = () if "novelty" in without else novelties
    proba = stager.stage(channels, lowered_by)
    return proba, any(novelty.is_novel for novelty in novelties)


def score(stager, recordings, without=frozenset()):
    """Stage recordings; return the scores of all their epochs."""
    found = [stage(stager, recording, without) for recording, _ in recordings]
    stages = np.concatenate([stages for _, stages in recordings])
    proba = np.concatenate([proba for proba, _ in found])
    scores = score_stages(stages, proba.argmax(axis=1))
    scores["ece"] = expected_calibration_error(proba, stages)
    scores["n_novel"] = sum(is_novel for _, is_novel in found)
    names = ("n_epochs", "kappa", "macro_f1", "ece", "n_novel")
    return {name: round(float(scores[name]), 4) for name in names}


def do_runs(args, results):
    """Do the runs that the results do not hold, and save each."""
    nights = RealNights(args.heads, 2 if args.fast else None)
    sets = read_sets(args)
    seeds = SEEDS[:1] if args.fast else SEEDS
    for group, seed in product(VARIANTS.values(), seeds):
        for name, variant in group.items():
            key = f"{name}|{seed}"
            if key in results or name not in args.variants:
                continue
            if args.fast:
                passes = tuple(min(n, 1) for n in variant.passes)
                variant = variant._replace(passes=passes)
            start = time.process_time()
            stager = train(nights, variant, seed)
            seconds = round(time.process_time() - start)
            scores = {name: score(stager, sets[name]) for name in sets}
            results[key] = {"cpu_seconds": seconds, "scores": scores}
            args.results.write_text(json.dumps(results, indent=1) + "\n")
            kappas = {name: scores[name]["kappa"] for name in sets if name != TEST_SET}
            print(key, seconds, kappas, flush=True)


def do_mechanisms(args, results):
    """Score the shipped weights with one mechanism less at a time."""
    sets = read_sets(args, ("heads, validation", "022", "pyDYNAM-O", TEST_SET))
    if args.heads:
        for part, subjects in HEADS_SUBJECTS.items():
            days = read_set(glue_days(args.heads, subjects), SFREQ)
            sets[f"heads, {part}, {N_WAKE // 120} h awake"] = days
    if args.ucddb:
        sets["other patients"] = read_set(read_patients(args.ucddb), 128)
    for name in ENLARGED:
        if name in sets:
            sets[f"{name}, {ENLARGEMENT} times as large"] = [
                (replace(recording, signals=ENLARGEMENT * recording.signals), stages)
                for recording, stages in sets[name]
            ]
    stager = MC2SleepClassifier.from_pretrained("small").stager_
    for (name, without), of in product(MECHANISMS.items(), sets):
        scores = results.setdefault(name, {"scores": {}})["scores"]
        if of not in scores:
            scores[of] = score(stager, sets[of], without)
            args.results.write_text(json.dumps(results, indent=1) + "\n")


def glue_days(fname, subjects):
    """Glue the nights of subjects between two halves of a day awake, not scored."""
    days = []
    nights = [n for n in read_heads(fname) if n.subject in subjects]
    for index, night in enumerate(nights):
        rng = np.random.default_rng([DRAW_SEED, index])
        wake = np.flatnonzero(night.stages == 0)
        day = rng.choice(wake, (2, N_WAKE // 2, N_HEADS))
        donors = draw_donors(night.stages, False, rng)
        signal = glue(night.heads, np.concatenate([day[0], donors, day[1]]))
        unscored = np.full(N_WAKE // 2, -1)
        stages = np.concatenate([unscored, night.stages, unscored])
        days.append((signal.reshape(-1, N_TIMES), stages))
    return days


def read_patients(fname):
    """Return the other patients of UCDDB, of whom only wake and N3 are known."""
    with np.load(fname) as file:
        subjects = set(file["subject"].tolist()) - {"022"}
    return [read_ucddb(fname, subject) for subject in sorted(subjects)]


def do_channels(args, results):
    """Stage each channel of a polysomnography as if it were EEG."""
    raw = mne.io.read_raw(args.polysomnography)
    stager = MC2SleepClassifier.from_pretrained("small").stager_
    groups = {"EEG and EOG": [], "other channels": []}
    for name in raw.ch_names:
        renamed = make_raw(1e6 * raw.get_data([name]), raw.info["sfreq"])
        # Flat channels are refused.
        with suppress(ValueError):
            group = groups["EEG and EOG" if _EEG.fullmatch(name) else "other channels"]
            group.append(read_recording(renamed))
    results["channels"] = {
        name: _confidences(stager, recordings) for name, recordings in groups.items()
    }
    args.results.write_text(json.dumps(results, indent=1) + "\n")


def _confidences(stager, recordings):
    """Return the mean confidence with and without lowering by novelty."""
    found = {
        name: [stage(stager, recording, without) for recording in recordings]
        for name, without in MECHANISMS.items()
        if not without - {"novelty"}
    }
    confidences = {
        name: round(float(np.mean([proba.max(axis=1).mean() for proba, _ in each])), 4)
        for name, each in found.items()
    }
    n_novel = sum(bool(is_novel) for _, is_novel in found["as shipped"])
    return {"n_channels": len(recordings), "n_novel": n_novel, **confidences}


def runs_of(results, name):
    """Return the scores of the runs of a variant by seed."""
    keys = [f"{name}|{seed}" for seed in SEEDS]
    return {k[-1]: results[k]["scores"] for k in keys if k in results}


def differences(runs, whole):
    """Return by seed how far a variant is from the whole method, mean over the sets."""
    return [
        np.mean(
            [
                scores[name]["kappa"] - whole[seed][name]["kappa"]
                for name in scores
                if name != TEST_SET
            ]
        )
        for seed, scores in runs.items()
    ]


def print_tables(results):
    """Print all figures that the results hold."""
    whole = runs_of(results, WHOLE_METHOD)
    for group in VARIANTS.values():
        rows, sets = {}, []
        for name in dict.fromkeys([WHOLE_METHOD, *group]):
            if runs := runs_of(results, name):
                sets = list(next(iter(runs.values())))
                rows[name] = [
                    spread([scores[of]["kappa"] for scores in runs.values()])
                    for of in sets
                ]
                rows[name].append(spread(differences(runs, whole), "+"))
        if len(rows) > 1:
            print_rows("kappa", [*sets, "difference"], rows)
    found = {k: results[k]["scores"] for k in MECHANISMS if k in results}
    sets = next(iter(found.values()), ())
    for figure, title in (("kappa", "kappa"), ("ece", "ECE")):
        rows = {
            of: [f"{scores[of][figure]:.3f}" for scores in found.values()]
            for of in sets
        }
        if rows:
            print_rows(title, found, rows)
    if "channels" in results:
        rows = {
            name: [f"{x:g}" if isinstance(x, int) else f"{x:.2f}" for x in row.values()]
            for name, row in results["channels"].items()
        }
        columns = ["channels", "novel", "confidence", "confidence, not lowered"]
        print_rows("polysomnography", columns, rows)


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, help="a JSON file")
    parser.add_argument("--heads", help="sleep_edf_heads.npz, to train on and to score")
    parser.add_argument("--ucddb", help="ucddb.npz, to score")
    parser.add_argument("--pydynamo", help="pydynamo.npz, to score")
    parser.add_argument("--polysomnography", help="an EDF file, to stage all channels")
    names = [name for group in VARIANTS.values() for name in group]
    parser.add_argument("--variants", nargs="*", default=names, help="by name")
    parser.add_argument(
        "--fast", action="store_true", help="a rehearsal: one short run"
    )
    parser.add_argument("--table", action="store_true", help="print what is there")
    return parser.parse_args(arguments)


def main(arguments=None):
    """Do the runs, or print the tables of those that were done."""
    args = parse_args(arguments)
    results = json.loads(args.results.read_text()) if args.results.exists() else {}
    if not args.table:
        torch.set_num_threads(1)
        with mne.use_log_level("error"):
            do_runs(args, results)
            do_mechanisms(args, results)
            if args.polysomnography and "channels" not in results:
                do_channels(args, results)
    print_tables(results)


if __name__ == "__main__":
    main()
