"""``mne-mc2sleep stage``: hypnogram files from recordings."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentTypeError
from collections import Counter
from contextlib import closing, redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from ._common import (
    PROGRAM,
    add_command,
    add_jobs,
    add_recordings,
    add_stager,
    attempt,
    load_stager,
    log_level,
    names,
    tell,
)
from ._outputs import OUTPUTS, MadeBy, NightFiles, relabel, stem
from ._summary import Summary, make_row

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Generator
    from typing import Any

    from yasa import Hypnogram

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
        ".png, and .json (what made them).\nA second run skips the recordings whose "
        "files are all there.",
    )
    add_recordings(parser, scored=False)
    add_stager(parser)
    parser.add_argument(
        "--out-dir",
        default=".",
        metavar="DIR",
        help="the folder to write to; it is created if needed (default: this folder)",
    )
    parser.add_argument(
        "--outputs",
        type=_outputs,
        default=list(OUTPUTS),
        metavar="A,B,...",
        help=f"the files to write (default: {','.join(OUTPUTS)})",
    )
    parser.add_argument(
        "--summary",
        metavar="FILE",
        help="also write a table with a row per recording to this *.csv or *.json",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="stage finished recordings again and replace existing files",
    )
    add_jobs(parser)


def run(args: Namespace) -> int:
    """Stage recordings; one that fails does not stop the others."""
    from ..datasets.folder import list_recordings

    recordings = [str(f) for name in args.recordings for f in list_recordings(name)]
    _check_stems(recordings)
    if args.n_jobs == 0:
        raise ValueError("--n-jobs must be 1 or more, or -1 for one per core.")
    clf = load_stager(args)
    made_by = MadeBy.find(args.weights)
    out_dir = Path(args.out_dir).expanduser()
    if out_dir.exists() and not out_dir.is_dir():
        raise ValueError(f"{args.out_dir} is a file. Pass a folder with --out-dir.")
    out_dir.mkdir(parents=True, exist_ok=True)
    summary = Summary(args.summary, recordings, args.overwrite)
    nights = [NightFiles(name, out_dir, args.outputs) for name in recordings]
    waiting = nights if args.overwrite else _skip_finished(nights, summary, made_by)
    progress = _Progress(len(nights), len(nights) - len(waiting), args.verbosity)
    try:
        with (
            TemporaryDirectory(
                dir=out_dir, prefix=".staging_", ignore_cleanup_errors=True
            ) as part,
            closing(_stage_all(clf, waiting, Path(part), made_by, args)) as results,
        ):
            for result in results:
                if result.row["status"] == "staged":
                    result.files.publish(result.folder)
                summary.add(result.row)
                summary.write()
                progress.show(result)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{_count(summary)}. Run the same command again to continue."
        ) from None
    finally:
        progress.close()
    return _report(summary, args.verbosity)


class _Result(NamedTuple):
    """What a worker returns about one night."""

    files: NightFiles
    folder: Path
    row: dict[str, Any]
    warnings: list[str]
    printed: str
    seconds: float


def _outputs(text: str) -> list[str]:
    found = names(text)
    if unknown := set(found) - set(OUTPUTS):
        raise ArgumentTypeError(
            f"invalid choice: {sorted(unknown)} (choose from {', '.join(OUTPUTS)})"
        )
    return found


def _check_stems(recordings: list[str]) -> None:
    name, n_files = Counter(map(stem, recordings)).most_common(1)[0]
    if n_files > 1:
        raise ValueError(
            f"{n_files} of the recordings would all be written as {name}_hypnogram.*. "
            "Stage them one by one with different --out-dir."
        )


def _skip_finished(
    nights: list[NightFiles], summary: Summary, made_by: MadeBy
) -> list[NightFiles]:
    """Add the rows of finished nights to the summary; return the other nights."""
    waiting: list[NightFiles] = []
    others: Counter[str] = Counter()
    for night in nights:
        made = night.made_before()
        if made is None or not night.is_complete():
            waiting.append(night)
            continue
        row = made["Summary"]
        summary.add(row | {"file": night.recording, "status": "finished before"})
        if row["weights_sha256"] != made_by.sha256:
            others[row["weights"]] += 1
    summary.write()
    for weights, n_nights in others.items():
        tell(
            "warning",
            f"{n_nights} finished recordings were staged by other weights ({weights}) "
            "and are kept. Pass --overwrite to stage them again.",
        )
    return waiting


def _stage_all(
    clf: MC2SleepClassifier,
    nights: list[NightFiles],
    folder: Path,
    made_by: MadeBy,
    args: Namespace,
) -> Generator[_Result]:
    """Stage nights, in parallel if asked; yield each as it ends."""
    from joblib import Parallel, delayed

    yield from Parallel(args.n_jobs, return_as="generator_unordered")(
        delayed(_attempt)(clf, night, folder / str(index), made_by, args)
        for index, night in enumerate(nights)
    )


def _attempt(
    clf: MC2SleepClassifier,
    files: NightFiles,
    folder: Path,
    made_by: MadeBy,
    args: Namespace,
) -> _Result:
    """Stage one night, here or in another process; report a failure in its row."""
    from mne.utils import use_log_level

    begin, printed = time.perf_counter(), StringIO()
    with redirect_stdout(printed), use_log_level(log_level(args.verbosity)):
        staged = attempt(_stage, clf, files, folder, made_by, args)
    row = {"file": files.recording, "status": "failed", "error": staged.error}
    if not staged.error:
        hypno, row = staged.result
    row["warnings"] = " | ".join(staged.warnings)
    if not staged.error:
        files.write_sidecar(folder, hypno, made_by, row)
    seconds = time.perf_counter() - begin
    return _Result(files, folder, row, staged.warnings, printed.getvalue(), seconds)


def _stage(
    clf: MC2SleepClassifier,
    files: NightFiles,
    folder: Path,
    made_by: MadeBy,
    args: Namespace,
) -> tuple[Hypnogram, dict[str, Any]]:
    """Write the files of one night into a temporary folder; return its summary."""
    from ..io.recordings import read_recording

    if not args.overwrite:
        files.check()
    name = files.recording
    hypno = clf.predict(name, average_channels=args.average_channels)
    recording = read_recording(name, (args.average_channels or [clf.picks])[0])
    channel = ", ".join(args.average_channels or [recording.ch_name])
    row = make_row(name, hypno, channel, _novelty(clf, recording), made_by)
    hypno = relabel(hypno, made_by.scorer(channel))
    files.write(folder, hypno, recording, made_by)
    if args.verbosity > 0:
        print(f"{name}: {hypno.n_epochs} epochs")
        for statistic, value in hypno.sleep_statistics().items():
            print(f"  {statistic:12} {value:.1f}")
    return hypno, row


def _novelty(clf: MC2SleepClassifier, recording: Recording) -> float | None:
    """Return the share of epochs unlike the training data, if the weights tell."""
    from ..preprocessing.scaling import scale_signals

    usable, scaling = recording.usable, clf.stager_.scaling
    signals = scale_signals(recording.signals, usable, scaling)
    found = clf.stager_.novelty([signals], [usable])
    return round(float((found[0].distances[usable] >= 1).mean()), 4) if found else None


class _Progress:
    """Lines on stderr as nights end; on a terminal, also a bar below them."""

    def __init__(self, n_nights: int, n_finished: int, verbosity: int):
        from tqdm import tqdm

        self._n_nights, self._n_done = n_nights, n_finished
        self._verbosity = verbosity
        self._bar = tqdm(
            total=n_nights,
            initial=n_finished,
            leave=False,
            disable=verbosity < 0 or not sys.stderr.isatty(),
        )

    def show(self, result: _Result) -> None:
        """Report a night that ended."""
        self._n_done += 1
        self._bar.clear()
        print(result.printed, end="", flush=True)
        name = result.files.recording
        if self._verbosity >= 0:
            count = f"[{self._n_done}/{self._n_nights}]"
            line = f"{count} {Path(name).name} {result.seconds:.1f} s"
            failed = result.row["status"] == "failed"
            print(line + " failed" * failed, file=sys.stderr, flush=True)
            for message in result.warnings:
                tell("warning", message, name)
        self._bar.update()

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()


def _count(summary: Summary) -> str:
    """Return how many recordings were staged, skipped and failed."""
    counts = Counter(row["status"] for row in summary.rows.values())
    text = f"{counts['staged']} of {summary.n_recordings} staged"
    if n_before := counts["finished before"]:
        text += f", {n_before} finished before"
    if n_failed := counts["failed"]:
        text += f", {n_failed} failed"
    return text


def _report(summary: Summary, verbosity: int) -> int:
    """Report what was done and what failed; return the exit status."""
    failed = [row for row in summary.rows.values() if row["status"] == "failed"]
    if verbosity >= 0:
        print(_count(summary) + ":" * bool(failed), file=sys.stderr)
    for row in failed:
        tell("error", row["error"], row["file"])
    return 1 if failed else 0
