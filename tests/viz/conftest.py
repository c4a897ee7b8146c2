"""What the tests of plots share: no screen, a hypnogram, probabilities."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from mne_mc2sleep.io.hypnograms import make_hypnogram

STAGES = np.array([0, 0, 1, 2, 2, 3, 3, 2, 4, 4])


mpl.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture
def stages():
    return STAGES.copy()


@pytest.fixture
def proba():
    """Return probabilities that give each epoch its stage with 0.8."""
    proba = np.full((STAGES.size, 5), 0.05)
    proba[np.arange(STAGES.size), STAGES] = 0.8
    return proba


@pytest.fixture
def hypno(proba):
    """Return a hypnogram of which one epoch holds no EEG."""
    return make_hypnogram(proba, np.arange(STAGES.size) != 3)
