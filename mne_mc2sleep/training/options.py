"""The options of the training: the one place of their defaults and bounds."""

from dataclasses import dataclass, field, fields
from numbers import Integral, Real
from typing import Any, Self

from sklearn.utils import check_random_state
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)


def _option(default: Any, *constraints: Any) -> Any:
    """Define an option; ``constraints`` are those of scikit-learn's estimators."""
    return field(default=default, metadata={"constraints": list(constraints)})


def _integer(default: int | None, low: int, *others: Any) -> Any:
    return _option(default, Interval(Integral, low, None, closed="left"), *others)


def _real(default: float | str, high: float | None, closed: str, *others: Any) -> Any:
    return _option(default, Interval(Real, 0, high, closed=closed), *others)


@dataclass(frozen=True)
class TrainingOptions:
    """The options of both phases of the training.

    `mne_mc2sleep.MC2SleepClassifier` describes those that are its parameters, and takes
    their defaults and bounds from here. They are our choice, except for ``mask_ratio``.
    """

    pretrain_train_epochs: int = _integer(20, 1)
    finetune_train_epochs: int | None = _integer(None, 1, None)
    batch_size: int = _integer(32, 1)  #: Sequences in one step of each process.
    learning_rate: float = _real(1e-3, None, "neither")  #: The highest one.
    weight_decay: float = _real(0.01, None, "left")  #: Of matrices and kernels only.
    patience: int = _integer(5, 1)
    mask_ratio: float = _real(0.5, 1, "both")
    contrastive_temperature: float = _real(0.1, None, "neither")
    contrastive_weight: float = _real(0.1, None, "left")
    reconstruction_weight: float = _real(0.1, None, "left")
    validation_fraction: float = _real(0.2, 1, "left")
    adaptation: float | str = _real("auto", 1, "both", StrOptions({"auto"}))
    precision: str = _option("float32", StrOptions({"float32", "bfloat16"}))
    seed: int = _integer(0, 0)  #: Of everything that is drawn.
    #: Share of each stage that the stage losses spread evenly over all stages.
    label_smoothing: float = _real(0.0, 1, "left")
    #: If above 0, a moving average of the weights, with this decay by step, is kept.
    average_decay: float = _real(0.0, 1, "left")

    def __post_init__(self) -> None:
        """Check types and bounds."""
        name = type(self).__name__
        validate_parameter_constraints(self.constraints(), vars(self), name)

    @classmethod
    def constraints(cls) -> dict[str, list]:
        """Return the constraints by name, as scikit-learn's estimators hold them."""
        return {f.name: f.metadata["constraints"] for f in fields(cls)}

    @classmethod
    def from_parameters(cls, parameters: dict[str, Any]) -> Self:
        """Take the options among a classifier's parameters, and draw the seed."""
        seed = check_random_state(parameters["random_state"]).randint(2**31)
        names = {field.name for field in fields(cls)} & parameters.keys()
        return cls(**{name: parameters[name] for name in names} | {"seed": seed})
