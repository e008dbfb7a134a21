"""Where the command line writes: results to stdout, progress and errors to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seam.artefacts.mirroring import named
from seam.jobs.observe import Observer, Silent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress, TaskID

    from seam.search.frontier import Point

PIPED_WIDTH = 140
"""Columns of a table that goes into a file or a pipe, whatever the terminal's width."""
WIDE = 70
"""Columns from which on a progress bar has room for an epoch's figures beside it."""
SILENCE_S = 60.0


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
                console.print(named(part), soft_wrap=isinstance(part, str))

    def document(self, values: Any) -> None:
        """Print the one JSON document, if it is wanted."""
        if self.as_json:
            plain = not (sys.stdout.encoding or "").lower().startswith("utf")
            text = json.dumps(named(values), indent=2, ensure_ascii=plain, allow_nan=False)
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
    """One line an epoch, for logs; in long epochs one a minute, so that nobody thinks it hangs."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """A line now and then."""
        if time.monotonic() - self._said >= SILENCE_S:
            self._say(f"epoch {epoch + 1}/{epochs}  step {step}/{steps}")

    def stage(self, text: str) -> None:
        """A line that names the stage."""
        self._say(text)

    def point(self, point: Point, epochs: int) -> None:
        """A line with the epoch's figures."""
        self._say(describe(point, epochs))

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)
        self._said = time.monotonic()


class Bars(Silent):
    """Progress bars with the remaining time."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        def cut() -> Column:  # the one column that gives way: a bar never takes two lines
            return Column(no_wrap=True, overflow="ellipsis", ratio=1)

        wide = console.width >= WIDE
        self._progress: Progress = Progress(
            TextColumn("{task.description}", table_column=None if wide else cut()),
            BarColumn(bar_width=10 if wide else 5),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            *([TextColumn("{task.fields[figures]}", table_column=cut())] if wide else []),
            console=console,
            transient=True,
            expand=True,
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
