"""A run's gathered figures as its page shows them: sentences, rows, places of bars."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from seam.evaluation.runtimes import RUNTIMES
from seam.reporting.chart import Axis
from seam.reporting.defects import ADAPTIVE, INHERITED
from seam.reporting.terminal import METHODS, problem_title
from seam.reporting.words import (
    count,
    milliseconds,
    percent,
    points_of,
    predict_command,
    remarks,
    signed,
)

LARGEST_MATRIX = 12
"""Above so many outputs, the most frequent confusions are listed instead of a matrix."""
MOST_CONFUSED = 15


def run_view(document: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's page shows beside what was gathered."""
    report = document["report"]
    view: dict[str, Any] = {
        "title": problem_title(document["problem"]),
        "again": f"seam report {shlex.quote(document['run'])}",
        "commands": _commands(document),
        "settings_text": yaml.safe_dump(document["settings"], sort_keys=False, allow_unicode=True),
        "latency_panels": [],
        "confusions": None,
        "attacks": [],
        "shrunk": False,
    }
    if report is None:
        return view
    view |= {
        "verdict": verdict_of(report),
        "shrunk": report.get("model", {}).get("kind") == "shrunk",
        "methods": methods_view(report, sizes_of(document)),
        "against": report[f"against_{report.get('reference', 'restricted')}"],
        "reference": _name(report.get("reference", "restricted")),
    }
    if document["confusion"] is not None:
        view["confusions"] = confusion_view(document["confusion"])
    timed = (document["latency"], document["latency_int8"])
    view["latency_panels"] = [_latency(each) for each in timed if each is not None]
    if document["defects"] is not None:
        view["attacks"] = _attacks(document["defects"])
    return view


def verdict_of(report: Mapping[str, Any]) -> str:
    """The page's sentence: what is left, and what that costs in accuracy.

    Whether there is a difference is read off its interval.
    """
    reference = report.get("reference", "restricted")
    gain = report[f"against_{reference}"]["difference"]
    interval = f"95 % interval {signed(gain['low'])} to {signed(gain['high'])}"
    base = {
        "restricted": "the base restricted to this problem",
        "head_only": "the base with a new head",
    }[reference]
    value = gain["value"]
    if gain["low"] > 0:
        found = f"{100 * value:.2f} points more than {base} ({interval})"
    elif gain["high"] < 0:
        found = f"{-100 * value:.2f} points less than {base} ({interval})"
    else:
        found = f"no difference from {base} shown, {points_of(value)} ({interval})"
    weights, macs = report["weights"], report["macs"]
    right = report["accuracy"]["reengineered"]
    return (
        f"{percent(weights['kept'] / weights['base'], 1)} of the weights and "
        f"{percent(macs['theoretical'] / macs['base'], 1)} of the multiply-accumulates are left; "
        f"of {count(right['n'])} test samples {percent(right['value'])} are right: {found}."
        f"{remarks(report)}"
    )


