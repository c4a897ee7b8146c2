"""Tests of the page on troubleshooting."""

import ast
import re
from pathlib import Path

import pytest

import mne_mc2sleep

SOURCE = Path(mne_mc2sleep.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.md"


def read_text(node):
    """Return a string of the source, with ``...`` in place of each value."""
    match node:
        case ast.Constant(value=str(text)):
            return re.sub(r"%(\(\w+\))?[-.\d]*[a-z]", "...", text)
        case ast.JoinedStr(values=parts):
            return "".join(map(read_text, parts))
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return read_text(left) + read_text(right)
    return "..."


def find_documented():
    """Return the messages that the tables name; ``...`` stands for what varies."""
    tables = re.findall(r"^\| Message .*?\n\n", PAGE.read_text("utf-8"), re.M | re.S)
    return [row for table in tables for row in re.findall(r"^\| (.*?) \|", table, re.M)]


def has_words(text, parts):
    """Return whether a text holds all parts, one after the other."""
    for part in parts:
        _, found, text = text.partition(part) if part else ("", True, text)
        if not found:
            return False
    return True


@pytest.fixture(scope="module")
def texts():
    """Return all strings of the package."""
    trees = [ast.parse(p.read_text("utf-8")) for p in SOURCE.rglob("*.py")]
    return {read_text(node) for tree in trees for node in ast.walk(tree)}


def test_documented_messages_exist(texts):
    """Each is in a string of the package, with the same words in the same order."""
    messages = set(find_documented()) - {"Message"}
    assert messages
    gone = [m for m in messages if not any(has_words(t, m.split("...")) for t in texts)]
    assert sorted(gone) == []
