"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

METHODS = {
    "full": "full (argmax over all labels)",
    "restricted": "restricted (argmax over yours)",
    "head_only": "head only (nothing removed)",
    "reengineered": "re-engineered",
}


def percent(share: float, digits: int = 2) -> str:
    """A share as a percentage.

    >>> percent(0.1234)
    '12.34 %'
    """
    return f"{100 * share:.{digits}f} %"


def summary(report: Mapping[str, Any]) -> RenderableType:
    """The final table of a run: four methods by accuracy, interval, weights and MACs."""
    table = Table(title=_title(report), title_justify="left", show_edge=False)
    for heading in ("method", "test accuracy", "95 % interval", "weights", "MACs", "of them non-zero"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    weights, macs = report["weights"], report["macs"]
    for name, title in METHODS.items():
        figure = report["accuracy"][name]
        ours = name == "reengineered"
        table.add_row(
            title,
            percent(figure["value"]),
            f"{100 * figure['low']:.2f} to {100 * figure['high']:.2f}",
            f"{weights['kept' if ours else 'base']:,}",
            f"{macs['executed' if ours else 'base']:,}",
            f"{macs['theoretical' if ours else 'base']:,}",
            style="bold" if ours else None,
        )
    return Group(table, Text(""), Text.from_markup(verdict(report)))


def per_label(report: Mapping[str, Any]) -> Table:
    """Accuracy label by label, one column a method."""
    table = Table(show_edge=False)
    table.add_column("label")
    table.add_column("n", justify="right")
    for title in METHODS.values():
        table.add_column(title.split(" (")[0], justify="right")
    for row in report["per_label"]:
        table.add_row(
            escape(row["label"]),
            f"{row['n']:,}",
            *(percent(row[name]["value"]) for name in METHODS),
        )
    return table


def verdict(report: Mapping[str, Any]) -> str:
    """One sentence: what was kept, and how that compares with the restricted base."""
    gain = report["against_restricted"]["difference"]
    weights, macs = report["weights"], report["macs"]
    points = f"{100 * gain['value']:+.2f} points ({100 * gain['low']:+.2f} to {100 * gain['high']:+.2f})"
    return (
        f"Keeps {percent(weights['kept'] / weights['base'])} of all weights "
        f"(density {percent(report['density'])} of the maskable ones, "
        f"{percent(macs['theoretical'] / macs['base'])} of the MACs non-zero); "
        f"accuracy against restricted: {points}, n = {gain['n']:,}."
    )


def _title(report: Mapping[str, Any]) -> str:
    problem = report["problem"]
    if problem["kind"] == "one-vs-rest":
        return f"is it '{escape(problem['outputs'][1])}'?"
    return escape(", ".join(problem["outputs"][:8]) + (", ..." if len(problem["outputs"]) > 8 else ""))
