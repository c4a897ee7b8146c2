__version__: str

from .classifier import MC2SleepClassifier as MC2SleepClassifier
from .commands.info import sys_info as sys_info
from .data.cohort_cache import prepare_cohort as prepare_cohort
from .datasets import fetch_sample as fetch_sample
from .evaluation import evaluate as evaluate
from .evaluation import stage_scorer as stage_scorer
from .inference.attention import attention_maps as attention_maps
from .inference.review import annotate_review as annotate_review
from .inference.review import read_review as read_review
from .io.hypnograms import annotations_to_hypnogram as annotations_to_hypnogram
from .io.hypnograms import hypnogram_to_annotations as hypnogram_to_annotations
from .io.hypnograms import read_hypnogram as read_hypnogram
from .io.hypnograms import write_hypnogram as write_hypnogram
from .metrics import epochs_to_review as epochs_to_review
from .metrics import expected_calibration_error as expected_calibration_error
from .metrics import reliability_bins as reliability_bins
from .metrics import risk_coverage as risk_coverage
from .metrics import score_stages as score_stages
from .simulation import simulate_night as simulate_night
from .viz import plot_attention as plot_attention
from .viz import plot_confusion_matrix as plot_confusion_matrix
from .viz import plot_history as plot_history
from .viz import plot_hypnogram as plot_hypnogram
from .viz import plot_night as plot_night
from .viz import plot_reliability as plot_reliability
from .viz import plot_risk_coverage as plot_risk_coverage
