"""
Look inside the network
=======================

Plot the embeddings of both modalities, their cross-attention, the reconstruction of
hidden epochs, and the F1 of each modality. The night is **simulated**.
"""

import matplotlib.pyplot as plt
import mne
import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA

from mne_mc2sleep import (
    MC2SleepClassifier,
    attention_maps,
    plot_attention,
    score_stages,
    simulate_night,
)
from mne_mc2sleep.data.reading import read_channel
from mne_mc2sleep.inference.sliding_window import encode_epochs
from mne_mc2sleep.network import Embeddings
from mne_mc2sleep.network.masking import draw_mask

mne.set_log_level("warning")
CHANNEL = "EEG Fpz-Cz"
FIRST_EPOCH = 435  # of a sequence that holds all stages

raw, scored = simulate_night(8 * 3600, random_state=0)
stages = scored.as_int().to_numpy()
clf = MC2SleepClassifier.from_pretrained()

# %%
# Embeddings
# ----------
# The CNN embeds the signal of each epoch, the Transformer its spectrogram; the figure
# shows two principal components.

net = clf.stager_.net
recording = read_channel(raw, CHANNEL, clf.stager_.scaling)
encoded = encode_epochs(net, recording.signals)  # (n_epochs, 2, width)

fig, axes = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
for ax, embeddings, name in zip(
    axes, encoded.unbind(dim=1), ("signal", "spectrogram"), strict=True
):
    points = PCA(2).fit_transform(embeddings)
    for index, stage in enumerate(clf.classes_):
        ax.scatter(*points[stages == index].T, 8, f"C{index}", label=stage)
    ax.set(title=f"Embeddings of the {name}", xticks=[], yticks=[])
_ = axes[1].legend(bbox_to_anchor=(1, 1), frameon=False, markerscale=2)

# %%
# Cross-attention
# ---------------
# Each epoch of one modality attends to all epochs of the other one in the sequence.

maps = attention_maps(clf, raw, first_epoch=FIRST_EPOCH, picks=CHANNEL)
fig = plot_attention(maps, scored)

# %%
# Reconstruction of hidden epochs
# -------------------------------
# As in pretraining, half of the epochs of the signal are hidden (top). Below: the
# distance of each reconstructed embedding from the hidden one. The dashed line is the
# distance between two different epochs.

length = net.config.sequence_length
sequence = Embeddings(*encoded[FIRST_EPOCH : FIRST_EPOCH + length][None].unbind(dim=2))
torch.manual_seed(0)
mask = draw_mask(torch.ones(1, length, dtype=torch.bool), mask_ratio=0.5)
nothing = torch.zeros_like(mask)
with torch.inference_mode():
    recovered = net.recover(sequence, Embeddings(mask, nothing)).signal[0]
hidden = sequence.signal[0]
distance = (recovered - hidden).abs().mean(dim=1).numpy()
different = torch.cdist(hidden, hidden, p=1).mean() / hidden.shape[1]

fig, axes = plt.subplots(2, figsize=(10, 4), layout="constrained", sharex=True)
epochs = FIRST_EPOCH + np.arange(length)
masks = np.vstack([mask.numpy(), nothing.numpy()])
axes[0].pcolormesh(epochs, [0, 1], masks, cmap="Greys", edgecolors="0.8")
axes[0].set(yticks=[0, 1], yticklabels=["signal", "spectrogram"], title="Hidden epochs")
axes[0].invert_yaxis()
axes[1].bar(epochs[mask[0].numpy()], distance[mask[0].numpy()])
axes[1].axhline(different.item(), color="black", linestyle="--")
_ = axes[1].set(xlabel="Epoch", ylabel="Distance (L1)")

# %%
# Scores of each modality
# -----------------------
# The network stages by both modalities and by each, with and without cross-attention.
# F1 of each stage, over the windows of the whole night:

n_windows = len(encoded) // length
n_epochs = n_windows * length
windows = Embeddings(*encoded[:n_epochs].unflatten(0, (n_windows, length)).unbind(2))
with torch.inference_mode():
    together = net.stage(net.contextualize(windows))
    alone = net.stage(net.contextualize(windows, cross_attention=False))
logits = {
    "both": together.total,
    "signal, with cross-attention": together.signal,
    "spectrogram, with cross-attention": together.spectrogram,
    "signal alone": alone.signal,
    "spectrogram alone": alone.spectrogram,
}
scores = pd.DataFrame(
    {
        name: score_stages(stages[:n_epochs], values.argmax(-1).flatten().numpy())
        for name, values in logits.items()
    }
)
f1 = scores.loc[[f"f1_{stage}" for stage in clf.classes_]].set_axis(clf.classes_)

fig, ax = plt.subplots(figsize=(10, 4), layout="constrained")
f1.plot.bar(ax=ax, rot=0, ylabel="F1", colormap="cividis")
_ = ax.legend(bbox_to_anchor=(1, 1), frameon=False)
