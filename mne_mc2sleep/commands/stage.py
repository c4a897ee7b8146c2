"""``mne-mc2sleep stage``: hypnogram files from recordings."""

import sys
import time
from argparse import Namespace
from collections import Counter
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from joblib import Parallel, delayed
from mne.utils import use_log_level

from ..classifier import MC2SleepClassifier
from ..datasets.folder import list_recordings
from ..io.recordings import Recording, read_recording
from ..preprocessing.scaling import scale_signals
from ._common import attempt, load_stager, log_level, tell
from ._outputs import NightFiles, Summary, made_by, relabel, scorer, stem, summarize


def run(args: Namespace) -> int:
    """Stage recordings; one that fails does not stop the others."""
    recordings = [str(f) for name in args.recordings for f in list_recordings(name)]
    name, n_files = Counter(stem(f).casefold() for f in recordings).most_common(1)[0]
    if n_files > 1:
        raise ValueError(
            f"{n_files} of the recordings would all be written as {name}_hypnogram.*. "
            "Stage them separately with different --out-dir."
        )
    clf = load_stager(args)
    assert clf.stager_.started_from is not None
    sha256 = clf.stager_.started_from["sha256"]
    channels = args.average_channels or clf.picks
    origin = made_by(Path(args.weights).name, sha256, channels)
    out_dir = Path(args.out_dir).expanduser()
    if out_dir.exists() and not out_dir.is_dir():
        raise ValueError(f"{args.out_dir} is a file. Pass a folder with --out-dir.")
    out_dir.mkdir(parents=True, exist_ok=True)
    summary = Summary(args.summary, recordings, args.overwrite)
    try:
        with TemporaryDirectory(
            dir=out_dir, prefix=".staging_", ignore_cleanup_errors=True
        ) as part:
            options = out_dir, args.outputs, part, origin
            nights = [NightFiles(fname, *options) for fname in recordings]
            if not args.overwrite:
                nights = _skip_finished(nights, summary)
            parallel = Parallel(args.n_jobs, return_as="generator_unordered")
            stage = delayed(partial(_try, clf, args))
            with closing(parallel(map(stage, nights))) as results:
                for night, row, messages, seconds in results:
                    if not row["error"]:
                        night.publish(row)
                    summary.add([row])
                    if args.verbosity >= 0:
                        count = f"[{len(summary.rows)}/{len(recordings)}]"
                        _report(count, row, messages, seconds)
    except KeyboardInterrupt:
        text = f"{summary.count()}. Run the same command again to continue."
        raise KeyboardInterrupt(text) from None
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


def _skip_finished(nights: list[NightFiles], summary: Summary) -> list[NightFiles]:
    """Add the rows of finished nights to the summary; return the other nights."""
    done = [night for night in nights if night.is_finished]
    status = {"status": "finished before"}
    summary.add([n.earlier["Summary"] | {"file": n.recording} | status for n in done])
    if n_old := sum(n.earlier["GeneratedBy"] != [n.origin] for n in done):
        text = f"{n_old} finished recordings were staged by other weights or channels, "
        text += "or another version, and are kept. Pass --overwrite to stage again."
        tell("warning", text)
    return [night for night in nights if not night.is_finished]


def _try(clf: MC2SleepClassifier, args: Namespace, files: NightFiles) -> tuple:
    """Stage one night; return its files, row of the summary, warnings and seconds."""
    begin = time.perf_counter()
    with use_log_level(log_level(args.verbosity)):
        result, error, messages = attempt(_stage, clf, args, files)
    row = {"file": files.recording, "status": "failed" if error else "staged"}
    row |= {"error": error, "warnings": " | ".join(messages)} | (result or {})
    return files, row, messages, time.perf_counter() - begin


def _stage(clf: MC2SleepClassifier, args: Namespace, files: NightFiles) -> dict:
    """Write the files of one night into its temporary folder; return its summary."""
    if not args.overwrite:
        files.check()
    name, averaged = files.recording, args.average_channels
    hypno = clf.predict(name, average_channels=averaged)
    recording = read_recording(name, averaged[0] if averaged else clf.picks)
    channel = ", ".join(averaged or [recording.ch_name])
    hypno = relabel(hypno, scorer(files.origin, channel))
    files.write(hypno, recording)
    if args.verbosity > 0:
        lines = [f"  {k:12} {v:.1f}" for k, v in hypno.sleep_statistics().items()]
        print("\n".join([f"{name}: {hypno.n_epochs} epochs", *lines]), flush=True)
    return summarize(hypno, channel, _novelty(clf, recording), files.origin)


def _novelty(clf: MC2SleepClassifier, recording: Recording) -> float | None:
    """Return the share of novel epochs, or None if the weights cannot detect them."""
    usable, scaling = recording.usable, clf.stager_.scaling
    signals = scale_signals(recording.signals, usable, scaling)
    found = clf.stager_.measure_novelty([replace(recording, signals=signals)])
    return round(float((found[0].distances[usable] >= 1).mean()), 4) if found else None
