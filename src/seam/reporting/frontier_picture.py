"""The frontier of a run, or of several, as a picture to choose a point in."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from seam.reporting.chart import Axis, upper_edge
from seam.reporting.words import percent, points_of

COSTS = {
    "density": "kept share of the maskable weights",
    "macs": "multiply-accumulates left, share of the base's",
    "both": "multiply-accumulates, share of the base's: left (channels), or not 0 (weights)",
    "latency": "predicted time, share of the base's",
}
"""What a frontier's points are drawn against."""
FEW = 3
"""A frontier of fewer points says little without the others that were visited."""
SERIES = 6
"""So many runs can be told apart by colour and shape."""


def frontier_picture(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The frontiers of runs (as `seam.jobs.report.gather` gives them) in one picture.

    None where none of them has a point. ``series`` holds, for each run, its ``points`` to choose,
    the ``edge`` that joins the best, the points ``visited``, and the ``reference`` line; all places
    are per cents of the picture's width, and of its height from below.
    """
    shown = [each for each in documents if each["frontier"]]
    if not shown:
        return None
    cost = _cost(shown)
    bars = [bar for each in shown if (bar := _bar(each)) is not None]
    rows = [row for each in shown for row in _in_sight(each, len(shown))]
    x = Axis.around([100 * row[cost] for row in rows], log=True, margin=0.06)
    y = Axis.around([100 * row["validation_accuracy"] for row in rows] + [bar for _, bar in bars])
    series = [_series(each, number, cost, x, y) for number, each in enumerate(shown)]
    points = [point for each in series for point in each["points"]]
    return {
        "cost": COSTS["both" if cost == "macs" and len(_granularities(shown)) > 1 else cost],
        "x_ticks": x.ticks(),
        "y_ticks": y.ticks(),
        "series": series,
        "chosen": next((each for each in points if each["is_picked"]), points[0]),
        "several": len(documents) > 1,
        "left_out": series[0]["left_out"] if len(documents) == 1 else 0,
    }


def _in_sight(document: Mapping[str, Any], runs: int) -> Sequence[Mapping[str, Any]]:
    """The points that the picture has to hold: few on the frontier say little without the others.

    Visited points may be far below, and would press the frontier into a line.
    """
    few = runs == 1 and len(document["frontier"]) < FEW
    return [*document["frontier"], *(document["history"] if few else [])]


def _cost(documents: Sequence[Mapping[str, Any]]) -> str:
    rows = [row for each in documents for row in each["frontier"]]
    if all(row.get("latency") is not None for row in rows):
        return "latency"
    return "macs" if "channel" in _granularities(documents) else "density"


def _granularities(documents: Sequence[Mapping[str, Any]]) -> set[str]:
    return {each["settings"]["search"].get("granularity", "weight") for each in documents}


def _bar(document: Mapping[str, Any]) -> tuple[str, float] | None:
    """The base's validation accuracy that points are held against, and its name."""
    report = document["report"]
    if report is None:
        return None
    name = report.get("reference", "restricted")
    return f"{name.replace('_', ' ')} base", 100 * report["validation"][name]


def _series(
    document: Mapping[str, Any], number: int, cost: str, x: Axis, y: Axis
) -> dict[str, Any]:
    bar, report = _bar(document), document["report"]
    picked = report["picked"]["epoch"] if report is not None else None

    def at(row: Mapping[str, Any]) -> dict[str, Any]:
        across, up = x.place(100 * row[cost]), y.place(100 * row["validation_accuracy"])
        return {"x": across, "y": up, "svg_y": round(100 - up, 2)}

    ordered = sorted(document["frontier"], key=lambda row: (row[cost], row["epoch"]))
    chosen = {row["epoch"] for row in ordered}
    others = [at(row) for row in document["history"] if row["epoch"] not in chosen]
    inside = [each for each in others if 0 <= each["x"] <= 100 and 0 <= each["y"] <= 100]
    return {
        "name": document["name"],
        "style": number % SERIES,
        "reference": None if bar is None else {"name": bar[0], "y": y.place(bar[1])},
        "points": [{**at(row), **_point(document, row, bar, picked)} for row in ordered],
        "edge": [at(row) for row in upper_edge(ordered, cost)],
        "visited": inside,
        "left_out": len(others) - len(inside),
    }


def _point(
    document: Mapping[str, Any],
    row: Mapping[str, Any],
    bar: tuple[str, float] | None,
    picked: int | None,
) -> dict[str, Any]:
    """A point's figures as text, and the command that picks it."""
    right = row["validation_accuracy"]
    against = "" if bar is None else f"{points_of(right - bar[1] / 100)} against the {bar[0]}"
    time = row.get("latency")
    return {
        "epoch": row["epoch"],
        "is_picked": row["epoch"] == picked,
        "density": percent(row["density"]),
        "macs": percent(row["macs"]),
        "time": "" if time is None else percent(time),
        "accuracy": percent(right),
        "against": against,
        "command": f"{document['command']} --out {shlex.quote(document['run'])} "
        f"--pick {row['epoch']}",
    }
