"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seam.artefacts.adapter import Adapter
from seam.reporting.words import interval, percent, remarks

MOST_LABELS = 8
METHODS = {
    "full": "full (argmax over all labels)",
    "restricted": "restricted (argmax over yours)",
    "head_only": "head only (nothing removed)",
    "reengineered": "re-engineered",
}


def summary(report: Mapping[str, Any]) -> RenderableType:
    """The final table of a run: methods by accuracy, interval, weights and MACs."""
    table = Table(title=_title(report), title_justify="left", show_edge=False)
    headings = ("method", "test accuracy", "95 % interval", "weights", "MACs", "non-zero MACs")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "method" else "right")
    weights, macs = report["weights"], report["macs"]
    for name, title in _measured(report).items():
        figure = report["accuracy"][name]
        ours = name == "reengineered"
        table.add_row(
            title,
            percent(figure["value"]),
            interval(figure),
            f"{weights['kept' if ours else 'base']:,}",
            f"{macs['executed' if ours else 'base']:,}",
            f"{macs['theoretical' if ours else 'base']:,}",
            style="bold" if ours else None,
        )
    return Group(table, Text(""), Text(verdict(report)))


def _measured(report: Mapping[str, Any]) -> dict[str, str]:
    """The titles of the methods that there are for the problem."""
    return {name: title for name, title in METHODS.items() if name in report["accuracy"]}


def per_label(report: Mapping[str, Any]) -> Table:
    """Accuracy label by label, one column a method."""
    table = Table(show_edge=False)
    table.add_column("label")
    table.add_column("n", justify="right")
    methods = _measured(report)
    for title in methods.values():
        table.add_column(title.split(" (")[0], justify="right")
    for row in report["per_label"]:
        table.add_row(
            Text(row["label"]),
            f"{row['n']:,}",
            *(percent(row[name]["value"]) for name in methods),
        )
    return table


def verdict(report: Mapping[str, Any]) -> str:
    """One sentence: what was kept, and how that compares with the base used honestly."""
    reference = report.get("reference", "restricted")
    gain = report[f"against_{reference}"]["difference"]
    over = reference.replace("_", " ")
    weights, macs = report["weights"], report["macs"]
    value, low, high = (100 * gain[name] for name in ("value", "low", "high"))
    shrunk = report.get("model", {}).get("kind") == "shrunk"
    return (
        f"Keeps {percent(weights['kept'] / weights['base'])} of all weights "
        f"(density {percent(report['density'])} of the maskable ones, "
        f"{percent(macs['theoretical'] / macs['base'])} of the MACs "
        f"{'left: shrunk, the rest is gone' if shrunk else 'non-zero'}); "
        f"accuracy against {over}: {value:+.2f} points ({low:+.2f} to {high:+.2f}), "
        f"n = {gain['n']:,}.{remarks(report)}"
    )


def _title(report: Mapping[str, Any]) -> Text:
    """Labels are shown as they are: markup in them means nothing."""
    return Text(problem_title(report["problem"]), style="table.title")


def problem_title(problem: Mapping[str, Any]) -> str:
    """A problem in a few words.

    >>> problem_title({"kind": "subset", "outputs": ["airplane", "ship"]})
    'airplane, ship'
    """
    outputs = problem["outputs"]
    if problem["kind"] == "one-vs-rest":
        return f"is it '{outputs[1]}'?"
    more = ", ..." if len(outputs) > MOST_LABELS else ""
    return ", ".join(outputs[:MOST_LABELS]) + more


def dry_run(facts: Mapping[str, Any]) -> Table:
    """What a search would do, without doing it."""
    return _facts(facts, "dry run: nothing was written")


def shared_table(facts: Mapping[str, Any]) -> Table:
    """What was, or would be, uploaded to a hub, or was fetched from one."""
    dry = facts["revision"] is None
    sizes = {name: f"{size:,} bytes" for name, size in facts["files"].items()}
    return _facts({**facts, "files": sizes}, "dry run: nothing was uploaded" if dry else "")


def _facts(facts: Mapping[str, Any], title: str) -> Table:
    """Names and values, one a line."""
    table = Table(show_header=False, show_edge=False, title=title)
    table.add_column(style="bold")
    table.add_column()
    for name, value in facts.items():
        if value is None:
            continue
        shown = [str(value)]
        if isinstance(value, dict):
            shown = [f"{k} {v}" for k, v in value.items() if v is not None]
        elif isinstance(value, list):
            shown = [*map(str, value)]
        table.add_row(name.replace("_", " "), Text(", ".join(shown)))
    return table


def describe_adapter(adapter: Adapter) -> dict[str, Any]:
    """What an adapter holds, as plain values."""
    return {
        "problem": adapter.problem.to_dict(),
        "base": {"source": adapter.base.source, "fingerprint": adapter.base.fingerprint},
        "head": adapter.head_kind,
        "density": adapter.density,
        "kept": adapter.kept,
        "maskable": adapter.maskable,
        "tuned": sorted(adapter.delta),
        "metrics": dict(adapter.metrics),
        "layers": [
            {"name": name, "kept": int(mask.sum()), "of": mask.numel()}
            for name, mask in adapter.masks.items()
        ],
    }


def adapter_table(found: Mapping[str, Any]) -> RenderableType:
    """`describe_adapter` for people."""
    table = Table(title=_title(found), title_justify="left", show_edge=False)
    table.add_column("masked parameter")
    for heading in ("kept", "of", "density"):
        table.add_column(heading, justify="right")
    for layer in found["layers"]:
        share = percent(layer["kept"] / layer["of"])
        table.add_row(Text(layer["name"]), f"{layer['kept']:,}", f"{layer['of']:,}", share)
    table.add_section()
    table.add_row("all", f"{found['kept']:,}", f"{found['maskable']:,}", percent(found["density"]))
    base = found["base"]
    return Group(
        table,
        Text(f"base model {base['source']}, fingerprint {base['fingerprint'][:12]}"),
        Text(f"head {found['head']}; {len(found['tuned'])} tuned parameters travel along"),
    )


def predictions_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line an image or text, whichever the first key of the rows says."""
    kind = next(iter(rows[0]))
    table = Table(show_edge=False)
    table.add_column(kind)
    table.add_column("label")
    table.add_column("probability", justify="right")
    for row in rows:
        table.add_row(Text(row[kind]), Text(row["label"]), percent(row["probability"]))
    return table
