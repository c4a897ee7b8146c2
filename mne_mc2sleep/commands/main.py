# PYTHON_ARGCOMPLETE_OK
"""The command ``mne-mc2sleep``: its sub-commands and its exit status."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING

from .. import __version__
from . import evaluate, stage, sys_info, train, weights
from ._common import PROGRAM, USER_ERRORS, log_level, show_warnings, tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_WRONG_USAGE = 2
# The exit status that shells give to a program that SIGINT ended: 128 + 2.
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns 0 if everything was done, 1 if recordings failed, 2 for wrong usage, and 130
    after Ctrl-C.
    """
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
        # MNE takes seconds to import; --help does not wait for it.
        from mne.utils import logger, use_log_level

        with use_log_level(log_level(args.verbosity)), show_warnings(args.verbosity):
            try:
                return args.run(args)
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
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (stage, train, evaluate, weights, sys_info):
        command.add_parser(subparsers)
    try:
        import argcomplete
    except ImportError:
        pass
    else:
        argcomplete.autocomplete(parser)
    return parser
