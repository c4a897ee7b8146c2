"""``mne-mc2sleep evaluate``: compare a stager with scored recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._utils import check_fname, replace_file
from ._common import (
    PROGRAM,
    add_command,
    add_recordings,
    add_stager,
    attempt,
    find_scored,
    load_stager,
    tell,
)

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from numpy.typing import NDArray
    from yasa import Hypnogram

    from ..classifier import MC2SleepClassifier
    from ..datasets import NightRecord

_EXAMPLES = f"""\
  {PROGRAM} evaluate recordings/ --out scores.csv
  {PROGRAM} evaluate *-PSG.edf --hypnograms *-Hypnogram.edf --weights lab.safetensors
  {PROGRAM} evaluate nights.csv --picks "C4-M1,C3-M2\""""


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "evaluate",
        run,
        _EXAMPLES,
        help="compare a stager with scored recordings",
        description="Stage scored recordings and compare with their hypnograms: "
        "accuracy, Cohen's\nkappa, macro-F1, F1 by stage and calibration error (ECE), "
        "for each recording and pooled.",
    )
    add_recordings(parser, scored=True)
    add_stager(parser)
    text = "also write the table to this *.csv"
    parser.add_argument("--out", metavar="FILE", help=text)
    parser.add_argument("--overwrite", action="store_true", help="replace the table")


def run(args: Namespace) -> int:
    """Evaluate a stager; a recording that fails does not stop the others."""
    from joblib import Parallel, delayed

    from ..evaluation import tabulate_scores

    out = check_fname(args.out, (".csv",), args.overwrite) if args.out else None
    nights = find_scored(args)
    clf = load_stager(args)
    kept, staged = [], []
    tries = Parallel(args.n_jobs, return_as="generator")(
        delayed(attempt)(_stage, clf, night, args.average_channels) for night in nights
    )
    for night, (result, error, messages) in zip(nights, tries, strict=True):
        for message in messages if args.verbosity >= 0 else ():
            tell("warning", message, str(night.recording))
        if error:
            tell("error", error, str(night.recording))
        else:
            kept.append(night)
            staged.append(result)
    if kept:
        subjects = [night.subject for night in kept]
        groups = subjects if len(set(subjects)) < len(subjects) else None
        names = [str(night.recording) for night in kept]
        try:
            references, predicted = zip(*staged, strict=True)
            table = tabulate_scores(references, predicted, names, groups)
        except ValueError as error:
            tell("error", error)
            return 1
        print(table.rename_axis(None).to_string(float_format="{:.3f}".format))
        if out:
            replace_file(out, table.to_csv(lineterminator="\n").encode())
    return 0 if len(kept) == len(nights) else 1


def _stage(
    clf: MC2SleepClassifier, night: NightRecord, average_channels: list[str] | None
) -> tuple[NDArray, Hypnogram]:
    from ..evaluation import read_reference

    recording = str(night.recording)
    predicted = clf.predict(recording, average_channels=average_channels)
    picks = average_channels[0] if average_channels else clf.picks
    return read_reference(recording, night.hypnogram, predicted, picks), predicted
