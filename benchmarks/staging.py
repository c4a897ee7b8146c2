"""Time the staging of EDF files in new processes, compared with YASA.

For each kind of file and each stager: the wall and CPU seconds of a new process from
EDF to hypnogram, of staging the file once more in that process, the peak memory after
both, and the seconds of staging the recording in memory (a preloaded Raw). The runs of
the stagers alternate; figures are medians, in brackets the ratio to YASA. Of files of
several channels, MC2SleepNet stages all and averages the posteriors; YASA stages each
by itself, one after the other.

    python benchmarks/staging.py          # 8 h, 100 Hz, 1 channel
    python benchmarks/staging.py --all    # the whole matrix
    python benchmarks/staging.py --hours 24 --sfreqs 256 --channels 6 --stagers base
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path

from common import (
    SIZES,
    STAGERS,
    channel_names,
    clock,
    describe_machine,
    make_night,
    medians,
    memory,
    print_header,
    print_row,
    run_child,
    save_weights,
    write_edf,
)

FIGURES = {
    "new_wall_s": "new process, s",
    "new_cpu_s": "its CPU, s",
    "wall_s": "once more, s",
    "cpu_s": "its CPU, s",
    "peak_MiB": "peak, MiB",
    "raw_wall_s": "from a Raw, s",
    "raw_cpu_s": "its CPU, s",
}


def main():
    """Run every stager on every kind of file and print the table."""
    args = parse_arguments()
    if args.child:
        print(json.dumps(stage(*json.loads(args.child))))
        return
    print(f"{describe_machine()}; medians of {args.repeats}, (ratio to YASA)")
    print_header("hours", "Hz", "channels", "stager", *FIGURES.values())
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for size in set(SIZES) & set(args.stagers):
            save_weights(folder / f"{size}.safetensors", size)
        for kind in itertools.product(args.hours, args.sfreqs, args.channels):
            results = measure(folder, *kind, args.stagers, args.repeats)
            print_results(kind, results)


def parse_arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hours", type=float, nargs="+", default=[8])
    parser.add_argument("--sfreqs", type=float, nargs="+", default=[100])
    parser.add_argument("--channels", type=int, nargs="+", default=[1])
    parser.add_argument("--stagers", choices=STAGERS, nargs="+", default=STAGERS)
    parser.add_argument("--repeats", type=int, default=5)
    whole = "8 and 24 h, 100 and 256 Hz, 1 and 6 channels"
    parser.add_argument("--all", action="store_true", help=whole)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.all:
        args.hours, args.sfreqs, args.channels = [8, 24], [100, 256], [1, 6]
    return args


def measure(folder, hours, sfreq, n_channels, stagers, repeats):
    """Write the file, let the stagers take turns; return the medians of each."""
    fname = folder / "night.edf"
    write_edf(fname, make_night(hours, n_channels, sfreq)[0])
    runs = {stager: [] for stager in stagers}
    for _ in range(repeats):
        for stager in stagers:
            runs[stager].append(run(stager, folder, n_channels))
    return {stager: medians(done) for stager, done in runs.items()}


def run(stager, folder, n_channels):
    """Stage in a new process; return its figures."""
    figures = run_child(__file__, stager, str(folder), n_channels)
    # What follows the first staging is not part of what a new process needs.
    for name in ("wall_s", "cpu_s"):
        later = figures.pop(f"later_{name}")
        figures[f"new_{name}"] = figures.pop(f"process_{name}") - later
    return figures


def stage(stager, folder, n_channels):
    """Stage the file twice, and its Raw; return the seconds and the memory."""
    import mne

    mne.set_log_level("error")
    folder, picks = Path(folder), channel_names(n_channels)
    fname = folder / "night.edf"
    if stager == "yasa":
        import yasa

        def predict(raw):
            for name in picks:
                yasa.SleepStaging(raw, eeg_name=name).predict()
    else:
        from mne_mc2sleep import MC2SleepClassifier

        clf = MC2SleepClassifier.from_pretrained(folder / f"{stager}.safetensors")

        def predict(raw):
            clf.predict(raw, average_channels=picks)

    def predict_file():
        # Not preloaded: YASA reads the one channel that it stages.
        predict(mne.io.read_raw(fname) if stager == "yasa" else fname)

    def stage_again():
        figures.update(clock(predict_file), peak_MiB=memory("VmHWM"))
        raw = mne.io.read_raw(fname, preload=True)
        of_raw = clock(lambda: predict(raw))
        figures.update({f"raw_{name}": value for name, value in of_raw.items()})

    figures = {}
    predict_file()
    later = clock(stage_again)
    return figures | {f"later_{name}": value for name, value in later.items()}


def print_results(kind, results):
    """Print a row for each stager, with the ratios to YASA if it took part."""
    peer = results.get("yasa")
    for stager, figures in results.items():
        cells = []
        for name in FIGURES:
            ratio = f" ({figures[name] / peer[name]:.2f})" if peer else ""
            cells.append(f"{figures[name]:.2f}{ratio}")
        print_row(*(f"{value:g}" for value in kind), stager, *cells)


if __name__ == "__main__":
    main()
