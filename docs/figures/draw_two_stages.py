"""What learns in each of the two stages of the training."""

from boxes import GREEN, GREY, arrow, box, canvas


def draw():
    """Draw the figure."""
    fig, ax = canvas(8.4, 3.2)
    rows = ((2.3, "1 Pretraining", GREEN), (0.7, "2 Fine-tuning", GREY))
    losses = ("InfoNCE\ncross-masking\nstages, if any", "stages: five\nsets of logits")
    for (y, name, color), loss in zip(rows, losses, strict=True):
        ax.text(0.1, y, name, va="center", weight="bold")
        box(ax, 2.5, y, "backbones" + ("\n(frozen)" if color == GREY else ""), color)
        box(ax, 4.8, y, "sequence level\nand heads", GREEN)
        box(ax, 7.2, y, loss, "white", 2, 0.9)
        arrow(ax, (3.35, y), (3.95, y))
        arrow(ax, (5.65, y), (6.2, y))
    ax.text(0.1, 0.1, "green: learns; grey: does not", fontsize=9)
    return fig
