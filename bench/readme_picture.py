"""The README's picture: what some searches reach on ResNet-20, airplane or not.

Reads results of `bench/search/run.py` and draws validation accuracy against density, with the
restricted base's as a line.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tables import PICTURE, RESULTS, ROOT

from seam.reporting.plots import BLUE, GREY, INK, ORANGE
from seam.search.frontier import Point, staircase

STYLES = {
    "paper": (ORANGE, "published search (paper)"),
    "bitmask": (GREY, "values stay (bitmask)"),
    "default": (BLUE, "seam's search (default)"),
}


def draw(runs: Sequence[Mapping[str, Any]], file: Path) -> None:
    """Each seed's points, small, and its frontier, joined."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots()
    fields = Point.__dataclass_fields__
    for method, (colour, title) in STYLES.items():
        mine = [run for run in runs if run["method"] == method]
        for run in mine:
            points = [
                Point(**{key: row[key] for key in fields if key in row}) for row in run["points"]
            ]
            best = staircase(points)
            axes.scatter(*curve(points), s=7, color=colour, alpha=0.4, linewidths=0)
            axes.plot(*curve(best), marker="o", markersize=3.5, linewidth=1, color=colour)
        if mine:
            seeds = ", ".join(str(run["seed"]) for run in mine)
            axes.plot([], [], marker="o", color=colour, label=f"{title}, seeds {seeds}")
    bars = [run["validation"]["restricted"] for run in runs]
    axes.axhspan(100 * min(bars), 100 * max(bars), color=INK, alpha=0.1, linewidth=0)
    axes.axhline(
        100 * sum(bars) / len(bars), color=INK, linewidth=1, linestyle="--", label="restricted base"
    )
    count = runs[0]["samples"]["validation"]
    axes.set_xscale("log")
    axes.set_xlabel("density: kept share of the maskable weights, % (log scale)")
    axes.set_ylabel(f"validation accuracy, % (n = {count:,})")
    title = f"{runs[0]['problem']}, {runs[0]['samples']['train']:,} training images"
    axes.set_title(title, fontsize=10, loc="left")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Software": None})


def curve(points: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Densities and accuracies, in %."""
    return [100 * p.density for p in points], [100 * p.validation_accuracy for p in points]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="resnet20/airplane")
    parser.add_argument("--images", type=int, default=1800, help="training images of the runs")
    parser.add_argument("--runs", type=Path, default=ROOT / RESULTS / "search")
    parser.add_argument("--out", type=Path, default=ROOT / PICTURE)
    args = parser.parse_args()
    runs = [json.loads(file.read_text()) for file in sorted(args.runs.glob("*.json"))]
    images = args.images
    runs = [r for r in runs if (r["problem"], r["samples"]["train"]) == (args.problem, images)]
    if not runs:
        parser.error(f"no run of '{args.problem}' in {args.runs}; run bench/search/run.py")
    draw(runs, args.out)


if __name__ == "__main__":
    main()
