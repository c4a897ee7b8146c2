r"""Score shipped weights and YASA on nights of subjects that neither was trained on.

::

    python benchmarks/accuracy.py band_power_nights.npz --json docs/accuracy.json \
        --figure docs/figures/calibration.png

The signals are resynthesised from the band powers of real nights (see
``training_scripts/band_power_nights.py``) and scored against the experts' stages. They
are in-distribution for a stager that was trained on such signals and
out-of-distribution for YASA, which was trained on real EEG: the scores measure our own
progress and do not show which stager is better. Gradient boosting on the band powers
shows how well the powers alone predict the stages.
"""

import argparse
import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
from boosting import boost
from common import describe_machine, print_header, print_row
from scipy.signal import resample_poly

from mne_mc2sleep import (
    MC2SleepClassifier,
    expected_calibration_error,
    plot_reliability,
    plot_risk_coverage,
    risk_coverage,
    score_stages,
)
from mne_mc2sleep.io.hypnograms import stages_on_grid
from mne_mc2sleep.simulation import make_raw

sys.path.append(str(Path(__file__).parents[1] / "training_scripts"))
from band_power_nights import read_power_nights
from synthesis import resynthesize

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
# Weights of both channels' log powers; epochs of a cut (None: the night); rate in Hz;
# whether spindles and K-complexes are added by stage. No weights were trained on these,
# so they show the scores on signals that differ from the training data.
MONTAGES = {
    "Fpz-Cz": ((1.0, 0.0), None, 100, False),
    "Pz-Oz": ((0.0, 1.0), None, 100, False),
    "mixture": ((0.5, 0.5), None, 100, False),
    "mixture, 30 min": ((0.5, 0.5), 60, 100, False),
    "mixture, 30 min, 50 Hz": ((0.5, 0.5), 60, 50, False),
    "mixture, drawn spindles": ((0.5, 0.5), None, 100, True),
}
# By stage: spindles and K-complexes per epoch.
DRAWN = {2: (2.0, 1.0), 3: (0.8, 0.0)}
REVIEWED = (0.05, 0.10, 0.20)


def make_recordings(night, montage, seed):
    """Make the recordings of a night by a montage; return them and their stages."""
    weights, n_epochs, sfreq, drawn = MONTAGES[montage]
    powers = np.tensordot(weights, night.log_band_power.astype(float), (0, 1))
    variance = night.log_variance.astype(float) @ weights
    signal = resynthesize(powers[:, None], variance[:, None], random_state=seed)
    if drawn:
        draw_spindles(signal[0], night.stages, np.random.default_rng(seed))
    if sfreq != 100:
        signal = resample_poly(signal, sfreq, 100, axis=1)
    length = n_epochs or len(night.stages)
    recordings = []
    for start in range(0, len(night.stages) - length + 1, length):
        part = slice(start * 30 * sfreq, (start + length) * 30 * sfreq)
        raw = make_raw(signal[:, part], ["EEG"], sfreq=sfreq)
        recordings.append((raw, night.stages[start : start + length]))
    return recordings


def draw_spindles(signal, stages, rng):
    """Add spindles and K-complexes to N2, and spindles to N3, in place."""
    times = np.arange(-100, 100) / 100
    complex_ = -np.exp(-0.5 * (times / 0.12) ** 2)
    complex_ += 0.6 * np.exp(-0.5 * ((times - 0.4) / 0.2) ** 2)
    for index in np.flatnonzero(np.isin(stages, list(DRAWN))):
        epoch = signal[index * 3000 : (index + 1) * 3000]
        scale = epoch.std()
        n_spindles, n_complexes = map(rng.poisson, DRAWN[stages[index]])
        for start in rng.integers(2800, size=n_spindles):
            wave = np.sin(2 * np.pi * rng.normal(13.3, 0.5) * times)
            envelope = np.exp(-0.5 * (times / 0.25) ** 2)
            epoch[start : start + 200] += (
                rng.uniform(0.5, 1.2) * scale * envelope * wave
            )
        for start in rng.integers(2800, size=n_complexes):
            epoch[start : start + 200] += rng.uniform(2, 4) * scale * complex_


def stage_by_yasa(raw):
    """Return YASA's stages and probabilities, or None where it refuses."""
    import yasa

    try:
        staging = yasa.SleepStaging(raw, eeg_name="EEG")
    except AssertionError:
        return None
    hypno = staging.predict()
    return stages_on_grid(hypno.as_int(), len(hypno)), hypno.proba


