"""Find weights by their name, path or URL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import mne

from .._utils import data_folder, download


@dataclass(frozen=True)
class KnownWeights:
    """Named weights; without a ``url``, they are in the package."""

    fname: str
    sha256: str
    n_bytes: int
    description: str
    url: str | None = None


KNOWN_WEIGHTS = {
    "small": KnownWeights(
        "small.safetensors",
        "96e3f501282aaa667a78d85d028cfc2b3f2a705bc3667b84b045ecc91a62336a",
        2327844,
        "574 k parameters, trained on resynthesised nights and real EEG of Sleep-EDF",
    ),
}
"""All weights by name."""


def cache_folder() -> Path:
    """Return ``MNE_MC2SLEEP_WEIGHTS``, else ``mne_mc2sleep`` in ``MNE_DATA``."""
    folder = mne.get_config("MNE_MC2SLEEP_WEIGHTS")
    if folder is None:
        return data_folder(None, "mne_mc2sleep")
    return Path(folder).expanduser()


def find_weights(weights: str | os.PathLike, sha256: str | None = None) -> Path:
    """Return the file of a name, path or URL, and download it if needed.

    ``sha256`` is the checksum of the file; a URL needs it.
    """
    known = KNOWN_WEIGHTS.get(weights) if isinstance(weights, str) else None
    if known is not None:
        if known.url is None:
            return Path(__file__).with_name(known.fname)
        return _fetch(known.url, known.sha256)
    if isinstance(weights, str) and urlsplit(weights).scheme in ("http", "https"):
        if sha256 is None:
            raise ValueError(
                f"The weights at {weights} need 'sha256', the checksum of the file, to "
                "verify the download."
            )
        return _fetch(weights, sha256)
    fname = Path(weights)
    if fname.name == str(weights) and not fname.suffix and not fname.is_file():
        raise ValueError(
            f"There are no weights named {weights!r}. Pass one of the names "
            f"{', '.join(map(repr, KNOWN_WEIGHTS))}, the path of a file that "
            "MC2SleepClassifier.save wrote, or a URL and its 'sha256'."
        )
    return fname


def _fetch(url: str, sha256: str) -> Path:
    sha256 = sha256.lower().removeprefix("sha256:")
    # Two files may have the same name.
    fname = f"{sha256[:8]}-{Path(urlsplit(url).path).name}"
    return download(url, cache_folder() / fname, f"sha256:{sha256}")
