"""Print a profile of staging a file of 8 h once more; run it with OMP_NUM_THREADS=1."""

import cProfile
import pstats
import tempfile

from common import make_night, write_edf

from mne_mc2sleep import MC2SleepClassifier

with tempfile.TemporaryDirectory() as folder:
    fname = f"{folder}/night.edf"
    write_edf(fname, make_night(8.0)[0])
    clf = MC2SleepClassifier.from_pretrained()
    clf.predict(fname)
    profile = cProfile.Profile()
    profile.runcall(clf.predict, fname)
pstats.Stats(profile).sort_stats("cumtime").print_stats("mne_mc2sleep")
