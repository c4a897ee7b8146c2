"""``mne-mc2sleep train``: weights from scored recordings."""

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pandas as pd
from mne.utils import use_log_level

from .._utils import check_fname, find_device, replace_file
from ..classifier import MC2SleepClassifier
from ._common import find_scored, load_stager, log_level, tell


def run(args: Namespace) -> int:
    """Train a stager and save it."""
    out = check_fname(args.out, (".safetensors",), args.overwrite)
    nights = find_scored(args)
    recordings = [str(night.recording) for night in nights]
    groups = [night.subject for night in nights]
    clf = _make_classifier(args)
    if args.history:
        clf.set_params(callback=_history_writer(args.history, args.overwrite))
    learn = clf.finetune if args.weights else clf.fit
    # Training takes long, so its progress is shown unless -q is given.
    with use_log_level(log_level(args.verbosity or 1)):
        try:
            learn(recordings, [night.hypnogram for night in nights], groups=groups)
        except (ValueError, OSError) as error:
            tell("error", error)
            return 1
        except KeyboardInterrupt:
            if not hasattr(clf, "stager_") or clf.history_.empty:
                text = "no weights were trained, and no file was written."
                raise KeyboardInterrupt(text) from None
    clf.save(out, overwrite=args.overwrite)
    table = clf.history_[["phase", "train_epoch", "loss", "validation_macro_f1"]]
    print(table.to_string(index=False, float_format="{:.3f}".format))
    print(f"Wrote {args.out}")
    return 0


def _history_writer(fname: str, overwrite: bool) -> Callable[[dict], None]:
    """Return a callback that writes the history of the training to a CSV file."""
    path, rows = check_fname(fname, (".csv",), overwrite), []

    def write(row: dict) -> None:
        rows.append(row)
        replace_file(path, pd.DataFrame(rows).to_csv(index=False).encode())

    return write


def _make_classifier(args: Namespace) -> MC2SleepClassifier:
    options: dict[str, Any] = {"random_state": args.random_state}
    if args.picks:
        options["picks"] = args.picks if len(args.picks) > 1 else args.picks[0]
    if args.train_epochs is not None:
        if args.train_epochs < 1:
            raise ValueError("--train-epochs must be 1 or more.")
        options["pretrain_train_epochs"] = args.train_epochs
        options["finetune_train_epochs"] = args.train_epochs
    if args.weights:
        return load_stager(args).set_params(**options)
    find_device(args.device)
    return MC2SleepClassifier(size=args.size, device=args.device, **options)
