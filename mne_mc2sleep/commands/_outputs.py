"""Outputs of ``stage``: the files of a night, their origin, and the summary."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import __version__
from .._constants import EPOCH_DURATION, SCORER, STAGES
from .._utils import check_fname, replace_file, size_and_time
from ..io.hypnograms import write_hypnogram
from ..io.recordings import Recording
from ._common import OUTPUTS

if TYPE_CHECKING:
    from yasa import Hypnogram

_PACKAGE = "mne_mc2sleep"
# The columns of the BIDS events and the HED tags of the stages.
_COLUMNS = json.loads(Path(__file__).with_name("sidecar.json").read_text("utf-8"))


def made_by(weights: str, sha256: str, channels: str | list[str] | None) -> dict:
    """Return the entry ``GeneratedBy`` of a sidecar."""
    return {
        "Name": _PACKAGE,
        "Version": __version__,
        "Description": f"Sleep staging by {SCORER} (https://arxiv.org/abs/2502.17470)",
        "Weights": {"Name": weights, "SHA256": sha256},
        "Channels": channels,
    }


def scorer(origin: dict[str, Any], channel: str) -> str:
    """Return the scorer of a hypnogram: method, software, weights and channel."""
    name, sha256 = origin["Weights"].values()
    return (
        f"{SCORER}; {_PACKAGE} {__version__}; weights {name}; "
        f"sha256 {sha256[:12]}; channel {channel}"
    )


class NightFiles:
    """The output files of one recording, and their origin, see `made_by`."""

    def __init__(self, recording, out_dir: Path, outputs, part: str, origin: dict):
        self.recording, self.origin = recording, origin
        base = f"{stem(recording)}_hypnogram"
        # Files are written here, and moved to the output folder when all are complete.
        self.folder = Path(part) / base
        # The sidecar is moved first: it identifies the other files as ours.
        self.fnames = [out_dir / f"{base}.{kind}" for kind in ("json", *outputs)]
        # Read before the recording, which may still be growing.
        self.source = _identify(recording)
        # The sidecar and the hypnograms of an earlier run that are still there.
        self.earlier = _read_sidecar(self.fnames[0])
        listed = self.earlier.get("Outputs", [])
        every = [out_dir / f"{base}.{kind}" for kind in OUTPUTS]
        self.made = [f for f in every if f.name in listed and f.exists()]
        self.is_same = self.earlier.get("SourceFile") == self.source
        self.is_finished = self.is_same and {*self.fnames[1:]} <= {*self.made}

    def check(self) -> None:
        """Raise if files of others, or made in another way, would be replaced."""
        content = self.earlier
        ours = [*self.made, self.fnames[0]] if content else []
        found = [f for f in self.fnames if f.exists() and f not in ours]
        origin = f"which {_PACKAGE} did not write"
        if content and not found:
            # The same recording may have been moved, or have changed.
            if not self.is_same and content["Sources"] != [self.recording]:
                found = ours
                origin = f"made from another recording, {content['Sources'][0]}"
            elif self.is_same and content["GeneratedBy"] != [self.origin]:
                found = self.made
                origin = "made by other weights or channels, or another version"
        if found:
            raise FileExistsError(
                f"Found {', '.join(map(str, found))}, {origin}. Pass --overwrite to "
                "replace, or another --out-dir."
            )

    def write(self, hypno: Hypnogram, recording: Recording) -> None:
        """Write all files but the sidecar into a temporary folder."""
        self.folder.mkdir()
        for fname in [self.folder / fname.name for fname in self.fnames[1:]]:
            if fname.suffix == ".png":
                _draw(fname, hypno, recording, Path(self.recording).name)
            else:
                write_hypnogram(fname, hypno)
            if fname.suffix == ".edf":
                _name_equipment(fname, self.origin)

    def publish(self, summary: dict[str, Any]) -> None:
        """Write the sidecar, and replace all files in the output folder."""
        made = {"GeneratedBy": [self.origin], "SourceFile": self.source}
        others = [fname for fname in self.made if fname not in self.fnames]
        # Beside the new sidecar, they would pass for hypnograms of the same kind.
        outdated = [] if made.items() <= self.earlier.items() else others
        written = [f.name for f in (*self.fnames[1:], *others) if f not in outdated]
        content = {
            **made,
            "Sources": [self.recording],
            "Outputs": written,
            "Scorer": scorer(self.origin, summary["channel"]),
            "Channel": summary["channel"],
            "SamplingFrequency": 1 / EPOCH_DURATION,
            "StartTime": summary["start"] or None,
            **_COLUMNS,
            "Summary": summary,
        }
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (self.folder / self.fnames[0].name).write_text(text, "utf-8")
        # Interrupted in between, the night lacks a file and is staged again.
        for fname in (*outdated, *reversed(self.fnames)):
            fname.unlink(missing_ok=True)
        for fname in self.fnames:
            (self.folder / fname.name).replace(fname)


def _read_sidecar(fname: Path) -> dict[str, Any]:
    """Return the content of an existing sidecar, empty if it is not ours."""
    try:
        content = json.loads(fname.read_text("utf-8"))
        is_ours = content["GeneratedBy"][0]["Name"] == _PACKAGE
        is_whole = content["Sources"] and content["Summary"]
        return content if is_ours and is_whole else {}
    except (OSError, ValueError, LookupError, TypeError):
        return {}


def stem(recording: str) -> str:
    """Return the file name of a recording without its suffix."""
    path = Path(recording)
    # FIF files may be compressed: night_raw.fif.gz.
    return path.with_suffix("").stem if path.suffix == ".gz" else path.stem


def _identify(recording: str) -> dict[str, Any] | None:
    """Return what tells a file from others of its name, None if it cannot be read."""
    path = Path(recording)
    try:
        size, modified = size_and_time(path)
        # Some formats are folders, such as night.mff.
        begin = np.fromfile(path, "u1", 65_536).tobytes() if path.is_file() else b""
    except (OSError, ValueError):
        return None
    return {"Size": size, "Modified": modified, "CRC32OfBegin": zlib.crc32(begin)}


def relabel(hypno: Hypnogram, scorer: str) -> Hypnogram:
    """Return a hypnogram with another scorer and the clock of the recorder."""
    from yasa import Hypnogram

    # MNE takes the clock for UTC; without a time zone, files show it unchanged.
    start = None if hypno.start is None else hypno.start.tz_localize(None)
    proba = hypno.proba.reset_index(drop=True)
    return Hypnogram(hypno.hypno.to_numpy(), start=start, scorer=scorer, proba=proba)


def _name_equipment(fname: Path, origin: dict[str, Any]) -> None:
    """Write scorer and software into the recording field of an EDF+ file."""
    content = bytearray(fname.read_bytes())
    date = content[88:168].decode("ascii").split()[1]
    software = f"{_PACKAGE}_{__version__}_{origin['Weights']['SHA256'][:8]}"
    field = f"Startdate {date} X {SCORER} {software}"[:80].ljust(80)
    content[88:168] = field.encode("ascii")
    fname.write_bytes(content)


def _draw(fname: Path, hypno: Hypnogram, recording: Recording, name: str) -> None:
    from matplotlib.figure import Figure

    from ..viz import plot_night

    # Outside pyplot, a figure needs no display and no closing.
    fig = Figure(figsize=(12, 9), layout="constrained")
    axes = fig.subplots(4, 1, gridspec_kw={"height_ratios": (3, 3, 3, 2)})
    plot_night(recording, hypno, title=f"{name}\n{hypno.scorer}", axes=axes, show=False)
    fig.savefig(fname, dpi=100)


def summarize(hypno: Hypnogram, channel: str, novelty: Any, origin: dict) -> dict:
    """Return the row of a night in the summary; the hypnogram is that of `relabel`."""
    is_staged = (hypno.hypno != "UNS").to_numpy()
    confidence = hypno.proba[list(STAGES)].to_numpy().max(axis=1)[is_staged]
    statistics = hypno.sleep_statistics()
    return {
        "channel": channel,
        "weights": origin["Weights"]["Name"],
        "weights_sha256": origin["Weights"]["SHA256"],
        "version": origin["Version"],
        "start": "" if hypno.start is None else hypno.start.isoformat(),
        "n_epochs": hypno.n_epochs,
        "n_uns": int((~is_staged).sum()),
        "mean_confidence": round(float(confidence.mean()), 4),
        "novelty": novelty,
        # JSON has no NaN.
        **{k: None if x != x else round(float(x), 4) for k, x in statistics.items()},
    }


class Summary:
    """The results of a run by recording, and the file of ``--summary``."""

    def __init__(self, fname: str | None, recordings: list[str], overwrite: bool):
        self.rows: dict[str, dict[str, Any]] = {}
        self._recordings, self._fname = recordings, None
        if fname is None:
            return
        self._fname = check_fname(fname, (".csv", ".json"), overwrite=True)
        self._is_json = self._fname.suffix.lower() == ".json"
        if overwrite or not self._fname.exists():
            return
        try:
            read = pd.read_json if self._is_json else pd.read_csv
            is_ours = {*read(self._fname)["file"]} <= {*recordings}
        except (ValueError, KeyError):
            is_ours = False
        if not is_ours:
            raise FileExistsError(
                f"{fname} exists and holds more than the recordings of this run. Pass "
                "--overwrite to replace it, or another --summary."
            )

    def count(self) -> str:
        """Return how many recordings were staged, skipped and failed."""
        counts = Counter(row["status"] for row in self.rows.values())
        parts = [f"{counts['staged']} of {len(self._recordings)} staged"]
        others = ("finished before", "failed")
        parts += [f"{counts[status]} {status}" for status in others if counts[status]]
        return ", ".join(parts)

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Add rows of recordings, and write the file with all rows so far."""
        self.rows |= {row["file"]: row for row in rows}
        rows = [self.rows[name] for name in self._recordings if name in self.rows]
        if self._fname is None or not rows:
            return
        if self._is_json:
            content = json.dumps(rows, indent=2, ensure_ascii=False)
        else:
            content = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")
        replace_file(self._fname, content.encode())
