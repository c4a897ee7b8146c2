r"""Score the shipped weights and YASA on real EEG.

::

    python benchmarks/real_eeg.py --ucddb ucddb.npz --pydynamo pydynamo.npz \
        --heads sleep_edf_heads.npz --json docs/real_eeg.json --table docs/real_eeg.md

Each set is optional. ``--folder`` takes a folder with recordings ``NAME.edf`` and
hypnograms ``NAME.txt`` (one stage per line, or what ``read_hypnogram`` reads). The sets
are: the night of subject 022 of UCDDB, whole and cut into half hours that are staged
alone; 84 min of one sleeper of pyDYNAM-O, whole and cut; and nights of Sleep-EDF glued
from the first 5 s of each epoch and its neighbors, of the subjects that the weights
were validated and tested on.

The interval of kappa is a bootstrap over recordings or, where a set has fewer than five
recordings, over blocks of ten minutes.
"""

import argparse
import json
import sys
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path

import mne
import numpy as np

from mne_mc2sleep import (
    MC2SleepClassifier,
    expected_calibration_error,
    read_hypnogram,
    score_stages,
)

sys.path.append(str(Path(__file__).parents[1] / "training_scripts"))
from sleep_edf_heads import draw_donors, glue, read_heads
from teachers import load_teacher

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
N_BOOTSTRAP = 1000
N_HALF_HOUR, N_BLOCK = 60, 20
GLUE_SEED = 7


def read_ucddb(fname, subject="022"):
    """Return the night of one subject, in half hours by the clock, and its rate."""
    with np.load(fname) as file:
        rows = file["subject"] == subject
        signals = file["x"][rows] * float(file["scale"])
        return signals, file["stage"][rows], file["epoch_index"][rows]


def read_pydynamo(fname):
    """Return the epochs in µV and their stages."""
    with np.load(fname) as file:
        signals = file["x"] * float(file["scale"])
        return signals, file["stage"], np.arange(len(signals))


