"""The rows of a sweep as they go on: a live table, or lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seam.cli.console import Output

if TYPE_CHECKING:
    from seam.jobs.sweep_parts import Part
    from seam.jobs.sweep_state import Row

SHOWN = 30
"""Problems that the table on a terminal has room for."""


@contextmanager
def watched(output: Output, parts: Sequence[Part]) -> Iterator[Callable[[Sequence[Row]], object]]:
    """Something to tell rows: a live table on a terminal, a line a finished problem elsewhere."""
    import sys
    import time

    if output.quiet:
        yield lambda _rows: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        start, before = time.monotonic(), [-1]

        def draw(rows: Sequence[Row]) -> None:
            left = sum(row["state"] in ("waiting", "running") for row in rows)
            if before[0] < 0:
                before[0] = left
            done = before[0] - left
            table = table_of(rows, brief=True)
            if done and left:
                minutes = (time.monotonic() - start) / done * left / 60
                table.title = f"{table.title}; about {minutes:.0f} min left"
            live.update(table, refresh=True)

        with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
            yield draw
    else:
        said: set[str] = set()

        def tell(rows: Sequence[Row]) -> None:
            for row in rows:
                if row["state"] in ("finished", "failed") and row["name"] not in said:
                    said.add(row["name"])
                    line = f"{len(said)}/{len(parts)} {row['name']}: {row['state']} {row['error']}"
                    print(line.rstrip(), file=sys.stderr, flush=True)

        yield tell


def table_of(rows: Sequence[Row], *, brief: bool = False) -> Any:
    """The rows; ``brief`` leaves out those that wait and are too many for a screen."""
    from rich.table import Table
    from rich.text import Text

    from seam.reporting.words import percent

    counts = {
        state: sum(row["state"] == state for row in rows)
        for state in ("finished", "running", "waiting", "failed")
    }
    title = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    table = Table(show_edge=False, title=title)
    for name in ("problem", "state"):
        table.add_column(name)
    for name in ("density", "accuracy", "against the base", "seconds"):
        table.add_column(name, justify="right")
    order = sorted(rows, key=lambda row: row["state"] == "waiting") if brief else rows
    for row in order[:SHOWN] if brief else order:
        state = row["state"]
        if state == "running":
            state = f"epoch {row['epoch']}/{row['epochs']}"
        shown = ["", "", "", ""]
        if row["state"] == "finished":
            shown = [
                percent(row["density"]), percent(row["accuracy"]),
                f"{100 * row['against_reference']:+.2f}", f"{row['seconds']:.0f}",
            ]  # fmt: skip
        table.add_row(Text(row["name"]), state, *shown)
    return table
