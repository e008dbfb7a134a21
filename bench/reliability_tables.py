"""Injected faults and fuzzed files as tables, from the JSON in bench/results/reliability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tables import MISSING, markdown, provenance

Values = Mapping[str, Any]


def reliability(faults: Values | None, fuzzed: Values | None) -> str:
    """The counts of both, for the README."""
    heads = ["what was done to it", "times", "what was lost, or crashed"]
    rows = []
    if faults:
        total = faults["total"]
        rows.append(["searches and sweeps killed, starved, cut off or crowded, then continued",
                     f"{total['injected']:,}", f"{total['lost']:,}"])  # fmt: skip
    if fuzzed:
        targets = fuzzed["targets"].values()
        inputs, crashes = (sum(row[name] for row in targets) for name in ("inputs", "crashes"))
        rows.append([f"hostile files of {len(targets)} kinds", f"{inputs:,}", f"{crashes:,}"])
    note = "By `bench/faults.py` and `bench/fuzz.py`; [what is promised](docs/reliability.md)."
    return markdown(heads, rows, note)


def faults(found: Values | None) -> str:
    """One row a kind of fault."""
    heads = ["what is searched", "fault", "injected", "same bytes after", "refused as it should",
             "lost"]  # fmt: skip
    rows = [
        [
            row["case"],
            row["kind"],
            *(f"{row[name]:,}" for name in ("injected", "survived", "refused", "lost")),
        ]
        for row in (found or {}).get("rows", [])
    ]
    note = f"Seed {(found or {}).get('seed')}. " + provenance(
        found or {}, "reliability/faults.json"
    )
    return markdown(heads, rows, note)


def fuzzed(found: Values | None) -> str:
    """One row a kind of file."""
    heads = ["file", "engine", "inputs", "refused", "taken", "crashes", "most memory, MiB",
             "slowest, s"]  # fmt: skip
    rows = [
        [
            name,
            row["engine"],
            *(f"{row[count]:,}" for count in ("inputs", "rejected", "accepted", "crashes")),
            f"{row['largest_memory_mib']:.1f}",
            f"{row['slowest_seconds']:.2f}",
        ]
        for name, row in sorted((found or {}).get("targets", {}).items())
    ]
    seeds = sorted({row["seed"] for row in (found or {}).get("targets", {}).values()})
    note = f"Seeds {', '.join(map(str, seeds)) or MISSING}. " + provenance(
        found or {}, "reliability/fuzz.json"
    )
    return markdown(heads, rows, note)
