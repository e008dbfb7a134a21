"""The table of architectures, from bench/results/architectures.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tables import MISSING, markdown, percent, provenance

Values = Mapping[str, Any]


def architectures(found: Values | None) -> str:
    """One row an architecture: what was searched, and what came of it."""
    if found is None:
        return f"{MISSING}\n"
    heads = [
        *("architecture", "source", "weights, M", "weight search for", "channel search for"),
        *("axes", "left whole", "MACs left", "weights left", "export opened and compared"),
    ]
    rows, refused = [], []
    for row in found["rows"]:
        source, _, name = row["id"].partition(":")
        channel, kind = row["channel"], row["weight"]["problem"]
        first = [f"`{name}`", source, f"{row['size'] / 1e6:.2f}", kind]
        if "refused" in channel:
            refused.append(f"- `{row['id']}`, channels: {channel['refused']}")
            rows.append([*first, f"{channel['problem']}: refused, see below", *[""] * 5])
            continue
        shares = [percent(channel[each], 0) for each in ("macs", "weights")]
        counts = [str(channel["axes"]), str(len(channel["whole"])) if channel["whole"] else ""]
        rows.append([*first, channel["problem"], *counts, *shares, channel["format"]])
    passed = len(rows) - len(refused)
    note = (
        f"{len(rows)} architectures are searched by weights, {passed} of them by channels too. "
        "Shares in %. " + provenance(found, "architectures.json")
    )
    return markdown(heads, rows, "\n\n".join([note, "\n".join(refused)] if refused else [note]))
