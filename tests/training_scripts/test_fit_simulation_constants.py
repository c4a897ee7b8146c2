"""Test that the constants of simulated nights are reproducible."""

import subprocess
import sys
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from mne_mc2sleep.simulation import constants

ROOT = Path(__file__).parents[2]
NIGHTS = ROOT.parent / "shared" / "data" / "sleep_edf" / "band_power_nights.npz"


@pytest.mark.skipif(not NIGHTS.exists(), reason=f"{NIGHTS} is missing")
def test_constants_are_those_of_the_data():
    script = ROOT / "training_scripts" / "fit_simulation_constants.py"
    output = subprocess.run([sys.executable, script, NIGHTS], capture_output=True)
    made = {}
    exec(output.stdout.decode(), made)
    for name in ("STAGE_MEANS", "STAGE_STDS", "CORRELATIONS", "SUBJECT_STDS"):
        assert_allclose(made[name], getattr(constants, name), atol=0.011)
