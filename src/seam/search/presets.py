"""Two ways to run the one loop: as published, and better."""

from __future__ import annotations

from seam.core.config import Budget, Penalty, Pick, Rates, SearchConfig
from seam.core.problem import Problem
from seam.errors import ConfigError, nearest

PRESETS = ("default", "paper")


def preset(name: str, problem: Problem) -> SearchConfig:
    """The settings of preset ``name`` for a kind of problem.

    >>> preset("paper", Problem.one_vs_rest("cat")).pressure
    Penalty(alpha=1.0)

    Raises:
        ConfigError: the name is unknown.
    """
    if name == "paper":
        binary = problem.kind == "one-vs-rest"
        return SearchConfig(
            preset="paper",
            epochs=300,
            start="ones",
            pressure=Penalty(alpha=1.0 if binary else 2.0),
            rates=Rates(score=0.05 if binary else 0.1, head=0.1),
            head="append",
            head_epochs=5,
        )
    if name == "default":
        return SearchConfig(
            preset="default",
            epochs=20,
            start="saliency",
            pressure=Budget(),
            rates=Rates(score=0.03, head=0.01, tune=0.005, method="normalized"),
            head="slice",
            tune="norm",
            distill=0.5,
        )
    raise ConfigError(
        f"preset '{name}' is unknown; give one of {', '.join(PRESETS)}"
        + nearest(name, list(PRESETS))
    )


def default_pick(name: str) -> Pick:
    """The rule by which preset ``name`` chooses among its points."""
    return Pick(rule="paper", value=0.0) if name == "paper" else Pick()
