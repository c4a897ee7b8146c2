"""The files of a staged night: what made them, and how they appear together."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import __version__
from .._constants import EPOCH_DURATION, SCORER

if TYPE_CHECKING:
    from typing import Any

    from yasa import Hypnogram

    from ..io.recordings import Recording

OUTPUTS = ("csv", "tsv", "edf", "png")
"""The kinds of files of a night. A sidecar ``.json`` always comes with them."""

_PACKAGE = "mne_mc2sleep"
_URL = "https://arxiv.org/abs/2502.17470"
_LEVELS = {
    "Sleep stage W": ("Wakefulness", "(Experiment-participant, Awake)"),
    "Sleep stage N1": ("Non-REM sleep, stage N1 (AASM)", "Sleep-stage-N1"),
    "Sleep stage N2": ("Non-REM sleep, stage N2 (AASM)", "Sleep-stage-N2"),
    "Sleep stage N3": ("Non-REM sleep, stage N3 (AASM)", "Sleep-stage-N3"),
    "Sleep stage R": ("REM sleep (AASM)", "Sleep-stage-REM"),
    "Sleep stage ?": (
        "Not scored: the epoch holds no usable EEG",
        "Property-not-possible-to-determine",
    ),
}


class MadeBy(NamedTuple):
    """The software and the weights that made a hypnogram."""

    weights: str
    sha256: str
    version: str = __version__

    @classmethod
    def find(cls, weights: str) -> MadeBy:
        """Identify weights by the name and the checksum of their file."""
        from ..weights.registry import KNOWN_WEIGHTS, find_weights

        fname = find_weights(weights)
        name = weights if weights in KNOWN_WEIGHTS else fname.name
        with fname.open("rb") as file:
            return cls(name, hashlib.file_digest(file, "sha256").hexdigest())

    def scorer(self, channel: str) -> str:
        """Return the scorer of a hypnogram: method, software, weights and channel."""
        return (
            f"{SCORER}; {_PACKAGE} {self.version}; weights {self.weights}; "
            f"sha256 {self.sha256[:12]}; channel {channel}"
        )

    def as_json(self) -> list[dict[str, Any]]:
        """Return the value of ``GeneratedBy`` in BIDS."""
        weights = {"Name": self.weights, "SHA256": self.sha256}
        return [
            {
                "Name": _PACKAGE,
                "Version": self.version,
                "Description": f"Sleep staging by {SCORER} ({_URL})",
                "Weights": weights,
            }
        ]


class NightFiles:
    """The files of one recording, of the kinds that are asked for."""

    def __init__(self, recording: str, out_dir: Path, outputs: list[str]):
        self.recording = recording
        self.base = f"{stem(recording)}_hypnogram"
        self.out_dir = out_dir
        self.outputs = outputs
        self.sidecar = out_dir / f"{self.base}.json"
        # The sidecar comes first: it marks the others as ours.
        self.fnames = [self.sidecar]
        self.fnames += [out_dir / f"{self.base}.{kind}" for kind in outputs]

    def made_before(self) -> dict[str, Any] | None:
        """Return the content of the sidecar if it is ours, else None."""
        try:
            content = json.loads(self.sidecar.read_text("utf-8"))
            is_ours = content["GeneratedBy"][0]["Name"] == _PACKAGE
        except (OSError, ValueError, LookupError, TypeError):
            return None
        return content if is_ours and "Summary" in content else None

    def is_complete(self) -> bool:
        """Return whether all files are there."""
        return all(fname.exists() for fname in self.fnames)

    def check(self) -> None:
        """Raise if a file would replace one that this program did not write."""
        existing = [str(fname) for fname in self.fnames if fname.exists()]
        if existing and self.made_before() is None:
            raise FileExistsError(
                f"Found {', '.join(existing)}, which {_PACKAGE} did not write. Pass "
                "--overwrite to replace, or another --out-dir."
            )

    def write(
        self, folder: Path, hypno: Hypnogram, recording: Recording, made_by: MadeBy
    ) -> None:
        """Write all files but the sidecar into a temporary folder."""
        from ..io.hypnograms import write_hypnogram

        folder.mkdir()
        for kind in self.outputs:
            fname = folder / f"{self.base}.{kind}"
            if kind == "png":
                _draw(fname, hypno, recording, self.recording)
            else:
                write_hypnogram(fname, hypno)
            if kind == "edf":
                _name_equipment(fname, made_by)

    def write_sidecar(
        self, folder: Path, hypno: Hypnogram, made_by: MadeBy, summary: dict[str, Any]
    ) -> None:
        """Write the sidecar, with the summary of the night, into the same folder."""
        sidecar = describe(self.recording, hypno, made_by, summary)
        content = json.dumps(sidecar, indent=2, ensure_ascii=False)
        (folder / self.sidecar.name).write_text(content + "\n", "utf-8")

    def publish(self, folder: Path) -> None:
        """Move all files to their place, even if Ctrl-C comes meanwhile."""
        try:
            self._rename(folder)
        except KeyboardInterrupt:
            self._rename(folder)
            raise

    def _rename(self, folder: Path) -> None:
        for fname in self.fnames:
            if (folder / fname.name).exists():
                (folder / fname.name).replace(fname)


def stem(recording: str) -> str:
    """Return the name of a recording without its folder and format."""
    path = Path(recording)
    # FIF files may be compressed: night_raw.fif.gz.
    return path.with_suffix("").stem if path.suffix == ".gz" else path.stem


def relabel(hypno: Hypnogram, scorer: str) -> Hypnogram:
    """Return a hypnogram with another scorer and the clock of the recorder.

    MNE takes the local time of a recorder for UTC. Files without a time zone show the
    clock as the recorder did, and are read as MNE reads the recording.
    """
    from yasa import Hypnogram

    start = hypno.start
    return Hypnogram(
        hypno.hypno.to_numpy(),
        freq=hypno.freq,
        start=None if start is None else start.tz_localize(None),
        scorer=scorer,
        proba=None if hypno.proba is None else hypno.proba.reset_index(drop=True),
    )


def describe(
    recording: str, hypno: Hypnogram, made_by: MadeBy, summary: dict[str, Any]
) -> dict[str, Any]:
    """Return the sidecar of the TSV file, after BIDS derivatives.

    The tags are those of the HED library SCORE 2.1.0.
    """
    start = None if hypno.start is None else hypno.start.isoformat()
    return {
        "GeneratedBy": made_by.as_json(),
        "Sources": [recording],
        "Scorer": hypno.scorer,
        "Channel": summary["channel"],
        "SamplingFrequency": 1 / EPOCH_DURATION,
        "StartTime": start,
        "HEDVersion": "score_2.1.0",
        "onset": {
            "Description": "Begin of a run of one stage, from the recording's start",
            "Units": "s",
        },
        "duration": {
            "Description": f"Duration of the run, in epochs of {EPOCH_DURATION:g} s",
            "Units": "s",
        },
        "trial_type": {
            "LongName": "Sleep stage",
            "Description": "Sleep stage, staged automatically from one EEG channel",
            "Levels": {name: meaning for name, (meaning, _) in _LEVELS.items()},
            "HED": {name: tag for name, (_, tag) in _LEVELS.items()},
        },
        "Summary": summary,
    }


def _name_equipment(fname: Path, made_by: MadeBy) -> None:
    """Name scorer and software in the recording field of an EDF+ file."""
    content = bytearray(fname.read_bytes())
    date = content[88:168].decode("ascii").split()[1]
    software = f"{_PACKAGE}_{made_by.version}_{made_by.sha256[:8]}"
    field = f"Startdate {date} X {SCORER} {software}"[:80].ljust(80)
    content[88:168] = field.encode("ascii")
    fname.write_bytes(content)


def _draw(fname: Path, hypno: Hypnogram, recording: Recording, name: str) -> None:
    from matplotlib.figure import Figure

    from ..viz.night import draw_night, night_ratios

    # Outside pyplot, a figure needs no display and no closing.
    fig = Figure(figsize=(12, 9), layout="constrained")
    axes = fig.subplots(4, 1, gridspec_kw={"height_ratios": night_ratios(False)})
    draw_night(recording, hypno, axes, title=f"{Path(name).name}\n{hypno.scorer}")
    fig.savefig(fname, dpi=100)
