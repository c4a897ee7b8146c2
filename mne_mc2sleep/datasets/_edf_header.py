"""What an EDF file's header promises, without reading its signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class EdfHeader(NamedTuple):
    """The part of a header that tells whether a file is whole."""

    n_bytes: int | None
    """The size that the file has if it is whole; None if the header does not say."""
    ch_names: list[str]


def read_edf_header(fname: Path) -> EdfHeader:
    """Read an EDF file's size and channels from its header.

    Parameters
    ----------
    fname : Path
        An existing file.

    Returns
    -------
    header : EdfHeader
        The size and the channels.

    Raises
    ------
    ValueError
        If it has no EDF header.
    """
    with fname.open("rb") as file:
        fixed = file.read(256)
        try:
            n_signals = int(fixed[252:256])
            n_header, n_records = int(fixed[184:192]), int(fixed[236:244])
            signals = file.read(256 * n_signals)
            samples = _fields(signals, 216 * n_signals, 8, n_signals)
            n_samples = sum(map(int, samples))
        except ValueError as error:
            raise ValueError(
                f"{fname.name} has no valid EDF header; fetch the file again."
            ) from error
    ch_names = [
        label.decode("latin1").strip() for label in _fields(signals, 0, 16, n_signals)
    ]
    # -1 stands in files whose recording never ended properly.
    n_bytes = None if n_records < 0 else n_header + 2 * n_records * n_samples
    return EdfHeader(n_bytes, ch_names)


def describe_damage(fname: Path) -> str | None:
    """Say how much of an EDF file is missing, None if it is whole.

    Parameters
    ----------
    fname : Path
        An existing file.

    Returns
    -------
    damage : str | None
        A sentence.
    """
    try:
        n_bytes, _ = read_edf_header(fname)
    except ValueError as error:
        return str(error)
    found = fname.stat().st_size
    if n_bytes is None or found >= n_bytes:
        return None
    return f"{fname.name} is cut off: it has {found} bytes of {n_bytes}."


def _fields(content: bytes, first: int, width: int, n_fields: int) -> list[bytes]:
    return [content[first + width * i :][:width] for i in range(n_fields)]
