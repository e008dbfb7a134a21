"""Ways to run the one loop: as published, and better, with small adapters or with small models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from seam.core.config import Channels, Finetune, Granularity, Rates, SearchConfig
from seam.core.pick import Pick
from seam.core.pressure import Budget, Penalty
from seam.core.problem import Problem
from seam.errors import ConfigError, nearest

PRESETS = ("default", "bitmask", "paper")
ADAPTS: dict[str, Any] = {
    "start": "saliency",
    "rates": Rates(score=0.03, head=0.01, tune=0.003, method="normalized"),
    "tune": "all",
    "norm": "train",
}
"""Where all that is kept adapts."""
TAUGHT: dict[str, Any] = {**ADAPTS, "distill": 0.9, "temperature": 4.0, "views": 4}
"""And the base answers augmented views."""
WEIGHTS: dict[str, Any] = {**TAUGHT, "norm": "recalibrate", "corrected": True}
SINGLE: dict[str, Any] = {
    **WEIGHTS,
    "start": "magnitude-saliency",
    "rates": replace(ADAPTS["rates"], score=0.01, bound=1 / 64, warmup=50),
    "graded": True,
}
"""Single weights whose values adapt: a better start, left more slowly, short steps, and a teacher
that is heard as far as it is right."""
HEADED: dict[str, Any] = {
    "norm": "recalibrate",
    "distill": 0.9,
    "temperature": 4.0,
    "corrected": True,
    "graded": True,
}
"""Single weights for new labels: the base with its trained head teaches, as far as it is right."""

PUBLISHED = {
    ("binary", "vgg16", 10): (0.01, 1.0),
    ("binary", "vgg16", 100): (0.05, 1.5),
    ("binary", "resnet20", 10): (0.05, 1.0),
    ("binary", "resnet20", 100): (0.12, 1.5),
    ("multi-class", "resnet20", 100): (0.10, 2.0),
    ("multi-class", "resnet50", 1000): (0.05, 2.0),
}
"""The paper's score learning rate and alpha by problem, architecture and the base's labels."""
NEAREST = {"binary": ("binary", "resnet20", 10), "multi-class": ("multi-class", "resnet20", 100)}


def published(problem: Problem, base: tuple[str, int] = ("", 0)) -> tuple[float, float]:
    """The paper's score learning rate and alpha; for a base it does not have, ResNet-20's.

    >>> published(Problem.one_vs_rest("cat"), ("zoo:cifar_vgg16", 10))
    (0.01, 1.0)
    """
    kind = "binary" if problem.kind == "one-vs-rest" else "multi-class"
    for (its_kind, architecture, labels), values in PUBLISHED.items():
        if its_kind == kind and architecture in base[0] and labels == base[1]:
            return values
    return PUBLISHED[NEAREST[kind]]


def preset(
    name: str,
    problem: Problem,
    *,
    base: tuple[str, int] = ("", 0),
    granularity: Granularity = "weight",
) -> SearchConfig:
    """The settings of preset ``name`` for a kind of problem and a base (its name, its labels).

    What ``default`` keeps adapts to the problem, and its values travel with the adapter; what
    ``bitmask`` keeps stays as it is, so that an adapter is one bit a weight.

    >>> preset("paper", Problem.one_vs_rest("cat")).pressure
    Penalty(alpha=1.0, stop=None)
    >>> preset("default", Problem.new_labels(["a", "b"])).head
    'replace'

    Raises:
        ConfigError: the name is unknown, or not for this granularity or kind of problem.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"preset '{name}' is unknown; give one of {', '.join(PRESETS)}"
            + nearest(name, list(PRESETS))
        )
    if name == "paper" and granularity == "channel":
        raise ConfigError(
            "preset 'paper' removes single weights, as published; leave --granularity channel out, "
            "or give --preset default"
        )
    if name == "bitmask" and (granularity == "channel" or problem.kind == "new-labels"):
        raise ConfigError(
            "preset 'bitmask' is for single weights and the base's own labels, where values can "
            "stay as they are; leave it out"
        )
    if problem.kind == "new-labels":
        return _transfer(name, granularity)
    if name == "paper":
        score_rate, alpha = published(problem, base)
        return SearchConfig(
            preset="paper",
            epochs=300,
            start="ones",
            pressure=Penalty(alpha=alpha),
            rates=Rates(score=score_rate, head=0.1),
            head="append",
            head_epochs=5,
        )
    if granularity == "channel":
        return SearchConfig(
            preset="default",
            granularity="channel",
            epochs=30,
            pressure=Budget(final_density=0.1, levels=4, growth=2.0),
            head="slice" if problem.kind == "one-vs-rest" else "replace",
            channels=Channels(floor=0.5),
            **TAUGHT,
        )
    settings = {**WEIGHTS, "tune": "norm"} if name == "bitmask" else SINGLE
    return SearchConfig(
        preset=name,
        epochs=20,
        pressure=Budget(levels=4, growth=2.0),
        head="slice",
        **settings,
    )


def _transfer(name: str, granularity: Granularity) -> SearchConfig:
    """For new labels: the head is trained already, and all that is kept adapts to them."""
    if name == "paper":
        return SearchConfig(
            preset="paper",
            epochs=100,
            start="ones",
            pressure=Penalty(alpha=0.5, stop=0.4),
            rates=Rates(score=0.05, head=0.001),
            head="replace",
            finetune=Finetune(),
        )
    return SearchConfig(
        preset="default",
        granularity=granularity,
        epochs=30,
        pressure=Budget(final_density=0.3, levels=3, growth=2.0),
        head="replace",
        channels=Channels(cost="weights"),
        **(ADAPTS if granularity == "channel" else {**ADAPTS, **HEADED}),
    )


def default_pick(name: str) -> Pick:
    """The rule by which preset ``name`` chooses among its points."""
    return Pick(rule="paper", value=0.0) if name == "paper" else Pick()
