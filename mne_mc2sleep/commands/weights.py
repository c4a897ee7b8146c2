"""``mne-mc2sleep weights``: list, fetch or describe weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._common import PROGRAM, add_command

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction
    from pathlib import Path
    from typing import Any

_FETCH = f"""\
  {PROGRAM} weights fetch small
  {PROGRAM} weights fetch https://example.org/lab.safetensors --sha256 4f5c..."""
_CARD = f"  {PROGRAM} weights card small\n  {PROGRAM} weights card lab.safetensors"


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "weights", help="list, fetch or describe weights", description=__doc__
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    example, text = f"  {PROGRAM} weights list", "list the weights with a name"
    add_command(actions, "list", run_list, example, help=text)
    what = "a name, the path of a file, or an address (https://...) with --sha256"
    for name, run, examples, text in (
        ("fetch", run_fetch, _FETCH, "fetch weights and print their path"),
        ("card", run_card, _CARD, "print settings and each step of the training"),
    ):
        action = add_command(actions, name, run, examples, help=text)
        action.add_argument("weights", metavar="WEIGHTS", help=what)
        action.add_argument("--sha256", help="the checksum of the file")


def run_list(args: Namespace) -> int:
    """Print a table of the named weights."""
    from ..weights.registry import KNOWN_WEIGHTS

    print("name\tsize\twhere\tdescription")
    for name, known in KNOWN_WEIGHTS.items():
        place = "in the package" if known.url is None else known.url
        size = f"{known.n_bytes / 1e6:.1f} MB"
        print(f"{name}\t{size}\t{place}\t{known.description}")
    return 0


def run_fetch(args: Namespace) -> int:
    """Fetch weights, check them, and print their path."""
    fname, _ = _open(args)
    print(fname)
    return 0


def run_card(args: Namespace) -> int:
    """Print the settings of weights and the steps of their training."""
    from ..weights.metadata import format_card

    fname, metadata = _open(args)
    print(format_card(metadata, fname))
    return 0


def _open(args: Namespace) -> tuple[Path, dict[str, Any]]:
    """Return the path of weights and their metadata; raise if they are damaged."""
    from ..weights.file_format import load_weights
    from ..weights.registry import find_weights

    fname = find_weights(args.weights, args.sha256)
    return fname, load_weights(fname)[1]
