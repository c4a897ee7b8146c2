"""Figures of hypnograms, agreement, confidence, attention and training."""

from .agreement import plot_confusion_matrix, plot_reliability, plot_risk_coverage
from .attention import plot_attention
from .history import plot_history
from .night import plot_hypnogram, plot_night

__all__ = [
    "plot_attention",
    "plot_confusion_matrix",
    "plot_history",
    "plot_hypnogram",
    "plot_night",
    "plot_reliability",
    "plot_risk_coverage",
]
