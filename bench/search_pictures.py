"""The pictures of the searches: the README's, and every method's curves, problem by problem.

    python bench/search_pictures.py

Reads the results of `bench/search/run.py` and draws validation accuracy against what is kept: of
the weights, and of the multiply-accumulates. The restricted base's accuracy is a line.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tables import CURVES, PICTURE, RESULTS, ROOT

from seam.reporting.chart import upper_edge
from seam.reporting.plots import BLUE, GREY, INK, ORANGE

Run = Mapping[str, Any]
TITLES = {
    "paper": "published search (paper)",
    "bitmask": "values stay (bitmask)",
    "default": "seam's search (default)",
}
COLOURS = {"paper": ORANGE, "bitmask": GREY, "default": BLUE}
OTHERS = ("#2a9d5c", "#8e5ea2", "#c0392b", "#7f5539", "#d4a017", "#17a2b8", "#e377c2", "#606c38")
AXES = {
    "density": "density: kept share of the maskable weights, %",
    "macs": "non-zero multiply-accumulates, % of the base's",
}
TICKS = (1, 2, 5, 10, 20, 50, 100)
ENOUGH = 3
"""Methods without which a problem's curves are no comparison."""


def readme(runs: Sequence[Run], problem: str, images: int, file: Path) -> None:
    """One problem's three presets: each seed's points, small, and its frontier, joined."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.2), dpi=130, layout="constrained")
    axes = figure.subplots()
    mine = [run for run in _of(runs, problem, images) if run["method"] in TITLES]
    _draw(axes, mine, "density", TITLES)
    axes.set_xlabel(f"{AXES['density']} (log scale)")
    axes.legend(frameon=False, loc="lower right", fontsize=9)
    _write(figure, file)


def curves(runs: Sequence[Run], file: Path) -> None:
    """A row a problem that several methods were tried on, and both ways to count what is kept."""
    from matplotlib.figure import Figure

    problems = sorted({(run["problem"], run["samples"]["train"]) for run in runs})
    whole = [run for run in runs if not run["method"].startswith("default, ")]
    rows = [mine for key in problems if len(_methods(mine := _of(whole, *key))) >= ENOUGH]
    figure = Figure(figsize=(10, 3.4 * len(rows)), dpi=110, layout="constrained")
    grid = figure.subplots(len(rows), len(AXES), squeeze=False, sharey="row")
    for line, mine in zip(grid, rows, strict=True):
        for axes, (size, title) in zip(line, AXES.items(), strict=True):
            _draw(axes, mine, size, {name: name for name in _methods(mine)})
            axes.set_xlabel(title, fontsize=8)
        line[-1].set_ylabel("")
        line[-1].legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    _write(figure, file)


def _draw(axes: Any, runs: Sequence[Run], size: str, titles: Mapping[str, str]) -> None:
    others = iter(OTHERS * 2)
    for method, title in titles.items():
        mine = [run for run in runs if run["method"] == method]
        colour = COLOURS.get(method) or next(others)
        for run in mine:
            axes.scatter(*_shares(run["points"], size), s=7, color=colour, alpha=0.4, linewidths=0)
            best = _shares(upper_edge(run["points"], size), size)
            axes.plot(*best, marker="o", markersize=3.5, linewidth=1, color=colour)
        if mine:
            seeds = ", ".join(str(run["seed"]) for run in mine)
            name = f"{title}, seed{'s' * (len(mine) > 1)} {seeds}"
            axes.plot([], [], marker="o", color=colour, label=name)
    bars = [run["validation"]["restricted"] for run in runs]
    axes.axhspan(100 * min(bars), 100 * max(bars), color=INK, alpha=0.1, linewidth=0)
    mean = 100 * sum(bars) / len(bars)
    axes.axhline(mean, color=INK, linewidth=1, linestyle="--", label="restricted base")
    samples = runs[0]["samples"]
    axes.set_xscale("log")
    axes.set_ylabel(f"validation accuracy, % (n = {samples['validation']:,})", fontsize=9)
    title = f"{runs[0]['problem']}, {samples['train']:,} training images"
    axes.set_title(title, fontsize=10, loc="left")
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(lambda _value, _: "")
    axes.grid(alpha=0.25)


def _of(runs: Sequence[Run], problem: str, images: int) -> list[Run]:
    return [r for r in runs if (r["problem"], r["samples"]["train"]) == (problem, images)]


def _methods(runs: Sequence[Run]) -> list[str]:
    """The presets first, then the others by name."""
    found = {run["method"] for run in runs}
    return [*(name for name in TITLES if name in found), *sorted(found - TITLES.keys())]


def _shares(points: Sequence[Mapping[str, Any]], size: str) -> tuple[list[float], list[float]]:
    """What is kept, and accuracies, in %."""
    return [100 * row[size] for row in points], [100 * row["validation_accuracy"] for row in points]


def _write(figure: Any, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", default="resnet20/airplane", help="of the README's picture")
    parser.add_argument("--images", type=int, default=1800, help="training images of its runs")
    parser.add_argument("--runs", type=Path, default=ROOT / RESULTS / "search")
    parser.add_argument("--out", type=Path, default=ROOT, help="root of the documents")
    args = parser.parse_args()
    runs = [json.loads(file.read_text()) for file in sorted(args.runs.glob("*.json"))]
    if not _of(runs, args.problem, args.images):
        parser.error(f"no run of '{args.problem}' in {args.runs}; run bench/search/run.py")
    readme(runs, args.problem, args.images, args.out / PICTURE)
    curves(runs, args.out / CURVES)


if __name__ == "__main__":
    main()
