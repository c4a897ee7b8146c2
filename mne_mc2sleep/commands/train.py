"""``mne-mc2sleep train``: scored recordings in, weights out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._common import (
    add_common_options,
    add_hypnograms,
    add_recordings,
    check_output,
    load_stager,
)

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from ..classifier import MC2SleepClassifier


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command.

    Parameters
    ----------
    subparsers : object
        What ``ArgumentParser.add_subparsers`` returned.
    """
    parser = subparsers.add_parser(
        "train",
        usage="%(prog)s FILE [FILE ...] --out FILE [options]",
        help="train a stager on scored recordings, or fine-tune one",
        description="Train a stager on scored recordings: anew, or by fine-tuning the "
        "one given with --weights. Ctrl-C ends the training and keeps the best weights "
        "so far.",
    )
    add_recordings(parser)
    add_hypnograms(parser)
    parser.add_argument(
        "--groups",
        nargs="+",
        metavar="NAME",
        help="the subject of each recording, so that the validation holds out whole "
        "subjects (default: each recording is of another subject)",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="where to write the weights, *.safetensors",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the file of weights"
    )
    parser.add_argument(
        "--picks",
        nargs="+",
        metavar="NAME",
        help="the EEG channel; of several names, the first that a recording has "
        "(default: that of --weights, else by an order of preference)",
    )
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--weights",
        metavar="WEIGHTS",
        help="fine-tune these weights (a name or a file), do not train anew",
    )
    start.add_argument(
        "--size",
        choices=("small", "base"),
        default="small",
        help="the network to train anew: small for a CPU, base as in the paper "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--train-epochs",
        type=int,
        metavar="N",
        help="passes over the recordings in each stage of the training, at most "
        "(default: as in MC2SleepClassifier, or as the --weights were trained)",
    )
    parser.add_argument(
        "--random-state",
        type=int,
        default=0,
        metavar="N",
        help="the same number on the same machine gives the same weights "
        "(default: %(default)s)",
    )
    add_common_options(parser, log_level="info")
    parser.set_defaults(run=run)


def run(args: Namespace) -> int:
    """Train a stager and save it.

    Parameters
    ----------
    args : Namespace
        The parsed arguments.

    Returns
    -------
    status : int
        The exit code, 0.

    Raises
    ------
    ValueError, OSError, RuntimeError
        If files, options or the training fail; the message says why.
    KeyboardInterrupt
        If the training was interrupted before there was anything to save.
    """
    check_output(args.out, ".safetensors", args.overwrite)
    clf = _make_classifier(args)
    learn = clf.finetune if args.weights else clf.fit
    learn(args.recordings, args.hypnograms, groups=args.groups)
    history = clf.history_
    if history.empty:
        raise KeyboardInterrupt
    clf.save(args.out, overwrite=args.overwrite)
    columns = ["phase", "train_epoch", "loss", "validation_macro_f1"]
    table = history[columns]
    print(table.to_string(index=False, float_format="{:.3f}".format))
    print(f"Wrote {args.out}")
    return 0


def _make_classifier(args: Namespace) -> MC2SleepClassifier:
    from .._utils import find_device
    from ..classifier import MC2SleepClassifier

    options = {"random_state": args.random_state}
    if args.picks:
        options["picks"] = args.picks if len(args.picks) > 1 else args.picks[0]
    if args.train_epochs is not None:
        options["pretrain_train_epochs"] = args.train_epochs
        options["finetune_train_epochs"] = args.train_epochs
    if args.weights:
        return load_stager(args.weights, args.device).set_params(**options)
    find_device(args.device)
    return MC2SleepClassifier(size=args.size, device=args.device, **options)
