"""``mne-mc2sleep stage``: hypnogram files from recordings."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentTypeError
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ._common import (
    PROGRAM,
    add_command,
    add_recordings,
    add_stager,
    attempt,
    load_stager,
    log_level,
    names,
    tell,
)
from ._outputs import OUTPUTS, MadeBy, NightFiles, Summary, relabel, stem, summarize

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from typing import Any

    from ..classifier import MC2SleepClassifier
    from ..io.recordings import Recording

_EXAMPLES = f"""\
  {PROGRAM} stage night.edf --out-dir staged/
  {PROGRAM} stage recordings/ --out-dir staged/ --summary summary.csv --n-jobs 2
  {PROGRAM} stage *.bdf --picks "C4-M1,C3-M2" --outputs tsv,png --out-dir staged/"""


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "stage",
        run,
        _EXAMPLES,
        help="stage recordings",
        description="Stage recordings and write NAME_hypnogram.csv (stage and "
        "probabilities of each epoch), .tsv\n(BIDS events), .edf (EDF+ annotations), "
        ".png, and .json (the BIDS sidecar).\nA second run skips the recordings whose "
        "files are all there.",
    )
    add_recordings(parser, scored=False)
    add_stager(parser)
    add = parser.add_argument
    add("--out-dir", default=".", metavar="DIR", help="where to write (default: here)")
    text = f"the files to write (default: {','.join(OUTPUTS)})"
    every = list(OUTPUTS)
    add("--outputs", type=_outputs, default=every, metavar="A,B,...", help=text)
    text = "also write a table with a row per recording to this *.csv or *.json"
    add("--summary", metavar="FILE", help=text)
    text = "stage finished recordings again and replace existing files"
    add("--overwrite", action="store_true", help=text)


def run(args: Namespace) -> int:
    """Stage recordings; one that fails does not stop the others."""
    from joblib import Parallel, delayed

    from ..datasets.folder import list_recordings

    recordings = [str(f) for name in args.recordings for f in list_recordings(name)]
    name, n_files = Counter(map(stem, recordings)).most_common(1)[0]
    if n_files > 1:
        raise ValueError(
            f"{n_files} of the recordings would all be written as {name}_hypnogram.*. "
            "Stage them separately with different --out-dir."
        )
    clf = load_stager(args)
    loaded_from = clf.stager_.started_from
    assert loaded_from is not None
    channels = args.average_channels or clf.picks
    made_by = MadeBy(Path(args.weights).name, loaded_from["sha256"], channels)
    out_dir = Path(args.out_dir).expanduser()
    if out_dir.exists() and not out_dir.is_dir():
        raise ValueError(f"{args.out_dir} is a file. Pass a folder with --out-dir.")
    out_dir.mkdir(parents=True, exist_ok=True)
    summary = Summary(args.summary, recordings, args.overwrite)
    try:
        with TemporaryDirectory(
            dir=out_dir, prefix=".staging_", ignore_cleanup_errors=True
        ) as part:
            nights = [NightFiles(f, out_dir, args.outputs, part) for f in recordings]
            if not args.overwrite:
                nights = _skip_finished(nights, summary, made_by)
            parallel = Parallel(args.n_jobs, return_as="generator_unordered")
            stage = delayed(partial(_try, clf, made_by, args))
            with closing(parallel(map(stage, nights))) as results:
                for night, row, messages, seconds in results:
                    if not row["error"]:
                        night.publish(made_by, row)
                    summary.add([row])
                    if args.verbosity >= 0:
                        count = f"[{len(summary.rows)}/{len(recordings)}]"
                        _report(count, row, messages, seconds)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{summary.count()}. Run the same command again to continue."
        ) from None
    failed = [row for row in summary.rows.values() if row["status"] == "failed"]
    if args.verbosity >= 0:
        print(summary.count() + ":" * bool(failed), file=sys.stderr)
    for row in failed:
        tell("error", row["error"], row["file"])
    return 1 if failed else 0


def _report(count: str, row: dict, messages: list[str], seconds: float) -> None:
    """Report that a night has ended, and its warnings."""
    line = f"{count} {Path(row['file']).name} {seconds:.1f} s"
    print(line + " failed" * bool(row["error"]), file=sys.stderr, flush=True)
    for message in messages:
        tell("warning", message, row["file"])


def _outputs(text: str) -> list[str]:
    found = names(text)
    if unknown := set(found) - set(OUTPUTS):
        raise ArgumentTypeError(
            f"invalid choice: {sorted(unknown)} (choose from {', '.join(OUTPUTS)})"
        )
    return found


def _skip_finished(
    nights: list[NightFiles], summary: Summary, made_by: MadeBy
) -> list[NightFiles]:
    """Add the rows of finished nights to the summary; return the other nights."""
    waiting, finished, n_others = [], [], 0
    for night in nights:
        content = night.finished()
        if content is None:
            waiting.append(night)
        else:
            row = content["Summary"]
            row |= {"file": night.recording, "status": "finished before"}
            finished.append(row)
            n_others += content["GeneratedBy"] != [made_by.describe()]
    summary.add(finished)
    if n_others:
        tell(
            "warning",
            f"{n_others} finished recordings were staged by other weights or channels, "
            "or another version, and are kept. Pass --overwrite to stage them again.",
        )
    return waiting


def _try(
    clf: MC2SleepClassifier, made_by: MadeBy, args: Namespace, files: NightFiles
) -> tuple[NightFiles, dict[str, Any], list[str], float]:
    """Stage one night; return its files, row of the summary, warnings and seconds."""
    from mne.utils import use_log_level

    begin = time.perf_counter()
    with use_log_level(log_level(args.verbosity)):
        result, error, messages = attempt(_stage, clf, made_by, args, files)
    row = {"file": files.recording, "status": "failed" if error else "staged"}
    row |= {"error": error, "warnings": " | ".join(messages)} | (result or {})
    return files, row, messages, time.perf_counter() - begin


def _stage(
    clf: MC2SleepClassifier, made_by: MadeBy, args: Namespace, files: NightFiles
) -> dict[str, Any]:
    """Write the files of one night into its temporary folder; return its summary."""
    from ..io.recordings import read_recording

    if not args.overwrite:
        files.check()
    name = files.recording
    hypno = clf.predict(name, average_channels=args.average_channels)
    recording = read_recording(name, (args.average_channels or [clf.picks])[0])
    channel = ", ".join(args.average_channels or [recording.ch_name])
    summary = summarize(hypno, channel, _novelty(clf, recording), made_by)
    hypno = relabel(hypno, made_by.scorer(channel))
    files.write(hypno, recording, made_by)
    if args.verbosity > 0:
        statistics = [f"  {k:12} {v:.1f}" for k, v in hypno.sleep_statistics().items()]
        lines = [f"{name}: {hypno.n_epochs} epochs", *statistics]
        print("\n".join(lines), flush=True)
    return summary


def _novelty(clf: MC2SleepClassifier, recording: Recording) -> float | None:
    """Return the share of novel epochs, or None if the weights cannot detect them."""
    from ..preprocessing.scaling import scale_signals

    usable, scaling = recording.usable, clf.stager_.scaling
    signals = scale_signals(recording.signals, usable, scaling)
    found = clf.stager_.novelty([signals], [usable])
    return round(float((found[0].distances[usable] >= 1).mean()), 4) if found else None
