"""The table of encoders, from bench/results/encoders.json."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tables import MISSING, listed, markdown, over_seeds, provenance, spread

Values = Mapping[str, Any]


def encoders(found: Values | None) -> str:
    """Accuracy and size, one row a base, problem and granularity; figures over seeds."""
    if found is None:
        return f"{MISSING}\n"
    heads = [
        *("base", "problem", "outputs", "granularity", "full", "restricted", "re-engineered"),
        *("against restricted", "weights left", "MACs left, or not 0", "seconds", "seeds"),
    ]
    groups: dict[tuple[str, str, str, float], list[Values]] = defaultdict(list)
    for row in found["rows"]:
        groups[row["base"], row["name"], row["granularity"], row["share"]].append(row)
    rows = []
    for (base, name, granularity, _), group in groups.items():
        kind = "executed" if granularity == "channel" else "theoretical"
        rows.append(
            [
                base,
                name,
                str(group[0]["labels"]),
                granularity,
                *(
                    over_seeds([row["accuracy"][method] for row in group])
                    for method in ("full", "restricted", "reengineered")
                ),
                over_seeds([row["against_restricted"]["difference"] for row in group]),
                spread([row["weights"]["kept"] / row["weights"]["base"] for row in group]),
                spread([row["macs"][kind] / row["macs"]["base"] for row in group]),
                f"{sum(row['seconds']['total'] for row in group) / len(group):.0f}",
                listed([row["seed"] for row in group]),
            ]
        )
    n = listed([row["accuracy"]["full"]["n"] for row in found["rows"]])
    note = (
        f"All in %, differences in points; n = {n} test samples. One seed: the 95 % interval; "
        "several: the mean, lowest to highest. Weights count all of the model's, embeddings too. "
        + provenance(found, "encoders.json")
    )
    return markdown(heads, rows, note)
