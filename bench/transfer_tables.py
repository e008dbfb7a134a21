"""The tables of students for new labels, from the JSON in bench/results/transfer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tables import (
    by_method,
    changed_since,
    listed,
    markdown,
    over_seeds,
    percent,
    provenance,
    spread,
)

from seam.core.config import Safer
from seam.core.problem import Problem

Values = Mapping[str, Any]
NAMES = {
    "finetune": "fine-tuning",
    "scratch": "from scratch",
    "magnitude": "magnitude",
    "reinitialise": "smallest drawn anew",
    "remos": "ReMoS",
    "renofeation": "Renofeation",
    "seam": "seam",
    "away": "seam, starts away from attacks",
    "safer": "seam --safer attacks",
}
ATTACKS = ("features", "logits")
CHANGED = ("norm", "distill", "corrected", "graded")
"""Settings of the preset that have changed since some rows were run."""


def students(files: Sequence[Values]) -> str:
    """Accuracy and inheritance, one row a target, budget, method and share; seeds together."""
    heads = [
        *("base", "target", "steps", "method", "removed"),
        *("test accuracy", "base's features attacked"),
        *("base's logits attacked", "student attacked", "weights left", "CPU s", "seeds"),
    ]
    groups, rows = _groups(files), []
    for (base, target, steps, method, removed), group in groups.items():
        rows.append(
            [
                base,
                target,
                f"{steps:,}",
                *_named(method, removed, older=any(map(_older, group))),
                over_seeds([row["accuracy"]["reengineered"] for row in group]),
                *(
                    over_seeds([row["inheritance"][attack] for row in group])
                    for attack in (*ATTACKS, "adaptive")
                ),
                spread([row["weights"]["kept"] / row["weights"]["base"] for row in group]),
                f"{sum(row['seconds']['cpu'] for row in group) / len(group):.0f}",
                listed([row["seed"] for row in group]),
            ]
        )
    every = [row for group in groups.values() for row in group]
    note = (
        f"All in %; n = {listed([row['n']['test'] for row in every])} test images, attacked "
        f"{listed([row['inheritance']['attacked'] for row in every])} of them. One seed: the "
        "95 % interval; several: the mean, lowest to highest. *Attacked* is how many of the "
        "samples that the student gets right are then wrong. "
        "*: of an older default (decisions 033, 036 and 037). "
        f"Steps of {listed([row['batch_size'] for row in every])} images. "
        + provenance(files[0] if files else {}, "transfer/*.json")
    )
    return markdown(heads, rows, note)


def reductions(files: Sequence[Values]) -> str:
    """What a method inherits less than fine-tuning on the same seeds, and what that costs.

    Means are of the longest runs of each pair of base and target, of today's default where there
    are any.
    """
    heads = [
        *("base", "target", "steps", "method", "removed", "accuracy"),
        *(f"less by {attack}" for attack in ATTACKS),
    ]
    groups = _groups(files)
    rows, every = [], defaultdict[tuple[str, float], dict[tuple[str, str], Any]](dict)
    for (base, target, steps, method, removed), group in groups.items():
        tuned = groups.get((base, target, steps, "finetune", 0.0), [])
        plain = {row["seed"]: row for row in tuned}
        pairs = [(row, plain[row["seed"]]) for row in group if row["seed"] in plain]
        if method == "finetune" or not pairs:
            continue
        found, older = _against(pairs), any(map(_older, group))
        before, run = every[method, removed].get((base, target)), (not older, steps, found)
        if before is None or run[:2] > before[:2]:
            every[method, removed][base, target] = run
        rows.append([base, target, f"{steps:,}", *_line(method, removed, found, older=older)])
    for (method, removed), pair in every.items():
        if len(pair) > 1:
            each = [found for _, _, found in pair.values()]
            mean = {key: sum(found[key] for found in each) / len(each) for key in each[0]}
            older = not all(current for current, _, _ in pair.values())
            line = _line(method, removed, mean, older=older)
            rows.append([f"mean of {len(each)}", "", "", *line])
    note = (
        "Accuracy: points above fine-tuning on the same seeds. Less: 1 - rate / fine-tuning's "
        "rate, in %, of rates that are means over seeds. Means are of the longest runs of each "
        "pair, of today's default where there are any. *: of an older default."
    )
    return markdown(heads, rows, note)


def _groups(files: Iterable[Values]) -> dict[tuple[Any, ...], list[Values]]:
    rows = (row for found in files for row in found["rows"])
    return by_method(rows, ("base", "target", "steps", "method", "removed"), [*NAMES])


def _against(pairs: Sequence[tuple[Values, Values]]) -> dict[str, float]:
    """Differences of (row, fine-tuning's row)."""

    def mean(place: int, attack: str) -> float:
        return sum(pair[place]["inheritance"][attack]["value"] for pair in pairs) / len(pairs)

    gained = [
        own["accuracy"]["reengineered"]["value"] - theirs["accuracy"]["reengineered"]["value"]
        for own, theirs in pairs
    ]
    return {
        "accuracy": sum(gained) / len(gained),
        **{attack: 1 - mean(0, attack) / mean(1, attack) for attack in ATTACKS},
    }


def _line(
    method: str, removed: float, found: Mapping[str, float], *, older: bool = False
) -> list[str]:
    return [
        *_named(method, removed, older=older),
        *(percent(found[key], 1) for key in ("accuracy", *ATTACKS)),
    ]


def _named(method: str, removed: float, *, older: bool = False) -> list[str]:
    return [NAMES[method] + " *" * older, percent(removed, 0) if removed else ""]


def _older(row: Values) -> bool:
    """Whether a row of ours was run with settings that are no longer the default."""
    search = row["settings"].get("search")
    if search is None:
        return False
    safer = search.get("safer")
    if safer is not None and safer != asdict(Safer(against=safer["against"])):
        return True
    return changed_since(search, Problem.new_labels(["a", "b"]), CHANGED)
