"""Find weights by their name, path or URL."""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from .._utils import data_folder, download


class KnownWeights(NamedTuple):
    """Named weights; without a ``url``, they are in the package."""

    fname: str
    sha256: str
    n_bytes: int
    description: str
    url: str | None = None


KNOWN_WEIGHTS = {
    "small": KnownWeights(
        "small.safetensors",
        "269340e528b7d9004fa7b9ee5113c260ecc68d3cfb9cdd75eca7716254d0b482",
        2393412,
        "590 k parameters, trained on resynthesised nights and real EEG of Sleep-EDF",
    ),
}


def find_weights(weights: str | os.PathLike, sha256: str | None = None) -> Path:
    """Return the file of a name, path or URL; a URL needs the ``sha256`` of the file.

    What is downloaded is kept in the folder ``mne_mc2sleep`` of ``MNE_DATA``.
    """
    known = KNOWN_WEIGHTS.get(weights) if isinstance(weights, str) else None
    if known is not None:
        weights = known.url or Path(__file__).with_name(known.fname)
        sha256 = known.sha256 if known.url else sha256
    sha256 = sha256 and sha256.lower().removeprefix("sha256:")
    if isinstance(weights, str) and urlsplit(weights).scheme in ("http", "https"):
        if sha256 is None:
            raise ValueError(
                f"The weights at {weights} need 'sha256', the checksum of the file, to "
                "verify the download."
            )
        # Two files may have the same name.
        name = f"{sha256[:8]}-{Path(urlsplit(weights).path).name}"
        folder = data_folder(None, "mne_mc2sleep")
        return download(weights, folder / name, f"sha256:{sha256}")
    fname = Path(weights).expanduser()
    if fname.name == str(weights) and not fname.suffix and not fname.is_file():
        raise ValueError(
            f"There are no weights named {weights!r}. Pass one of the names "
            f"{', '.join(map(repr, KNOWN_WEIGHTS))}, the path of a file that "
            "MC2SleepClassifier.save wrote, or a URL and its 'sha256'."
        )
    if sha256 and hashlib.sha256(fname.read_bytes()).hexdigest() != sha256:
        raise ValueError(
            f"{fname} does not have the sha256 {sha256}. Pass the right file, or leave "
            "'sha256' out."
        )
    return fname
