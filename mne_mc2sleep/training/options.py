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


def _option(default: Any, *constraints: Any) -> Any:
    """Define an option; ``constraints`` are those of scikit-learn's estimators."""
    return field(default=default, metadata={"constraints": list(constraints)})


def _integer(default: int, low: int) -> Any:
    return _option(default, Interval(Integral, low, None, closed="left"))


def _real(default: float, high: float | None, closed: str) -> Any:
    return _option(default, Interval(Real, 0, high, closed=closed))


@dataclass(frozen=True)
class TrainingOptions:
    """The options of both phases of the training.

    Most are parameters of `mne_mc2sleep.MC2SleepClassifier`, which takes their defaults
    and bounds from here. All values are our choice unless the text says otherwise.
    """

    pretrain_train_epochs: int = _integer(20, low=1)
    """Passes over the nights in pretraining, at most."""
    finetune_train_epochs: int | None = _option(
        None, Interval(Integral, 1, None, closed="left"), None
    )
    """Passes over the nights in fine-tuning, at most. None is 20, or 5 for weights that
    were fine-tuned before: on real EEG, more passes moved those too far."""
    batch_size: int = _integer(32, low=1)
    """Sequences in one step (of each process, under torchrun)."""
    learning_rate: float = _real(1e-3, None, "neither")
    """Highest learning rate of AdamW, which rises first and then follows a cosine."""
    weight_decay: float = _real(0.01, None, "left")
    """Weight decay of AdamW, on matrices and kernels only."""
    patience: int = _integer(5, low=1)
    """Passes without a better validation score that end a phase."""
    mask_ratio: float = _real(0.5, 1, "both")
    """Share of the epochs that cross-masking hides; 0.5 in the paper."""
    contrastive_temperature: float = _real(0.1, None, "neither")
    """Temperature of InfoNCE."""
    contrastive_weight: float = _real(0.1, None, "left")
    """Weight of the InfoNCE loss in pretraining."""
    reconstruction_weight: float = _real(0.1, None, "left")
    """Weight of the reconstruction loss in pretraining."""
    validation_fraction: float = _real(0.2, 1, "left")
    """Share of the subjects held out for early stopping and calibration."""
    adaptation: float | str = _option(
        "auto", Interval(Real, 0, 1, closed="both"), StrOptions({"auto"})
    )
    """How far fine-tuning moves weights that could stage before: 1 keeps the fine-tuned
    weights, 0 the earlier ones; "auto" chooses on subjects left out in turn."""
    seed: int = _integer(0, low=0)
    """Seed of everything that is drawn."""
    label_smoothing: float = _real(0.0, 1, "left")
    """Share of each stage that the stage losses spread evenly over all stages."""
    average_decay: float = _real(0.0, 1, "left")
    """If above 0, validate and keep an exponential moving average of the weights with
    this decay per step."""
    precision: str = _option("float32", StrOptions({"float32", "bfloat16"}))
    """Precision of matrix products and convolutions; weights are float32."""

    def __post_init__(self) -> None:
        """Check types and bounds."""
        validate_parameter_constraints(
            self.constraints(), asdict(self), type(self).__name__
        )

    @classmethod
    def constraints(cls) -> dict[str, list]:
        """Return the constraints by name, as scikit-learn's estimators hold them."""
        return {f.name: f.metadata["constraints"] for f in fields(cls)}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> TrainingOptions:
        """Take the options among a classifier's parameters, and draw the seed."""
        seed = check_random_state(parameters["random_state"]).randint(2**31)
        names = {field.name for field in fields(cls)} & parameters.keys()
        return cls(**{name: parameters[name] for name in names} | {"seed": seed})
