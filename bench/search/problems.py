"""The problems of the comparison: a base, a problem on its data, and how many samples a label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import mobilenet, resnet20, vgg16
from groups import GROUPS

from seam.core.problem import Problem
from seam.models.base import BaseModel

CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SUBSETS_SEED = 5
FEW = (10, 50, 200)
BASES: dict[str, tuple[Callable[[Path], BaseModel], str]] = {
    "resnet20": (resnet20, "cifar10"),
    "vgg16": (vgg16, "cifar10"),
    "mobilenetv2": (mobilenet, "imagenet40_64px"),
}


@dataclass(frozen=True)
class Case:
    """One row: which base, which problem; ``shots`` samples a label, or all (None)."""

    base: str
    problem: Problem
    shots: int | None = None


def subsets(count: int) -> list[Problem]:
    """Different sets of three labels, the same ones each time.

    >>> len({problem.outputs for problem in subsets(5)})
    5
    """
    rng, found = np.random.default_rng(SUBSETS_SEED), dict[tuple[str, ...], Problem]()
    while len(found) < count:
        labels = tuple(CIFAR10[number] for number in sorted(rng.choice(10, 3, replace=False)))
        found[labels] = Problem.subset(list(labels))
    return list(found.values())


def cases() -> dict[str, Case]:
    """All rows by name."""
    singles = {label: Problem.one_vs_rest(label) for label in CIFAR10}
    triples = {"-".join(problem.outputs): problem for problem in subsets(5)}
    whole = {
        **{f"resnet20/{n}": Case("resnet20", p) for n, p in {**singles, **triples}.items()},
        **{f"vgg16/{n}": Case("vgg16", p) for n, p in list(triples.items())[:3]},
        **{
            f"mobilenetv2/{name}": Case("mobilenetv2", Problem.subset(list(labels)))
            for name, labels in GROUPS.items()
        },
    }
    few = {
        f"{name}/{shots}": Case(case.base, case.problem, shots)
        for name, case in whole.items()
        for shots in FEW
    }
    return {**whole, **few}
