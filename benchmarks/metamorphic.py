"""Change recordings in ways that should not matter, and count the stages that change.

For simulated nights of 256 Hz: the share of the stages that differ from those of the
unchanged night, over all nights and in the worst one, and by how much the largest
probability moves on average.

    python benchmarks/metamorphic.py                     # trained for half a minute
    python benchmarks/metamorphic.py --weights lab.safetensors --hours 8
"""

import argparse

import mne
import numpy as np
from common import describe_machine, print_header, print_row, train_briefly

from mne_mc2sleep import MC2SleepClassifier, simulate_night

SFREQ = 256.0
CHANGES = {
    "polarity": lambda raw: raw.apply_function(np.negative),
    "gain 0.5": lambda raw: raw.apply_function(lambda x: 0.5 * x),
    "gain 2": lambda raw: raw.apply_function(lambda x: 2 * x),
    "256 to 100 Hz": lambda raw: raw.resample(100),
    "cut by 1 epoch": lambda raw: raw.crop(30),
}


def main():
    """Stage every night as it is and changed, and print the table."""
    args = parse_arguments()
    if args.weights:
        clf = MC2SleepClassifier.from_pretrained(args.weights)
    else:
        clf = train_briefly()
    raws, hypnos = zip(
        *(
            simulate_night(3600 * args.hours, sfreq=SFREQ, random_state=i)
            for i in range(args.nights)
        ),
        strict=True,
    )
    expected = clf.predict_proba(raws)
    print(describe_machine())
    print(
        f"{args.weights or 'weights trained for half a minute'}; {args.nights} "
        f"simulated nights of {args.hours:g} h, kappa {clf.score(raws, hypnos):.2f}"
    )
    print_header("change", "stages changed", "in the worst night", "top probability by")
    for name, change in CHANGES.items():
        found = [clf.predict_proba(change(raw.copy())) for raw in raws]
        print_row(name, *compare(expected, found))


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", metavar="FILE", help="of MC2SleepClassifier.save")
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--hours", type=float, default=2)
    return parser.parse_args()


def compare(expected, found):
    """Return the figures of a row; a hypnogram that is shorter lacks the beginning."""
    changed, moved = [], []
    for before, after in zip(expected, found, strict=True):
        before, after = before.to_numpy()[-len(after) :], after.to_numpy()
        changed.append(before.argmax(axis=1) != after.argmax(axis=1))
        moved.append(np.abs(before.max(axis=1) - after.max(axis=1)))
    share, worst = np.concatenate(changed).mean(), max(map(np.mean, changed))
    return f"{share:.1%}", f"{worst:.1%}", f"{np.concatenate(moved).mean():.3f}"


if __name__ == "__main__":
    with mne.utils.use_log_level("warning"):
        main()
