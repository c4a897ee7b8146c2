"""Train and test on SHHS, visit 1, from a local folder of the NSRR to the table.

::

    python training_scripts/shhs.py /data/shhs --out-dir shhs

The NSRR gives the data to those who ask (https://sleepdata.org/datasets/shhs). The same
command continues after an interruption. ``--fast`` rehearses it all in minutes on
one night of each of three subjects.
"""

from __future__ import annotations

import sys
from pathlib import Path

from protocol import Cohort, count_epochs, make_parser, run

from mne_mc2sleep.datasets import prepare_nights, shhs

N_FAST = 3
# Nights in which to look for all five stages.
N_FAST_CANDIDATES = 20


def load(args):
    """Find and prepare the nights."""
    subjects = None
    if args.fast:
        names = sorted(args.data.glob("polysomnography/edfs/shhs1/shhs1-*.edf"))
        names = names[:N_FAST_CANDIDATES] or None
        subjects = names and [name.stem.removeprefix("shhs1-") for name in names]
    records = shhs.find_nights(args.data, subjects).records
    if args.fast:
        records = records[:N_FAST]
    nights = prepare_nights(records, args.prepared, n_jobs=args.n_jobs)
    folds = [shhs.split_subjects(night.subject for night in nights)]
    return Cohort("SHHS", nights, folds, count_epochs(nights), shhs.CHANNEL)


def main(argv=None):
    """Run the command line; return the exit code."""
    parser = make_parser(__doc__)
    parser.add_argument(
        "data", type=Path, help="the folder that 'polysomnography' is in"
    )
    return run(parser.parse_args(argv), load)


if __name__ == "__main__":
    sys.exit(main())
