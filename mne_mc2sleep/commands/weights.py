"""``mne-mc2sleep weights``: what weights there are, and what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._common import add_common_options

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from pathlib import Path
    from typing import Any

_WHAT = "a name, the path of a file, or an address (https://...) with --sha256"


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command.

    Parameters
    ----------
    subparsers : object
        What ``ArgumentParser.add_subparsers`` returned.
    """
    parser = subparsers.add_parser(
        "weights", help="list, fetch or describe weights", description=__doc__
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    actions.required = True
    listing = actions.add_parser("list", help="name the weights that have a name")
    listing.set_defaults(run=run_list)
    fetch = actions.add_parser("fetch", help="fetch weights and print where they are")
    fetch.set_defaults(run=run_fetch)
    card = actions.add_parser(
        "card", help="print the settings of weights and each step of their training"
    )
    card.set_defaults(run=run_card)
    for action in (fetch, card):
        action.add_argument("weights", metavar="WEIGHTS", help=_WHAT)
        action.add_argument("--sha256", help="the checksum of the file")
    for action in (listing, fetch, card):
        add_common_options(action, log_level="warning")


def run_list(args: Namespace) -> int:
    """Print one line for each weights that have a name.

    Parameters
    ----------
    args : Namespace
        The parsed arguments.

    Returns
    -------
    status : int
        The exit code, 0.
    """
    from ..weights.registry import KNOWN_WEIGHTS

    for name, known in KNOWN_WEIGHTS.items():
        place = "in the package" if known.url is None else known.url
        size = f"{known.n_bytes / 1e6:.1f} MB"
        print(f"{name}\t{size}\t{place}\t{known.description}")
    return 0


def run_fetch(args: Namespace) -> int:
    """Fetch weights, check them, and print their path.

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
    ValueError, OSError
        If there are no such weights, or they cannot be fetched or are damaged.
    """
    fname, _ = _open(args)
    print(fname)
    return 0


def run_card(args: Namespace) -> int:
    """Print what weights are and how they were trained.

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
    ValueError, OSError
        As for `run_fetch`.
    """
    from ..weights.metadata import format_card

    fname, metadata = _open(args)
    print(format_card(metadata, fname))
    return 0


def _open(args: Namespace) -> tuple[Path, dict[str, Any]]:
    """Return where the weights are, and their metadata; raise if they are damaged."""
    from ..weights.file_format import load_weights
    from ..weights.registry import find_weights

    fname = find_weights(args.weights, args.sha256)
    return fname, load_weights(fname)[1]
