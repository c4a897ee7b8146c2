"""Files, downloads, warnings, and the choice of the device."""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import warnings
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from fractions import Fraction

    import torch
    from numpy.typing import NDArray

# Of BrainVision, Persyst, EEGLAB and Curry, where another file is passed.
_DATA_SUFFIXES = (".eeg", ".dat", ".fdt", ".dpa")
# Samples of a Fourier transform, and how many at once: enough, in little memory.
_BLOCK, _BLOCKS_AT_ONCE = 16_384, 16
_TIMEOUT = (5, 60)  # s, to connect to a server and to read from it
_lock = threading.Lock()
_collected: defaultdict[int, list] = defaultdict(list)  # by thread, innermost last
_patch = ExitStack()

# Warnings point to the first frame outside of these packages.
_NOT_THE_USERS = ("mne", "mne_mc2sleep", "joblib", "sklearn")


def warn(message: str, category: type[Warning] = RuntimeWarning) -> None:
    """Warn by :func:`mne.utils.warn`, pointing to the user's line."""
    # Weights can be trained where MNE is not installed.
    import mne

    mne.utils.warn(message, category, ignore_namespaces=_NOT_THE_USERS)


@contextmanager
def collect_warnings() -> Iterator[list[tuple[str, type[Warning]]]]:
    """Collect the different warnings of this thread instead of showing them.

    Unlike :func:`warnings.catch_warnings`, this works in several threads at once.
    """
    messages: list[tuple[str, type[Warning]]] = []
    with _lock:
        if not any(_collected.values()):
            _start_collecting()
        of_thread = _collected[threading.get_ident()]
        of_thread.append(messages)
    try:
        yield messages
    finally:
        with _lock:
            of_thread.pop()
            if not any(_collected.values()):
                _patch.close()


def _start_collecting() -> None:
    _patch.enter_context(warnings.catch_warnings())
    warnings.simplefilter("always")
    show_as_before = warnings.showwarning

    def show(message, category, *args, **kwargs):
        of_thread = _collected.get(threading.get_ident())
        if not of_thread:
            show_as_before(message, category, *args, **kwargs)
        elif (str(message), category) not in of_thread[-1]:
            of_thread[-1].append((str(message), category))

    warnings.showwarning = show


@contextmanager
def importing() -> Iterator[None]:
    """Import large libraries without collecting garbage, of which they leave none."""
    if not gc.isenabled() or gc.get_freeze_count():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        # What was imported is old from now on, and is not searched soon.
        gc.freeze()
        gc.unfreeze()
        gc.enable()


def size_and_time(path: Path) -> tuple[int, int]:
    """Return the bytes and the last change (ns) of a file and of the data beside it."""
    parts = [path, *path.glob("*.bin"), *map(path.with_suffix, _DATA_SUFFIXES)]
    found = [part.stat() for part in parts if part.exists()]
    return sum(s.st_size for s in found), max(s.st_mtime_ns for s in found)


def in_threads(function: Callable, parts: Iterable) -> list:
    """Apply a function to parts, as many at once as torch has threads.

    NumPy and SciPy compute large arrays in one thread. The threads within an operation
    of torch wait for each other, which is slow on a busy machine, and its result would
    depend on their number; so it has only one here.
    """
    import torch

    if (n_threads := torch.get_num_threads()) == 1:
        return list(map(function, parts))
    parts = list(parts)
    found, numbers = [None] * len(parts), iter(range(len(parts)))

    def work() -> None:
        # Each number goes to one thread, which takes the next when it is done.
        for number in numbers:
            found[number] = function(parts[number])

    # The main thread works too: waiting took a tenth longer. Other threads may be ended
    # with the process, in which torch must not be at work then.
    is_main = threading.current_thread() is threading.main_thread()
    try:
        with ThreadPoolExecutor(n_threads, "", torch.set_num_threads, (1,)) as pool:
            others = [pool.submit(work) for _ in range(n_threads - is_main)]
            if is_main:
                torch.set_num_threads(1)
                work()
        for other in others:
            other.result()
    finally:
        # New threads use the number that was set last by any thread.
        torch.set_num_threads(n_threads)
    return found