def _commands(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What can be done with the run, and how."""
    run, content = shlex.quote(document["run"]), document["content"]
    if document["report"] is None:
        return [("Write this page", f"seam report {run}")]
    return [
        (f"Name {content}s", predict_command(document["run"], content)),
        ("Measure again", f"seam evaluate {run}"),
        ("Other runtimes", f"seam export {run} --to onnx"),
        ("Choose another", f"{document['command']} --out {run} --pick EPOCH"),
        ("Write this page", f"seam report {run}"),
    ]


def _name(method: str) -> str:
    return METHODS[method].partition(" (")[0]


def methods_view(report: Mapping[str, Any], sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The before/after table: one row a method, with where its interval lies."""
    names = [name for name in METHODS if name in report["accuracy"]]
    shares = [report["accuracy"][name] for name in names]
    ends = [100 * each[end] for each in shares for end in ("low", "high")]
    axis = Axis.around(ends, margin=0.04)
    rows = []
    for name, share in zip(names, shares, strict=True):
        ours = name == "reengineered"
        rows.append(
            {
                "key": name,
                "name": _name(name),
                "explained": METHODS[name].partition(" (")[2].rstrip(")"),
                "ours": ours,
                "reference": name == report.get("reference", "restricted"),
                "share": share,
                "dots": _places(axis, share),
                "weights": report["weights"]["kept" if ours else "base"],
                "executed": report["macs"]["executed" if ours else "base"],
                "nonzero": report["macs"]["theoretical" if ours else "base"],
                "bytes": sizes.get("result" if ours else "base"),
            }
        )
    return {"rows": rows, "base": {"weights": report["weights"]["base"], **report["macs"]}}


def _places(axis: Axis, share: Mapping[str, Any]) -> dict[str, float]:
    """Where a share and its interval lie on an axis of per cents."""
    return {name: axis.place(100 * share[name]) for name in ("low", "value", "high")}


def confusion_view(confusion: Mapping[str, Any]) -> dict[str, Any]:
    """Matrices, each cell with its share of its row; or, of many outputs, the commonest errors.

    >>> found = {"outputs": ["a", "b"], "methods": {"restricted": [[3, 1], [0, 4]]}}
    >>> confusion_view(found)["matrices"][0]["rows"][0]["cells"][1]
    {'count': 1, 'share': 0.25, 'right': False}
    """
    outputs = confusion["outputs"]
    matrices, pairs = [], []
    for method, rows in confusion["methods"].items():
        if len(outputs) > LARGEST_MATRIX:
            pairs.append({"name": _name(method), "rows": _most_confused(outputs, rows)})
            continue
        shown = []
        for i, row in enumerate(rows):
            total = max(1, sum(row))
            cells = [
                {"count": n, "share": round(n / total, 4), "right": i == j}
                for j, n in enumerate(row)
            ]
            shown.append({"label": outputs[i], "cells": cells})
        matrices.append({"name": _name(method), "rows": shown})
    return {"outputs": outputs, "matrices": matrices, "pairs": pairs}


def _most_confused(outputs: Sequence[str], rows: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"truth": outputs[i], "predicted": outputs[j], "count": n, "of": sum(row)}
        for i, row in enumerate(rows)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return sorted(found, key=lambda each: each["count"], reverse=True)[:MOST_CONFUSED]


def _latency(found: Mapping[str, Any]) -> dict[str, Any]:
    """One panel a batch size: a bar for base and result in each runtime, on one scale."""
    latency = found["latency"]
    asked = [name for name in RUNTIMES if name in latency]
    timed = {name: latency[name] for name in asked if "skipped" not in latency[name]}
    sizes = sorted({size for cells in timed.values() for size in cells}, key=int)
    return {
        "model": latency["model"],
        "threads": latency["threads"],
        "machine": latency["machine"],
        "panels": [
            {"batch": size, "rows": _bars({n: c[size] for n, c in timed.items() if size in c})}
            for size in sizes
        ],
        "skipped": {name: latency[name]["skipped"] for name in asked if "skipped" in latency[name]},
        "bytes": found["size_bytes"],
        "memory": found["peak_memory_bytes"],
    }


def _bars(cells: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    longest = max(
        max(cell[f"{who}_iqr_ms"][1], cell[f"{who}_ms"])
        for cell in cells.values()
        for who in ("base", "result")
    )
    axis = Axis(0, 1.02 * longest)
    return [
        {
            "runtime": runtime,
            "ratio": cell["ratio"],
            "iqr": cell["iqr"],
            "rounds": cell["rounds"],
            "bars": [
                {
                    "name": who,
                    "ms": milliseconds(cell[f"{who}_ms"]),
                    "quartiles": " to ".join(map(milliseconds, cell[f"{who}_iqr_ms"])),
                    "value": axis.place(cell[f"{who}_ms"]),
                    "low": axis.place(cell[f"{who}_iqr_ms"][0]),
                    "high": axis.place(cell[f"{who}_iqr_ms"][1]),
                }
                for who in ("base", "result")
            ],
        }
        for runtime, cell in cells.items()
    ]


def _attacks(defects: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Attacks on the base, then on the result: what share each flips."""
    axis = Axis(0, 100)
    kinds = (("base", INHERITED, "inheritance"), ("result", ADAPTIVE, "adaptive"))
    return [
        {
            "attacked": whom,
            "name": title,
            "epsilon": f"{share['epsilon']:g}",
            "share": share,
            "dots": _places(axis, share),
            "base": share.get("base"),
        }
        for whom, titles, key in kinds
        for name, title in titles.items()
        if (share := defects.get(key, {}).get(name)) is not None
    ]


def sizes_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Bytes of base and result; earlier versions recorded them with the latency alone."""
    timed = (document["latency"] or {}).get("size_bytes", {})
    found: Mapping[str, Any] = document["report"].get("size_bytes", timed)
    return found


def compared_rows(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row for each run of a page that compares several."""
    return [_compared(each) for each in runs]


def _compared(run: Mapping[str, Any]) -> dict[str, Any]:
    report = run["report"]
    row = {"name": run["name"], "title": run["title"], "base": run["settings"]["base"]["source"]}
    if report is None:
        return {**row, "accuracy": None}
    reference = report.get("reference", "restricted")
    accuracy = report["accuracy"]
    latency = (run["latency"] or {}).get("latency")
    best = (latency or {}).get("fastest", {}).get("1")
    cell = {} if latency is None or best is None else latency[best["runtime"]]["1"]
    return {
        **row,
        "reference": accuracy[reference],
        "reference_name": reference.replace("_", " "),
        "accuracy": accuracy["reengineered"],
        "gain": report[f"against_{reference}"]["difference"],
        "weights": report["weights"]["kept"] / report["weights"]["base"],
        "macs": report["macs"]["theoretical"] / report["macs"]["base"],
        "shrunk": run["shrunk"],
        "bytes": sizes_of(run).get("result"),
        "time": {"ratio": cell["ratio"], "runtime": best["runtime"]} if cell else None,
        "seed": report["seed"],
    }
