"""One trial: a run is harmed, looked at, and finished by the same command."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from forks import Ended, Running


class Harmed(Protocol):
    """A command that is harmed: a `cases.Case` or a `sweeps.Sweep`."""

    name: str
    unbroken: Path
    cpu_s: float

    def start(self, out: Path) -> Running:
        """The command, into ``out``."""

    def run(self, out: Path) -> Ended:
        """The command, to its end."""

    def differences(self, out: Path) -> list[str]:
        """Files that differ from what the unbroken command has left."""


Some = TypeVar("Some", bound=Harmed)


@dataclass
class Trial(Generic[Some]):
    """A case in a folder of its own, and what has come of it.

    ``injected`` counts the faults that struck: a run may end before its fault comes. ``refused``
    of them ended with exit code 2 and one line. ``wrong`` is whatever was not as promised. A run
    that is stopped is stopped ``blows`` times in a row.
    """

    case: Some
    place: Path
    moments: random.Random
    blows: int = 3
    injected: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    def moment(self) -> float:
        """Processor time at any point of an unbroken run."""
        return self.moments.uniform(0, self.case.cpu_s)

    def met(self, ended: Ended, *, saying: str) -> bool:
        """Count a fault that must have ended in one line that names the mend, if in anything."""
        if ended.code == 0:
            return False
        self.injected += 1
        if ended.is_refused and saying in ended.lines[-1]:
            self.refused += 1
        else:
            self.wrong.append(f"code {ended.code}: {' | '.join(ended.lines[-3:])}")
        return True

    def one_goes_on(self, both: Sequence[Ended]) -> None:
        """Of two in the same folder one is refused, or comes when the other is done."""
        if sorted(each.code for each in both) not in ([0, 0], [0, 2]):
            self.wrong.append(f"codes {[each.code for each in both]}: {both[0].lines[-1:]}")
        for each in both:
            if each.code == 2:
                self.met(each, saying="is in use by another process; wait for it")

    def finish(self, out: Path) -> None:
        """Give the same command again, and compare every file with the unbroken run's."""
        ended = self.case.run(out)
        if ended.code:
            self.wrong.append(f"then code {ended.code}: {' | '.join(ended.lines[-3:])}")
        else:
            self.compare(out)

    def compare(self, out: Path) -> None:
        """Compare every file with the unbroken run's."""
        different = self.case.differences(out)
        if different:
            self.wrong.append(f"other than unbroken: {', '.join(different)}")


Fault = Callable[[Trial[Any]], None]
