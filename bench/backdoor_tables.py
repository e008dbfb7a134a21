"""The table of backdoor runs, from bench/results/backdoor.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tables import MISSING, by_method, listed, markdown, over_seeds, provenance, spread

Values = Mapping[str, Any]
NAMES = {
    "clean": "never poisoned, restricted",
    "repaired": "published repair, restricted",
    "finetune": "fine-tuning",
    "seam": "seam",
    "safer": "seam --safer triggers",
}
WHERE_DOG_IS = ("without_trigger", "recognised", "recognised_with_trigger")


def _spread(rows: Sequence[Values], name: str) -> str:
    """A figure over seeds that only problems with the target as an output have."""
    shares = [row[name]["value"] for row in rows if row[name]]
    return spread(shares) if shares else ""


def backdoor(found: Values | None) -> str:
    """Success of the trigger and clean accuracy, one row a problem, number of images and method."""
    if found is None:
        return f"{MISSING}\n"
    heads = [
        *("problem", "images a label", "method", "trigger succeeds", "on the base", "without it"),
        *("dogs recognised", "with the trigger"),
        *("test accuracy", "against restricted", "weights kept", "seeds"),
    ]
    groups = by_method(found["rows"], ("problem", "shots", "method"), [*NAMES])
    rows = []
    for (problem, shots, method), group in groups.items():
        rows.append(
            [
                problem,
                str(shots),
                NAMES[method],
                over_seeds([row["success"] for row in group]),
                spread([row["base_success"]["value"] for row in group]),
                *(_spread(group, name) for name in WHERE_DOG_IS),
                over_seeds([row["accuracy"]["reengineered"] for row in group]),
                over_seeds([row["against_restricted"]["difference"] for row in group]),
                spread([row["density"] for row in group]),
                listed([row["seed"] for row in group]),
            ]
        )
    n = listed([row["accuracy"]["reengineered"]["n"] for row in found["rows"]])
    note = (
        f"All in %, differences in points; n = {n} test images. The trigger succeeds on a "
        "sample of another label that is then given dog; beside it how many are on the base "
        "restricted to the problem, how many without the trigger, and how many dogs are "
        "recognised, without and with it. Where dog is no output, it succeeds where it flips a "
        "right answer. One seed: the 95 % interval; several: the mean, "
        "lowest to highest. " + provenance(found, "backdoor.json")
    )
    return markdown(heads, rows, note)
