"""The options of the training: the one place of their defaults and bounds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from numbers import Integral, Real
from typing import Any

from sklearn.utils import check_random_state
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)

# With this many subjects to fine-tune on, the weights move half of the way. Chosen on
# resynthesised nights of subjects that no reported score uses.
_N_SUBJECTS_HALF_WAY = 2


def _option(default: Any, doc: str, *constraints: Any) -> Any:
    """Define an option; ``constraints`` are those of scikit-learn's estimators."""
    return field(default=default, metadata={"doc": doc, "constraints": constraints})


def _integer(low: int) -> Interval:
    return Interval(Integral, low, None, closed="left")


def _real(low: float, high: float | None, closed: str) -> Interval:
    return Interval(Real, low, high, closed=closed)


@dataclass(frozen=True)
class TrainingOptions:
    """The options of both phases of the training.

    Most are parameters of `mne_mc2sleep.MC2SleepClassifier`, which takes their defaults
    and bounds from here. All values are our choice unless the text says otherwise.
    """

    pretrain_train_epochs: int = _option(
        20, "Passes over the nights in pretraining, at most.", _integer(1)
    )
    finetune_train_epochs: int = _option(
        20, "Passes over the nights in fine-tuning, at most.", _integer(1)
    )
    batch_size: int = _option(
        32, "Sequences in one step (of each process, under torchrun).", _integer(1)
    )
    learning_rate: float = _option(
        1e-3,
        "Highest learning rate of AdamW, which rises first and then follows a cosine.",
        _real(0, None, "neither"),
    )
    weight_decay: float = _option(
        0.01,
        "Weight decay of AdamW, on matrices and kernels only.",
        _real(0, None, "left"),
    )
    patience: int = _option(
        5, "Passes without a better validation score that end a phase.", _integer(1)
    )
    mask_ratio: float = _option(
        0.5,
        "Share of the epochs hidden by cross-masking; 0.5 in the paper.",
        _real(0, 1, "both"),
    )
    contrastive_temperature: float = _option(
        0.1, "Temperature of InfoNCE.", _real(0, None, "neither")
    )
    contrastive_weight: float = _option(
        0.1, "Weight of the InfoNCE loss in pretraining.", _real(0, None, "left")
    )
    reconstruction_weight: float = _option(
        0.1, "Weight of the reconstruction loss in pretraining.", _real(0, None, "left")
    )
    excluded_neighbors: int = _option(
        0,
        "Epochs of one night at most this far apart are not negatives of InfoNCE.",
        _integer(0),
    )
    exclude_same_stage: bool = _option(
        False, "Whether epochs of one stage are not negatives of InfoNCE.", "boolean"
    )
    validation_fraction: float = _option(
        0.2,
        "Share of the subjects held out for early stopping and calibration.",
        _real(0, 1, "left"),
    )
    adaptation: float | str = _option(
        "auto",
        "How far fine-tuning moves weights that could stage before: 1 keeps the "
        "fine-tuned weights, 0 those of before; 'auto' is n / (n + 2) with n subjects.",
        _real(0, 1, "both"),
        StrOptions({"auto"}),
    )
    seed: int = _option(0, "Seed of everything that is drawn.", _integer(0))
    label_smoothing: float = _option(
        0.0,
        "Share of each stage that the stage losses spread evenly over all stages.",
        _real(0, 1, "left"),
    )
    average_decay: float = _option(
        0.0,
        "If above 0, validate and keep an exponential moving average of the weights "
        "with this decay per step.",
        _real(0, 1, "left"),
    )
    precision: str = _option(
        "float32",
        "Precision of matrix products and convolutions; weights are float32.",
        StrOptions({"float32", "bfloat16"}),
    )

    def __post_init__(self) -> None:
        """Check types and bounds."""
        validate_parameter_constraints(
            self.constraints(), asdict(self), type(self).__name__
        )

    @classmethod
    def constraints(cls) -> dict[str, list]:
        """Return the constraints by name, as scikit-learn's estimators hold them."""
        return {f.name: list(f.metadata["constraints"]) for f in fields(cls)}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> TrainingOptions:
        """Take the options among a classifier's parameters, and draw the seed."""
        seed = check_random_state(parameters["random_state"]).randint(2**31)
        names = {field.name for field in fields(cls)} & parameters.keys()
        return cls(**{name: parameters[name] for name in names} | {"seed": seed})

    def share(self, n_subjects: int) -> float:
        """Return how far fine-tuning on ``n_subjects`` moves weights that can stage."""
        if self.adaptation == "auto":
            return n_subjects / (n_subjects + _N_SUBJECTS_HALF_WAY)
        return float(self.adaptation)
