"""The picture of a training."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mne_mc2sleep.viz import plot_history

NAN = float("nan")


@pytest.fixture
def history():
    """Return three passes of pretraining and two of fine-tuning."""
    return pd.DataFrame(
        {
            "phase": ["Pretraining"] * 3 + ["Fine-tuning"] * 2,
            "train_epoch": [1, 2, 3, 1, 2],
            "loss": [3.0, 2.0, 1.5, 4.0, 3.0],
            "contrastive": [0.5, 0.4, 0.3, NAN, NAN],
            "validation_macro_f1": [0.2, 0.5, 0.4, 0.6, 0.7],
        }
    )


def test_a_line_has_the_values_of_its_column(history):
    """Each column has one entry in the legend; phases are named and separated."""
    ax = plot_history(SimpleNamespace(history_=history), show=False).axes[0]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["loss", "contrastive"]
    (line,) = [line for line in ax.lines if line.get_label() == "contrastive"]
    np.testing.assert_array_equal(line.get_data(), [[1, 2, 3], [0.5, 0.4, 0.3]])
    assert [text.get_text() for text in ax.texts] == ["Pretraining", "Fine-tuning"]
    assert [3.5, 3.5] in [list(line.get_xdata()) for line in ax.lines]


def test_the_best_pass_of_each_stage_is_marked(history):
    ax = plot_history(history, show=False).axes[1]
    dots = [tuple(map(float, np.ravel(d.get_data()))) for d in ax.lines]
    assert {dot for dot in dots if len(dot) == 2} >= {(2.0, 0.5), (5.0, 0.7)}


def test_a_training_without_validation_has_no_best_pass(history):
    history["validation_macro_f1"] = NAN
    ax = plot_history(history, show=False).axes[1]
    assert not [item for item in ax.lines if item.get_marker() == "o"]
    assert ax.get_legend() is None
