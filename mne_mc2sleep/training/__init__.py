"""Pretraining and fine-tuning of MC2SleepNet."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submod_attrs={
        "options": ["TrainingOptions"],
        "phases": ["Finetuning", "Phase", "Pretraining", "fit_input_statistics"],
        "trainer": ["logger", "seeded", "train"],
    },
)
