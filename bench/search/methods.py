"""The methods of the comparison: settings that differ from the preset's, and parts of a strategy.

All but `bitmask`, `paper`, `nncf` and `hard-concrete` have the settings of `default` but for one
part: where scores start, which are kept, how they become bits, how the rest learns. Methods of a
single look have fixed scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from search import parts

from seam.core.config import Rates
from seam.core.pressure import Penalty
from seam.core.problem import Problem
from seam.jobs.observe import Observer
from seam.jobs.plan import Plan, plan
from seam.jobs.task import Task
from seam.jobs.walk import Walk
from seam.search.presets import SINGLE
from seam.search.state import SearchState
from seam.search.strategy import by_magnitude

FIXED = {"score_lr": 0.0}
FAST = {"score_lr": 0.03}
"""For scores that have to go far."""


@dataclass(frozen=True)
class Method:
    """What makes a method: a preset, changes of its settings, other parts of its strategy.

    One from ``outside`` has a loop of its own.
    """

    preset: str = "default"
    changes: Mapping[str, Any] = field(default_factory=dict)
    strategy: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    outside: Callable[[Task, Observer], Walk] | None = None

    def plan(self, problem: Problem, base: tuple[str, int], **changes: Any) -> Plan:
        """The settings for a problem; ``changes`` are those that all methods share."""
        given = {**changes, **self.changes}
        if self.preset == "paper":
            given.pop("final_density", None)  # a penalty has no such end
        return plan(problem, preset_name=self.preset, base=base, **given)

    def apply(self, state: SearchState) -> None:
        """Put the method's own parts in the place of those that its settings name."""
        state.strategy = replace(state.strategy, **self.strategy)

    def walk(self, task: Task, observer: Observer) -> Walk:
        """The method's walk of a task."""
        if self.outside is not None:
            return self.outside(task, observer)
        walk = Walk(task, None, observer)
        self.apply(walk.state)
        return walk


def by_nncf(task: Task, observer: Observer) -> Walk:
    """NNCF's mode; it takes seconds to import."""
    from search.outside import NncfWalk

    return NncfWalk(task, observer)


def one_look(start: Callable[..., Any], **others: Callable[..., Any]) -> Method:
    """Scores from one look at the dense network, which then stay."""
    return Method(changes=FIXED, strategy={"start": start, **others})


def ablated(**changes: Any) -> Method:
    """Preset `default` with one thing changed."""
    return Method(changes=changes)


ABLATIONS: dict[str, Method] = {
    "from saliency": ablated(start="saliency"),
    "from magnitude": Method(strategy={"start": by_magnitude}),
    "scores stay": ablated(score_lr=0.0),
    "three times the scores' rate": ablated(score_lr=0.03),
    "from saliency, three times the scores' rate": ablated(start="saliency", score_lr=0.03),
    "norm and biases": ablated(tune="norm"),
    "statistics stay": ablated(norm="frozen"),
    "statistics follow": ablated(norm="train"),
    "mistakes taught": ablated(corrected=False),
    "believed in any case": ablated(graded=False),
    "true labels": ablated(distill=0.0),
    "temperature 1": ablated(temperature=1.0),
    "one answer an image": ablated(views=0),
    "even levels": ablated(growth=1.0),
    "one level": ablated(levels=1),
    "eight views": ablated(views=8),
    "a third of the rate": ablated(tune_lr=0.001),
    "four times the steps": ablated(rates=replace(SINGLE["rates"], bound=1 / 16)),
    "full rates at once": ablated(rates=replace(SINGLE["rates"], warmup=0)),
    "steps of any length": ablated(rates=replace(SINGLE["rates"], bound=None)),
}
METHODS: dict[str, Method] = {
    "default": Method(),
    "bitmask": Method(preset="bitmask"),
    **{f"default, {name}": each for name, each in ABLATIONS.items()},
    "paper": Method(preset="paper"),
    "magnitude": one_look(by_magnitude),
    "magnitude, per layer": one_look(by_magnitude, keep=parts.each_layer),
    "taylor": one_look(parts.taylor),
    "taylor, per layer": one_look(parts.taylor, keep=parts.each_layer),
    "wanda": one_look(parts.wanda),
    "wanda, per layer": one_look(parts.wanda, keep=parts.each_layer),
    "fisher": one_look(parts.fisher),
    "fisher, per layer": one_look(parts.fisher, keep=parts.each_layer),
    "gradual magnitude": one_look(by_magnitude, share=parts.cubic),
    "movement": Method(changes={"start": "ones", **FAST}, strategy={"share": parts.cubic}),
    "edge-popup": Method(changes=FAST, strategy={"start": by_magnitude, "keep": parts.each_layer}),
    "annealed sigmoid": Method(strategy={"gate": parts.annealed}),
    "nncf": Method(outside=by_nncf),
    "hard-concrete": Method(
        changes={
            "start": "ones",
            "pressure": Penalty(alpha=1.0),
            "rates": Rates(score=0.05, head=0.01, tune=0.005),
        },
        strategy={
            "gate": parts.hard_concrete,
            "density": parts.expected_density,
        },
    ),
}
