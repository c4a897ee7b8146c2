"""Write files whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace_file(fname: Path, content: bytes) -> None:
    """Write a file that takes its name when it is complete.

    Whatever happens on the way, even the end of the process, the name stands for the
    file that was there before or for the new one. A link of that name is replaced, not
    followed.

    Parameters
    ----------
    fname : Path
        The file.
    content : bytes
        All that it shall hold.

    Raises
    ------
    OSError
        If there is no such folder, or it cannot be written to.
    """
    # Beside the file, because only within one file system a name is given in one step.
    with tempfile.TemporaryDirectory(dir=fname.parent, prefix=".saving_") as folder:
        part = Path(folder) / fname.name
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(fname)
