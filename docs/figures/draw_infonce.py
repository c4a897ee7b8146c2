"""What InfoNCE attracts and repels: similarities of the epochs of a batch."""

import numpy as np
from matplotlib.figure import Figure


def draw():
    """Draw the figure."""
    fig = Figure(figsize=(4.2, 3.6), layout="constrained")
    ax = fig.subplots()
    ax.imshow(np.eye(6), cmap="Blues", vmin=-0.1, vmax=1.6)
    for row, column in np.ndindex(6, 6):
        text = "attract" if row == column else "repel"
        ax.text(column, row, text, ha="center", va="center", fontsize=8)
    ax.set_xticks(range(6), range(1, 7))
    ax.set_yticks(range(6), range(1, 7))
    ax.set(xlabel="Epoch, seen as spectrogram", ylabel="Epoch, seen as signal")
    return fig
