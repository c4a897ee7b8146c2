"""Find the words of ``style_words.txt`` in the text of the repository."""

import re
import subprocess
import sys
from pathlib import Path

WORDS = Path(__file__).with_name("style_words.txt")
SUFFIXES = {".cff", ".css", ".md", ".py", ".pyi", ".rst", ".toml", ".txt", ".yaml", ""}


def read_words():
    """Return each pattern with what to write instead."""
    lines = WORDS.read_text("utf-8").splitlines()
    rows = [line.split(" = ") for line in lines if not line.startswith("#")]
    # A line break, and the sign of a comment after it, may stand between two words.
    patterns = [word.replace(" ", r"[\s#]+") for word, _ in rows]
    return [
        (re.compile(rf"\b{pattern}\b", re.IGNORECASE), better)
        for pattern, (_, better) in zip(patterns, rows, strict=True)
    ]


def main():
    """Print each place of each word; return 1 if there is one."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    words, n_found = read_words(), 0
    for fname in map(Path, listed.splitlines()):
        if fname.suffix not in SUFFIXES or fname.name == WORDS.name:
            continue
        text = fname.read_text("utf-8") if fname.is_file() else ""
        for word, better in words:
            for match in word.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                print(f"{fname}:{line}: {' '.join(match[0].split())!r}: {better}")
                n_found += 1
    return 1 if n_found else 0


if __name__ == "__main__":
    sys.exit(main())