def cut_half_hours(signals, stages, epochs):
    """Cut a night into half hours; those of less than ten minutes are left out."""
    cuts = []
    for index in np.unique(epochs // N_HALF_HOUR):
        rows = epochs // N_HALF_HOUR == index
        if rows.sum() >= N_BLOCK:
            cuts.append((signals[rows], stages[rows]))
    return cuts


def glue_nights(fname, subjects):
    """Glue the nights of some subjects from heads, regardless of adjacent stages."""
    nights = [n for n in read_heads(fname) if n.subject in subjects]
    recordings = []
    for index, night in enumerate(nights):
        rng = np.random.default_rng([GLUE_SEED, index])
        signal = glue(night.heads, draw_donors(night.stages, False, rng))
        recordings.append((signal.reshape(len(night.stages), -1), night.stages))
    return recordings


def read_folder(folder):
    """Read recordings and the hypnograms beside them."""
    recordings = []
    for fname in sorted(folder.glob("*.edf")):
        hypno = read_hypnogram(fname.with_suffix(".txt"))
        stages = np.asarray(hypno.as_int())
        stages = np.select([stages == i for i in (0, 1, 2, 3, 4)], range(5), -1)
        recordings.append((mne.io.read_raw(fname, verbose="error"), stages))
    return recordings


def read_sets(args, provenance):
    """Return by name the recordings of each set, and their sampling rate."""
    sets = {}
    if args.ucddb:
        night = read_ucddb(args.ucddb)
        sets["UCDDB 022, whole night"] = ([night[:2]], 128)
        sets["UCDDB 022, half hours"] = (cut_half_hours(*night), 128)
    if args.pydynamo:
        night = read_pydynamo(args.pydynamo)
        sets["pyDYNAM-O, 84 min"] = ([night[:2]], 100)
        sets["pyDYNAM-O, half hours"] = (cut_half_hours(*night), 100)
    if args.heads:
        for part in ("validation", "test"):
            subjects = provenance[f"heads_{part}_subjects"]
            nights = glue_nights(args.heads, subjects)
            sets[f"glued heads, {part}"] = (nights, 100)
            cuts = [c for n in nights for c in cut_half_hours(*n, np.arange(len(n[1])))]
            sets[f"glued heads, {part}, half hours"] = (cuts, 100)
    if args.folder:
        sets[args.folder.name] = (read_folder(args.folder), None)
    return sets


def make_raw(signals, sfreq):
    """Make a recording of epochs in µV."""
    info = mne.create_info(["EEG"], sfreq, "eeg", verbose="error")
    return mne.io.RawArray(1e-6 * signals.reshape(1, -1), info, verbose="error")


def stage_by_us(clf, signals, sfreq):
    """Return the probabilities of our weights, (n_epochs, 5)."""
    raw = signals if sfreq is None else make_raw(signals, sfreq)
    return clf.predict_proba(raw)[list(STAGES)].to_numpy()


def stage_by_teacher(teacher, signals, sfreq):
    """Return the probabilities of another stager, (n_epochs, 5)."""
    if sfreq is None:
        signal = signals.get_data(picks=[0], units="uV")[0]
        return teacher(signal, signals.info["sfreq"])
    return teacher(signals.ravel().astype(float), float(sfreq))


def summarise(found, stages):
    """Pool recordings; return all figures of one stager on one set."""
    lengths = [min(len(p), len(s)) for p, s in zip(found, stages, strict=True)]
    found = [p[:n] for p, n in zip(found, lengths, strict=True)]
    stages = [s[:n] for s, n in zip(stages, lengths, strict=True)]
    unit = "recordings"
    blocks = list(zip(stages, found, strict=True))
    if len(blocks) < 5:
        unit = "blocks of 10 min"
        blocks = [
            (s[i : i + N_BLOCK], p[i : i + N_BLOCK])
            for s, p in blocks
            for i in range(0, len(s), N_BLOCK)
        ]
    proba, reference = np.concatenate(found), np.concatenate(stages)
    scores = score_stages(reference, proba.argmax(axis=1))
    rng = np.random.default_rng(0)
    kappas = []
    for _ in range(N_BOOTSTRAP):
        drawn = [blocks[i] for i in rng.integers(len(blocks), size=len(blocks))]
        pooled = [np.concatenate(part) for part in zip(*drawn, strict=True)]
        kappas.append(score_stages(pooled[0], pooled[1].argmax(axis=1))["kappa"])
    return scores | {
        "n_recordings": len(found),
        "ece": expected_calibration_error(proba, reference),
        "kappa_interval": np.percentile(kappas, [2.5, 97.5]).tolist(),
        "interval_over": unit,
    }


def table(results):
    """Return all figures as a Markdown table."""
    columns = ["set", "stager", "epochs", "accuracy", "kappa", "95 % interval"]
    columns += ["macro-F1", *(f"F1 {s}" for s in STAGES), "ECE"]
    rows = [columns, ["---"] * len(columns)]
    for name, by_stager in results.items():
        for stager, scores in sorted(by_stager.items()):
            low, high = scores["kappa_interval"]
            f1 = [f"{scores[f'f1_{stage}']:.2f}" for stage in STAGES]
            row = [name, stager, str(scores["n_epochs"])]
            row += [f"{scores['accuracy']:.3f}", f"{scores['kappa']:.3f}"]
            row += [f"{low:.2f}-{high:.2f}", f"{scores['macro_f1']:.3f}"]
            rows.append([*row, *f1, f"{scores['ece']:.3f}"])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ucddb", help="ucddb.npz")
    parser.add_argument("--pydynamo", help="pydynamo.npz")
    parser.add_argument("--heads", help="sleep_edf_heads.npz")
    parser.add_argument("--folder", type=Path, help="NAME.edf and NAME.txt")
    parser.add_argument("--weights", default="small", help="a name or a file")
    parser.add_argument(
        "--stagers",
        nargs="+",
        default=["mne_mc2sleep", "yasa"],
        help="ours, yasa, or module:function; others in --json are kept",
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table", type=Path)
    return parser.parse_args()


def main():
    """Score all stagers on all sets."""
    args = parse_args()
    warnings.simplefilter("ignore")
    mne.set_log_level("error")
    clf = MC2SleepClassifier.from_pretrained(args.weights)
    stagers = {}
    for name in args.stagers:
        if name == "mne_mc2sleep":
            stagers[name] = partial(stage_by_us, clf)
        else:
            stagers[name] = partial(stage_by_teacher, load_teacher(name))
    results = {}
    if args.json and args.json.exists():
        results = json.loads(args.json.read_text())["results"]
    sets = read_sets(args, clf.stager_.provenance[-1])
    for name, (recordings, sfreq) in sets.items():
        results.setdefault(name, {})
        for stager, stage in stagers.items():
            found = [stage(signals, sfreq) for signals, _ in recordings]
            scores = summarise(found, [stages for _, stages in recordings])
            results[name][stager] = scores
            print(f"{name}, {stager}: kappa {scores['kappa']:.3f}", flush=True)
    if args.table:
        args.table.write_text(table(results))
    if args.json:
        versions = {p: version(p) for p in ("yasa", "mne-mc2sleep")}
        about = {"versions": versions, "results": results}
        args.json.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
