"""The problems of the comparison: a base, a problem on its data, and how many samples a label.

The ResNet-20 and the VGG-16 were trained on all training images, and the frames of `gtsrb` come in
tracks, so their validation images are one half of the test split, and test images the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from common import mobilenet, resnet20, vgg16
from groups import GROUPS, SIGNS
from signs_base import signs_resnet20

from seam.core.problem import Problem
from seam.data.split import few
from seam.models.base import BaseModel

CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
SUBSETS_SEED = 5
FEW = (10, 50, 200)
HALVES_SEED = 7


@dataclass(frozen=True)
class Base:
    """A base and its data; ``halved`` where half of the test split is to be validation data."""

    load: Callable[[Path], BaseModel]
    folder: str
    halved: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    def data(self, shared: Path, shots: int | None = None) -> Any:
        """What a search takes as data; with ``shots`` so many training images a label."""
        folder = str(shared / "data" / self.folder)
        if not self.halved:
            return folder
        whole = datasets.load_dataset(folder)
        if shots is not None:
            labels = np.asarray(whole["train"]["label"])
            whole["train"] = whole["train"].select(few(labels, shots, np.random.default_rng(0)))
        halves = whole["test"].train_test_split(
            test_size=0.5, seed=HALVES_SEED, stratify_by_column="label"
        )
        return {"train": whole["train"], "validation": halves["train"], "test": halves["test"]}


BASES = {
    "resnet20": Base(resnet20, "cifar10"),
    "vgg16": Base(vgg16, "cifar10", settings={"final_density": 0.01}),
    "resnet20-signs": Base(
        signs_resnet20, "gtsrb", settings={"augment": "crop", "final_density": 0.02}
    ),
    **{
        name: Base(
            partial(mobilenet, size=size),
            "imagenet40_64px",
            halved=False,
            settings={"batch_size": 32, "final_density": 0.3, "levels": 2},
        )
        for name, size in (("mobilenetv2", 224), ("mobilenetv2-128", 128))
    },
}
"""Mirrored signs mean something else; a step of MobileNetV2 takes a second and more."""


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
            f"resnet20-signs/{name}": Case("resnet20-signs", Problem.of(list(labels)))
            for name, labels in SIGNS.items()
        },
        **{
            f"{base}/{name}": Case(base, Problem.subset(list(labels)))
            for base in ("mobilenetv2", "mobilenetv2-128")
            for name, labels in GROUPS.items()
        },
    }
    few = {
        f"{name}/{shots}": Case(case.base, case.problem, shots)
        for name, case in whole.items()
        for shots in FEW
    }
    return {**whole, **few}
