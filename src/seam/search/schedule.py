"""What changes over a search: the share kept, and the learning rates."""

from __future__ import annotations

import math

from seam.core.pressure import Budget, Penalty


def budget_at(budget: Budget, progress: float) -> float:
    """Share of elements kept after ``progress`` of the search, in [0, 1].

    >>> budget = Budget(final_density=0.01, levels=2, fall=0.5)
    >>> [round(budget_at(budget, progress), 3) for progress in (0, 0.25, 0.5, 0.75, 1)]
    [1.0, 0.1, 0.1, 0.01, 0.01]
    """
    level, within = place(budget, progress)
    share: float = budget.final_density ** (
        (level + min(1.0, within / budget.fall)) / budget.levels
    )
    return share


def rate_at(pressure: Penalty | Budget, progress: float) -> float:
    """Factor on every learning rate after ``progress`` of the search.

    Constant under a penalty, as published; under a budget a cosine from 1 to 0 within each level
    (warm restarts: Loshchilov and Hutter 2017).

    >>> round(rate_at(Budget(levels=2), 0.25), 3)
    0.5
    """
    if isinstance(pressure, Penalty):
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * place(pressure, progress)[1]))


def place(budget: Budget, progress: float) -> tuple[int, float]:
    """The level that ``progress`` lies in, and how far.

    >>> place(Budget(levels=2, growth=3), 0.625)
    (1, 0.5)
    """
    lengths = [budget.growth**level for level in range(budget.levels)]
    whole, start = progress * sum(lengths), 0.0
    for level, length in enumerate(lengths):
        within = (whole - start) / length
        if within < 1 - 1e-9:
            return level, max(0.0, within)
        start += length
    return budget.levels, 0.0
