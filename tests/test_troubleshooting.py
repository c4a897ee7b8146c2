"""The page on troubleshooting explains all that the package complains of."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import mne_mc2sleep

SOURCE = Path(mne_mc2sleep.__file__).parent
PAGE = Path(__file__).parents[1] / "docs" / "troubleshooting.md"

# What a table writes in its first column besides the message's words.
MARKS = {"warning": "*Warning:* ", "log": " (in the log)"}

# How messages without a row begin, by the reason.
UNLISTED = {
    "It says which recording; the page begins with it": ["Recording ... of ...: ..."],
    "A reason within 'do not fit their configuration'": [
        "the metadata are no table",
        "... is ...",
        "... numbers in ... tensors are too few",
        "sequence_length is over ...",
        "pool_size or stem_stride is more than an epoch",
        "posteriors are not finite",
    ],
    "A reason within '... is gone or damaged' or '... is damaged'": [
        "an epoch does not match its checksum",
        "its content does not match its checksum",
    ],
    "Of a function that is not public, which is given what fits": [
        "'probabilities' must be of shape",
        "Probabilities must be finite",
    ],
}


class Message(NamedTuple):
    """What the package may say, with `...` for what varies."""

    place: str
    kind: str  # error, warning, log (a warning there) or info
    text: str


def begins_with(message, beginning):
    """Tell whether a message has these words, and all of the last one."""
    return bool(re.match(re.escape(beginning) + r"(?!\w)", message.text))


def find_strings(tree):
    """Return what makes the text of each variable that holds one."""
    kinds = ast.Constant | ast.JoinedStr | ast.BinOp
    return {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, kinds)
    }


def read_text(node, strings):
    """Return the words of a message; a variable's are looked up once."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(read_text(part, strings) for part in parts)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return read_text(left, strings) + read_text(right, strings)
        case ast.FormattedValue(value=ast.Name() as name):
            return read_text(name, strings)
        case ast.Name(id=name) if name in strings:
            return read_text(strings[name], {})
    return "..."


def find_call(node):
    """Return the kind and the text of a message, or of nothing."""
    match node:
        case (
            ast.Raise(exc=ast.Call(args=[text, *_]))
            | ast.Call(func=ast.Name(id="tell"), args=[_, text, *_])
            # Some raise what it returns, others log it.
            | ast.FunctionDef(name="describe_damage", body=[*_, ast.Return(text)])
        ):
            return "error", text
        case ast.Call(
            func=ast.Name(id="warn") | ast.Attribute(attr="warn"), args=[text, *_]
        ):
            return "warning", text
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="logger"), attr=level), args=[text, *_]
        ):
            return "log" if level in ("warning", "error") else "info", text
    return "", None


def find_messages():
    """Yield all messages that have words of their own."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        strings = find_strings(tree)
        for node in ast.walk(tree):
            kind, text = find_call(node)
            text = read_text(text, strings)
            if kind in ("log", "info"):
                text = re.sub(r"%(\(\w+\))?[-.\d]*[a-z]", "...", text)
            if re.search("[A-Za-z]", text):
                place = f"{path.relative_to(SOURCE).as_posix()}:{node.lineno}"
                yield Message(place, kind, re.sub(r"(\.\.\.)+", "...", text))


def find_rows():
    """Yield the kind and the text of each alternative of each row."""
    for cell in re.findall(r"^\| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE):
        kind = next((kind for kind, mark in MARKS.items() if mark in cell), "error")
        text = cell.replace(MARKS.get(kind, ""), "")
        yield from ((kind, part) for part in text.split(" / "))


MESSAGES = list(find_messages())
WITHOUT_ROW = [text for texts in UNLISTED.values() for text in texts]
ROWS = [row for row in find_rows() if row[1] != "It says"]


@pytest.mark.parametrize(
    "message", [pytest.param(m, id=m.place) for m in MESSAGES if m.kind != "info"]
)
def test_a_message_is_explained(message):
    """By a row of its kind that begins as it does."""
    known = [text for kind, text in ROWS if kind == message.kind] + WITHOUT_ROW
    assert any(begins_with(message, text) for text in known), message.text


@pytest.mark.parametrize(("kind", "text"), ROWS)
def test_a_row_is_of_a_message_that_there_is(kind, text):
    """An error, a warning or a line of the log, as the row says."""
    kinds = ("log", "info") if kind == "log" else (kind,)
    assert any(begins_with(m, text) for m in MESSAGES if m.kind in kinds)


@pytest.mark.parametrize("text", WITHOUT_ROW)
def test_what_is_not_listed_is_still_there(text):
    """Else a new message of that beginning would go unnoticed."""
    assert any(begins_with(message, text) for message in MESSAGES)
