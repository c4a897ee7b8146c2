"""The command ``mne-mc2sleep``: its sub-commands and its exit code."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import TYPE_CHECKING

from .. import __version__
from . import evaluate, stage, train, weights
from ._common import PROGRAM, attempt, tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

# What a shell takes for "ended by Ctrl-C": 128 + SIGINT.
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str | None
        The arguments; None takes those of the process.

    Returns
    -------
    status : int
        The exit code: 0; 2 after a user's error, which is told in one sentence on
        stderr; 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        With 2 if the arguments cannot be parsed, with 0 after ``--help`` and
        ``--version``.
    """
    args = _make_parser().parse_args(argv)
    try:
        # MNE and torch take seconds to import, which --help need not wait for.
        from mne.utils import use_log_level

        with use_log_level(args.verbose):
            status = attempt(args.run, args)
    except KeyboardInterrupt:
        tell("error", "interrupted.")
        return _INTERRUPTED
    return 2 if status is None else status


class _Parser(ArgumentParser):
    """A parser that says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        tell("error", f"{message} (see {self.prog} --help)")
        self.exit(2)


def _make_parser() -> ArgumentParser:
    parser = _Parser(
        prog=PROGRAM,
        description="Sleep staging with MC2SleepNet: recordings in, hypnograms out; "
        "scored recordings in, a stager out. Exit code 2 says that something failed, "
        "and stderr what.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND")
    subparsers.required = True
    for command in (stage, train, evaluate, weights):
        command.add_parser(subparsers)
    return parser
