"""
Hypnogram to annotations, and MNE's browser
===========================================

View stages beside the EEG, edit them, and use them in MNE.

The night is **simulated**.
"""

import matplotlib.pyplot as plt
import mne

from mne_mc2sleep import (
    MC2SleepClassifier,
    annotations_to_hypnogram,
    hypnogram_to_annotations,
    simulate_night,
)

mne.set_log_level("warning")
# Without this line, MNE uses mne-qt-browser if it is installed.
mne.viz.set_browser_backend("matplotlib")

raw, _ = simulate_night(8 * 3600, random_state=3)
clf = MC2SleepClassifier.from_pretrained()
hypno = clf.predict(raw, picks="EEG Fpz-Cz")

# %%
# One annotation for each run of a stage.

raw.set_annotations(hypnogram_to_annotations(hypno))
raw.annotations.count()

# %%
# Plot five minutes around the first change of stage. Press ``a`` to edit.

change = raw.annotations.onset[1] - raw.annotations.onset[0]
fig = raw.plot(start=max(change - 150, 0), duration=300, scalings={"eeg": 100e-6})

# %%
# Convert the annotations back to a hypnogram.

edited = annotations_to_hypnogram(raw.annotations, scorer="by hand")
edited.hypno.equals(hypno.hypno)

# %%
# The stages are events for MNE, for example for the spectrum of each stage.

stages = ("W", "N1", "N2", "N3", "R")
event_id = {f"Sleep stage {stage}": number for number, stage in enumerate(stages)}
present = {name: i for name, i in event_id.items() if name in raw.annotations.count()}
events, _ = mne.events_from_annotations(raw, present, chunk_duration=30)
epochs = mne.Epochs(raw, events, present, 0, 30 - 1 / raw.info["sfreq"], baseline=None)

fig, ax = plt.subplots(layout="constrained")
for name in present:
    spectrum = epochs[name].compute_psd("welch", fmax=30, n_fft=400, picks="EEG Fpz-Cz")
    ax.semilogy(spectrum.freqs, spectrum.average().get_data()[0] * 1e12, label=name)
ax.set(xlabel="Frequency (Hz)", ylabel="Power density (µV²/Hz)")
_ = ax.legend(frameon=False)
