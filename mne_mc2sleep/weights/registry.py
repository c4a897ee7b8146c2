"""Where weights are: in the package, on a server, or in a file of one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import mne

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class KnownWeights:
    """Weights that have a name.

    Parameters
    ----------
    fname : str
        The file.
    sha256 : str
        Of the whole file.
    n_bytes : int
        Its size.
    description : str
        One line on what they are.
    url : str | None
        Where to fetch them; None if they are in the package.
    """

    fname: str
    sha256: str
    n_bytes: int
    description: str
    url: str | None = None


KNOWN_WEIGHTS = {
    "small": KnownWeights(
        "small.safetensors",
        "446f62f903ae71128c06d9de7194d34d9600345a3a3182cb08e6ce294a271280",
        2326036,
        "574 k parameters, trained on resynthesised nights of Sleep-EDF",
    ),
}
"""All weights by name."""


def cache_folder() -> Path:
    """Return the folder of fetched weights.

    Returns
    -------
    folder : Path
        ``MNE_MC2SLEEP_WEIGHTS`` of the environment or of MNE's configuration, else
        ``mne_mc2sleep`` in ``MNE_DATA``, which is ``~/mne_data`` by default. It need
        not exist.
    """
    folder = mne.get_config("MNE_MC2SLEEP_WEIGHTS")
    if folder is not None:
        return Path(folder).expanduser()
    data = mne.get_config("MNE_DATA", Path.home() / "mne_data")
    return Path(data).expanduser() / "mne_mc2sleep"


def find_weights(weights: str | os.PathLike, sha256: str | None = None) -> Path:
    """Find a file of weights, and fetch it if need be.

    Parameters
    ----------
    weights : str | path-like
        A name of ``KNOWN_WEIGHTS``, a path, or an address (``https://...``).
    sha256 : str | None
        Of the file behind an address, which needs it.

    Returns
    -------
    fname : Path
        The file on this machine. What was fetched once is not fetched again.

    Raises
    ------
    ValueError
        If the name is unknown, an address comes without ``sha256``, or what was fetched
        does not match it.
    FileNotFoundError
        If there is no such file.
    ConnectionError
        If the server cannot be reached.
    """
    known = KNOWN_WEIGHTS.get(weights) if isinstance(weights, str) else None
    if known is not None and known.url is None:
        return _FOLDER / known.fname
    if known is not None:
        return _fetch(known.url, known.sha256)
    if isinstance(weights, str) and urlsplit(weights).scheme in ("http", "https"):
        if sha256 is None:
            raise ValueError(
                f"The weights at {weights} need 'sha256', the checksum of the file: "
                "without it, nobody knows what a server sends."
            )
        return _fetch(weights, sha256)
    fname = Path(weights)
    if fname.is_file():
        return fname
    if fname.name == str(weights) and not fname.suffix:
        raise ValueError(
            f"There are no weights named {weights!r}. The names are "
            f"{', '.join(map(repr, KNOWN_WEIGHTS))}; else pass the path of a file that "
            "MC2SleepClassifier.save wrote, or an address and its 'sha256'."
        )
    raise FileNotFoundError(
        f"There is no file of weights {str(weights)!r}. Pass the path of a file that "
        "MC2SleepClassifier.save wrote."
    )


def _fetch(url: str, sha256: str) -> Path:
    # Pooch loads much that no weights of the package need.
    import pooch
    from requests.exceptions import RequestException

    sha256 = sha256.lower().removeprefix("sha256:")
    # The checksum keeps two files of one name apart.
    fname = f"{sha256[:8]}-{Path(urlsplit(url).path).name}"
    folder = cache_folder()
    try:
        return Path(
            pooch.retrieve(url, f"sha256:{sha256}", fname, folder, progressbar=False)
        )
    except RequestException as error:
        raise ConnectionError(
            f"The weights at {url} could not be fetched ({type(error).__name__}). Try "
            f"again with a network, or put the file into {folder} as {fname}."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"What was fetched from {url} is not the file with the sha256 {sha256}: it "
            "is damaged or another one, and was thrown away. Try again, or ask who "
            "gave you the address."
        ) from error
