"""What changes over a search: the share kept, and the learning rates."""

from __future__ import annotations

import math

from seam.core.config import Budget, Rates


def budget_at(budget: Budget, progress: float) -> float:
    """Share of elements kept after ``progress`` of the search, in [0, 1]; falls cubically.

    >>> budget_at(Budget(final_density=0.1), 0.0), budget_at(Budget(final_density=0.1), 1.0)
    (1.0, 0.1)

    Source: Zhu and Gupta 2017, equation 1.
    """
    left = max(0.0, 1 - progress / budget.walk)
    return budget.final_density + (1 - budget.final_density) * left**3


def rate_at(rates: Rates, progress: float) -> float:
    """Factor on every learning rate after ``progress`` of the search.

    >>> rate_at(Rates(schedule="cosine"), 0.5)
    0.5
    """
    if rates.schedule == "constant":
        return 1.0
    return round(0.5 * (1 + math.cos(math.pi * progress)), 12)