def run(nights, train_nights, clf, montage):
    """Stage all nights by one montage; return by stager its result for each night."""
    staged = {"mne_mc2sleep": [], "YASA": []}
    for seed, night in enumerate(nights):
        for raw, stages in make_recordings(night, montage, seed):
            hypno = clf.predict(raw, verbose="error")
            proba = hypno.proba[list(STAGES)].to_numpy()
            found = stages_on_grid(hypno.as_int(), len(hypno)), proba
            staged["mne_mc2sleep"].append((night.subject, stages, *found))
            found = stage_by_yasa(raw)
            if found is not None:
                stages_found, proba = found
                proba = proba[list(STAGES)].to_numpy()
                staged["YASA"].append((night.subject, stages, stages_found, proba))
    weights, n_epochs, sfreq, drawn = MONTAGES[montage]
    if sfreq == 100 and not drawn:
        staged["powers"] = boost(train_nights, nights, weights, n_epochs)
    return {name: rows for name, rows in staged.items() if rows}


def summarise(rows):
    """Return pooled scores, their spread over subjects, and what review brings."""
    subjects, reference, predicted, proba = zip(*rows, strict=True)
    subject = np.repeat(subjects, [len(stages) for stages in reference])
    reference, predicted, proba = map(np.concatenate, (reference, predicted, proba))
    scores = score_stages(reference, predicted)
    kappas = [
        score_stages(reference[subject == s], predicted[subject == s])["kappa"]
        for s in np.unique(subject)
    ]
    quartiles = np.percentile(kappas, [0, 25, 50, 75, 100])
    curve = risk_coverage(proba, reference)
    at = np.interp([1 - share for share in REVIEWED], curve.coverage, curve.accuracy)
    reviewed = dict(zip(map(str, REVIEWED), at.tolist(), strict=True))
    return scores | {
        "n_subjects": len(kappas),
        "ece": expected_calibration_error(proba, reference),
        "kappa_of_subjects": quartiles.tolist(),
        "accuracy_after_review": reviewed,
    }


def parse_args():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fname", help="the file of make_band_powers.py")
    parser.add_argument("--weights", default="small", help="a name or a file")
    parser.add_argument("--montages", nargs="+", default=list(MONTAGES))
    parser.add_argument("--n-nights", type=int, help="fewer nights, for a trial")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument(
        "--figure", help="draw reliability and risk-coverage by the first montage"
    )
    return parser.parse_args()


def draw_calibration(rows, fname):
    """Draw the calibration of the probabilities of one stager."""
    import matplotlib.pyplot as plt

    reference = np.concatenate([stages for _, stages, _, _ in rows])
    proba = np.concatenate([proba for *_, proba in rows])
    fig = plt.figure(figsize=(10, 4.5), layout="constrained")
    grid = fig.add_gridspec(2, 2, height_ratios=(3, 1), width_ratios=(2, 3))
    upper = fig.add_subplot(grid[0, 0])
    lower = fig.add_subplot(grid[1, 0], sharex=upper)
    right = fig.add_subplot(grid[:, 1])
    plot_reliability(proba, reference, axes=[upper, lower], show=False)
    plot_risk_coverage(proba, reference, axes=right, show=False)
    fig.savefig(fname, dpi=100)


def main():
    """Score both stagers by all montages, and print tables."""
    args = parse_args()
    # Both stagers warn of short recordings and of what 50 Hz lack: here on purpose.
    warnings.simplefilter("ignore")
    clf = MC2SleepClassifier.from_pretrained(args.weights)
    provenance = clf.stager_.provenance[-1]
    unseen = set(provenance["test_subjects"])
    everyone = read_power_nights(args.fname)
    nights = [n for n in everyone if n.subject in unseen][: args.n_nights]
    kept_back = unseen | set(provenance["validation_subjects"])
    train_nights = [n for n in everyone if n.subject not in kept_back]
    results = {}
    for montage in args.montages:
        staged = run(nights, train_nights, clf, montage)
        if args.figure and montage == args.montages[0]:
            draw_calibration(staged["mne_mc2sleep"], args.figure)
        for name, rows in staged.items():
            results[f"{montage}|{name}"] = summarise(rows)
    print(f"{len(nights)} nights of {len(unseen)} subjects, weights {args.weights}.")
    print(describe_machine())
    header = ["montage", "stager", "epochs", "accuracy", "macro-F1", "kappa"]
    header += [f"F1 {stage}" for stage in STAGES]
    header += ["ECE", "kappa by subject: min, median, max"]
    print_header(*header)
    for key, scores in results.items():
        print_row(*table_row(key, scores))
    if args.json:
        about = {"n_nights": len(nights), "yasa": version("yasa")}
        about |= {"package_version": version("mne-mc2sleep"), "results": results}
        args.json.write_text(json.dumps(about, indent=1) + "\n")


def table_row(key, scores):
    """Return one row of the table."""
    names = ["accuracy", "macro_f1", "kappa", *(f"f1_{s}" for s in STAGES), "ece"]
    low, _, middle, _, high = scores["kappa_of_subjects"]
    return [
        *key.split("|"),
        scores["n_epochs"],
        *(f"{scores[name]:.3f}" for name in names),
        f"{low:.2f}, {middle:.2f}, {high:.2f}",
    ]


if __name__ == "__main__":
    main()
