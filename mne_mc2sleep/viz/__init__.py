"""Plots of what YASA does not show by itself, in MNE's conventions."""

from .agreement import plot_confusion_matrix
from .attention import plot_attention
from .confidence import plot_reliability, plot_risk_coverage
from .history import plot_history
from .hypnogram import plot_hypnogram
from .night import plot_night

__all__ = [
    "plot_attention",
    "plot_confusion_matrix",
    "plot_history",
    "plot_hypnogram",
    "plot_night",
    "plot_reliability",
    "plot_risk_coverage",
]
