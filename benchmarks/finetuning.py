r"""Adapt the shipped weights to real recordings that they were not trained on.

::

    python benchmarks/finetuning.py --heads sleep_edf_heads.npz --ucddb ucddb.npz \
        --pydynamo pydynamo.npz

Three questions: nights of Sleep-EDF, glued from the first 5 s of each epoch, of the
first 1 to 10 subjects of several orders of those that the weights were not trained on,
tested on 3 others; the night of UCDDB 022, tested on the sleeper of pyDYNAM-O; and the
reverse. The default chooses how far to
move the weights; ``adaptation=1`` keeps the fine-tuned weights.

The shipped weights know this laboratory already: they were trained on ten of its
subjects. ``--weights`` takes others, such as those of the first two steps of
``train_shipped_weights.py``, which have seen no real EEG.
"""

import argparse
import time
import warnings
from itertools import permutations, product

import mne
import numpy as np
from common import describe_machine, print_header, print_row
from real_eeg import glue_nights, make_raw, read_pydynamo, read_ucddb

from mne_mc2sleep import MC2SleepClassifier, evaluate

WAYS = {
    "default": {},
    "adaptation=1": {"adaptation": 1.0, "validation_fraction": 0.0},
}
N_SUBJECTS = (2, 3, 5, 10, 1)


def as_recordings(nights, sfreq):
    """Return recordings and their stages."""
    raws = [make_raw(signals, sfreq) for signals, _ in nights]
    return raws, [stages for _, stages in nights]


def pooled(clf, test):
    """Return the scores of the pooled epochs."""
    return evaluate(clf, *test, verbose="error").loc["pooled"]


def adapt_and_test(weights, name, train, groups, test, ways=WAYS):
    """Print a row for each way."""
    for way in ways:
        clf = MC2SleepClassifier.from_pretrained(weights)
        clf.set_params(random_state=0, **WAYS[way])
        start = time.process_time()
        clf.finetune(*train, groups=groups, verbose="error")
        print_scores(name, way, clf, len(train[0]), test, time.process_time() - start)


def print_scores(name, way, clf, n_nights, test, seconds):
    """Print a row."""
    scores = pooled(clf, test)
    figures = [scores[figure] for figure in ("kappa", "macro_f1", "ece")]
    print_row(name, way, n_nights, int(scores["n_epochs"]), *figures, seconds)


def split_subjects(weights, fname):
    """Return the subjects of the heads to adapt to, and those to test on."""
    test = provenance("small")["heads_test_subjects"]
    seen = provenance(weights).get("heads_subjects", [])
    with np.load(fname) as file:
        subjects = {str(night)[:5] for night in file["night"]}
    return sorted(subjects.difference(test, seen)), test


def provenance(weights):
    """Return the last step of the training of some weights."""
    return MC2SleepClassifier.from_pretrained(weights).stager_.provenance[-1]


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", help="sleep_edf_heads.npz")
    parser.add_argument("--ucddb", help="ucddb.npz")
    parser.add_argument("--pydynamo", help="pydynamo.npz")
    parser.add_argument("--orders", type=int, default=3, help="of the subjects")
    parser.add_argument("--max-subjects", type=int, default=10)
    parser.add_argument("--ways", nargs="+", default=[*WAYS], choices=WAYS)
    parser.add_argument("--weights", default="small", help="a file; default: small")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    mne.set_log_level("error")
    print(describe_machine())
    print_header(
        "test",
        "way",
        "nights",
        "epochs",
        "kappa",
        "macro-F1",
        "ECE",
        "CPU s of training",
    )
    unadapted = MC2SleepClassifier.from_pretrained(args.weights)
    if args.heads:
        own, test_subjects = split_subjects(args.weights, args.heads)
        test = as_recordings(glue_nights(args.heads, test_subjects), 100)
        print_scores("glued heads", "unadapted", unadapted, 0, test, 0)
        rng = np.random.default_rng(0)
        orders = [own, *(rng.permutation(own) for _ in range(args.orders - 1))]
        for order, n_subjects in product(range(args.orders), N_SUBJECTS):
            if n_subjects > min(len(own), args.max_subjects):
                continue
            nights, groups = [], []
            for subject in orders[order][:n_subjects]:
                found = glue_nights(args.heads, [subject])
                nights += found
                # The weights may know some as validation subjects.
                groups += [f"heads {subject}"] * len(found)
            name = f"glued heads, order {order}, {n_subjects} subjects"
            train = as_recordings(nights, 100)
            adapt_and_test(args.weights, name, train, groups, test, args.ways)
    if args.ucddb and args.pydynamo:
        sets = {
            "UCDDB 022": as_recordings([read_ucddb(args.ucddb)[:2]], 128),
            "pyDYNAM-O": as_recordings([read_pydynamo(args.pydynamo)[:2]], 100),
        }
        for source, target in permutations(sets):
            print_scores(target, "unadapted", unadapted, 0, sets[target], 0)
            name, test = f"{source} to {target}", sets[target]
            adapt_and_test(args.weights, name, sets[source], [source], test, args.ways)


if __name__ == "__main__":
    main()
