r"""Adapt the shipped weights to real recordings that they were not trained on.

::

    python benchmarks/finetuning.py --heads sleep_edf_heads.npz --ucddb ucddb.npz \
        --pydynamo pydynamo.npz

Three questions: nights of Sleep-EDF, glued from the first 5 s of each epoch, of some
subjects that the weights were not trained on, tested on 3 others; the night of UCDDB
022, tested on the sleeper of pyDYNAM-O; and the reverse. The default chooses how far to
move the weights; ``adaptation=1`` keeps the fine-tuned weights.

The shipped weights know this laboratory already: they were trained on ten of its
subjects. ``--weights`` takes others, such as those of the first two steps of
``train_shipped_weights.py``, which have seen no real EEG.
"""

import argparse
import time
import warnings

import mne
import numpy as np
from common import describe_machine, print_header, print_row
from real_eeg import glue_nights, make_raw, read_pydynamo, read_ucddb

from mne_mc2sleep import MC2SleepClassifier, evaluate

WAYS = {
    "default": {},
    "adaptation=1": {"adaptation": 1.0, "validation_fraction": 0.0},
    "adaptation=1, 20 passes": {
        "adaptation": 1.0,
        "validation_fraction": 0.0,
        "finetune_train_epochs": 20,
    },
}
N_SUBJECTS = (1, 2, 3, 5, 10)


def as_recordings(nights, sfreq):
    """Return recordings and their stages."""
    raws = [make_raw(signals, sfreq) for signals, _ in nights]
    return raws, [stages for _, stages in nights]


def pooled(clf, test):
    """Return the scores of the pooled epochs."""
    return evaluate(clf, *test, verbose="error").loc["pooled"]


def adapt_and_test(weights, name, train, groups, test):
    """Print a row for each way."""
    clf = MC2SleepClassifier.from_pretrained(weights)
    rows = [("unadapted", pooled(clf, test), 0.0)]
    for way, parameters in WAYS.items():
        clf = MC2SleepClassifier.from_pretrained(weights)
        clf.set_params(random_state=0, **parameters)
        start = time.process_time()
        clf.finetune(*train, groups=groups, verbose="error")
        rows.append((way, pooled(clf, test), time.process_time() - start))
    for way, scores, seconds in rows:
        print_row(
            name,
            way,
            len(train[0]),
            int(scores["n_epochs"]),
            scores["kappa"],
            scores["macro_f1"],
            scores["ece"],
            seconds,
        )


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
    if args.heads:
        own, test_subjects = split_subjects(args.weights, args.heads)
        test = as_recordings(glue_nights(args.heads, test_subjects), 100)
        for n_subjects in N_SUBJECTS:
            if n_subjects > len(own):
                break
            nights, groups = [], []
            for subject in own[:n_subjects]:
                found = glue_nights(args.heads, [subject])
                nights += found
                groups += [subject] * len(found)
            name = f"glued heads, {n_subjects} subjects"
            adapt_and_test(args.weights, name, as_recordings(nights, 100), groups, test)
    if args.ucddb and args.pydynamo:
        ucddb = as_recordings([read_ucddb(args.ucddb)[:2]], 128)
        pydynamo = as_recordings([read_pydynamo(args.pydynamo)[:2]], 100)
        adapt_and_test(args.weights, "UCDDB 022 to pyDYNAM-O", ucddb, ["022"], pydynamo)
        adapt_and_test(
            args.weights, "pyDYNAM-O to UCDDB 022", pydynamo, ["pydynamo"], ucddb
        )


if __name__ == "__main__":
    main()
