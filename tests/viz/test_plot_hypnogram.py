"""The picture of a hypnogram."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from yasa import Hypnogram

from mne_mc2sleep.io.hypnograms import make_hypnogram
from mne_mc2sleep.viz import plot_hypnogram
from mne_mc2sleep.viz._style import STAGE_COLORS


def test_the_line_is_that_of_the_stages(hypno):
    """The step line has one level per epoch, and a gap where there is no stage."""
    ax = plot_hypnogram(hypno, show=False).axes[0]
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
    ax = plot_hypnogram(hypno, show=False).axes[1]
    assert ax.get_xlabel() == label
    assert tick in [text.get_text() for text in ax.get_xticklabels()]


def test_the_bands_are_the_probabilities(hypno):
    """One band per column, in the colours of the stages, at the time of the stages."""
    fig = plot_hypnogram(hypno, show=False)
    assert fig.axes[0].get_xlim() == fig.axes[1].get_xlim()
    legend = [text.get_text() for text in fig.axes[1].get_legend().get_texts()]
    assert legend == list(hypno.proba)
    bands = fig.axes[1].collections
    found = [to_hex(band.get_facecolor()[0]).upper() for band in bands]
    assert found == [STAGE_COLORS[stage] for stage in hypno.proba]


def test_axes_can_be_given(hypno):
    fig = Figure()
    axes = fig.subplots(2, 1)
    assert plot_hypnogram(hypno, axes=axes, show=False) is fig
    assert all(ax.has_data() for ax in axes)
    assert plt.get_fignums() == []


def test_a_hypnogram_without_probabilities_is_an_error(stages):
    with pytest.raises(ValueError, match=r"no probabilities to plot"):
        plot_hypnogram(Hypnogram.from_integers(stages), show=False)
