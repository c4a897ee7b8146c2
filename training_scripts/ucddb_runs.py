"""Runs of wake and of N3 of patients, whose other stages are not available.

The file ``ucddb.npz`` holds ``x`` (n, 3840) int16 times ``scale`` = µV at 128 Hz, the
``subject``, the ``epoch_index`` in the night and the ``stage``. Of most subjects it has
wake and N3 only. A network that learned from them as from others would learn that
patients have no other stages. Here the loss is conditional on the stage being one of
the two: it compares their logits alone.
"""

from __future__ import annotations

import numpy as np
from continuation import Recording
from scipy.signal import resample_poly
from sleep_edf_heads import N_STAGES, N_TIMES, band_pass

from mne_mc2sleep.preprocessing.scaling import band_distances

WAKE, N3 = 0, 3
# Subject 022 is for validation, and 010 is abnormal. Every second one of the others is
# trained on; the rest show the effect.
LEFT_OUT = ("010", "022")
MIN_RUN, MAX_RUN, MAX_GAP = 12, 60, 6
# In µV: beyond, an epoch is an artefact or not EEG.
STD_RANGE = (1, 150)


def read_runs(fname, levels, part="train"):
    """Read a `Recording` for each run of wake and N3, with gaps of up to ``MAX_GAP``.

    ``levels`` (5, N_BANDS) are where the stages lie, and with them the middle of a
    whole night. ``part`` is the half of the subjects, "train" or "validation".
    """
    levels = np.array(levels)
    recordings = []
    with np.load(fname) as file:
        scale, subject = float(file["scale"]), file["subject"]
        x, stage, index = file["x"], file["stage"], file["epoch_index"]
    subjects = [s for s in np.unique(subject) if s not in LEFT_OUT]
    for name in subjects[part != "train" :: 2]:
        rows = np.flatnonzero(subject == name)
        rows = rows[np.isin(stage[rows], (WAKE, N3))]
        signal = resample_poly(scale * x[rows].ravel().astype(float), 25, 32)
        signals = band_pass(signal).reshape(-1, N_TIMES)
        middle = np.median(band_distances(signals) - levels[stage[rows]], axis=0)
        std = signals.std(axis=1)
        is_good = (std > STD_RANGE[0]) & (std < STD_RANGE[1])
        targets = np.eye(N_STAGES, dtype=np.float32)[stage[rows]] * is_good[:, None]
        gaps = np.flatnonzero(np.diff(index[rows]) > MAX_GAP) + 1
        for run in np.split(np.arange(len(rows)), gaps):
            for first in range(0, len(run), MAX_RUN):
                part_of_run = run[first : first + MAX_RUN]
                if len(part_of_run) >= MIN_RUN:
                    recordings.append(
                        Recording(
                            signals[part_of_run].astype(np.float16),
                            targets[part_of_run],
                            f"UCDDB {name}",
                            middle=middle,
                            candidates=(WAKE, N3),
                        )
                    )
    return recordings
