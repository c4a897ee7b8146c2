"""``mne-mc2sleep weights``: list or describe weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._common import PROGRAM, add_command

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

_CARD = f"""\
  {PROGRAM} weights card small
  {PROGRAM} weights card lab.safetensors
  {PROGRAM} weights card https://example.org/lab.safetensors --sha256 4f5c..."""


def add_parser(subparsers: _SubParsersAction) -> None:
    """Add the sub-command."""
    parser = subparsers.add_parser(
        "weights", help="list or describe weights", description=__doc__
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    example, text = f"  {PROGRAM} weights list", "list the weights with a name"
    add_command(actions, "list", run_list, example, help=text)
    text = "print the path, the settings and each step of the training"
    card = add_command(actions, "card", run_card, _CARD, help=text)
    text = "a name, the path of a file, or an address (https://...) to download"
    card.add_argument("weights", metavar="WEIGHTS", help=text)
    card.add_argument("--sha256", help="the checksum of a file to download")


def run_list(args: Namespace) -> int:
    """Print a table of the named weights."""
    from ..weights.registry import KNOWN_WEIGHTS

    print("name\tsize\twhere\tdescription")
    for name, known in KNOWN_WEIGHTS.items():
        place = "in the package" if known.url is None else known.url
        size = f"{known.n_bytes / 1e6:.1f} MB"
        print(f"{name}\t{size}\t{place}\t{known.description}")
    return 0


def run_card(args: Namespace) -> int:
    """Print the settings of weights and the steps of their training."""
    from ..weights.file_format import format_card, load_weights
    from ..weights.registry import find_weights

    fname = find_weights(args.weights, args.sha256)
    print(f"Path: {fname}")
    print(format_card(load_weights(fname)[1], fname))
    return 0
