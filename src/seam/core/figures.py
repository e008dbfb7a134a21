"""Measured shares with their intervals."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """A measured share with its 95 % Wilson score interval.

    >>> Share.of(90, 100)
    Share(value=0.9, low=0.825634, high=0.944771, n=100)

    ``value`` is hits over ``n``; source of the interval: Wilson, JASA 22 (1927).
    """

    value: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, hits: int, n: int) -> Share:
        """The share ``hits / n``; without samples it is unknown: 0 with the interval [0, 1]."""
        if n == 0:
            return cls(0.0, 0.0, 1.0, 0)
        z = Z_95
        share = hits / n
        scale = 1 + z * z / n
        centre = (share + z * z / (2 * n)) / scale
        half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
        return cls(share, max(0.0, round(centre - half, 6)), min(1.0, round(centre + half, 6)), n)

    def to_dict(self) -> dict[str, Any]:
        """``{"value", "low", "high", "n"}``."""
        return asdict(self)


def paired_difference(gained: int, lost: int, n: int) -> dict[str, float]:
    """The gain in accuracy over ``n`` paired samples with its 95 % interval.

    >>> paired_difference(8, 2, 100)
    {'value': 0.06, 'low': -0.003876, 'high': 0.121523, 'n': 100}

    Half a sample more in each cell of the table, so that no difference is not no doubt: Agresti and
    Min, Statistics in Medicine 24 (2005).
    """
    centre = (gained - lost) / (n + 2)
    half = Z_95 * math.sqrt(((gained + lost + 1) / (n + 2) - centre**2) / (n + 2))
    return {
        "value": (gained - lost) / n,
        "low": round(centre - half, 6),
        "high": round(centre + half, 6),
        "n": n,
    }
