"""The table of a run of ``stage``: a row for each recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from ._common import check_output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from yasa import Hypnogram

    from ._outputs import MadeBy

FIRST_COLUMNS = ("file", "status", "error", "warnings")


def make_row(
    recording: str,
    hypno: Hypnogram,
    channel: str,
    novelty: float | None,
    made_by: MadeBy,
) -> dict[str, Any]:
    """Summarize a staged night."""
    from .._constants import STAGES

    is_staged = (hypno.hypno != "UNS").to_numpy()
    confidence = hypno.proba[list(STAGES)].to_numpy().max(axis=1)[is_staged]
    start = hypno.start
    return {
        "file": recording,
        "status": "staged",
        "error": "",
        "warnings": "",
        "channel": channel,
        "weights": made_by.weights,
        "weights_sha256": made_by.sha256,
        "version": made_by.version,
        "start": "" if start is None else start.tz_localize(None).isoformat(),
        "n_epochs": hypno.n_epochs,
        "n_uns": int((~is_staged).sum()),
        "mean_confidence": round(float(confidence.mean()), 4),
        "novelty": novelty,
        **{
            name: round(float(value), 4)
            for name, value in hypno.sleep_statistics().items()
        },
    }


class Summary:
    """The rows of a run, and the file of ``--summary`` if one is asked for."""

    def __init__(self, fname: str | None, recordings: Sequence[str], overwrite: bool):
        self.rows: dict[str, dict[str, Any]] = {}
        self._recordings = recordings
        self._fname = None
        if fname is not None:
            self._fname = check_output(fname, (".csv", ".json"), overwrite=True)
            if not overwrite and self._fname.exists():
                self._check_content(self._fname)

    @property
    def n_recordings(self) -> int:
        """The number of recordings of this run."""
        return len(self._recordings)

    def add(self, row: dict[str, Any]) -> None:
        """Add the row of a recording."""
        self.rows[row["file"]] = row

    def write(self) -> None:
        """Write the file with all rows so far."""
        from .._utils import replace_file

        if self._fname is None or not self.rows:
            return
        rows = [self.rows[name] for name in self._recordings if name in self.rows]
        if self._fname.suffix.lower() == ".json":
            content = json.dumps(rows, indent=2, ensure_ascii=False)
        else:
            import pandas as pd

            table = pd.DataFrame(rows)
            first = [name for name in FIRST_COLUMNS if name in table]
            table = table[[*first, *table.columns.drop(first)]]
            content = table.to_csv(index=False, lineterminator="\n")
        replace_file(self._fname, content.encode())

    def _check_content(self, path: Path) -> None:
        """Raise if rows of other recordings, or another file, would be lost."""
        import pandas as pd

        try:
            read = pd.read_json if path.suffix.lower() == ".json" else pd.read_csv
            known = set(read(path)["file"])
        except (ValueError, KeyError):
            known = {"anything else"}
        if not known <= set(self._recordings):
            raise FileExistsError(
                f"{path} exists and holds more than the recordings of this run. Pass "
                "--overwrite to replace it, or another --summary."
            )
