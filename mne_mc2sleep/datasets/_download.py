"""Download files of a data set, each checked against its sha256."""

from __future__ import annotations

import os
from pathlib import Path

import mne

_TIMEOUT = (5, 60)  # s, to connect and to read


def data_folder(path: str | os.PathLike | None, name: str) -> Path:
    """Return the folder of a data set.

    Parameters
    ----------
    path : path-like | None
        The folder that holds the data sets. None is MNE's ``MNE_DATA``, by default
        ``~/mne_data``.
    name : str
        The data set.

    Returns
    -------
    folder : Path
        It need not exist.
    """
    if path is None:
        path = mne.get_config("MNE_DATA", Path.home() / "mne_data")
    return Path(path).expanduser() / name


def download(url: str, fname: Path, sha256: str | None = None) -> Path:
    """Download a file, unless it is there and intact.

    Parameters
    ----------
    url : str
        The address.
    fname : Path
        Where to keep the file.
    sha256 : str | None
        The checksum. None accepts any content.

    Returns
    -------
    fname : Path
        The complete file.

    Raises
    ------
    ConnectionError
        If the server cannot be reached or stops in the middle.
    OSError
        If the file arrives damaged or cannot be written.
    """
    import pooch
    from requests.exceptions import RequestException

    try:
        return Path(
            pooch.retrieve(
                url,
                sha256 and f"sha256:{sha256}",
                fname.name,
                fname.parent,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),
            )
        )
    except RequestException as error:
        raise ConnectionError(
            f"{url} could not be downloaded. Run the same call again: complete files "
            f"are kept. Cause: {error}"
        ) from error
    # pooch raises a ValueError for a wrong checksum and deletes the file.
    except ValueError as error:
        raise OSError(
            f"The file from {url} does not match its checksum. Run the same call "
            "again: complete files are kept."
        ) from error
