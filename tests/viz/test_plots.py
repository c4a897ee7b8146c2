"""The pictures of hypnograms, agreement, trainings and attention."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from yasa import Hypnogram

from mne_mc2sleep import viz
from mne_mc2sleep.inference.attention import AttentionMaps
from mne_mc2sleep.io.hypnograms import make_hypnogram
from mne_mc2sleep.metrics import reliability_bins, risk_coverage
from mne_mc2sleep.viz._style import STAGE_COLORS


def test_the_line_is_that_of_the_stages(hypno):
    """The hypnogram is a step line with a gap at unscored epochs."""
    ax = viz.plot_hypnogram(hypno, show=False).axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    names = dict(zip(ax.get_yticks(), labels, strict=True))
    levels, _, _ = ax.patches[0].get_data()
    found = [names.get(level, "UNS") for level in levels]
    assert found == list(hypno.hypno)


@pytest.mark.parametrize(
    ("start", "label", "tick"),
    [
        (datetime(2024, 1, 1, 22, 58, tzinfo=UTC), "Clock of the recorder", "23:00"),
        (None, "Time (h:min)", "00:01"),
    ],
)
def test_the_clock_is_that_of_the_recorder(proba, start, label, tick):
    """Without a start, the clock starts at 0."""
    hypno = make_hypnogram(proba, np.ones(len(proba), dtype=bool), start)
    ax = viz.plot_hypnogram(hypno, show=False).axes[1]
    assert ax.get_xlabel() == label
    assert tick in [text.get_text() for text in ax.get_xticklabels()]


def test_the_bands_are_the_probabilities(hypno):
    """One band per column, in the colours of the stages, at the time of the stages."""
    fig = viz.plot_hypnogram(hypno, show=False)
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()
    legend = [text.get_text() for text in fig.axes[1].get_legend().get_texts()]
    assert legend == list(hypno.proba)
    bands = fig.axes[1].collections
    found = [to_hex(band.get_facecolor()[0]).upper() for band in bands]
    assert found == [STAGE_COLORS[stage] for stage in hypno.proba]


def test_axes_can_be_given(hypno):
    fig = Figure()
    axes = fig.subplots(2, 1)
    assert viz.plot_hypnogram(hypno, axes=axes, show=False) is fig
    assert all(ax.has_data() for ax in axes)
    assert plt.get_fignums() == []


def test_a_hypnogram_without_probabilities_is_an_error(stages):
    with pytest.raises(ValueError, match=r"no probabilities \('proba'\)"):
        viz.plot_hypnogram(Hypnogram.from_integers(stages), show=False)


def test_a_cell_has_the_share_of_its_row_and_the_count():
    """Of three epochs of N2 two are found; an unscored epoch does not count."""
    stages = [0, 2, 2, 2, -1], [0, 2, 2, 3, 0]
    ax = viz.plot_confusion_matrix(*stages, show=False).axes[0]
    texts = [text.get_text() for text in ax.texts[10:15]]
    assert texts == ["0 %\n0", "0 %\n0", "67 %\n2", "33 %\n1", "0 %\n0"]
    shares = ax.images[0].get_array()
    np.testing.assert_allclose(shares[2], [0, 0, 200 / 3, 100 / 3, 0])
    np.testing.assert_array_equal(shares[4], 0)
    assert ax.get_title() == "4 epochs, accuracy 75.0%, kappa 0.56"


def test_a_hypnogram_is_compared_by_position(hypno, stages):
    """Its start does not matter, and epochs without EEG do not count."""
    other = Hypnogram.from_integers(stages, start="2024-01-01 22:00")
    fig = viz.plot_confusion_matrix(other, hypno, show=False)
    assert fig.axes[0].get_title().startswith("9 epochs, accuracy 100.0%")


@pytest.fixture
def drawn():
    """Return random probabilities, and stages that have little to do with them."""
    rng = np.random.default_rng(0)
    return rng.dirichlet(np.full(5, 0.4), size=200), rng.integers(-1, 5, size=200)


def test_the_reliability_curve_is_that_of_the_bins(drawn):
    """Without the empty ones; the epochs of all bins are below."""
    above, below = viz.plot_reliability(*drawn, n_bins=10, show=False).axes
    counts, edges, _ = below.patches[0].get_data()
    bins = reliability_bins(*drawn, n_bins=10)
    np.testing.assert_array_equal(counts, bins["n_epochs"])
    np.testing.assert_allclose(edges, np.linspace(0, 1, 11))
    bins = bins.dropna()
    np.testing.assert_array_equal(above.lines[1].get_xdata(), bins["confidence"])
    np.testing.assert_array_equal(above.lines[1].get_ydata(), bins["accuracy"])
    # The area of a marker is the weight of its bin.
    areas, n_epochs = above.collections[-1].get_sizes(), bins["n_epochs"]
    np.testing.assert_allclose(areas / areas.max(), n_epochs / n_epochs.max())


def test_the_share_left_to_a_human_is_what_is_not_covered(drawn):
    ax = viz.plot_risk_coverage(*drawn, show=False).axes[0]
    curve = risk_coverage(*drawn)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), 100 - 100 * curve["coverage"])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), 100 * curve["accuracy"])


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
    ax = viz.plot_history(SimpleNamespace(history_=history), show=False).axes[0]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["loss", "contrastive"]
    (line,) = [line for line in ax.lines if line.get_label() == "contrastive"]
    np.testing.assert_array_equal(line.get_data(), [[1, 2, 3], [0.5, 0.4, 0.3]])
    assert [text.get_text() for text in ax.texts] == ["Pretraining", "Fine-tuning"]
    assert [3.5, 3.5] in [list(line.get_xdata()) for line in ax.lines]


def test_the_best_pass_of_each_stage_is_marked(history):
    """Without validation, no pass is the best."""
    ax = viz.plot_history(history, show=False).axes[1]
    dots = [tuple(map(float, np.ravel(d.get_data()))) for d in ax.lines]
    assert {dot for dot in dots if len(dot) == 2} >= {(2.0, 0.5), (5.0, 0.7)}
    history["validation_macro_f1"] = NAN
    ax = viz.plot_history(history, show=False).axes[1]
    assert not [item for item in ax.lines if item.get_marker() == "o"]
    assert ax.get_legend() is None


@pytest.fixture
def maps():
    """Return the maps of four epochs, two layers and three heads."""
    rng = np.random.default_rng(0)
    signal, spectrogram = rng.dirichlet(np.ones(4), size=(2, 2, 3, 4))
    return AttentionMaps(signal, spectrogram, first_epoch=2)


def test_the_picture_is_the_mean_over_layers_and_heads(maps):
    axes = viz.plot_attention(maps, show=False).axes
    for ax, layers in zip(axes, maps[:2], strict=False):
        np.testing.assert_allclose(ax.images[0].get_array(), layers.mean(axis=(0, 1)))


def test_epochs_are_named_by_their_stage(maps, hypno):
    ax = viz.plot_attention(maps, hypno, show=False).axes[0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["2 N1", "3 UNS", "4 N2", "5 N3"]


def test_a_hypnogram_that_is_too_short_is_an_error(maps, hypno):
    with pytest.raises(ValueError, match="has 10 epochs, but the sequence ends with"):
        viz.plot_attention(maps._replace(first_epoch=7), hypno, show=False)
