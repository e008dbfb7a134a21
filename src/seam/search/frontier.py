"""The points a search visits, and the choice among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seam.core.checks import build, is_number, require
from seam.core.figures import paired_difference
from seam.core.pick import Pick
from seam.errors import ConfigError

SIZES = {"keep": "density", "keep_macs": "macs", "keep_latency": "latency"}
MOST = 1e6
"""No share of the base's is larger, whatever a damaged file says."""
DOUBT = 0.015
"""How much more than its tolerance a point may have lost, at the end of its 95 % interval."""


@dataclass(frozen=True)
class Point:
    """One point of a search: after ``epoch`` epochs (0: before the first).

    ``density`` is the kept share of the maskable elements, ``validation_accuracy`` a share,
    ``macs`` the non-zero multiply-accumulates as a share of the base's; ``latency`` the predicted
    time as a share of the base's, where the search had a budget in time. ``gained`` and ``lost``
    count validation samples that it gets right where the restricted base is wrong, and the reverse;
    None where the base has no answers of its own.
    """

    epoch: int
    density: float
    validation_accuracy: float
    macs: float
    loss: float
    latency: float | None = None
    gained: int | None = None
    lost: int | None = None

    @property
    def cost(self) -> float:
        """What the search's budget was in: time, or else multiply-accumulates."""
        return self.macs if self.latency is None else self.latency

    def to_dict(self) -> dict[str, Any]:
        """The point as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Point:
        """Inverse of :meth:`to_dict`.

        Raises:
            ConfigError: a figure is missing, unknown, or no number.
        """
        found = build(cls, values)
        whole = (found.epoch, found.gained or 0, found.lost or 0)
        shares = (found.density, found.validation_accuracy, found.macs, found.latency or 0)
        require(
            all(type(each) is int and each >= 0 for each in whole)
            and all(is_number(each) and 0 <= each <= MOST for each in shares)
            and isinstance(found.loss, int | float),
            f"point {str(dict(values))[:80]} holds something else than figures",
        )
        return found


@dataclass(frozen=True)
class Bars:
    """The baselines' validation accuracies, and which of them points are held against.

    >>> Bars({"full": 0.7, "restricted": 0.8}, samples=100).accuracies["restricted"]
    0.8

    ``samples`` is how many they were counted on. ``tolerance`` and ``paper`` name those of the two
    rules; without a name it is the accuracy of the most accurate point.
    """

    accuracies: Mapping[str, float]
    samples: int
    tolerance: str | None = "restricted"
    paper: str | None = "full"


def frontier(points: Sequence[Point]) -> list[Point]:
    """The points that no other point beats, densest first.

    One point beats another where it is no denser, needs no more MACs or, under a budget in time, no
    more time (in whole percents of the base's) and is at least as accurate; of equal points the
    latest, which has learned longest, stays. The point before the first step, the base itself,
    stays in any case.

    >>> dense, sparse = Point(0, 1, 0.9, 1, 0), Point(2, 0.4, 0.85, 0.4, 0)
    >>> [point.epoch for point in frontier([dense, Point(1, 0.5, 0.8, 0.5, 0), sparse])]
    [0, 2]
    """

    def beats(one: Point, other: Point) -> bool:
        better = (other.density, _percents(other.cost), one.validation_accuracy)
        worse = (one.density, _percents(one.cost), other.validation_accuracy)
        no_worse = all(b >= w for b, w in zip(better, worse, strict=True))
        return no_worse and (better != worse or one.epoch > other.epoch)

    kept = [p for p in points if p.epoch == 0 or not any(beats(rival, p) for rival in points)]
    return sorted(kept, key=lambda p: (-p.density, p.epoch))


def _percents(share: float) -> int:
    """In whole percents, rounded up: a point within a budget is not beaten by one just above it."""
    return math.ceil(100 * share - 1e-9)


def pick(points: Sequence[Point], rule: Pick, bars: Bars) -> Point:
    """The point that ``rule`` chooses.

    Raises:
        ConfigError: no point is as small as asked; the message names the smallest.
    """
    if rule.rule == "epoch":
        found = [point for point in points if point.epoch == round(rule.value)]
        if not found:
            epochs = ", ".join(str(point.epoch) for point in points)
            raise ConfigError(f"the frontier has no point of epoch {rule.value:g}; give {epochs}")
        return found[0]
    if rule.rule in SIZES:
        size = SIZES[rule.rule]
        if any(getattr(point, size) is None for point in points):
            raise ConfigError(
                "the search had no budget in time, so its points have no latency; choose with "
                "--keep-macs, or search again with --keep-latency"
            )
        small = [point for point in points if getattr(point, size) <= rule.value + 5e-5]
        if not small:
            least = min(getattr(point, size) for point in points)
            raise ConfigError(
                f"no point keeps at most {rule.value:.2%} ({size}); the smallest keeps "
                f"{least:.2%}: give that, or search longer"
            )
        return max(small, key=lambda p: (p.validation_accuracy, -p.density))
    name = bars.paper if rule.rule == "paper" else bars.tolerance
    most = max(point.validation_accuracy for point in points)
    bar = bars.accuracies[name] if name is not None else most
    value = 0.0 if rule.rule == "paper" else rule.value
    good = [point for point in points if point.validation_accuracy >= bar - value - 1e-9]
    if rule.rule == "tolerance" and good:
        shown = [point for point in good if _shown(point, bars.samples, value)]
        good = shown or [max(good, key=lambda p: p.density)]
    if good:
        return min(good, key=lambda p: (p.density, -p.validation_accuracy))
    if rule.rule == "paper":
        return max(points, key=lambda p: p.validation_accuracy - p.density)
    return max(points, key=lambda p: (p.validation_accuracy, p.density))


def _shown(point: Point, samples: int, tolerance: float) -> bool:
    """Whether the samples bear out that the point is no worse, as far as they were paired."""
    if point.gained is None or point.lost is None:
        return True
    least = paired_difference(point.gained, point.lost, samples)["low"]
    return least >= -tolerance - DOUBT
