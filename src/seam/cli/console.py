"""Where the command line writes: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seam.jobs.observe import Observer, Silent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

    from seam.search.frontier import Point

PIPED_WIDTH = 140
"""Columns of a table that goes into a file or a pipe, whatever the terminal's width."""


@dataclass(frozen=True)
class Output:
    """What a command prints: one JSON document, or tables and hints, or nothing."""

    as_json: bool
    quiet: bool

    def show(self, *parts: RenderableType) -> None:
        """Print tables and text, unless JSON or silence is wanted."""
        if not (self.as_json or self.quiet):
            console = _console(stderr=False)
            for part in parts:
                # A path in a sentence stays in one piece, so that it can be copied.
                console.print(part, soft_wrap=isinstance(part, str))

    def document(self, values: Any) -> None:
        """Print the one JSON document, if it is wanted."""
        if self.as_json:
            plain = not (sys.stdout.encoding or "").lower().startswith("utf")
            text = json.dumps(values, indent=2, ensure_ascii=plain, allow_nan=False)
            sys.stdout.write(text + "\n")

    @contextmanager
    def progress(self) -> Iterator[Observer]:
        """An observer: bars on a terminal, a line an epoch elsewhere, nothing when quiet."""
        if self.quiet:
            yield Silent()
        elif sys.stderr.isatty():
            with Bars(_console(stderr=True)) as bars:
                yield bars
        else:
            yield Lines()


class Lines(Silent):
    """One line an epoch, for logs."""

    def stage(self, text: str) -> None:
        """A line that names the stage."""
        print(text, file=sys.stderr, flush=True)

    def point(self, point: Point, epochs: int) -> None:
        """A line with the epoch's figures."""
        print(describe(point, epochs), file=sys.stderr, flush=True)


class Bars:
    """Progress bars with the remaining time."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress: Progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def stage(self, text: str) -> None:
        """A new bar, which moves only where steps are counted."""
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(text, total=None, figures="")

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, total=epochs * steps, completed=epoch * steps + step)

    def point(self, point: Point, epochs: int) -> None:
        """Show the epoch's figures behind the bar."""
        if self._task is not None:
            self._progress.update(
                self._task, figures=describe(point, epochs).partition("  loss")[0]
            )


def describe(point: Point, epochs: int) -> str:
    """An epoch's figures in one line."""
    return (
        f"epoch {point.epoch}/{epochs}  density {100 * point.density:.2f} %  "
        f"MACs {100 * point.macs:.1f} %  "
        f"validation {100 * point.validation_accuracy:.2f} %  loss {point.loss:.4f}"
    )


def fail(message: str) -> None:
    """One line on stderr, in which nothing can move the cursor or change colours."""
    line = " ".join(message.split())
    shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
    print(f"seam: {shown}", file=sys.stderr)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else PIPED_WIDTH,
    )
