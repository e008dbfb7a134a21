"""A cost model of searches: fitted to what was measured, and carried over to what was not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import numpy as np


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> dict[str, float]:
    """The p of ``cost = a * size ** p`` by least squares of logarithms, and the largest residual.

    >>> exponent([1, 2, 4], [3, 6, 12])
    {'p': 1.0, 'largest_residual': 0.0}

    A residual is a share: 0.1 is a cost 10 % off the line.
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(costs, float))
    slope, start = np.polyfit(x, y, 1)
    off = np.abs(np.expm1(y - (start + slope * x))).max()
    return {"p": round(float(slope), 4), "largest_residual": round(float(off), 4)}


def line(sizes: Sequence[float], costs: Sequence[float]) -> dict[str, float]:
    """``cost = fixed + each * size`` by least squares of relative errors, with residuals as shares.

    >>> found = line([100, 200, 400], [12.0, 22.0, 42.0])
    >>> round(found["fixed"], 6), round(found["each"], 6)
    (2.0, 0.1)
    """
    y = np.asarray(costs, float)
    rows = np.stack([np.ones(len(y)), np.asarray(sizes, float)], 1) / y[:, None]
    (fixed, each), *_ = np.linalg.lstsq(rows, np.ones(len(y)), rcond=None)
    off = np.abs(fixed + each * np.asarray(sizes, float) - y) / y
    return {"fixed": float(fixed), "each": float(each), "largest_residual": float(off.max())}


def entropy(density: float) -> float:
    """Bits an element of a mask that keeps a share of its elements at random needs.

    >>> entropy(0.5), round(entropy(0.1), 3), entropy(1.0)
    (1.0, 0.469, 0.0)
    """
    rest = 1 - density
    return 0.0 if density in (0, 1) else -density * log2(density) - rest * log2(rest)


@dataclass(frozen=True)
class Base:
    """A base model as a cost: weights, multiply-accumulates an image, bytes of a stored image."""

    weights: float
    macs: float
    image_bytes: float


@dataclass(frozen=True)
class Work:
    """One problem: training images, epochs, and images that are only looked at (test, answers)."""

    images: int
    epochs: int
    looked_at: int


@dataclass(frozen=True)
class Device:
    """A device: peak rate, the share of it that such training reaches, its memory, its links.

    Rates are in operations and bytes a second.
    """

    peak: float
    reached: float
    memory: float
    link: float


def problem_seconds(base: Base, work: Work, device: Device, passes: float) -> float:
    """One problem on one device; ``passes`` is a search step's time in plain training steps.

    Forward and backward pass of an image are two operations a multiply-accumulate, three times.
    """
    trained = work.images * work.epochs * 6 * base.macs * passes
    looked = work.looked_at * 2 * base.macs
    return (trained + looked) / (device.peak * device.reached)


def adapter_bytes(base: Base, density: float, *, coded: bool, value_bytes: float) -> float:
    """One adapter: the mask at a bit a weight or at its entropy, and the values of what is kept."""
    bits = entropy(density) if coded else 1.0
    return base.weights * (bits / 8 + density * value_bytes)


def gradient_seconds(base: Base, device: Device, count: int, tensors: int) -> float:
    """Adding up the gradients of a step over ``count`` devices by a ring, nothing hidden.

    ``tensors`` is how many gradients a weight has: its score's, and its own where it is tuned.
    """
    moved = 2 * (count - 1) / count * 4 * tensors * base.weights
    return moved / device.link
