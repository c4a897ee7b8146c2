"""What the stager has in common with others: parameters, tags, saving and loading."""

from __future__ import annotations

import os
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import Interval, StrOptions

from ._constants import STAGES
from .network import MC2SleepConfig
from .preprocessing.scaling import SCALINGS
from .stager import Stager
from .weights.file_format import MAX_SEQUENCE_LENGTH
from .weights.registry import KNOWN_WEIGHTS, find_weights

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from .data.nights import Night
    from .training import TrainingOptions


class StagerEstimator(ClassifierMixin, BaseEstimator):
    """Base of `MC2SleepClassifier`: everything but what it does."""

    _parameter_constraints = {
        "picks": [str, list, tuple, None],
        "weights": [str, os.PathLike, None],
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
        "adaptation": [Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})],
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

    def save(self, fname: str | Path, *, overwrite: bool = False) -> None:
        """Save the stager as safetensors, with what `from_pretrained` must know.

        Parameters
        ----------
        fname : path-like
            The file, ``*.safetensors``.
        overwrite : bool
            Whether to replace a file of that name; else that is a FileExistsError.
        """
        self._check_is_fitted(can_stage=False)
        # Where it was trained and drawn does not matter to who loads it.
        elsewhere = {"weights": None, "device": None, "random_state": None}
        self.stager_.save(fname, self.get_params() | elsewhere, overwrite)

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path = "small",
        *,
        sha256: str | None = None,
        device: str | None = None,
    ) -> Self:
        """Load a stager that was trained before.

        Parameters
        ----------
        weights : str | path-like
            ``"small"`` ships with the package and needs no network; see the model card
            for what it can do. Else the path of a file that `save` wrote, or its
            address (``https://...``).
        sha256 : str | None
            The checksum of the file behind an address, which needs it.
        device : str | None
            Torch's name of the device; None takes a GPU if there is one.

        Returns
        -------
        clf : MC2SleepClassifier
            Ready to stage, or to be fine-tuned.

        Raises
        ------
        FileNotFoundError, ValueError
            If there are no such weights, or they are damaged or from elsewhere.
        ConnectionError
            If an address cannot be reached.
        """
        fname = find_weights(weights, sha256)
        stager, parameters = Stager.load(fname, device)
        if unknown := parameters.keys() - cls().get_params().keys():
            raise ValueError(
                f"{fname} was saved with parameters {sorted(unknown)}, which this "
                "version of mne_mc2sleep does not know; install a newer one."
            )
        source = weights if weights in KNOWN_WEIGHTS else str(fname)
        clf = cls(**parameters | {"weights": source, "device": device})
        clf.stager_ = stager
        return clf

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

    def _load_weights(self) -> None:
        self.stager_, _ = Stager.load(find_weights(self.weights), self.device)

    def _take_weights(self) -> None:
        """Take the weights at hand, or those that the parameter names, if any."""
        if not hasattr(self, "stager_") and self.weights is not None:
            self._load_weights()
        if hasattr(self, "stager_"):
            self._check_size()

    def _start(self, nights: list[Night], options: TrainingOptions) -> None:
        self.stager_ = Stager.from_nights(
            self._config, nights, options.seed, self.device
        )
