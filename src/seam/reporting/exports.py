"""What was exported, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from seam.reporting.words import percent


def exports_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """One line an exported model: agreement and largest difference, and accuracy if in 8 bits."""
    table = Table(show_edge=False)
    for heading in ("export", "runtime", "model"):
        table.add_column(heading)
    for heading in ("same answer", "n", "largest difference", "of the largest logit", "kB"):
        table.add_column(heading, justify="right")
    for row in rows:
        found = row["comparison"]
        size = sum(file["bytes"] for file in row["files"].values())
        table.add_row(
            row["name"],
            row["runtime"],
            row["model"] + (", quantized" if row["quantized"] else ""),
            percent(found["top1_agreement"]["value"]),
            f"{found['n']:,}",
            f"{found['largest_difference']:.1e}",
            f"{found['largest_relative_difference']:.1e}",
            f"{size / 1000:,.0f}",
        )
    return Group(table, *(Text(accuracy(row)) for row in rows if row["accuracy"]))


def accuracy(row: Mapping[str, Any]) -> str:
    """Test accuracy before and after quantization, in one line.

    >>> share = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 90}
    >>> accuracy({"name": "onnx-int8", "accuracy": {"before": share, "after": share}})
    'onnx-int8: test accuracy 50.00 % (40.00 to 60.00), before quantization 50.00 %, n = 90'
    """
    before, after = row["accuracy"]["before"], row["accuracy"]["after"]
    return (
        f"{row['name']}: test accuracy {percent(after['value'])} "
        f"({100 * after['low']:.2f} to {100 * after['high']:.2f}), "
        f"before quantization {percent(before['value'])}, n = {after['n']:,}"
    )
