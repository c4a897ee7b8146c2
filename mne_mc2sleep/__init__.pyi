from .classifier import MC2SleepClassifier as MC2SleepClassifier
from .hypnograms import annotations_to_hypnogram as annotations_to_hypnogram
from .hypnograms import hypnogram_to_annotations as hypnogram_to_annotations
from .hypnograms import read_hypnogram as read_hypnogram
from .hypnograms import write_hypnogram as write_hypnogram
from .simulation import simulate_night as simulate_night
from .viz import plot_hypnogram as plot_hypnogram
