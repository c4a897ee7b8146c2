"""Train and test on Sleep-EDF by the field's protocol, from nothing to the table.

::

    python training_scripts/sleep_edf.py --protocol edf20 --out-dir edf20
    torchrun --nproc-per-node 8 training_scripts/sleep_edf.py --protocol edf78 \
        --out-dir edf78 --precision bfloat16

Fetches the nights from PhysioNet if they are not there. The same command continues
after an interruption. ``--fast`` rehearses it all in minutes on one night of each of
three subjects.
"""

from __future__ import annotations

import sys

from protocol import Cohort, count_epochs, make_parser, run

from mne_mc2sleep.datasets import make_folds, prepare_nights, sleep_edf

COHORTS = {"edf20": "SleepEDF-20", "edf78": "SleepEDF-78"}
# Nights and scored epochs: Table I of Eldele et al. 2021
# (https://doi.org/10.1109/TNSRE.2021.3076234), with the same trimming and labels.
PUBLISHED_COUNTS = {
    "edf20": [39, 8285, 2804, 17799, 5703, 7717, 42308],
    "edf78": [153, 65951, 21522, 69132, 13039, 25835, 195479],
}
# PhysioNet has only one night of each of these.
FAST_SUBJECTS = (13, 36, 52)


def load(args):
    """Fetch and prepare the nights."""
    subjects, folds = sleep_edf.SUBJECTS[args.protocol], None
    if args.fast:
        subjects, folds = FAST_SUBJECTS, make_folds(FAST_SUBJECTS, 3, 1)
    found = sleep_edf.fetch_nights(subjects, args.data)
    nights = prepare_nights(found.records, args.prepared, n_jobs=args.n_jobs)
    counts = count_epochs(nights)
    if not args.fast:
        counts.loc["published"] = PUBLISHED_COUNTS[args.protocol]
        counts.loc["difference"] = counts.loc["found"] - counts.loc["published"]
    folds = folds or sleep_edf.get_folds(args.protocol)
    return Cohort(COHORTS[args.protocol], nights, folds, counts, sleep_edf.CHANNEL)


def main(argv=None):
    """Run the command line; return the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("--protocol", choices=list(COHORTS), required=True)
    parser.add_argument("--data", help="folder of the recordings (default: MNE_DATA)")
    return run(parser.parse_args(argv), load)


if __name__ == "__main__":
    sys.exit(main())
