"""Timing things against each other: they take turns, so that what slows one slows all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from seam.errors import ConfigError

Call = Callable[[], Any]


@dataclass(frozen=True)
class Budget:
    """How long to measure: until both ``rounds`` and ``seconds`` are over.

    >>> Budget(rounds=5, seconds=0.1).longest
    20.0

    After ``longest`` seconds it ends anyway, with at least five rounds. A turn lasts at least
    ``turn_ms``: short calls are repeated, and their mean counts.
    """

    rounds: int = 20
    seconds: float = 2.0
    longest: float = 20.0
    turn_ms: float = 10.0
    warm_up: int = 3

    def __post_init__(self) -> None:
        if self.rounds < 2 or self.seconds < 0 or self.longest <= 0 or self.turn_ms < 0:
            raise ConfigError(
                f"a timing of {self.rounds} rounds, {self.seconds} to {self.longest} s in turns of "
                f"{self.turn_ms} ms cannot be made; give at least 2 rounds and positive times"
            )

    def is_over(self, rounds: int, seconds: float) -> bool:
        """Whether enough has been measured."""
        if seconds >= self.longest and rounds >= min(5, self.rounds):
            return True
        return rounds >= self.rounds and seconds >= self.seconds


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of ``n`` measurements.

    >>> Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])
    Spread(median=3.0, low=2.0, high=4.0, n=5)
    """

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least two values; quartiles lie between the smallest and the largest."""
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))


def turns(calls: Sequence[Call], budget: Budget) -> list[list[float]]:
    """Milliseconds a call, one list for each of ``calls``, one entry a round.

    >>> [len(times) for times in turns([list, dict], Budget(rounds=5, seconds=0, turn_ms=0.1))]
    [5, 5]

    In each round every call has a turn, in the given order in even rounds and in the reverse order
    in odd ones. A turn of a short call starts with one that is not timed: the caches hold what the
    turn before has left, and a program in use does not find them so.
    """
    repeats = [_repeats(call, budget) for call in calls]
    times: list[list[float]] = [[] for _ in calls]
    start, rounds = time.perf_counter(), 0
    while not budget.is_over(rounds, time.perf_counter() - start):
        order = range(len(calls)) if rounds % 2 == 0 else reversed(range(len(calls)))
        for i in order:
            if repeats[i] > 1:
                calls[i]()
            times[i].append(_timed(calls[i], repeats[i]))
        rounds += 1
    return times


def _repeats(call: Call, budget: Budget) -> int:
    """Warm up, and find how many calls fill a turn."""
    for _ in range(budget.warm_up):
        call()
    quickest = min(_timed(call, 1) for _ in range(3))
    return max(1, min(1000, round(budget.turn_ms / max(quickest, 1e-6))))


def _timed(call: Call, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return 1000 * (time.perf_counter() - start) / repeats


@dataclass(frozen=True)
class Comparison:
    """Times of a base and a result that took turns, round by round, in milliseconds.

    >>> Comparison([2.0, 2.0, 4.0], [1.0, 1.0, 1.0]).to_dict()["ratio"]
    0.5
    """

    base: Sequence[float]
    result: Sequence[float]

    def to_dict(self) -> dict[str, Any]:
        """The figures of one cell of the report.

        ``ratio`` is that of the medians; ``iqr`` the quartiles of the ratios of single rounds.
        """
        base, result = Spread.of(self.base), Spread.of(self.result)
        ratios = Spread.of([b / a for a, b in zip(self.base, self.result, strict=True)])
        return {
            "base_ms": figure(base.median),
            "result_ms": figure(result.median),
            "ratio": figure(result.median / base.median),
            "iqr": [figure(ratios.low), figure(ratios.high)],
            "base_iqr_ms": [figure(base.low), figure(base.high)],
            "result_iqr_ms": [figure(result.low), figure(result.high)],
            "rounds": base.n,
        }


def compare(base: Call, result: Call, budget: Budget) -> Comparison:
    """Time two calls against each other.

    >>> compare(list, dict, Budget(rounds=5, seconds=0, turn_ms=0.1)).to_dict()["rounds"]
    5
    """
    return Comparison(*turns([base, result], budget))


def figure(value: float) -> float:
    """Five significant digits: more would be noise.

    >>> figure(0.0123456789)
    0.012346
    """
    return float(f"{value:.5g}")
