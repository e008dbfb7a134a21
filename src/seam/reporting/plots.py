"""Pictures of a run: the frontier, and images that two methods disagree about."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seam.artefacts.atomic import write_bytes
from seam.reporting.chart import Axis, upper_edge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, BLUE, ORANGE, GREY = "#1b1f24", "#1f6feb", "#d9480f", "#8b949e"


def frontier_plot(
    report: Mapping[str, Any], history: Sequence[Mapping[str, Any]], file: Path
) -> None:
    """Validation accuracy against density: points, frontier, the picked one, and the base."""
    save_figure(frontier_figure(report, history), file)


def frontier_figure(report: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Figure:
    """The figure of `frontier_plot`."""
    figure = new_figure(7.2, 4.4)
    axes = figure.subplots()
    edge = upper_edge(report["frontier"], "density")
    axes.scatter(
        [100 * row["density"] for row in history],
        [100 * row["validation_accuracy"] for row in history],
        s=18,
        color=GREY,
        label="visited",
        zorder=2,
    )
    axes.plot(
        [100 * row["density"] for row in edge],
        [100 * row["validation_accuracy"] for row in edge],
        color=BLUE,
        zorder=3,
    )
    axes.scatter(
        [100 * row["density"] for row in report["frontier"]],
        [100 * row["validation_accuracy"] for row in report["frontier"]],
        s=25,
        color=BLUE,
        label="frontier",
        zorder=3,
    )
    chosen = next(row for row in report["frontier"] if row["epoch"] == report["picked"]["epoch"])
    axes.scatter(
        [100 * chosen["density"]],
        [100 * chosen["validation_accuracy"]],
        s=130,
        facecolors="none",
        edgecolors=ORANGE,
        linewidths=2,
        label=f"picked: {100 * chosen['density']:.1f} % kept",
        zorder=4,
    )
    reference = report.get("reference", "restricted")
    height, name = 100 * report["validation"][reference], reference.replace("_", " ")
    axes.axhline(height, color=INK, linewidth=1, linestyle="--", label=f"{name} base")
    across = Axis.around([100 * row["density"] for row in history], log=True)
    axes.set_xscale("log")
    axes.set_xlim(across.low, across.high)
    texts = [text for text, _ in across.ticks()]
    axes.set_xticks([float(text) for text in texts], texts)
    axes.set_xticks([], minor=True)
    axes.set_xlabel("density: kept share of the maskable weights, % (log scale)")
    axes.set_ylabel("validation accuracy, %")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="best")
    return figure


def disagreements(
    images: NDArray[np.uint8],
    truth: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    *,
    title: str,
    file: Path,
) -> None:
    """A sheet of images (n, H, W) or (n, H, W, 3) with the true label and two predictions each."""
    columns = max(4, min(6, len(images)))  # four are wide enough for the title
    rows = max(1, -(-len(images) // columns))
    figure = new_figure(1.6 * columns + 0.4, 2.1 * rows + 0.6)
    figure.suptitle(title, fontsize=10, color=INK)
    grid = figure.subplots(rows, columns, squeeze=False)
    for place, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if place < len(images):
            axes.imshow(images[place], cmap="gray", interpolation="nearest")
            axes.set_title(
                f"is {truth[place]}\nbase: {before[place]}\nresult: {after[place]}",
                fontsize=7,
                color=INK,
                parse_math=False,
            )
    if not len(images):
        grid[0, 0].text(0.5, 0.5, "none", ha="center", va="center", color=GREY)
    save_figure(figure, file)


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches that needs no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, file: Path) -> None:
    """Drawn in memory, then written whole or not at all."""
    write_bytes(file, png(figure))


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
