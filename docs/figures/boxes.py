"""Boxes and arrows, of which the figures are made."""

from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#56B4E9", "#E69F00", "#009E73", "#CCCCCC"


def canvas(width, height):
    """Return a figure and its one axes, in inches, without a frame."""
    fig = Figure(figsize=(width, height))
    ax = fig.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.axis("off")
    return fig, ax


def box(ax, x, y, text, color=GREY, width=1.7, height=0.7):
    """Draw a box with a text; x and y are its centre."""
    bbox = (x - width / 2, y - height / 2)
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle(bbox, width, height, fc=color, ec="black", alpha=0.8))
    ax.text(x, y, text, ha="center", va="center", fontsize=11)


def arrow(ax, start, end, style="-"):
    """Draw an arrow."""
    line = {"arrowstyle": "->", "linestyle": style, "linewidth": 1.3}
    ax.annotate("", end, start, arrowprops=line)
