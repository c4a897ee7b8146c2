# PYTHON_ARGCOMPLETE_OK
"""The command ``mne-mc2sleep``: its options and its exit status."""

import atexit
import gc
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pkgutil import resolve_name
from typing import Any, NoReturn

from .. import __version__
from .._utils import importing
from ._common import OUTPUTS, PROGRAM, USER_ERRORS, log_level, show_warnings, tell

_WRONG_USAGE = 2
# The exit status that shells give to a program that SIGINT ended: 128 + 2.
_INTERRUPTED = 130

_RECORDINGS = "a recording that MNE can read, or a folder of recordings"
_PICKS = "the EEG channel; of several, the first that a recording has (default: "
_DEVICE = "the torch device: cpu, cuda, cuda:1 or mps (default: a GPU if there is one)"
_STAGE = """\
Stage recordings and write NAME_hypnogram.csv (stage and probabilities of each epoch),
.tsv (BIDS events), .edf (EDF+ annotations), .png, and .json (the BIDS sidecar).
A second run skips the recordings whose files are all there."""
_TRAIN = """\
Train a stager on scored recordings, from scratch or by fine-tuning --weights. Whole
subjects are held out to validate; they are named by the table or by 'sub-' in the file
name, else each recording is a subject. Ctrl-C keeps the best weights so far."""
_EVALUATE = """\
Stage scored recordings and compare with their hypnograms: accuracy, Cohen's kappa,
macro-F1, F1 by stage and calibration error (ECE), for each recording and pooled."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status, as in the epilog of the help."""
    parser = _make_parser()
    args = parser.parse_args(argv)
    if not hasattr(args, "run"):
        parser.print_help()
        return 0
    # Collecting garbage at the end would take most of a second.
    atexit.register(gc.freeze)
    # Figures are only saved; the backend of a notebook may not be installed here.
    if "matplotlib" not in sys.modules:
        os.environ["MPLBACKEND"] = "agg"
    try:
        # This takes seconds; --help does not wait for it.
        with importing():
            from mne.utils import logger, use_log_level

            run = resolve_name(f"{__package__}.{args.run}")
        with use_log_level(log_level(args.verbosity)), show_warnings(args.verbosity):
            try:
                return run(args)
            except USER_ERRORS as error:
                tell("error", error)
                logger.debug("The error arose here:", exc_info=error)
                return _WRONG_USAGE
    except KeyboardInterrupt as error:
        tell("interrupted", error)
        return _INTERRUPTED


