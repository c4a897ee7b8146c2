"""The picture of a hypnogram."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from types import SimpleNamespace

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


def test_the_clock_is_that_of_the_recorder(proba):
    """Without a start, hours count from 0."""
    start = datetime(2024, 1, 1, 22, 58, tzinfo=UTC)
    usable = np.ones(len(proba), dtype=bool)
    for hypno, name in (
        (make_hypnogram(proba, usable, start), "Clock of the recorder"),
        (make_hypnogram(proba, usable), "Time (h)"),
    ):
        ax = plot_hypnogram(hypno, show=False).axes[1]
        assert ax.get_xlabel() == name
    ax = plot_hypnogram(make_hypnogram(proba, usable, start), show=False).axes[1]
    assert "23:00" in [label.get_text() for label in ax.get_xticklabels()]


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
    """It draws into a figure of the user's, outside pyplot if need be."""
    fig = Figure()
    axes = fig.subplots(2, 1)
    assert plot_hypnogram(hypno, axes=axes, show=False) is fig
    assert all(ax.has_data() for ax in axes)
    assert plt.get_fignums() == []


def test_a_notebook_displays_the_figure_once(hypno, monkeypatch):
    """Not again as the value of the cell, but as that of a later cell."""
    displayed = []
    shell = SimpleNamespace(execution_count=1)
    notebook = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    display = SimpleNamespace(display=displayed.append)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(plt, "show", lambda: None)
    monkeypatch.setattr(plt, "get_backend", lambda: "module://matplotlib_inline")
    fig = plot_hypnogram(hypno)
    fig._ipython_display_()
    assert displayed == []
    shell.execution_count = 2
    fig._ipython_display_()
    assert displayed == [fig]
    assert not hasattr(fig, "_ipython_display_")


def test_a_hypnogram_without_probabilities_is_an_error(stages):
    """There is no hypnodensity to draw."""
    with pytest.raises(ValueError, match=r"no probabilities to plot"):
        plot_hypnogram(Hypnogram.from_integers(stages), show=False)


@pytest.mark.parametrize("n_axes", [1, 3])
def test_other_than_two_axes_are_an_error(hypno, n_axes):
    """There are two pictures."""
    axes = Figure().subplots(n_axes, squeeze=False)[:, 0]
    with pytest.raises(ValueError, match=f"'axes' must be 2 axes, got {n_axes}"):
        plot_hypnogram(hypno, axes=axes, show=False)