def filter_signal(
    signal: NDArray,
    response: Callable[[int], NDArray],
    margin: int,
    ratio: Fraction | int = 1,
) -> NDArray:
    """Filter a signal (n_times,) without delay, and resample it, in threads.

    ``response`` turns the length of a Fourier transform into the real gain of each of
    its frequencies at the new rate, which is ``ratio`` times the old one. The filter
    looks at most ``margin`` new samples back and ahead, at the ends into the mirror
    image of the signal. The result, of ceil(n_times * ratio) samples, is float32.
    """
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view
    from scipy.fft import irfft, rfft

    up, down = ratio.numerator, ratio.denominator
    # Blocks that overlap (overlap-save), of whole numbers of old and new samples.
    edge = -(-margin // up)
    length = max(_BLOCK // max(up, down), 4 * edge)
    step, n_times = length - 2 * edge, -(-signal.size * up // down)
    n_blocks = -(-n_times // (step * up))
    gain = response(length * up).astype(np.float32)[: length * down // 2 + 1]
    found = np.empty((n_blocks, step * up), np.float32)

    def fill(start: int) -> None:
        blocks = found[start : start + _BLOCKS_AT_ONCE]
        first = (start * step - edge) * down
        stop = first + (len(blocks) * step + 2 * edge) * down
        part = signal[max(first, 0) : stop]
        offset = part.mean()  # can be thousands of times the EEG
        part = (part - offset).astype(np.float32)
        part = np.pad(part, (max(-first, 0), max(stop - signal.size, 0)), "reflect")
        part = sliding_window_view(part, length * down)[:: step * down]
        spectrum = rfft(part)[:, : gain.size] * (np.float32(ratio) * gain)
        part = irfft(spectrum, length * up)[:, edge * up : -edge * up]
        blocks[:] = part + np.float32(offset * gain[0])

    in_threads(fill, range(0, n_blocks, _BLOCKS_AT_ONCE))
    return found.ravel()[:n_times]


def check_fname(fname: str | os.PathLike, suffixes: tuple, overwrite: bool) -> Path:
    """Return the path of a file to write; raise if it cannot be written there."""
    path = Path(fname).expanduser()
    if path.suffix.lower() not in suffixes:
        raise ValueError(
            f"The name of the file must end in {' or '.join(suffixes)}, got "
            f"{path.name!r} instead."
        )
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} exists. Pass overwrite=True to replace it, or another name."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"The folder {str(path.parent)!r} for {path.name} does not exist. Create "
            "it, or pass another name."
        )
    if not os.access(path.parent, os.W_OK):
        raise PermissionError(
            f"The folder {str(path.parent)!r} is not writable. Pass another name."
        )
    return path


def replace_file(fname: Path, content: bytes) -> None:
    """Write a file atomically: it has the old content or the new one, never a part.

    A link of that name is replaced, not followed.
    """
    # In the same folder, because a rename is atomic only within one file system.
    with tempfile.TemporaryDirectory(dir=fname.parent, prefix=".saving_") as folder:
        part = Path(folder) / fname.name
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(fname)


def data_folder(path: str | os.PathLike | None, name: str) -> Path:
    """Return the folder of a data set below ``path``, by default ``MNE_DATA``."""
    import mne

    if path is None:
        path = mne.get_config("MNE_DATA", Path.home() / "mne_data")
    return Path(path).expanduser() / name


def download(url: str, fname: Path, known_hash: str | None = None) -> Path:
    """Download a file, unless it is there and intact; return its path.

    Raise a ConnectionError if the server cannot be reached or stops in the middle, and
    an OSError if the file arrives with another hash.
    """
    import pooch
    from requests.exceptions import RequestException

    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT)
    try:
        pooch.retrieve(url, known_hash, fname.name, fname.parent, downloader=downloader)
    except RequestException as error:
        raise ConnectionError(
            f"{url} could not be downloaded. Run the same call again when online "
            f"(complete files are kept), or put the file into {fname.parent} as "
            f"{fname.name}. Cause: {error}"
        ) from error
    # pooch raises a ValueError for a wrong hash and deletes the file.
    except ValueError as error:
        raise OSError(
            f"The download from {url} does not have the hash {known_hash} and was "
            "deleted. Run the same call again, or check URL and hash."
        ) from error
    return fname


def find_device(device: str | torch.device | None) -> torch.device:
    """Return a device that torch can compute on; None is CUDA, else MPS, else CPU."""
    # Hypnograms are written without torch.
    import torch

    if device is None:
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        return torch.empty(0, device=device).device
    # A build without CUDA raises an AssertionError.
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"Torch cannot compute on the device {str(device)!r} here. Use 'cpu'."
        ) from error
