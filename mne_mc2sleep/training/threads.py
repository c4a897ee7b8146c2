"""Choose the number of threads for training on a shared CPU."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("mne")

_N_TRIALS = 5
# On an idle machine, the times differ by less than this factor from trial to trial, so
# that the number of threads, and with it the weights, stay the same.
_CLEARLY = 1.5


@contextmanager
def useful_threads(device: torch.device) -> Iterator[None]:
    """Compute with one thread inside the block, if more are clearly slower.

    Threads of OpenMP wait for each other actively, so where another program has a core,
    several are slower than one: on two busy cores a step took 2 to 4 times as long
    (measured). The environment variable ``OMP_NUM_THREADS`` fixes the number.
    """
    n_threads = torch.get_num_threads()
    is_free = device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ
    if is_free and n_threads > 1 and _are_slower(n_threads):
        torch.set_num_threads(1)
        logger.info(
            "Training uses 1 thread: %d would be slower now, because other programs "
            "use the CPU. Set OMP_NUM_THREADS to fix the number.",
            n_threads,
        )
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def _are_slower(n_threads: int) -> bool:
    return _seconds_of_a_step(n_threads) > _CLEARLY * _seconds_of_a_step(1)


def _seconds_of_a_step(n_threads: int) -> float:
    """Return the median time of a small step like those of the backbones."""
    torch.set_num_threads(n_threads)
    # Not a module, whose weights would be drawn by the user's random state.
    weights, times = torch.ones(64, 64, 5, requires_grad=True), []
    for _ in range(_N_TRIALS):
        start = perf_counter()
        F.conv1d(torch.ones(64, 64, 100), weights).square().mean().backward()
        times.append(perf_counter() - start)
    return float(np.median(times))
