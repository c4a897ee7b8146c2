"""Hidden epochs of one modality, recovered from the other."""

from boxes import BLUE, ORANGE, arrow, box, canvas

HIDDEN = (1, 2, 5)


def draw():
    """Draw the figure."""
    fig, ax = canvas(8.4, 3)
    for i in range(7):
        x = 2.1 + 0.95 * i
        text, color = ("?", "white") if i in HIDDEN else (f"{i + 1}", BLUE)
        box(ax, x, 2.4, text, color, 0.8, 0.5)
        box(ax, x, 0.5, f"{i + 1}", ORANGE, 0.8, 0.5)
        if i in HIDDEN:
            for other in range(max(i - 1, 0), min(i + 2, 7)):
                arrow(ax, (2.1 + 0.95 * other, 0.78), (x, 2.12), ":")
    ax.text(0.1, 2.4, "signal,\nhalf hidden", va="center")
    ax.text(0.1, 0.5, "spectrogram,\nintact", va="center")
    ax.text(0.1, 1.45, "cross-\nattention", va="center")
    return fig
