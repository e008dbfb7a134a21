"""The table of architectures, from bench/results/architectures.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tables import MISSING, markdown, percent, provenance

Values = Mapping[str, Any]
GRANULARITIES = {"weight": "weights", "channel": "channels"}


def architectures(found: Values | None) -> str:
    """One row an architecture: what was searched, and what came of it; then what was refused."""
    if found is None:
        return f"{MISSING}\n"
    heads = [
        *("architecture", "source", "weights, M", "searched by weights for", "weights left"),
        *("searched by channels for", "axes", "left whole", "MACs left", "weights left"),
        *("shrunk differs by", "exported as", "which differs by"),
    ]
    rows = found["rows"]
    passed = {each: sum("problem" in row[each] for row in rows) for each in GRANULARITIES}
    sources = len({row["id"].partition(":")[0] for row in rows})
    note = (
        f"{len(rows)} architectures of {sources} sources: {passed['weight']} are searched by "
        f"weights, {passed['channel']} by channels. Shares in %; differences are of outputs, over "
        "the largest. " + provenance(found, "architectures.json")
    )
    refused = [line for row in rows for line in _refusals(row)]
    lists = ["Refused:", "\n".join(refused)] if refused else []
    return markdown(heads, [_cells(row) for row in rows], "\n\n".join([note, *lists]))


def _cells(row: Values) -> list[str]:
    source, _, name = row["id"].partition(":")
    weight, channel = row["weight"], row["channel"]
    return [
        *(f"`{name}`", source, f"{row['size'] / 1e6:.2f}"),
        *(weight.get("problem", "refused"), _share(weight, "weights")),
        *(channel.get("problem", "refused"), str(channel.get("axes", ""))),
        *(str(len(channel.get("whole", ())) or ""), _share(channel, "macs")),
        *(_share(channel, "weights"), _size(channel, "shrunk_difference")),
        *(channel.get("format", ""), _size(channel, "export_difference")),
    ]


def _share(found: Values, name: str) -> str:
    return percent(found[name], 1) if name in found else ""


def _size(found: Values, name: str) -> str:
    """A difference by its magnitude; empty where it was not measured."""
    value = found.get(name)
    return "" if value is None else f"{value:.0e}" if value else "0"


def _refusals(row: Values) -> Iterator[str]:
    """A line for each reason: to what kinds of problem, at which granularity."""
    where: dict[str, list[str]] = {}
    for granularity, words in GRANULARITIES.items():
        for kind, reason in row[granularity].get("refused", {}).items():
            where.setdefault(reason, []).append(f"{kind} by {words}")
    for reason, cases in where.items():
        yield f"- `{row['id']}`, {', '.join(cases)}: {reason}"
