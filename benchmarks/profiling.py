"""Time the parts of the training while its public methods run as they are.

Functions are timed in their places; of a timed call within another, the inner one alone
is charged. On a GPU every timed call waits for the device, which slows the whole.
"""

import functools
import pkgutil
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from unittest import mock

import torch

READ, NEW, ENCODE = "read recordings", "new network", "encode forward"
PARTS = {
    READ: ["mne_mc2sleep.classifier.read_nights"],
    NEW: ["mne_mc2sleep.stager.Stager.untrained"],
    "batches": ["mne_mc2sleep.training.trainer.iterate_batches"],
    ENCODE: ["mne_mc2sleep.network.MC2SleepNet.encode"],
    "sequence forward": [
        "mne_mc2sleep.network.MC2SleepNet.contextualize",
        "mne_mc2sleep.network.MC2SleepNet.recover",
        "mne_mc2sleep.network.MC2SleepNet.stage",
    ],
    "losses": [
        "mne_mc2sleep.network.MC2SleepNet.project",
        "mne_mc2sleep.training.phases.excluded_negatives",
        "mne_mc2sleep.training.phases.info_nce_loss",
        "mne_mc2sleep.training.phases.draw_mask",
        "mne_mc2sleep.training.phases.reconstruction_loss",
        "mne_mc2sleep.training.phases.stage_loss",
    ],
    "backward": ["torch.Tensor.backward"],
    "clip gradients": ["torch.nn.utils.clip_grad_norm_"],
    "optimiser step": ["torch.optim.AdamW.step"],
}


class Profiler:
    """Charge the time that passes to the part that is running, and to no other."""

    def __init__(self):
        self.seconds = defaultdict(float)
        self._running, self._last = [], 0.0

    @contextmanager
    def part(self, name):
        """Charge what runs inside to ``name``, but for the parts within it."""
        self._charge()
        self._running.append(name)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    def _charge(self):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._last
        self._last = now

    def wrap(self, name, function):
        """Return ``function`` charged to ``name``."""

        @functools.wraps(function)
        def charged(*args, **kwargs):
            with self.part(name):
                return function(*args, **kwargs)

        return charged

    def wrap_iterator(self, name, function):
        """Return ``function``, whose result is iterated over, charged to ``name``."""

        @functools.wraps(function)
        def charged(*args, **kwargs):
            iterator = function(*args, **kwargs)
            with self.part(name):
                item = next(iterator, None)
            while item is not None:
                yield item
                with self.part(name):
                    item = next(iterator, None)

        return charged

    @contextmanager
    def installed(self):
        """Charge the functions of ``PARTS`` inside; one that is missing is an error."""
        with ExitStack() as stack:
            for name, targets in PARTS.items():
                wrap = self.wrap_iterator if name == "batches" else self.wrap
                for target in targets:
                    function = wrap(name, pkgutil.resolve_name(target))
                    stack.enter_context(mock.patch(target, function))
            yield
