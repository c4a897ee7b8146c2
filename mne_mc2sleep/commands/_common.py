"""Options, messages and the search for nights that the sub-commands share."""

from __future__ import annotations

import re
import sys
import warnings
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Callable, Iterator

    from ..classifier import MC2SleepClassifier
    from ..datasets import NightRecord

PROGRAM = "mne-mc2sleep"

USER_ERRORS = (ValueError, OSError, RuntimeError)
"""Raised for input or options that cannot be used. Any other error is a bug."""

# Messages of the package name Python's parameters; the command line has options.
_OPTIONS = (
    (r"'(picks|hypnograms|groups|sha256|device|weights|size)'", r"--\1"),
    (r"\b(?:as|in) (--\w+)", r"with \1"),
    (r"'hypnos'", "--hypnograms"),
    (r"'average_channels'", "--average-channels"),
    (r"'(pretrain|finetune)_train_epochs'", "--train-epochs"),
    (r"'random_state'", "--random-state"),
    (r"\boverwrite=True\b", "--overwrite"),
    (r"mne\.io\.read_raw", "MNE"),
    (r", or a Raw\b", ""),
)


def attempt(action: Callable, *args: Any) -> tuple[Any, str, list[str]]:
    """Call a function; return its result, the error (or ``""``), and its warnings."""
    from mne.utils import logger

    from .._utils import collect_warnings

    result, error = None, ""
    with collect_warnings() as messages:
        try:
            result = action(*args)
        except USER_ERRORS as problem:
            logger.debug("The error arose here:", exc_info=problem)
            error = speak(problem)
    shown = (RuntimeWarning, UserWarning)
    texts = [speak(text) for text, category in messages if issubclass(category, shown)]
    return result, error, list(dict.fromkeys(texts))


def add_command(
    subparsers: _SubParsersAction, name: str, run: Callable, examples: str, **kwargs
) -> ArgumentParser:
    """Add a sub-command with examples below its help, ``-q`` and ``-v``."""
    parser = subparsers.add_parser(
        name,
        epilog=f"examples:\n{examples}",
        formatter_class=RawDescriptionHelpFormatter,
        **kwargs,
    )
    parser.set_defaults(run=run, verbosity=0)
    add = parser.add_mutually_exclusive_group().add_argument
    quiet = {"action": "store_const", "const": -1, "help": "report errors only"}
    add("-q", "--quiet", dest="verbosity", **quiet)
    text = "report more; -vv also reports where in the code an error arose"
    add("-v", "--verbose", dest="verbosity", action="count", help=text)
    return parser


def add_device(parser: ArgumentParser) -> None:
    """Add the option for the device to compute on."""
    text = "the torch device: cpu, cuda, cuda:1 or mps (default: a GPU if there is one)"
    parser.add_argument("--device", help=text)


def add_recordings(parser: ArgumentParser, scored: bool) -> None:
    """Add the argument for the recordings, and for their hypnograms if ``scored``."""
    text = "a recording that MNE can read, or a folder of recordings"
    if scored:
        text += ", or a table (.csv) with columns recording, hypnogram, subject"
    parser.add_argument("recordings", nargs="+", metavar="RECORDING", help=text)
    if scored:
        text = (
            "hypnograms or folders of them, paired with the recordings by name or, if "
            "no names match, by order (default: files beside the recordings, or the "
            "recordings' own 'Sleep stage ...' annotations)"
        )
        parser.add_argument("--hypnograms", nargs="+", metavar="FILE", help=text)


def names(text: str) -> list[str]:
    """Split an argument at its commas; raise if a name is empty."""
    found = [name.strip() for name in text.split(",")]
    if not all(found):
        raise ArgumentTypeError(f"{text!r} has an empty name between its commas")
    return found


def add_picks(parser: Any, default: str) -> None:
    """Add the option for the channel to a parser, or to a group of one."""
    text = "the EEG channel; of several, the first that a recording has (default: "
    text += f"{default})"
    parser.add_argument("--picks", type=names, metavar="A,B,...", help=text)


