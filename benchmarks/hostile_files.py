"""Damage files, and make hostile recordings and hypnograms, for `fuzz.py`.

Each kind of file has a class that is made once, with the intact files, and whose
``make`` writes one hostile file. A file that must not be read, whatever it looks like,
comes with ``must_fail``.
"""

import pickle
from pathlib import Path
from typing import NamedTuple

from mne_mc2sleep import hypnogram_to_annotations, simulate_night, write_hypnogram

N_EPOCHS = 3  # of the recording that all weights stage, and of the EDF files
TEXTS = ("", " ", "0", "-1", "-30", "1e6", "1e9", "1e18", "1e308", "1e999", "nan")
TEXTS += ("inf", "-inf", "0x10", "9" * 400, "9" * 5000, "n/a", "Wäke", "\0", "💤")
TEXTS += ("Startdate 01-JAN-0001 X X X", "Startdate 31-DEC-9999 X X X", "31.12.84")
TEXTS += ("Sleep stage 9", "Sleep stage W", "Sleep stage N2", '"', "'", "\t", ",", "#")


class Case(NamedTuple):
    """A hostile file: its path, how it was made, whether it must be refused."""

    fname: Path
    made_by: str
    must_fail: bool = False


class Trap:
    """Leaves a file where the pickle that holds it is loaded."""

    def __reduce__(self):
        """Tell pickle what to call."""
        return exec, ("open('executed', 'w').close()",)


def truncate(content, rng):
    """Cut the end off."""
    return content[: rng.integers(len(content))]


