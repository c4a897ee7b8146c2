"""One epoch, looked at by the two backbones."""

from boxes import BLUE, ORANGE, arrow, box, canvas


def draw():
    """Draw the figure."""
    fig, ax = canvas(8.4, 2.6)
    box(ax, 1, 1.3, "30 s of EEG\n3000 samples, µV")
    rows = (
        (1.9, BLUE, "raw signal", "CNN backbone", "embedding\nof the signal"),
        (
            0.7,
            ORANGE,
            "spectrogram\n29 × 128",
            "Transformer\nbackbone",
            "embedding of\nthe spectrogram",
        ),
    )
    for y, color, seen, backbone, embedding in rows:
        arrow(ax, (1.85, 1.3), (2.35, y))
        for x, text in ((3.2, seen), (5.3, backbone), (7.4, embedding)):
            box(ax, x, y, text, color)
        arrow(ax, (4.05, y), (4.45, y))
        arrow(ax, (6.15, y), (6.55, y))
    return fig
