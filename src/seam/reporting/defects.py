"""Inherited defects on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seam.reporting.words import interval, percent

INHERITED = {
    "features": "the base's features",
    "features_published": "the base's features, published strength",
    "logits": "the base's logits",
}
ADAPTIVE = {
    "features": "the result's features",
    "logits": "the result's logits",
    "autoattack": "the result, AutoAttack",
}
NOTE = (
    "Few flips by attacks on the base mean that they do not carry over. "
    "How robust the result is, attacks on the result itself say."
)


def defects_summary(report: Mapping[str, Any]) -> RenderableType:
    """All that `seam evaluate --defects` and ``--trigger`` add to a report."""
    parts: list[RenderableType] = []
    if "inheritance" in report:
        parts += [Text(""), _attacks(report), Text(""), Text(_mistakes(report)), Text(NOTE)]
    if "backdoor" in report:
        parts += [Text(""), _backdoor(report["backdoor"]), Text("")]
    return Group(*parts)


def _attacks(report: Mapping[str, Any]) -> Table:
    table = Table(title="rightly classified samples that an attack flips", title_justify="left")
    table.show_edge = False
    table.add_column("attack on")
    for heading in ("epsilon", "result flipped", "95 % interval", "n", "base flipped"):
        table.add_column(heading, justify="right")
    for name, title in INHERITED.items():
        if name in report["inheritance"]:
            figure = report["inheritance"][name]
            table.add_row(title, *_row(figure), percent(figure["base"]["value"]))
    table.add_section()
    for name, title in ADAPTIVE.items():
        if name in report["adaptive"]:
            table.add_row(title, *_row(report["adaptive"][name]), "")
    return table


def _row(figure: Mapping[str, Any]) -> tuple[str, ...]:
    return (f"{figure['epsilon']:g}/255", *_share(figure))


def _share(figure: Mapping[str, Any]) -> tuple[str, str, str]:
    """A share, its interval, its n.

    >>> _share({"value": 0.5, "low": 0.25, "high": 0.75, "n": 1000})
    ('50.00 %', '25.00 to 75.00', '1,000')
    """
    return percent(figure["value"]), interval(figure), f"{figure['n']:,}"


def _mistakes(report: Mapping[str, Any]) -> str:
    value, interval, n = _share(report["inheritance"]["mistakes"])
    return f"Of the base's {n} mistakes the result repeats {value} ({interval})."


def _backdoor(backdoor: Mapping[str, Any]) -> Table:
    """Success of the trigger and clean accuracy, of base and result."""
    title = f"trigger for '{backdoor['target_label']}': "
    title += {
        "target": "samples of other labels that are given that one",
        "flip": "rightly classified samples that are flipped (base, full: given that label)",
    }[backdoor["meaning"]]
    table = Table(title=Text(title), title_justify="left", show_edge=False)
    table.add_column("model")
    for heading in ("success", "95 % interval", "n", "clean accuracy"):
        table.add_column(heading, justify="right")
    base, ours = backdoor["base"], backdoor["reengineered"]
    rows = {
        "base, full": (base, base["accuracy"]["full"]),
        "base, restricted": (base["restricted"], base["accuracy"]["restricted"]),
        "re-engineered": (ours, ours["accuracy"]),
    }
    for name, (success, accuracy) in rows.items():
        clean = percent(accuracy["value"]) if accuracy is not None else ""
        table.add_row(name, *_share(success), clean)
    return table