def flip_bit(content, rng):
    """Flip one bit."""
    flipped = bytearray(content)
    flipped[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def overwrite_block(content, rng):
    """Put random bytes over some of the content."""
    first = rng.integers(len(content))
    block = rng.bytes(int(rng.integers(1, 64)))
    return content[:first] + block + content[first + len(block) :]


def delete_block(content, rng):
    """Leave some of the content out."""
    first = rng.integers(len(content))
    return content[:first] + content[first + int(rng.integers(1, 64)) :]


def replace_all(content, rng):
    """Write random bytes, or what another program makes."""
    others = (b"", b"\0" * 4096, pickle.dumps(Trap()), b"PK\3\4" + rng.bytes(500))
    index = int(rng.integers(2 * len(others)))
    return others[index] if index < len(others) else rng.bytes(index * 300)


DAMAGES = (truncate, flip_bit, overwrite_block, delete_block, replace_all)


class HostileEDF:
    """Recordings: damaged EDF files, and headers that lie."""

    FIELDS = {  # of the header: first byte, width
        "version": (0, 8),
        "patient": (8, 80),
        "recording": (88, 80),
        "date": (168, 8),
        "time": (176, 8),
        "header bytes": (184, 8),
        "reserved": (192, 44),
        "records": (236, 8),
        "record duration": (244, 8),
        "channels": (252, 4),
    }
    CHANNEL_FIELDS = {  # first byte for one channel, width
        "label": (0, 16),
        "transducer": (16, 80),
        "unit": (96, 8),
        "physical minimum": (104, 8),
        "physical maximum": (112, 8),
        "digital minimum": (120, 8),
        "digital maximum": (128, 8),
        "prefilter": (136, 80),
        "samples": (216, 8),
    }
    LIES = (*TEXTS, "1000000", "99999999", "0.00001", "EEG Fpz-Cz")
    NAMES = (
        "hostile.edf",
        "hostile.EDF",
        "hostile.bdf",
        "nächtlich µ 💤.edf",
        "a\nb.edf",
    )

    def __init__(self, folder):
        raw, hypno = simulate_night(30.0 * N_EPOCHS, random_state=0)
        self.intact = [folder / "intact.edf", folder / "annotated.edf"]
        raw.export(self.intact[0], verbose="ERROR")
        raw.set_annotations(hypnogram_to_annotations(hypno))
        raw.export(self.intact[1], verbose="ERROR")
        self.contents = [fname.read_bytes() for fname in self.intact]

    def make(self, folder, rng):
        """Write one hostile file."""
        content = self.contents[rng.integers(len(self.contents))]
        made_by, must_fail = [], False
        share = rng.random()
        if share < 0.3:
            damage = DAMAGES[rng.choice(len(DAMAGES), p=(0.4, 0.1, 0.2, 0.2, 0.1))]
            content = damage(content, rng)
            made_by.append(damage.__name__)
        elif share < 0.4:
            # The header alone: most of the bits of the file are of the signal.
            header = flip_bit(content[:1024], rng)
            content = header + content[1024:]
            made_by.append("flip_bit in the header")
        elif share < 0.42:
            content, text = _many_channels(content, rng)
            made_by.append(text)
        elif share < 0.45:
            content = content[: int(content[184:192])]
            made_by.append("no records")
            must_fail = True
        else:
            for _ in range(rng.integers(1, 3)):
                content, text = self._lie(content, rng)
                made_by.append(text)
        index = rng.choice(len(self.NAMES), p=(0.8, 0.05, 0.05, 0.05, 0.05))
        fname = folder / self.NAMES[index]
        fname.write_bytes(content)
        return Case(fname, ", ".join(made_by), must_fail)

    def _lie(self, content, rng):
        """Write a lie into one field of the header."""
        n_channels = content[252:256].strip()
        n_channels = (n_channels.isdigit() and int(n_channels)) or 3
        is_channel = rng.random() < 0.5
        fields = self.CHANNEL_FIELDS if is_channel else self.FIELDS
        name = str(rng.choice(list(fields)))
        first, width = fields[name]
        if is_channel:
            first = 256 + n_channels * first + int(rng.integers(n_channels)) * width
        text = str(rng.choice(self.LIES))
        encoding = "utf-8" if rng.random() < 0.5 else "latin1"
        lie = text.encode(encoding, "replace")[:width].ljust(width)
        return content[:first] + lie + content[first + width :], f"{name} {lie.strip()}"


class HostileHypnograms:
    """Hypnograms in all formats: wrong times, wrong stages, damaged, other content."""

    ONSETS = (0, -30, -1e9, 15, 1e5, 1e9, 1e300)
    DURATIONS = (30, 0, -30, 60, 45, 86400, 31_536_000, 1e9, 1e300)

    def __init__(self, folder):
        _, hypno = simulate_night(600.0, random_state=0)
        suffixes = (".csv", ".tsv", ".edf")
        self.intact = [folder / f"intact{suffix}" for suffix in suffixes]
        for fname in self.intact:
            write_hypnogram(fname, hypno)
        self.intact += [folder / "annotations.txt", folder / "year.tsv"]
        hypnogram_to_annotations(hypno).save(self.intact[3], verbose="ERROR")
        self.intact[4].write_text(self._table([(0, 31_536_000, "Sleep stage W")]))
        self.contents = [(path.suffix, path.read_bytes()) for path in self.intact[:4]]

    def make(self, folder, rng):
        """Write one hostile file."""
        suffix, content = self.contents[rng.integers(len(self.contents))]
        share = rng.random()
        if share < 0.3:
            damage = DAMAGES[rng.integers(len(DAMAGES))]
            content = damage(content, rng)
            made_by = damage.__name__
        elif share < 0.6 and suffix != ".edf":
            content, made_by = self._edit_cells(content, rng)
        elif suffix == ".edf":
            content, made_by = self._edit_annotations(content, rng)
        else:
            suffix = ".tsv"
            rows = [
                (
                    rng.choice(self.ONSETS),
                    rng.choice(self.DURATIONS),
                    rng.choice(["Sleep stage W", "N2", "Sleep stage ?", "Lights off"]),
                )
                for _ in range(rng.integers(1, 6))
            ]
            content, made_by = self._table(rows).encode(), f"rows {brief(rows)}"
        if rng.random() < 0.05:
            suffix = str(rng.choice([".csv", ".tsv", ".edf", ".txt", ".fif", ".mat"]))
        fname = folder / f"hostile{suffix}"
        fname.write_bytes(content)
        # Elsewhere, what is left may be a shorter hypnogram.
        must_fail = (suffix, made_by) == (".edf", "truncate")
        return Case(fname, f"{suffix} {made_by}", must_fail)

    @staticmethod
    def _table(rows):
        lines = ["onset\tduration\ttrial_type"]
        lines += ["\t".join(map(str, row)) for row in rows]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _edit_cells(content, rng):
        """Replace cells, or delete, repeat and swap lines."""
        separator = "\t" if b"\t" in content else ","
        lines = content.decode().splitlines()
        made_by = []
        for _ in range(rng.integers(1, 4)):
            index = int(rng.integers(len(lines)))
            kind = str(rng.choice(["cell", "cell", "cell", "delete", "repeat", "swap"]))
            if kind == "cell":
                cells = lines[index].split(separator)
                cells[rng.integers(len(cells))] = text = str(rng.choice(TEXTS))
                lines[index] = separator.join(cells)
                kind = f"cell {brief(text)}"
            elif kind == "delete" and len(lines) > 1:
                del lines[index]
            elif kind == "repeat":
                lines.insert(index, lines[index])
            else:
                lines[0], lines[index] = lines[index], lines[0]
            made_by.append(f"line {index}: {kind}")
        encoding = "utf-8" if rng.random() < 0.8 else "utf-16"
        return "\n".join(lines).encode(encoding), ", ".join([encoding, *made_by])

    @staticmethod
    def _edit_annotations(content, rng):
        """Replace a number among EDF+ annotations, or a field of the header."""
        text = str(rng.choice(TEXTS)).encode()
        if rng.random() < 0.5:
            parts = content[512:].split(b"\x14")
            index = int(rng.integers(len(parts)))
            onset = parts[index].rpartition(b"+")[0] + b"+" + text
            parts[index] = onset + b"\x15" + str(rng.choice(TEXTS)).encode()
            return content[:512] + b"\x14".join(parts), f"annotation {brief(text)}"
        names = list(HostileEDF.FIELDS)
        name = str(rng.choice(names))
        first, width = HostileEDF.FIELDS[name]
        lie = text[:width].ljust(width)
        return content[:first] + lie + content[first + width :], f"{name} {lie.strip()}"


def _many_channels(content, rng):
    """Repeat a channel as often as the header can count, for one record of one."""
    n_channels = int(rng.choice([999, 9999]))
    header = bytearray(content[:256])
    header[184:192] = str(256 * (n_channels + 1)).ljust(8).encode()
    header[252:256] = str(n_channels).ljust(4).encode()
    for first, width in HostileEDF.CHANNEL_FIELDS.values():
        place = 256 + int(content[252:256]) * first
        header += content[place : place + width] * n_channels
    return bytes(header) + content[-1000:], f"{n_channels} channels"


def brief(value):
    """Return what a value looks like, in short."""
    text = repr(value)
    return text if len(text) < 100 else f"{text[:100]}..."
