"""A job's settings, gathered: how to search, on what samples, which point to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from seam.core.checks import at_least, require
from seam.core.config import Safer, SearchConfig
from seam.core.pick import Pick
from seam.core.pressure import Budget, Penalty
from seam.core.problem import Problem
from seam.data.config import DataConfig
from seam.errors import ConfigError, nearest
from seam.search.presets import default_pick, preset


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides a job, beside the base model, the problem and the data.

    >>> plan(Problem.one_vs_rest("cat"), seed=3).search.preset
    'default'

    Build it with `plan`. ``exclude`` names layers that are not masked.
    """

    search: SearchConfig
    pick: Pick
    data: DataConfig = field(default_factory=DataConfig)
    exclude: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        at_least("seed", self.seed, 0, whole=True)
        require(self.seed < 2**63, f"seed is {self.seed}; give one below 2^63")
        names = self.exclude
        require(
            isinstance(names, list | tuple) and all(isinstance(each, str) for each in names),
            f"exclude is {names!r}; give a list of names of layers",
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values; the pick is left out, for it can change after a search."""
        return {
            "search": self.search.to_dict(),
            "data": self.data.to_dict(),
            "exclude": list(self.exclude),
            "seed": self.seed,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], pick: Pick | None = None) -> Plan:
        """Inverse of :meth:`to_dict`."""
        search = SearchConfig.from_dict(values["search"])
        return cls(
            search=search,
            pick=pick or default_pick(search.preset),
            data=DataConfig(**values["data"]),
            exclude=tuple(values["exclude"]),
            seed=values["seed"],
        )


_NESTED = {
    "score_lr": ("rates", "score"),
    "head_lr": ("rates", "head"),
    "tune_lr": ("rates", "tune"),
    "alpha": ("pressure", "alpha"),
    "final_density": ("pressure", "final_density"),
    "final_macs": ("pressure", "final_density"),
    "levels": ("pressure", "levels"),
    "growth": ("pressure", "growth"),
    "fall": ("pressure", "fall"),
    "final_latency": ("pressure", "final_density"),
    "runtime": ("channels", "runtime"),
    "batch": ("channels", "batch"),
    "round_to": ("channels", "round_to"),
    "price": ("channels", "price"),
    "floor": ("channels", "floor"),
    "finetune_epochs": ("finetune", "epochs"),
}


CHOOSE = ("tolerance", "keep", "keep_macs", "keep_latency", "epoch")
"""Names of the rules that a point is chosen by."""


def plan(
    problem: Problem,
    *,
    preset_name: str = "default",
    base: tuple[str, int] = ("", 0),
    **changes: Any,
) -> Plan:
    """The settings of a preset for ``problem``, with ``changes``.

    >>> plan(Problem.one_vs_rest("cat"), epochs=5, keep=0.1, seed=3).pick
    Pick(rule='keep', value=0.1)

    Args:
        problem: decides, with the preset and the base, the published learning rates.
        preset_name: ``default``, ``bitmask`` or ``paper``.
        base: the base model's name, as ``zoo:cifar_vgg16``, and its number of labels.
        changes: any field of `Plan`, `SearchConfig`, `DataConfig`; ``score_lr``, ``head_lr``,
            ``tune_lr``, ``alpha``, ``final_density``, ``final_macs``, ``final_latency``,
            ``levels``, ``growth``, ``fall``, ``round_to``, ``price``, ``floor``, ``runtime``,
            ``batch``, ``finetune_epochs``; and at most one of ``tolerance``, ``keep``, ``remove``,
            ``keep_macs``, ``keep_latency``, ``epoch`` to choose the point. None changes nothing. A
            ``keep`` below the preset's final density lets the walk go on to it; ``remove`` is one
            less ``keep``, and the walk goes there at once, in one level. ``safer`` is ``attacks``,
            ``triggers`` or a `Safer`.

    Raises:
        ConfigError: a name is unknown, or a value out of range.
    """
    require(
        isinstance(problem, Problem),
        f"the problem is {problem!r}; give a Problem, as Problem.of(['3', '5'])",
    )
    given = {name: _built(name, value) for name, value in changes.items() if value is not None}
    if given.get("tune") == "none":
        given = {"norm": "frozen", **given}  # statistics adapt only with scale and shift
    granularity = given.get("granularity", "weight")
    _check_end(granularity, given)
    search = preset(preset_name, problem, base=base, granularity=granularity)
    data, rest = DataConfig(), {}
    rules: list[Pick] = []
    by = [name for name in (*CHOOSE, "remove") if name in given]
    for name, value in given.items():
        if name in _NESTED:
            part, key = _NESTED[name]
            inner = getattr(search, part)
            if not hasattr(inner, key):
                raise ConfigError(f"'{name}' does not fit preset '{preset_name}', {_why(inner)}")
            search = replace(search, **{part: replace(inner, **{key: value})})
        elif name in SearchConfig.__dataclass_fields__:
            search = replace(search, **{name: value})
        elif name in DataConfig.__dataclass_fields__:
            data = replace(data, **{name: value})
        elif name in CHOOSE:
            rules.append(Pick(rule=name, value=value))  # type: ignore[arg-type]
        elif name in ("exclude", "seed"):
            rest[name] = value
        elif name == "remove":
            continue
        else:
            known = [*_NESTED, *SearchConfig.__dataclass_fields__, *DataConfig.__dataclass_fields__]
            raise ConfigError(f"setting '{name}' is unknown{nearest(name, known)}")
    if "remove" in given:
        rules.append(kept(given["remove"]))
    if len(by) > 1:
        raise ConfigError(f"'{by[0]}' and '{by[1]}' both choose the point; give one of them")
    chosen = rules[0] if rules else default_pick(preset_name)
    search = replace(search, channels=replace(search.channels, **_cost(chosen, given)))
    search = _far_enough(search, chosen, given)
    _check_reach(search, chosen)
    return Plan(search=search, data=data, pick=chosen, **rest)


def _built(name: str, value: Any) -> Any:
    """A setting's value; what to be safer against may be named alone."""
    return Safer(against=value) if name == "safer" and isinstance(value, str) else value  # type: ignore[arg-type]


def kept(remove: float) -> Pick:
    """The rule that leaves out a share of the weights.

    >>> kept(0.6)
    Pick(rule='keep', value=0.4)

    Raises:
        ConfigError: it is no share.
    """
    if not isinstance(remove, int | float) or not 0 < remove < 1:
        raise ConfigError(f"remove is {remove}; give a share in (0, 1)")
    return Pick(rule="keep", value=round(1 - remove, 12))


def _why(part: object) -> str:
    """Why a setting finds no place in a part of a preset."""
    if part is None:
        return "which has no fine-tuning behind its search; leave it out"
    how = "a penalty" if isinstance(part, Penalty) else "a budget"
    return f"which presses on density by {how}; leave it out"


def _cost(rule: Pick, given: Mapping[str, Any]) -> dict[str, Any]:
    """What the budget of channels is in, where a setting says so."""
    if rule.rule == "keep_latency" or "final_latency" in given:
        return {"cost": "latency"}
    if rule.rule == "keep_macs" or "final_macs" in given:
        return {"cost": "macs"}
    return {}


_FOR_CHANNELS = (
    *("final_macs", "final_latency", "keep_latency"),
    *("runtime", "batch", "round_to", "price", "floor"),
)


def _check_end(granularity: str, given: Mapping[str, Any]) -> None:
    """Refuse settings that the granularity, or the kind of budget, has no use for."""
    other = _FOR_CHANNELS if granularity == "weight" else ("final_density",)
    for name in other:
        if name in given:
            instead = "granularity channel" if granularity == "weight" else "final-macs"
            raise ConfigError(
                f"'{name}' does not fit granularity '{granularity}'; leave it out, or give "
                f"--{instead}"
            )
    timed = "keep_latency" in given or "final_latency" in given
    if timed and "final_macs" in given:
        raise ConfigError(
            "'final_macs' does not fit a budget in time; leave it out, or give --final-latency"
        )


MARGIN = 0.6
"""A walk in time goes on to this share of what is asked: a table of layers is optimistic."""


def _budgeted(search: SearchConfig) -> tuple[str, str]:
    """The rule that the walk's end belongs to, and the option that sets that end."""
    if search.granularity == "weight" or search.channels.cost == "weights":
        return "keep", "final-density"
    if search.channels.cost == "latency":
        return "keep_latency", "final-latency"
    return "keep_macs", "final-macs"


def _far_enough(search: SearchConfig, rule: Pick, given: Mapping[str, Any]) -> SearchConfig:
    """Let the walk go down to what is to be kept, unless its end was given.

    For channels it ends there: the last level is the longest, and what was asked should have it.
    With ``remove`` there is one level only: other points are not asked for.
    """
    pressure = search.pressure
    mine, end = _budgeted(search)
    fixed = end.replace("-", "_") in given
    if rule.rule != mine or fixed:
        return search
    wanted = rule.value
    if isinstance(pressure, Penalty):
        stop = min(wanted, 0.999) if pressure.stop is not None else None
        return replace(search, pressure=replace(pressure, stop=stop))
    if "remove" in given:
        pressure = replace(pressure, levels=given.get("levels", 1))
    elif search.granularity == "weight":
        wanted = min(wanted, pressure.final_density)
    elif mine == "keep_latency":
        wanted *= MARGIN
    return replace(search, pressure=replace(pressure, final_density=min(wanted, 0.999)))


def _check_reach(search: SearchConfig, rule: Pick) -> None:
    """Refuse before the search what no point of it can fulfil."""
    if rule.rule == "epoch" and rule.value > search.all_epochs:
        raise ConfigError(
            f"the point of epoch {rule.value:g} is asked for, but the search has "
            f"{search.all_epochs} epochs; give one of them, or more --epochs"
        )
    mine, end = _budgeted(search)
    if rule.rule == mine and isinstance(search.pressure, Budget):
        least = search.pressure.final_density
        if rule.value < least:
            raise ConfigError(
                f"{mine.replace('_', '-')} is {rule.value:g}, but the smallest point of the search "
                f"keeps {least:g}; give that, or --{end} {rule.value:g}"
            )