def add_stager(parser: ArgumentParser) -> None:
    """Add the options for the weights, the channels, the device and the processes."""
    text = f"a name from '{PROGRAM} weights list', or a *.safetensors file that "
    text += f"'{PROGRAM} train' wrote (default: %(default)s)"
    parser.add_argument("--weights", default="small", metavar="WEIGHTS", help=text)
    group = parser.add_mutually_exclusive_group()
    add_picks(group, "the channel of the weights")
    text = "stage each of these channels and average their log-probabilities"
    group.add_argument("--average-channels", type=names, metavar="A,B,...", help=text)
    add_device(parser)
    text = "recordings staged at once; -1 for one per core (default: 1)"
    parser.add_argument("--n-jobs", type=integer, default=1, metavar="N", help=text)


def integer(text: str) -> int:
    """Convert a number of jobs; argparse uses the name of this function in errors."""
    if (number := int(text)) == 0:
        raise ArgumentTypeError("must be 1 or more, or -1 for one per core, got 0")
    return number


def find_scored(args: Namespace) -> list[NightRecord]:
    """Find recordings, hypnograms and subjects; report what has no partner."""
    from ..datasets import NightRecord, folder

    nights, recordings, hypnograms = [], [], None
    for name in args.recordings:
        if name.lower().endswith(".csv"):
            nights += folder.find_nights(name).records
        else:
            recordings += folder.list_recordings(name)
    if args.hypnograms:
        found = map(folder.list_hypnograms, args.hypnograms)
        hypnograms = [fname for fnames in found for fname in fnames]
    partners = folder.pair_by_name(recordings, hypnograms)
    if hypnograms and len(hypnograms) == len(recordings):
        # In the order given, unless a name says otherwise.
        pairs = list(zip(partners, hypnograms, strict=True))
        if all(partner in (None, hypnogram) for partner, hypnogram in pairs):
            partners = list(hypnograms)
    if hypnograms and recordings and not any(partners):
        raise ValueError(
            f"None of the {len(hypnograms)} --hypnograms has the name of one of the "
            f"{len(recordings)} recordings. Pass one for each, in the same order."
        )
    for fname in set(hypnograms or []) - set(partners):
        tell("warning", "no recording has this name; it is not used.", str(fname))
    for recording, hypnogram in zip(recordings, partners, strict=True):
        if hypnogram is None and (hypnograms or any(partners)):
            message = "it has no hypnogram; its own annotations are used."
            tell("warning", message, str(recording))
        subject = folder.find_subject(recording)
        nights.append(NightRecord(subject, recording, hypnogram))
    return nights


def load_stager(args: Namespace) -> MC2SleepClassifier:
    """Load ``--weights``, to stage the channel of ``--picks``."""
    from .. import MC2SleepClassifier

    clf = MC2SleepClassifier.from_pretrained(args.weights, device=args.device)
    return clf.set_params(picks=args.picks) if args.picks else clf


def log_level(verbosity: int) -> str:
    """Return the level of MNE's logger for ``-q``, nothing, ``-v`` and ``-vv``."""
    return ("ERROR", "WARNING", "INFO", "DEBUG")[min(verbosity, 2) + 1]


def speak(message: object) -> str:
    """Return a message in one line, with the options for Python's parameters."""
    text = " ".join(str(message).split())
    for parameter, option in _OPTIONS:
        text = re.sub(parameter, option, text)
    return text


def tell(kind: str, message: object, name: str | None = None) -> None:
    """Write a message to stderr in one line, after its kind and its file."""
    parts = [PROGRAM, kind, name, speak(message)]
    print(": ".join(filter(None, parts)), file=sys.stderr, flush=True)


@contextmanager
def show_warnings(verbosity: int) -> Iterator[None]:
    """Show each different warning once, in one line and without its source line."""
    seen = set()

    def show(message, *_args, **_kwargs):
        if str(message) not in seen and verbosity >= 0:
            seen.add(str(message))
            tell("warning", message)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
