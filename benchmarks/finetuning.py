"""Adapt shipped weights to a new laboratory, and compare with training from scratch.

::

    python benchmarks/finetuning.py band_power_nights.npz
    python benchmarks/finetuning.py band_power_nights.npz --laboratory far

The laboratory is one that the weights do not know: subjects that they were not trained
on, and a montage and recorder outside of what they saw (see ``LABORATORIES``). Some
of its nights are fine-tuned on, nights of other subjects are staged. All signals are
resynthesised from the band powers of real nights: away for YASA, as in ``accuracy.py``.
"""

import argparse
import sys
import time
import warnings
from pathlib import Path

import mne
import numpy as np
from accuracy import stage_by_yasa
from common import describe_machine, print_header, print_row
from scipy.signal import butter, sosfilt

from mne_mc2sleep import MC2SleepClassifier, score_stages
from mne_mc2sleep.simulation import make_raw

sys.path.append(str(Path(__file__).parents[1] / "training_scripts"))
from band_power_nights import read_power_nights
from synthesis import resynthesize

N_NIGHTS = (1, 3, 5, 10)
N_TEST_SUBJECTS = 7
WAYS = ("shipped, fine-tuned", "from scratch")
# Weights of the two channels' log powers, beyond both; the gain; the corners in Hz of
# filters of first order, dull but not deaf.
LABORATORIES = {
    "near": ((-0.4, 1.4), 0.35, (0.1, 12.0)),
    "far": ((1.4, -0.4), 2.0, (1.0, 20.0)),
}


def make_lab_night(night, laboratory, seed):
    """Record a night as the new laboratory does."""
    montage, gain, band = LABORATORIES[laboratory]
    powers = np.tensordot(montage, night.log_band_power.astype(float), (0, 1))
    variance = night.log_variance.astype(float) @ montage
    signal = resynthesize(powers[:, None], variance[:, None], random_state=seed)
    sos = butter(1, band, "bandpass", fs=100, output="sos")
    return make_raw(gain * sosfilt(sos, signal), ["EEG"]), night.stages


def score(clf, raws, hypnos):
    """Return kappa and macro-F1 on the pooled epochs."""
    found = [hypno.as_int() for hypno in clf.predict(raws, verbose="error")]
    return score_stages(np.concatenate(hypnos), np.concatenate(found))


def main():
    """Print a table: nights to adapt to, and the scores of each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("fname", help="band_power_nights.npz")
    parser.add_argument("--weights", default="small", help="a name or a file")
    parser.add_argument("--n-nights", type=int, nargs="+", default=N_NIGHTS)
    parser.add_argument("--laboratory", choices=LABORATORIES, default="near")
    parser.add_argument(
        "--not-from-scratch", action="store_true", help="saves most of the time"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    mne.set_log_level("error")
    clf = MC2SleepClassifier.from_pretrained(args.weights)
    # Their numbers go by age, and with it by how much N3 there is.
    unseen = np.random.default_rng(0).permutation(
        clf.stager_.provenance[0]["test_subjects"]
    )
    nights = [n for n in read_power_nights(args.fname) if n.subject in unseen]
    # SC4ssNE0 is night N of subject ss: first the first nights of all.
    nights.sort(key=lambda night: night.name[5])
    lab = [
        make_lab_night(night, args.laboratory, seed)
        for seed, night in enumerate(nights)
    ]
    is_test = [night.subject in unseen[:N_TEST_SUBJECTS] for night in nights]
    test = [pair for pair, yes in zip(lab, is_test, strict=True) if yes]
    own = [pair for pair, yes in zip(lab, is_test, strict=True) if not yes]
    subjects = [n.subject for n, yes in zip(nights, is_test, strict=True) if not yes]
    raws, hypnos = map(list, zip(*test, strict=True))

    print(describe_machine())
    print_header(
        "stager", "nights", "epochs", "kappa", "macro-F1", "seconds of training"
    )
    by_yasa = np.concatenate([stage_by_yasa(raw)[0] for raw in raws])
    scores = {
        "YASA": score_stages(np.concatenate(hypnos), by_yasa),
        "shipped": score(clf, raws, hypnos),
    }
    for name, found in scores.items():
        print_row(name, 0, found["n_epochs"], found["kappa"], found["macro_f1"], "")
    for n_nights in args.n_nights:
        own_raws, own_hypnos = map(list, zip(*own[:n_nights], strict=True))
        for name in WAYS[: 1 if args.not_from_scratch else 2]:
            weights = args.weights if name.startswith("shipped") else None
            adapted = MC2SleepClassifier(**clf.get_params()).set_params(
                weights=weights, random_state=0, validation_fraction=0
            )
            start = time.perf_counter()
            adapted.fit(own_raws, own_hypnos, groups=subjects[:n_nights])
            seconds = time.perf_counter() - start
            found = score(adapted, raws, hypnos)
            kappa, macro_f1 = found["kappa"], found["macro_f1"]
            print_row(name, n_nights, found["n_epochs"], kappa, macro_f1, seconds)


if __name__ == "__main__":
    main()
