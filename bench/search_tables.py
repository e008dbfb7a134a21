"""The comparison of searches as a table, from the JSON in bench/results/search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tables import interval, listed, markdown, over_seeds, provenance, spread

Values = Mapping[str, Any]


def searches(runs: Sequence[Values]) -> str:
    """Hypervolume, and test accuracy against restricted at sizes fixed beforehand."""
    sizes = sorted({row["size"] for run in runs for row in run["test"]}, reverse=True)
    heads = [
        *("problem", "method", "hypervolume", "steps", "CPU seconds", "restricted"),
        *(f"against restricted at {100 * size:g} %" for size in sizes),
        "seeds",
    ]
    rows = []
    keys = {(run["problem"], run["samples"]["train"], run["method"]) for run in runs}
    volumes = {key: _mean_volume(_group(runs, key)) for key in keys}
    for key in sorted(keys, key=lambda key: (key[:2], -volumes[key])):
        mine = _group(runs, key)
        last = [run["points"][-1] for run in mine]
        tested = [run["test"][0]["restricted"] for run in mine if run["test"]]
        rows.append(
            [
                f"{key[0]}, {key[1]:,} images",
                key[2],
                spread([run["hypervolume"]["density"] for run in mine]),
                listed([point["steps"] for point in last]),
                f"{sum(point['cpu_seconds'] for point in last) / len(last):.0f}",
                interval(tested[0]) if tested else "",
                *(_against(mine, size) for size in sizes),
                listed([run["seed"] for run in mine]),
            ]
        )
    n = listed([run["samples"]["validation"] for run in runs])
    note = (
        f"All in %, differences in points; in brackets the 95 % interval, of several seeds lowest "
        f"to highest. Hypervolume: the mean over log density, 1 to 100 %, of the best validation "
        f"accuracy (n = {n}) at no more than that, counted above chance. Seconds hold the "
        "measurements between epochs, and are of a machine with other work. "
        + provenance(runs[0] if runs else {}, "search/*.json")
    )
    return markdown(heads, rows, note)


def _group(runs: Sequence[Values], key: tuple[Any, ...]) -> list[Values]:
    found = [r for r in runs if (r["problem"], r["samples"]["train"], r["method"]) == key]
    return sorted(found, key=lambda run: run["seed"])


def _mean_volume(runs: Sequence[Values]) -> float:
    total: float = sum(run["hypervolume"]["density"] for run in runs)
    return total / len(runs)


def _against(runs: Sequence[Values], size: float) -> str:
    found = [r["against_restricted"] for run in runs for r in run["test"] if r["size"] == size]
    return over_seeds(found) if found else "no such point"
