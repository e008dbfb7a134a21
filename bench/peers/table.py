"""Print the table of our channel search beside its peers, from the JSON in bench/results.

    python bench/peers/table.py

Ours are rows of bench/channels.py in the same folder, with the same data split and epochs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tables import RESULTS, ROOT, listed, markdown, spread

ORDER = ("ours", "tp-group-norm", "tp-group-taylor", "l1", "scratch", "paper")
RUNTIMES = ("onnxruntime", "openvino", "torch", "torch_compiled")
Row = Mapping[str, Any]


def read(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("*.json"))
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def gathered(results: Path) -> list[dict[str, Any]]:
    """The rows in the peers' folder: theirs, and ours as bench/channels.py writes them.

    Raises:
        ValueError: rows of one problem, seed and number of epochs are not of the same split.
    """
    rows = []
    splits: dict[tuple[Any, ...], str] = {}
    for row in read(results / "peers"):
        epochs = row["settings"]["search"]["epochs"]
        rows.append({"method": "ours", "epochs": epochs, **row})
        key = (row["base"], *row["problem"]["outputs"], row["seed"], epochs)
        if splits.setdefault(key, row["split_hash"]) != row["split_hash"]:
            raise ValueError(f"rows of {key} have different data splits; run them again")
    return rows


def table(rows: Sequence[Row]) -> str:
    """One row a base, problem, number of epochs and method; figures over seeds."""
    heads = [
        *("base", "problem", "method", "test accuracy", "restricted", "against restricted"),
        *("n", "MACs", "parameters", *(f"{each}, 1 / 16" for each in RUNTIMES)),
        *("seconds", "seeds", "epochs"),
    ]
    groups: dict[tuple[str, str, int, int], list[Row]] = {}
    for row in rows:
        problem, method = " ".join(row["problem"]["outputs"]), ORDER.index(row["method"])
        key = (row["base"], problem, row["epochs"], method)
        groups.setdefault(key, []).append(row)
    lines = []
    for key in sorted(groups):
        group = groups[key]
        lines.append(
            [
                key[0],
                ", ".join(group[0]["problem"]["outputs"]),
                group[0]["method"],
                spread([row["accuracy"]["reengineered"]["value"] for row in group]),
                spread([row["accuracy"]["restricted"]["value"] for row in group]),
                spread([row["against_restricted"]["difference"]["value"] for row in group]),
                listed([row["accuracy"]["reengineered"]["n"] for row in group]),
                spread([row["macs"]["executed"] / row["macs"]["base"] for row in group]),
                spread([row["weights"]["kept"] / row["weights"]["base"] for row in group]),
                *(ratios(group, runtime) for runtime in RUNTIMES),
                seconds(group),
                listed([row["seed"] for row in group]),
                listed([row["epochs"] for row in group]),
            ]
        )
    return markdown(heads, lines, note(rows))


def ratios(group: Sequence[Row], runtime: str) -> str:
    """Mean over seeds of the time as a share of the base's, at batch 1 and at batch 16."""
    found = []
    for batch in ("1", "16"):
        values = [
            row["latency"][runtime][batch]["ratio"]
            for row in group
            if batch in row.get("latency", {}).get(runtime, {})
        ]
        found.append(f"{sum(values) / len(values):.3f}" if values else "-")
    return " / ".join(found) if set(found) != {"-"} else ""


def seconds(group: Sequence[Row]) -> str:
    """Pruning or search, and tuning, on the wall; the mean over seeds."""
    values = [row["seconds"]["search"] for row in group if "search" in row.get("seconds", {})]
    return f"{sum(values) / len(values):,.0f}" if values else ""


def note(rows: Sequence[Row]) -> str:
    methods: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: ORDER.index(row["method"])):
        for limit in row.get("limits", []):
            if row["method"] not in methods.setdefault(limit, []):
                methods[limit].append(row["method"])
    limits = [f"{', '.join(names)}: {limit}" for limit, names in methods.items()]
    threads = listed([row["threads"] for row in rows if "threads" in row])
    text = (
        "Accuracies, MACs and parameters in %, differences in points, over seeds: mean (lowest to "
        "highest). MACs are those executed. Times are ratios to the base's, per runtime, at batch "
        "1 / 16. Seconds: pruning or search, and tuning. `paper`: weights only, no speed-up. "
        f"Threads: {threads or 'not recorded'}. Source: `{RESULTS}/peers`."
    )
    return "\n".join([text, *(["", *(f"- {limit}." for limit in limits)] if limits else [])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=ROOT / RESULTS)
    args = parser.parse_args()
    print(table(gathered(args.results)), end="")


if __name__ == "__main__":
    main()
