"""Stage what is no EEG of a sleeping human, and EEG: what is warned of, and how sure.

For each input: how many of the recordings are warned of, the mean share of far epochs,
and the mean top probability, as it is and as it would be without the check. The foreign
inputs are those of tests/foreign_input.py; the EEG is simulated, resynthesised from the
band powers of real nights that the weights were not trained on (``--power-nights``), or
recorded (``--recording``, by each of its channels).

    python benchmarks/out_of_distribution.py             # trained for half a minute
    python benchmarks/out_of_distribution.py --weights small \
        --power-nights band_power_nights.npz --recording night.edf
"""

import argparse
import sys
import warnings
from pathlib import Path

import mne
import numpy as np
from common import describe_machine, print_header, print_row, train_briefly

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "training_scripts"))
from foreign_input import FOREIGN, SFREQ, shuffle_within_epochs

from mne_mc2sleep import MC2SleepClassifier, simulate_night
from mne_mc2sleep.data.reading import read_channel
from mne_mc2sleep.simulation import make_raw

CHANNEL = "EEG Fpz-Cz"


def main():
    """Stage every input and print the table."""
    args = parse_arguments()
    if args.weights:
        clf = MC2SleepClassifier.from_pretrained(args.weights)
    else:
        clf = train_briefly()
    if clf.stager_.profile is None:
        sys.exit(f"{args.weights} hold no profile of their training: nothing to check.")
    print(describe_machine())
    print(
        f"{args.weights or 'weights trained for half a minute'}; inputs of "
        f"{args.hours:g} h"
    )
    print_header(
        "input", "warned", "far epochs", "top probability", "without the check"
    )
    for name, raws in make_inputs(args):
        print_row(name, *summarise([stage(clf, raw) for raw in raws]))
    if args.recording:
        stage_channels(clf, args.recording)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", metavar="FILE", help="or a name, such as small")
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--nights", type=int, default=20, help="of EEG, at most")
    parser.add_argument("--power-nights", metavar="FILE", help="band_power_nights.npz")
    parser.add_argument("--recording", metavar="FILE", help="that MNE can read")
    return parser.parse_args()


def make_inputs(args):
    """Make the inputs: a name, and the recordings one by one."""
    n_times = round(args.hours * 3600 * SFREQ)
    for name, make in FOREIGN.items():
        yield name, (as_raw(make(n_times, np.random.default_rng(i))) for i in range(3))
    eeg = [simulate(args.hours, seed) for seed in range(100, 100 + args.nights)]
    rng = np.random.default_rng(0)
    yield "shuffled EEG", (as_raw(shuffle_within_epochs(x, rng)) for x in eeg[:3])
    yield "EEG in V taken for µV", (as_raw(1e6 * x) for x in eeg[:3])
    yield f"EEG, simulated, {len(eeg)} nights", map(as_raw, eeg)
    halves = [x[: round(SFREQ * 600)] for x in eeg]
    yield f"EEG, simulated, {len(eeg)} x 10 min", map(as_raw, halves)
    if args.power_nights:
        nights = read_test_nights(args.power_nights)[: args.nights]
        yield f"EEG, unseen people, {len(nights)} nights", map(resynthesise, nights)


def simulate(hours, seed):
    """Simulate a night; return the signal of one of its channels in µV."""
    raw, _ = simulate_night(3600 * hours, random_state=seed)
    return raw.get_data(units="uV")[seed % 2]


def as_raw(signal):
    """Return a recording of one channel."""
    return make_raw(signal[None], [CHANNEL])


def read_test_nights(fname):
    """Return the band powers of nights that the shipped weights did not see."""
    from band_power_nights import read_power_nights, split_nights

    return split_nights(read_power_nights(fname))[2]


def resynthesise(night):
    """Make a recording of one channel from a whole night's band powers."""
    from synthesis import resynthesize

    signals = resynthesize(night.log_band_power, night.log_variance, random_state=0)
    return as_raw(signals[len(night.stages) % 2])


def stage(clf, raw, picks=CHANNEL):
    """Stage a recording; return the four figures of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        proba = clf.predict_proba(raw, picks=picks)
        channel = read_channel(raw, picks, clf.stager_.scaling)
    inputs = [channel.signals], [channel.usable]
    (found,) = clf.stager_.novelty(*inputs)
    raw_proba = clf.stager_.probabilities(*inputs)[channel.usable]
    return (
        any("is unlike the recordings" in str(w.message) for w in caught),
        (found.distances[channel.usable] >= 1).mean(),
        proba[channel.usable].max(axis=1).mean(),
        raw_proba.max(axis=1).mean(),
    )


def summarise(figures):
    """Return the cells of a row."""
    warned, *others = np.array(figures, dtype=float).T
    far, top, without = (column.mean() for column in others)
    n_warned = f"{warned.sum():.0f} of {len(warned)}"
    return n_warned, f"{far:.1%}", f"{top:.2f}", f"{without:.2f}"


def stage_channels(clf, fname):
    """Stage a recording by each of its channels, whatever it measures."""
    raw = mne.io.read_raw(fname, preload=True)
    raw.set_channel_types(dict.fromkeys(raw.ch_names, "eeg"), on_unit_change="ignore")
    for name in raw.ch_names:
        try:
            print_row(f"real: {name}", *summarise([stage(clf, raw, name)]))
        except ValueError as error:
            print_row(f"real: {name}", f"refused: {str(error)[:60]} ...", "", "", "")


if __name__ == "__main__":
    with mne.utils.use_log_level("warning"):
        main()
