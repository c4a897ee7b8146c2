"""Figures of hypnograms, agreement, confidence, attention and training."""

from .night import plot_hypnogram as plot_hypnogram
from .night import plot_night as plot_night
from .stager import plot_attention as plot_attention
from .stager import plot_confusion_matrix as plot_confusion_matrix
from .stager import plot_history as plot_history
from .stager import plot_reliability as plot_reliability
from .stager import plot_risk_coverage as plot_risk_coverage
