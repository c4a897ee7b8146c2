"""What the header of an EDF or BDF file promises, without reading its signals."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class EdfHeader(NamedTuple):
    """The part of a header that tells what the file holds and whether it is whole."""

    n_bytes: int
    """The size that the file has if it is whole."""
    n_records: int
    """Data records; -1 stands in files whose recording never ended properly."""
    ch_names: list[str]
    n_samples: list[int]
    """Samples of each channel in one data record."""


def read_edf_header(fname: Path) -> EdfHeader:
    """Read the header of an EDF or BDF file.

    Parameters
    ----------
    fname : Path
        An existing file.

    Returns
    -------
    header : EdfHeader
        The size and the channels, annotations included.

    Raises
    ------
    ValueError
        If it has no such header.
    """
    with fname.open("rb") as file:
        fixed = file.read(256)
        try:
            n_header, n_records, n_signals = (
                int(fixed[first:end])
                for first, end in ((184, 192), (236, 244), (252, 256))
            )
            signals = file.read(256 * n_signals)
            n_samples = list(map(int, _fields(signals, 216 * n_signals, 8, n_signals)))
        except ValueError as error:
            raise ValueError(
                "The file has no valid EDF header. Get it anew."
            ) from error
    ch_names = [
        label.decode("latin1").strip() for label in _fields(signals, 0, 16, n_signals)
    ]
    n_bytes = 2 if fixed[:1] == b"0" else 3  # of a sample in EDF and in BDF
    n_bytes = n_header + n_records * sum(n_samples) * n_bytes
    return EdfHeader(n_bytes, n_records, ch_names, n_samples)


def describe_damage(fname: Path) -> str | None:
    """Say how much of an EDF or BDF file is missing, None if it is whole.

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
        header = read_edf_header(fname)
    except ValueError as error:
        return str(error)
    lacking = header.n_bytes - fname.stat().st_size
    if header.n_records != 0 and lacking <= 0:
        return None
    return (
        f"The file is cut short: its header tells of {header.n_records} data records, "
        f"but {max(lacking, 0)} bytes of them are missing. Get it anew."
    )


def _fields(content: bytes, first: int, width: int, n_fields: int) -> list[bytes]:
    return [content[first + width * i :][:width] for i in range(n_fields)]
