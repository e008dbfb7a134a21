"""Where things stand in a picture: axes, their ticks, and points as per cents of its sides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STEPS = (1, 2, 5)
WIDE = 4.0
"""A logarithmic axis whose ends differ by less than this has the ticks of an even one."""


@dataclass(frozen=True)
class Axis:
    """A side of a picture from ``low`` to ``high``, even or logarithmic.

    >>> Axis(0, 50).place(10), Axis(1, 100, log=True).place(10)
    (20.0, 50.0)
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Iterable[float], *, margin: float = 0.08, log: bool = False) -> Axis:
        """An axis that holds all ``values``, with room at both ends.

        >>> Axis.around([10, 20], margin=0.1)
        Axis(low=9.0, high=21.0, log=False)
        """
        found = [max(each, 1e-3) if log else each for each in values] or [0.0, 100.0]
        low, high = min(found), max(found)
        if log:
            room = max(high / low, 1.2) ** margin
            return cls(low / room, high * room, True)
        room = margin * max(high - low, 1.0)
        return cls(low - room, high + room)

    def place(self, value: float) -> float:
        """Per cent of the way from ``low`` to ``high``."""
        if self.log:
            part = math.log(max(value, 1e-9) / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return round(100 * part, 2)

    def ticks(self, most: int = 6) -> list[tuple[str, float]]:
        """Round numbers on the axis, with their places; none above 100 per cent.

        >>> Axis(0.4, 100, log=True).ticks()[:2], [text for text, _ in Axis(96.1, 99.2).ticks()]
        ([('0.5', 4.04), ('1', 16.6)], ['97', '98', '99'])
        """
        values = self._decades() if self.log and self.high / self.low >= WIDE else self._even(most)
        return [(f"{value:g}", self.place(value)) for value in values if value <= 100]

    def _even(self, most: int) -> list[float]:
        rough = (self.high - self.low) / most
        scale = 10.0 ** math.floor(math.log10(rough))
        step = next(each * scale for each in (*STEPS, 10) if each * scale >= rough)
        first = math.ceil(self.low / step - 1e-9)
        count = math.floor(self.high / step + 1e-9) - first + 1
        return [round((first + i) * step, 10) for i in range(count)]

    def _decades(self) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        found = [round(step * 10.0**power, 10) for power in powers for step in STEPS]
        return [value for value in found if self.low <= value <= self.high]


def upper_edge(points: Sequence[Mapping[str, Any]], cost: str) -> list[Mapping[str, Any]]:
    """The points that no cheaper one matches in validation accuracy, cheapest first.

    >>> points = [{"density": 1, "validation_accuracy": 0.9}]
    >>> points += [{"density": 0.5, "validation_accuracy": 0.9}]
    >>> [point["density"] for point in upper_edge(points, "density")]
    [0.5]
    """
    kept: list[Mapping[str, Any]] = []
    for point in sorted(points, key=lambda each: (each[cost], -each["validation_accuracy"])):
        if not kept or point["validation_accuracy"] > kept[-1]["validation_accuracy"]:
            kept.append(point)
    return kept
