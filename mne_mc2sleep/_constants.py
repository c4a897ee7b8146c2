"""The numbers and names that every layer shares."""

from __future__ import annotations

EPOCH_DURATION = 30.0
"""Seconds of sleep that get one stage."""

SFREQ = 100.0
"""Sampling frequency in Hz of the signals that the network sees."""

N_TIMES = round(EPOCH_DURATION * SFREQ)
"""Samples of one epoch."""

BAND = (0.3, 35.0)
"""Edges in Hz of the band-pass filter that recordings go through (our choice)."""

FILTER_ORDER = 4
"""Order of that Butterworth filter, which is applied forwards and backwards."""

STAGES = ("WAKE", "N1", "N2", "N3", "REM")
"""The stages in the order of the network's outputs and of YASA's integers."""

UNSCORED = -1
"""Stands for "no stage" in every array of stages of this package."""

SCORER = "MC2SleepNet"
"""The scorer named in the hypnograms that this package makes."""