class _Parser(ArgumentParser):
    """A parser that reports wrong arguments in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        text = f"{PROGRAM}: error: {message} (see {self.prog} --help)\n"
        self.exit(_WRONG_USAGE, text)


def _make_parser() -> ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Sleep staging with MC2SleepNet: hypnograms from recordings, and "
        "stagers from scored recordings.",
        epilog="Exit status: 0 done, 1 recordings failed, 2 wrong usage, 130 Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_stage(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_weights(commands)
    text = "print versions, for bug reports"
    _add_command(commands, "sys-info", text, "", run="info:run_sys_info")
    with suppress(ImportError):
        import argcomplete

        argcomplete.autocomplete(parser)
    return parser


def _add_command(
    subparsers: Any, name: str, text: str, *examples: str, more: str = "", run: str = ""
) -> ArgumentParser:
    """Add a sub-command with examples below its help, ``-q`` and ``-v``."""
    kwargs = {"formatter_class": RawDescriptionHelpFormatter, "description": more}
    parser = subparsers.add_parser(name, help=text, **kwargs)
    lines = [f"  {parser.prog} {example}".rstrip() for example in examples]
    parser.epilog = "\n".join(["examples:", *lines])
    parser.set_defaults(run=run or f"{name}:run", verbosity=0)
    add = partial(parser.add_mutually_exclusive_group().add_argument, dest="verbosity")
    add("-q", "--quiet", action="store_const", const=-1, help="report errors only")
    text = "report more; -vv also reports where in the code an error arose"
    add("-v", "--verbose", action="count", help=text)
    return parser


def _add_stage(subparsers: Any) -> None:
    parser = _add_command(
        subparsers,
        "stage",
        "stage recordings",
        "night.edf --out-dir staged/",
        "recordings/ --out-dir staged/ --summary summary.csv --n-jobs 2",
        '*.bdf --picks "C4-M1,C3-M2" --outputs tsv,png --out-dir staged/',
        more=_STAGE,
    )
    add = parser.add_argument
    add("recordings", nargs="+", metavar="RECORDING", help=_RECORDINGS)
    _add_stager(parser)
    add("--out-dir", default=".", metavar="DIR", help="where to write (default: here)")
    text = f"the files to write (default: {','.join(OUTPUTS)})"
    split = partial(_names, known=OUTPUTS)
    add("--outputs", type=split, default=OUTPUTS, metavar="A,B,...", help=text)
    add("--summary", metavar="FILE", help="also write a table to this *.csv or *.json")
    add("--overwrite", action="store_true", help="stage again, replace existing files")


def _add_train(subparsers: Any) -> None:
    parser = _add_command(
        subparsers,
        "train",
        "train a stager on scored recordings, or fine-tune one",
        "recordings/ --weights small --out lab.safetensors",
        "*-PSG.edf --hypnograms *-Hypnogram.edf --out lab.safetensors",
        "nights.csv --size base --picks C4-M1 --out lab.safetensors",
        more=_TRAIN,
    )
    _add_scored(parser)
    add = parser.add_argument
    add("--out", required=True, metavar="FILE", help="the *.safetensors to write")
    add("--overwrite", action="store_true", help="replace the weights file")
    text = f"{_PICKS}the channel of --weights, or by an order of preference)"
    add("--picks", type=_names, metavar="A,B,...", help=text)
    start = parser.add_mutually_exclusive_group()
    start.add_argument("--weights", help="fine-tune these weights (a name or a file)")
    text = "train from scratch: small for a CPU, base as in the paper (default: small)"
    start.add_argument("--size", choices=["small", "base"], default="small", help=text)
    text = "the maximum number of passes over the recordings in each phase of the "
    text += "training (default: as in MC2SleepClassifier, or as for the --weights)"
    add("--train-epochs", type=int, metavar="N", help=text)
    text = "the same number gives the same weights on the same machine with the same "
    text += "number of threads, see OMP_NUM_THREADS (default: %(default)s)"
    add("--random-state", type=int, default=0, metavar="N", help=text)
    add("--history", metavar="FILE.csv", help="write losses and scores of each pass")
    add("--device", help=_DEVICE)


def _add_evaluate(subparsers: Any) -> None:
    parser = _add_command(
        subparsers,
        "evaluate",
        "compare a stager with scored recordings",
        "recordings/ --out scores.csv",
        "*-PSG.edf --hypnograms *-Hypnogram.edf --weights lab.safetensors",
        'nights.csv --picks "C4-M1,C3-M2"',
        more=_EVALUATE,
    )
    _add_scored(parser)
    _add_stager(parser)
    add = parser.add_argument
    add("--out", metavar="FILE", help="also write the table to this *.csv")
    add("--overwrite", action="store_true", help="replace the table")


def _add_weights(subparsers: Any) -> None:
    text = "list or describe weights"
    parser = subparsers.add_parser("weights", help=text, description=text)
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_command(actions, "list", "list the known weights", "", run="info:run_list")
    text = "print the path, the settings and each step of the training"
    url = "https://example.org/lab.safetensors --sha256 4f5c..."
    examples = "small", "lab.safetensors", url
    card = _add_command(actions, "card", text, *examples, run="info:run_card")
    card.add_argument("weights", metavar="WEIGHTS", help="a name, a file or a URL")
    card.add_argument("--sha256", help="the checksum of a file to download")


def _add_scored(parser: ArgumentParser) -> None:
    """Add the arguments for recordings and their hypnograms."""
    add = parser.add_argument
    text = f"{_RECORDINGS}, or a .csv with columns recording, hypnogram, subject"
    add("recordings", nargs="+", metavar="RECORDING", help=text)
    text = "hypnograms or folders of them, paired by name or, if no names match, by "
    text += "order (default: files beside the recordings, or the recordings' own "
    text += "'Sleep stage ...' annotations)"
    add("--hypnograms", nargs="+", default=[], metavar="FILE", help=text)


def _add_stager(parser: ArgumentParser) -> None:
    """Add the options for the weights, the channels, the device and the processes."""
    text = f"a name from '{PROGRAM} weights list', or a *.safetensors file that "
    text += f"'{PROGRAM} train' wrote (default: %(default)s)"
    parser.add_argument("--weights", default="small", help=text)
    channels = parser.add_mutually_exclusive_group()
    names: dict[str, Any] = {"type": _names, "metavar": "A,B,..."}
    text = f"{_PICKS}the channel of the weights)"
    channels.add_argument("--picks", help=text, **names)
    text = "stage each of these channels and average their log-probabilities"
    channels.add_argument("--average-channels", help=text, **names)
    parser.add_argument("--device", help=_DEVICE)
    text = "recordings staged at once; -1 for one per core (default: 1)"
    parser.add_argument("--n-jobs", type=integer, default=1, metavar="N", help=text)


def integer(text: str) -> int:
    """Convert a number of jobs; argparse uses the name of this function in errors."""
    if (number := int(text)) == 0:
        raise ArgumentTypeError("must be 1 or more, or -1 for one per core, got 0")
    return number


def _names(text: str, known: Sequence[str] = ()) -> list[str]:
    """Split an argument at its commas; raise if a name is empty or not known."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise ArgumentTypeError(f"{text!r} has an empty name between its commas")
    if known and (unknown := sorted(set(found) - set(known))):
        choices = ", ".join(known)
        raise ArgumentTypeError(f"invalid choice: {unknown} (choose from {choices})")
    return found
