"""What a curve of points is worth: hypervolume, and what it took to be small and no worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

LEAST = 0.01
DENSITIES = (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01)
TOLERANCE = 0.005
Row = Mapping[str, Any]


def best_within(points: Sequence[Row], size: str, most: float) -> Row | None:
    """The point of the best validation accuracy whose ``size`` is at most ``most``."""
    small = [point for point in points if point[size] <= most + 5e-5]
    return max(small, key=lambda p: (p["validation_accuracy"], -p[size]), default=None)


def hypervolume(points: Sequence[Row], size: str, chance: float) -> float:
    """The mean, over log ``size`` from 1 % to 100 %, of the best accuracy at no more than that.

    Accuracy counts above chance: 0 is chance, or no point so small; 1 is no error at 1 %.

    >>> point = {"density": 0.1, "validation_accuracy": 1.0}
    >>> hypervolume([point], "density", 0.5)
    0.5
    """
    edges = sorted({LEAST, 1.0, *(min(1.0, max(LEAST, point[size])) for point in points)})
    total = 0.0
    for low, high in pairwise(edges):
        best = best_within(points, size, low)
        if best is not None:
            height = max(0.0, (best["validation_accuracy"] - chance) / (1 - chance))
            total += height * (math.log(high) - math.log(low))
    return round(total / -math.log(LEAST), 6)


def reached(points: Sequence[Row], bar: float) -> list[dict[str, float | None]]:
    """For each density, the first point no denser and no worse than ``bar``: steps and seconds."""
    found: list[dict[str, float | None]] = []
    for density in DENSITIES:
        good = [
            point
            for point in points
            if point["density"] <= density + 5e-5
            and point["validation_accuracy"] >= bar - TOLERANCE - 1e-9
        ]
        first = min(good, key=lambda point: point["steps"], default=None)
        found.append(
            {
                "density": density,
                "steps": first and first["steps"],
                "cpu_seconds": first and first["cpu_seconds"],
            }
        )
    return found
