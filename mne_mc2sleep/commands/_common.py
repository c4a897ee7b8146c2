"""Messages, the stager and the search for nights that the sub-commands share."""

from __future__ import annotations

import re
import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .._utils import collect_warnings

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from ..classifier import MC2SleepClassifier
    from ..datasets import NightRecord

PROGRAM = "mne-mc2sleep"

OUTPUTS = ("csv", "tsv", "edf", "png")
"""What ``stage`` can write. A sidecar ``.json`` is always written, too."""

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


def find_scored(args: Namespace) -> list[NightRecord]:
    """Find recordings, hypnograms and subjects; report what has no partner."""
    from ..datasets import folder

    nights, recordings = [], []
    for name in args.recordings:
        if name.lower().endswith(".csv"):
            nights += folder.find_nights(name).records
        else:
            recordings += folder.list_recordings(name)
    given = [f for name in args.hypnograms for f in folder.list_hypnograms(name)]
    found = folder.make_records(recordings, given or None)
    alone = [str(night.recording) for night in found if night.hypnogram is None]
    if given and len(alone) == len(found):
        raise ValueError(
            f"None of the {len(given)} --hypnograms has the name of one of the "
            f"{len(recordings)} recordings. Pass one for each, in the same order."
        )
    for fname in set(given) - {night.hypnogram for night in found}:
        tell("warning", "no recording has this name; it is not used.", str(fname))
    for name in alone if len(alone) < len(found) else ():
        tell("warning", "it has no hypnogram; its own annotations are used.", name)
    return nights + found


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
