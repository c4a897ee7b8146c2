"""``mne-mc2sleep train``: weights from scored recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._utils import check_fname, find_device, replace_file
from ._common import (
    PROGRAM,
    add_command,
    add_device,
    add_picks,
    add_recordings,
    find_scored,
    load_stager,
    log_level,
    tell,
)

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from collections.abc import Callable
    from typing import Any

    from ..classifier import MC2SleepClassifier

_EXAMPLES = f"""\
  {PROGRAM} train recordings/ --weights small --out lab.safetensors
  {PROGRAM} train *-PSG.edf --hypnograms *-Hypnogram.edf --out lab.safetensors
  {PROGRAM} train nights.csv --size base --picks C4-M1 --out lab.safetensors"""


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command."""
    parser = add_command(
        subparsers,
        "train",
        run,
        _EXAMPLES,
        help="train a stager on scored recordings, or fine-tune one",
        description="Train a stager on scored recordings: from scratch, or by "
        "fine-tuning the weights given by\n--weights. Validation holds out whole "
        "subjects; these are named by the table or by 'sub-' in\nthe file name, else "
        "each recording is a subject. Ctrl-C keeps the best weights so far.",
    )
    add_recordings(parser, scored=True)
    add = parser.add_argument
    text = "the weights file to write, *.safetensors"
    add("--out", required=True, metavar="FILE", help=text)
    add("--overwrite", action="store_true", help="replace the weights file")
    add_picks(parser, "the channel of --weights, or by an order of preference")
    start = parser.add_mutually_exclusive_group()
    text = "fine-tune these weights (a name or a file)"
    start.add_argument("--weights", metavar="WEIGHTS", help=text)
    text = "the network to train from scratch: small for a CPU, base as in the paper "
    text += "(default: %(default)s)"
    sizes = ("small", "base")
    start.add_argument("--size", choices=sizes, default="small", help=text)
    text = "the maximum number of passes over the recordings in each phase of the "
    text += "training (default: as in MC2SleepClassifier, or as for the --weights)"
    add("--train-epochs", type=int, metavar="N", help=text)
    text = "the same number gives the same weights on the same machine with the same "
    text += "number of threads, see OMP_NUM_THREADS (default: %(default)s)"
    add("--random-state", type=int, default=0, metavar="N", help=text)
    text = "write the losses and the validation score here after each pass"
    add("--history", metavar="FILE.csv", help=text)
    add_device(parser)


def run(args: Namespace) -> int:
    """Train a stager and save it."""
    from mne.utils import use_log_level

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
    history = clf.history_
    if history.empty:
        raise KeyboardInterrupt("no weights were trained, and no file was written.")
    clf.save(out, overwrite=args.overwrite)
    columns = ["phase", "train_epoch", "loss", "validation_macro_f1"]
    print(history[columns].to_string(index=False, float_format="{:.3f}".format))
    print(f"Wrote {args.out}")
    return 0


def _history_writer(fname: str, overwrite: bool) -> Callable[[dict], None]:
    """Return a callback that writes the history of the training to a CSV file."""
    import pandas as pd

    path, rows = check_fname(fname, (".csv",), overwrite), []

    def write(row: dict) -> None:
        rows.append(row)
        replace_file(path, pd.DataFrame(rows).to_csv(index=False).encode())

    return write


def _make_classifier(args: Namespace) -> MC2SleepClassifier:
    from ..classifier import MC2SleepClassifier

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
