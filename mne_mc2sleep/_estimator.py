"""What scikit-learn asks of the stager: parameters, tags, and whether it is fitted."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions

from ._constants import STAGES
from .network import MC2SleepConfig
from .scaling import SCALINGS
from .stager import Stager
from .weights import MAX_SEQUENCE_LENGTH

if TYPE_CHECKING:
    from .cohort import Night
    from .training import TrainingOptions


class StagerEstimator(ClassifierMixin, BaseEstimator):
    """Base of `MC2SleepClassifier`: everything but what it does."""

    _parameter_constraints = {
        "picks": [str, list, tuple, None],
        "size": [StrOptions({"small", "base"})],
        "sequence_length": [Interval(Integral, 1, MAX_SEQUENCE_LENGTH, closed="both")],
        "scaling": [StrOptions(set(SCALINGS)), None],
        "mask_ratio": [Interval(Real, 0, 1, closed="both")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "contrastive_weight": [Interval(Real, 0, None, closed="left")],
        "reconstruction_weight": [Interval(Real, 0, None, closed="left")],
        "excluded_neighbors": [Interval(Integral, 0, None, closed="left")],
        "exclude_same_stage": ["boolean"],
        "pretrain_train_epochs": [Interval(Integral, 1, None, closed="left")],
        "finetune_train_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "device": [str, None],
        "random_state": ["random_state"],
    }

    @property
    def classes_(self) -> np.ndarray:
        """The stages in the order of YASA's integers."""
        self._check_is_fitted(can_stage=False)
        return np.array(STAGES)

    @property
    def history_(self) -> pd.DataFrame:
        """Losses and validation score of each pass over the nights."""
        self._check_is_fitted(can_stage=False)
        return pd.DataFrame(self.stager_.history)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.no_validation = True
        return tags

    def _check_is_fitted(self, can_stage: bool = True) -> None:
        name = type(self).__name__
        if not hasattr(self, "stager_"):
            raise NotFittedError(
                f"This {name} has no weights yet. Call 'fit' or 'pretrain', or load "
                f"some by {name}.from_pretrained."
            )
        if can_stage and not self.stager_.can_stage:
            raise NotFittedError(
                f"This {name} was pretrained without stages, so it cannot stage yet. "
                "Call 'finetune' with scored nights."
            )

    def _check_size(self) -> None:
        if self.stager_.net.config != self._config:
            raise ValueError(
                "The weights at hand have another 'size' or 'sequence_length' than the "
                f"parameters {self.size!r} and {self.sequence_length}: set these as "
                "they were, or train anew by 'fit'."
            )

    @property
    def _config(self) -> MC2SleepConfig:
        return MC2SleepConfig.from_size(self.size, self.sequence_length)

    def _start(self, nights: list[Night], options: TrainingOptions) -> None:
        self.stager_ = Stager.from_nights(
            self._config, nights, options.seed, self.device
        )
