"""Find the epochs that hold no EEG, and why."""

import mne
import numpy as np
from mne.utils import logger
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation

# All of these are our choice.
FLAT_DURATION = 1.0  # seconds without any change
FLAT_SHARE = 0.5  # of an epoch
NEAR_FLAT = 0.01  # of the median epoch's median absolute value
CLIPPED_SHARE = 0.1  # of an epoch
BAD_SHARE = 0.5  # of an epoch
IMPOSSIBLE = 1e15  # µV: no mistaken unit explains it, and float32 can still square it
ABSURD = 1e4  # times the 5-95 % range: 0.5 V in EEG, beyond any amplifier
PAUSE_SHARE = 0.1  # of an epoch
# Shares of the samples in usable epochs: 0.0003 and 0.05 at most in 57 recordings.
AT_LIMIT_SHARE = 0.003
EQUAL_SHARE = 0.65  # to the sample before

PAUSE = "pause"
NOT_FINITE, FLAT, CLIPPED, BAD = "not finite", "flat", "clipped", "bad annotation"


def find_unusable(
    signal: NDArray[np.float64],
    sfreq: float,
    edges: NDArray[np.intp],
    bad: NDArray[np.bool_],
    is_pause: NDArray[np.bool_],
) -> tuple[NDArray[np.str_], NDArray[np.bool_]]:
    """Find epochs that cannot be staged, and samples that hold no signal.

    The ``signal`` (n_times,) is as measured; ``edges`` (n_epochs + 1,) are the samples
    at which epochs begin, and the end. Returns the reason for each epoch, "" for usable
    ones, and which samples are missing or constant.
    """
    missing = _find_missing(signal)
    not_finite = missing & ~is_pause
    present = np.where(missing, np.nan, signal) if missing.any() else signal
    flat, clipped = _find_constant(present, sfreq)
    reasons = np.select(
        [
            _share(is_pause, edges) > PAUSE_SHARE,
            _share(not_finite, edges) > 0,
            _share(flat, edges) > FLAT_SHARE,
            _share(clipped, edges) > CLIPPED_SHARE,
            _share(bad, edges) > BAD_SHARE,
        ],
        [PAUSE, NOT_FINITE, FLAT, CLIPPED, BAD],
        "",
    )
    return reasons, missing | flat


def find_bad(
    annotations: mne.Annotations, ch_name: str, sfreq: float, n_times: int
) -> NDArray[np.bool_]:
    """Return which samples are annotated as BAD for the channel.

    The onsets count from the first sample; one without a time is a ValueError.
    """
    pairs = zip(annotations.description, annotations.ch_names, strict=True)
    is_bad = [
        text.upper().startswith("BAD") and (not names or ch_name in names)
        for text, names in pairs
    ]
    starts, durations = annotations.onset[is_bad], annotations.duration[is_bad]
    invalid = ~(np.isfinite(starts) & (durations >= 0))
    if invalid.any():
        raise ValueError(
            f"A BAD annotation has onset {starts[invalid][0]:g} s and duration "
            f"{durations[invalid][0]:g} s; correct or delete it."
        )
    # Clipped before they are integers: a duration may be years, or without end.
    spans = np.rint(np.column_stack([starts, starts + durations]) * sfreq)
    return _cover(spans.clip(0, n_times).astype(np.intp), n_times)


def find_faults(
    signal: NDArray[np.float64], sfreq: float, edges: NDArray, usable: NDArray
) -> list[str]:
    """Return in words what the recorder did to the usable epochs of a signal."""
    epochs = np.flatnonzero(usable)
    epochs = epochs[:: -(-epochs.size // 60)]  # 60 are enough
    values = np.concatenate([signal[edges[i] : edges[i + 1]] for i in epochs])
    faults = [
        f"cut off at {limit:.4g} µV"
        for limit in (values.min(), values.max())
        if (values == limit).mean() > AT_LIMIT_SHARE
    ]
    # At 100 Hz, because neighbours differ less in faster recordings.
    if (np.diff(values[:: max(round(sfreq / 100), 1)]) == 0).mean() > EQUAL_SHARE:
        step = np.median(np.diff(np.unique(values)))
        faults.append(f"stored in steps of {step:.3g} µV")
    return faults


def mark_near_flat(signals: NDArray[np.float32], reasons: NDArray[np.str_]) -> None:
    """Mark filtered epochs that hold only the noise of the amplifier, in place.

    These have less than 1 % of the amplitude of the median epoch without a reason.
    """
    # A median, because the filter carries a little of the EEG over a flat epoch's edge.
    # Every 17th sample is enough, and not in step with any rhythm.
    levels = np.median(np.abs(signals[:, ::17]), axis=1)
    is_flat = levels < NEAR_FLAT * np.median(levels[reasons == ""])
    reasons[is_flat & ~np.isin(reasons, [PAUSE, NOT_FINITE])] = FLAT
    if (reasons != "").any():
        logger.info("Unusable epochs: %s.", count_reasons(reasons))


def bridge(signal: NDArray[np.float64], gaps: NDArray[np.bool_]) -> None:
    """Replace gaps in the signal by lines, in place."""
    if not gaps.any():
        return
    shores = binary_dilation(gaps) & ~gaps
    signal[gaps] = np.interp(
        np.flatnonzero(gaps), np.flatnonzero(shores), signal[shores]
    )


def count_reasons(reasons: NDArray[np.str_]) -> str:
    """Return how many of the epochs are unusable for what, in words."""
    names, counts = np.unique(reasons[reasons != ""], return_counts=True)
    parts = [f"{n} {name}" for name, n in zip(names, counts, strict=True)]
    return f"{counts.sum()} of {reasons.size} epochs ({', '.join(parts)})"


def _find_missing(signal: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which samples are NaN, Inf or beyond any voltage."""
    limits = np.array([-IMPOSSIBLE, IMPOSSIBLE])
    # Enough to estimate a range, and in step with no rhythm.
    sample = np.random.default_rng(0).choice(signal, 10_000)
    sample = sample[np.abs(sample) < IMPOSSIBLE]
    if sample.size:
        low, middle, high = np.percentile(sample, [5, 50, 95])
        if high > low:
            reach = ABSURD * (high - low)
            limits = np.clip([middle - reach, middle + reach], *limits)
    return ~((signal >= limits[0]) & (signal <= limits[1]))


def _find_constant(
    signal: NDArray[np.float64], sfreq: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which samples lie in long constant runs, and which in runs at a rail."""
    same = np.r_[False, signal[1:] == signal[:-1], False]
    changes = np.flatnonzero(same[1:] != same[:-1])
    starts, stops = changes[::2], changes[1::2] + 1
    flat = stops - starts >= FLAT_DURATION * sfreq
    # fmin and fmax skip NaN, without a warning if there is nothing else.
    extremes = np.fmin.reduce(signal), np.fmax.reduce(signal)
    clipped = np.isin(signal[starts], extremes)
    spans = np.column_stack([starts, stops])
    return _cover(spans[flat], signal.size), _cover(spans[clipped], signal.size)


def _cover(spans: NDArray[np.intp], n_times: int) -> NDArray[np.bool_]:
    """Return which samples lie within any of the spans (n_spans, 2)."""
    covered = np.zeros(n_times, bool)
    for start, stop in spans:
        covered[start:stop] = True
    return covered


def _share(mask: NDArray[np.bool_], edges: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the share of each epoch's samples that a mask holds."""
    if not mask.any():
        return np.zeros(len(edges) - 1)
    counts = np.add.reduceat(mask[: edges[-1]], edges[:-1], dtype=np.intp)
    return counts / np.diff(edges)
