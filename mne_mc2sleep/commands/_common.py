"""What the sub-commands share: options, and one sentence instead of a traceback."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from ..classifier import MC2SleepClassifier

    Result = TypeVar("Result")

PROGRAM = "mne-mc2sleep"

USER_ERRORS = (ValueError, OSError, RuntimeError)
"""What input or options may raise; of any other class, it is a bug of the program."""

# Words, and not the numbers that MNE also takes: these four are what it logs at.
_LOG_LEVELS = ("debug", "info", "warning", "error")


def add_common_options(parser: ArgumentParser, log_level: str) -> None:
    """Add the options that every sub-command has.

    Parameters
    ----------
    parser : ArgumentParser
        The sub-command's parser; it is changed in place.
    log_level : str
        The default of ``--verbose``.
    """
    parser.add_argument(
        "--device",
        help="where to compute, as torch names it: cpu, cuda, cuda:1, mps "
        "(default: a GPU if there is one)",
    )
    parser.add_argument(
        "--verbose",
        metavar="LEVEL",
        choices=_LOG_LEVELS,
        default=log_level,
        help=f"how much to tell: {', '.join(_LOG_LEVELS)} (default: %(default)s); "
        "debug also tells where in the code an error arose",
    )


def add_recordings(parser: ArgumentParser) -> None:
    """Add the argument for the files to work on."""
    parser.add_argument(
        "recordings", nargs="+", metavar="FILE", help="a recording that MNE can read"
    )


def add_hypnograms(parser: ArgumentParser) -> None:
    """Add the option for the stages of the recordings."""
    parser.add_argument(
        "--hypnograms",
        nargs="+",
        metavar="FILE",
        help="one hypnogram per recording: EDF+ annotations, BIDS events .tsv, .csv "
        "(default: the recordings' own 'Sleep stage ...' annotations)",
    )


def add_stager(parser: ArgumentParser) -> None:
    """Add the options for the weights and the channel to stage by."""
    parser.add_argument(
        "--weights",
        default="small",
        metavar="WEIGHTS",
        help="the stager: a name of 'mne-mc2sleep weights list', or a *.safetensors "
        "file of 'mne-mc2sleep train' (default: %(default)s, which ships)",
    )
    parser.add_argument(
        "--picks",
        nargs="+",
        metavar="NAME",
        help="the EEG channel to stage by; several are all staged and averaged "
        "(default: the one that the stager was trained on)",
    )


def load_stager(weights: str, device: str | None) -> MC2SleepClassifier:
    """Load weights onto a device.

    Parameters
    ----------
    weights : str
        A name, a path or an address, as in ``from_pretrained``.
    device : str | None
        Torch's name of the device; None takes a GPU if there is one.

    Returns
    -------
    clf : MC2SleepClassifier
        The stager.

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no such file or device, or the file cannot be used.
    """
    from ..classifier import MC2SleepClassifier

    return MC2SleepClassifier.from_pretrained(weights, device=device)


def check_output(fname: str, suffix: str, overwrite: bool) -> None:
    """Raise if a file cannot be written, before hours of work for it.

    Parameters
    ----------
    fname : str
        The file to write.
    suffix : str
        What its name must end in.
    overwrite : bool
        Whether it may exist.

    Raises
    ------
    ValueError
        If the suffix is another.
    FileExistsError
        If the file exists and ``overwrite`` is False.
    FileNotFoundError, PermissionError
        If its folder does not exist or cannot be written to.
    """
    path = Path(fname)
    if path.suffix != suffix:
        raise ValueError(f"The name of {fname!r} must end in {suffix!r}.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{fname} exists; pass --overwrite to replace it, or another --out."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(path.parent)!r} to write {path.name} to; make it "
            "first, or pass another --out."
        )
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            f"Nothing may be written to the folder {str(path.parent)!r}; pass another "
            "--out."
        )


def attempt(
    action: Callable[..., Result], *args: object, name: str | None = None
) -> Result | None:
    """Call a function, and tell the user of its warnings and errors.

    Parameters
    ----------
    action : callable
        The function.
    *args
        Its arguments.
    name : str | None
        What is being worked on, to begin the sentences with.

    Returns
    -------
    result : object | None
        What the function returned, None if the user's input or options made it fail.
    """
    try:
        with _one_line_warnings(name):
            return action(*args)
    except USER_ERRORS as error:
        from mne.utils import logger

        tell("error", error, name)
        logger.debug("The error arose here:", exc_info=error)
        return None


def tell(kind: str, message: object, name: str | None = None) -> None:
    """Write one line to stderr: what kind of message, about what, and the message."""
    text = " ".join(str(message).split())
    parts = [PROGRAM, kind, name, text]
    print(": ".join(filter(None, parts)), file=sys.stderr)


@contextmanager
def _one_line_warnings(name: str | None) -> Iterator[None]:
    """Show each different warning once, on one line without a place in the code."""
    seen = set()

    def show(message, *_args, **_kwargs):
        if str(message) not in seen:
            seen.add(str(message))
            tell("warning", message, name)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
