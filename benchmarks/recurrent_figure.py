"""Draws the two recursions that docs/derivations.md derives, forward and backward.

python -m benchmarks.recurrent_figure --output=docs/recursions.svg
"""

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "recursions", "mathtext.fontset": "cm"}

from absl import app, flags  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402

_OUTPUT = flags.DEFINE_string("output", "recursions.svg", "Where to write the figure.")

FORWARD, BACKWARD, BOX = "#1f4e79", "#b03a2e", "#f3f3f0"
# Columns: where each step stands, and what it is called.
STEPS = ((2.0, "t-1"), (6.0, "t"), (10.0, "t+1"))


def main(_):
    """Runs the command."""
    figure, rows = plt.subplots(2, 1, figsize=(9, 7.2))
    draw_forward(rows[0])
    draw_backward(rows[1])
    figure.tight_layout()
    figure.savefig(_OUTPUT.value, metadata={"Date": None})


def draw_forward(axes):
    """Draws h, c and x through three steps of an LSTM."""
    prepare(axes, "Forward: the states run through the steps")
    for x, t in STEPS:
        box(axes, x, f"step ${t}$")
        arrow(axes, (x, 0.2), (x, 1.2), FORWARD, rf"$x_{{{t}}} W$", (0.15, -0.2))
        arrow(axes, (x, 3.2), (x, 4.2), FORWARD, rf"$h_{{{t}}} \to L$", (0.15, 0.1))
    for x, t in ((-1.0, "t-2"), (3.0, "t-1"), (7.0, "t"), (11.0, "t+1")):
        start, end = max(x, -0.6), min(x + 2, 12.6)
        arrow(axes, (start, 2.6), (end, 2.6), FORWARD, rf"$h_{{{t}}} U$", (0, 0.12))
        arrow(axes, (start, 1.8), (end, 1.8), FORWARD, rf"$c_{{{t}}} * f$", (0, -0.38))


def draw_backward(axes):
    """Draws δ, γ and ∂a back through the same steps."""
    prepare(axes, "Backward: the gradients run back, and add up at what is used twice")
    for x, t in STEPS:
        box(
            axes,
            x,
            rf"$\partial a_{{{t}}}$ from" + f"\n$\\delta_{{{t}}}, \\gamma_{{{t}}}$",
        )
        label = rf"$\partial L / \partial h_{{{t}}}$"
        arrow(axes, (x, 4.2), (x, 3.2), BACKWARD, label, (0.15, 0.1))
        label = rf"$\partial a_{{{t}}} W^\top \to \partial x_{{{t}}}$"
        arrow(axes, (x, 1.2), (x, 0.2), BACKWARD, label, (0.15, -0.25))
    for x, t in ((1.0, "t-1"), (5.0, "t"), (9.0, "t+1"), (13.0, "t+2")):
        start, end = min(x, 12.6), max(x - 2, -0.6)
        label = rf"$\partial a_{{{t}}} U^\top$"
        arrow(axes, (start, 2.6), (end, 2.6), BACKWARD, label, (0, 0.12))
        label = rf"$\gamma_{{{t}}} * f_{{{t}}}$"
        arrow(axes, (start, 1.8), (end, 1.8), BACKWARD, label, (0, -0.38))


def prepare(axes, title):
    """Sets the limits and the title of a row."""
    axes.set(xlim=(-1, 13), ylim=(0, 4.6))
    axes.set_title(title, loc="left", fontsize=12)
    axes.axis("off")


def box(axes, x, text):
    """Draws a step around x."""
    style = {"facecolor": BOX, "edgecolor": "#444444", "linewidth": 1.0}
    axes.add_patch(plt.Rectangle((x - 1, 1.2), 2, 2, **style))
    axes.text(x, 2.2, text, ha="center", va="center", fontsize=11)


def arrow(axes, start, end, colour, text, offset):
    """Draws an arrow with its text beside the middle."""
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.4}
    )
    x, y = ((a + b) / 2 + o for a, b, o in zip(start, end, offset, strict=True))
    upright = start[0] == end[0]
    axes.text(x, y, text, color=colour, fontsize=10, ha="left" if upright else "center")


if __name__ == "__main__":
    app.run(main)
