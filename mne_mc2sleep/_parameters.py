"""What the parameters of MC2SleepClassifier may be, for scikit-learn's validation."""

from __future__ import annotations

from numbers import Integral, Real

from sklearn.utils._param_validation import Interval, StrOptions

PARAMETER_CONSTRAINTS = {
    "picks": [str, list, tuple, None],
    "size": [StrOptions({"small", "base"})],
    "sequence_length": [Interval(Integral, 1, None, closed="left")],
    "scaling": [StrOptions({"robust"}), None],
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
