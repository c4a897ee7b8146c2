"""Train and test on your own scored nights, by subject, from files to the table.

::

    python training_scripts/folder.py nights.csv --picks C4-M1 --out-dir ours

The nights are listed by a table of files or lie in a BIDS folder: see
``mne_mc2sleep.datasets.folder``. The same command continues after an interruption.
``--fast`` rehearses it all in minutes on one night of each of three subjects.
"""

from __future__ import annotations

import sys

from mne.utils import logger
from protocol import Cohort, count_epochs, make_parser, run

from mne_mc2sleep.datasets import folder, make_folds, prepare_nights

N_FAST = 3


def load(args):
    """Find and prepare the nights."""
    records = folder.find_nights(args.data, args.picks, args.trim).records
    n_folds = args.folds
    if args.fast:
        n_folds = N_FAST
        nights = prepare_first(records, args.prepared)
    else:
        nights = prepare_nights(records, args.prepared, n_jobs=args.n_jobs)
    subjects = dict.fromkeys(night.subject for night in nights)
    n_validation = max(1, len(subjects) // 10)
    folds = make_folds(subjects, n_folds, n_validation)
    return Cohort(args.data, nights, folds, count_epochs(nights), args.picks)


def prepare_first(records, prepared):
    """Prepare the first night that can be read of each of the first subjects."""
    nights = {}
    for record in records:
        if len(nights) == N_FAST:
            break
        if record.subject in nights:
            continue
        try:
            for night in prepare_nights([record], prepared):
                nights[record.subject] = night
        except ValueError as error:
            logger.warning("Left out %s: %s", record.name, error)
    if len(nights) < N_FAST:
        raise ValueError(
            f"--fast needs a night of each of {N_FAST} subjects that can be read, but "
            f"only {len(nights)} were found. Add recordings, or leave --fast out."
        )
    return list(nights.values())


def main(argv=None):
    """Run the command line; return the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument("data", help="a *.csv table of files, or a BIDS folder")
    parser.add_argument(
        "--picks", nargs="+", help="the channel; of several, the first found"
    )
    parser.add_argument("--trim", choices=["margin", "balance"], help="wake to cut off")
    parser.add_argument("--folds", type=int, default=5, help="(default: %(default)s)")
    return run(parser.parse_args(argv), load)


if __name__ == "__main__":
    sys.exit(main())
