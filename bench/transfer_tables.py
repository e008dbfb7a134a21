"""The table of students for new labels, from the JSON in bench/results/transfer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tables import listed, markdown, over_seeds, provenance, spread

Values = Mapping[str, Any]
ORDER = ("finetune", "scratch", "magnitude", "remos", "seam")


def students(files: Sequence[Values]) -> str:
    """Accuracy and size, one row a target, method and share removed; seeds together."""
    heads = [
        *("base", "target", "method", "removed", "head only", "student", "weights left"),
        *("minutes", "steps", "seeds"),
    ]
    groups: dict[tuple[Any, ...], list[Values]] = defaultdict(list)
    for row in (row for found in files for row in found["rows"]):
        name = (row["base"], row["target"], ORDER.index(row["method"]), row["removed"])
        groups[(*name, row["recipe"] if row["method"] != "seam" else "", row["steps"])].append(row)
    rows = []
    for (base, target, place, removed, recipe, steps), group in sorted(groups.items()):
        rows.append(
            [
                base,
                target,
                f"{ORDER[place]}{f', {recipe}' if recipe else ''}",
                f"{100 * removed:.0f}" if removed else "",
                over_seeds([row["accuracy"]["head_only"] for row in group]),
                over_seeds([row["accuracy"]["reengineered"] for row in group]),
                spread([row["weights"]["kept"] / row["weights"]["base"] for row in group]),
                f"{sum(row['seconds']['total'] for row in group) / len(group) / 60:.0f}",
                f"{steps:,}",
                listed([row["seed"] for row in group]),
            ]
        )
    n = listed([row["n"]["test"] for group in groups.values() for row in group])
    note = (
        f"All in %; n = {n} test images. One seed: the 95 % interval; several: the mean, lowest to "
        "highest. The method's first word is the way to the student, the second its optimizer. "
        + provenance(files[0] if files else {}, "transfer/*.json")
    )
    return markdown(heads, rows, note)
