"""What both stages of the training need to know."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from sklearn.utils import check_random_state

_PRECISIONS = ("float32", "bfloat16")
# Weights at hand count as much as what so many subjects teach: our choice, made on
# resynthesised nights of subjects that no figure is given for.
_TRUST = 2


@dataclass(frozen=True)
class TrainingOptions:
    """What both stages of the training need to know.

    See the parameters of the same names of `mne_mc2sleep.MC2SleepClassifier`; most of
    those below are not among them.

    Parameters
    ----------
    seed : int
        All that is drawn follows from it.
    label_smoothing : float
        Share of each stage that is spread evenly over all stages, in the stage losses.
    average_decay : float
        If above 0, the weights that are validated and kept are an exponential moving
        average over the steps, which keeps this share of itself in each.
    precision : {"float32", "bfloat16"}
        Of matrix products and convolutions; weights are float32 in any case.
    scaling : str | None
        How the nights were scaled; of those scaled by ``"spectrum"``, fine-tuning
        learns where the stages lie.
    gather_negatives : bool
        If several processes train together: whether the negatives of InfoNCE are the
        epochs of all of them, or each one's own.
    """

    pretrain_train_epochs: int
    finetune_train_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    patience: int
    mask_ratio: float
    temperature: float
    contrastive_weight: float
    reconstruction_weight: float
    excluded_neighbors: int
    exclude_same_stage: bool
    validation_fraction: float
    seed: int
    label_smoothing: float = 0.0
    average_decay: float = 0.0
    adaptation: float | str = 1.0
    precision: str = "float32"
    scaling: str | None = None
    gather_negatives: bool = False

    def __post_init__(self):
        """Check the precision."""
        if self.precision not in _PRECISIONS:
            raise ValueError(
                f"'precision' must be one of {_PRECISIONS}, not {self.precision!r}."
            )

    def share(self, n_subjects: int) -> float:
        """Return how far fine-tuning on so many subjects moves weights at hand."""
        if self.adaptation == "auto":
            return n_subjects / (n_subjects + _TRUST)
        return float(self.adaptation)

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> TrainingOptions:
        """Take the options from a classifier's parameters, and draw the seed."""
        seed = check_random_state(parameters["random_state"]).randint(2**31)
        names = {field.name for field in fields(cls)} & parameters.keys()
        return cls(**{name: parameters[name] for name in names} | {"seed": seed})
