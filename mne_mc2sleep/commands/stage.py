"""``mne-mc2sleep stage``: recordings in, hypnogram files out."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from .._utils import replace_file
from ._common import (
    add_common_options,
    add_recordings,
    add_stager,
    attempt,
    load_stager,
)

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from yasa import Hypnogram

    from ..classifier import MC2SleepClassifier

_SUFFIXES = (".csv", ".tsv", ".edf", ".png")

# What a folder is searched for: of the endings that MNE knows, those of EEG that stand
# for one recording each. Others, such as .eeg or .dat, may belong to a recording of
# several files.
_RECORDINGS = (".edf", ".bdf", ".gdf", ".vhdr", ".ahdr", ".fif", ".fif.gz", ".set")
_RECORDINGS += (".cnt", ".mff", ".nedf", ".nxe", ".cdt", ".lay")


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command.

    Parameters
    ----------
    subparsers : object
        What ``ArgumentParser.add_subparsers`` returned.
    """
    parser = subparsers.add_parser(
        "stage",
        usage="%(prog)s FILE|DIR [FILE|DIR ...] [options]",
        help="stage recordings",
        description="Stage recordings. For each one, print the sleep statistics "
        "(minutes and percent) and write STEM_hypnogram.csv (stage and probabilities "
        "of each epoch), .tsv (BIDS events), .edf (EDF+ annotations) and .png. DIR "
        "stands for the recordings in it, known by their endings "
        f"({' '.join(_RECORDINGS)}); files whose names end in 'hypnogram' are none.",
    )
    add_recordings(parser)
    add_stager(parser)
    parser.add_argument(
        "--out-dir",
        default=".",
        metavar="DIR",
        help="the folder to write to, made if there is none (default: this one)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace files that exist"
    )
    parser.add_argument(
        "--n-jobs",
        type=int,
        default=1,
        metavar="N",
        help="recordings staged at once; -1: as many as there are cores (default: 1)",
    )
    add_common_options(parser, log_level="warning")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Stage recordings; one that fails does not stop the others.

    Parameters
    ----------
    args : Namespace
        The parsed arguments.

    Returns
    -------
    status : int
        The exit code: 2 if a recording failed.

    Raises
    ------
    FileNotFoundError, ValueError
        If two recordings would write the same files, or the weights, the device or a
        folder cannot be used: nothing is staged.
    """
    from joblib import Parallel, delayed

    recordings = [fname for name in args.recordings for fname in _list_folder(name)]
    _check_stems(recordings)
    _check_n_jobs(args.n_jobs)
    clf = load_stager(args.weights, args.device)
    out_dir = Path(args.out_dir)
    if out_dir.exists() and not out_dir.is_dir():
        raise ValueError(f"{args.out_dir} is a file; pass a folder as --out-dir.")
    out_dir.mkdir(parents=True, exist_ok=True)
    results = Parallel(args.n_jobs, return_as="generator")(
        delayed(_attempt)(clf, recording, args) for recording in recordings
    )
    is_staged = []
    for is_one_staged, out, err in results:
        print(out, end="", flush=True)
        print(err, end="", file=sys.stderr, flush=True)
        is_staged.append(is_one_staged)
    return 0 if all(is_staged) else 2


def _list_folder(name: str) -> list[str]:
    """Return the recordings in a folder, or the name itself if it is none."""
    path = Path(name)
    # Some formats are folders, such as night.mff.
    if not path.is_dir() or path.suffix.lower() in _RECORDINGS:
        return [name]
    found = sorted(
        str(fname)
        for fname in path.iterdir()
        if fname.name.lower().endswith(_RECORDINGS)
        and not _stem(fname.name).lower().endswith("hypnogram")
    )
    if not found:
        raise FileNotFoundError(
            f"The folder {name} holds no recording that ends in one of "
            f"{' '.join(_RECORDINGS)}; pass the files by name."
        )
    return found


def _check_n_jobs(n_jobs: int) -> None:
    if n_jobs == 0:
        raise ValueError("--n-jobs must be 1 or more, or -1 for as many as cores.")


def _attempt(
    clf: MC2SleepClassifier, recording: str, args: Namespace
) -> tuple[bool, str, str]:
    """Stage a recording, here or in another process; return what to print."""
    from mne.utils import use_log_level

    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), use_log_level(args.verbose):
        staged = attempt(_stage, clf, recording, args, name=recording)
    return staged is not None, out.getvalue(), err.getvalue()


def _stem(recording: str) -> str:
    path = Path(recording)
    # FIF files may be compressed: night_raw.fif.gz.
    return path.with_suffix("").stem if path.suffix == ".gz" else path.stem


def _check_stems(recordings: list[str]) -> None:
    stem, n_files = Counter(map(_stem, recordings)).most_common(1)[0]
    if n_files > 1:
        raise ValueError(
            f"{n_files} of the recordings would all be written as {stem}_hypnogram.*; "
            "stage them one by one with different --out-dir."
        )


def _stage(clf: MC2SleepClassifier, recording: str, args: Namespace) -> bool:
    base = Path(args.out_dir) / f"{_stem(recording)}_hypnogram"
    fnames = [base.with_name(base.name + suffix) for suffix in _SUFFIXES]
    existing = [str(fname) for fname in fnames if fname.exists()]
    if existing and not args.overwrite:
        raise FileExistsError(
            f"Found {', '.join(existing)}; pass --overwrite to replace, or another "
            "--out-dir."
        )
    hypno = clf.predict(recording, picks=args.picks)
    _write(hypno, fnames)
    _print_statistics(hypno, recording)
    print(*(f"Wrote {fname}" for fname in fnames), "", sep="\n")
    return True


def _write(hypno: Hypnogram, fnames: list[Path]) -> None:
    from matplotlib.figure import Figure

    from ..io.hypnograms import write_hypnogram
    from ..viz import plot_hypnogram

    *tables, picture = fnames
    for fname in tables:
        write_hypnogram(fname, hypno, overwrite=True)
    # Outside pyplot, a figure needs no screen and no closing.
    fig = Figure(figsize=(12, 6), layout="constrained")
    plot_hypnogram(hypno, axes=fig.subplots(2, 1), show=False)
    content = BytesIO()
    fig.savefig(content)
    replace_file(picture, content.getvalue())


def _print_statistics(hypno: Hypnogram, recording: str) -> None:
    import pandas as pd

    statistics = pd.Series(hypno.sleep_statistics())
    print(f"{recording}: {hypno.n_epochs} epochs")
    print(statistics.to_string(float_format="{:.1f}".format))
