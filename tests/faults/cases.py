"""What is harmed: commands with small searches; and what must be the same afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forks import UNHARMED, Ended, Fate, Running, Server

from seam.artefacts.checkpoint import from_file, to_bytes

_DIGITS = ("zoo:digits", "--data", "digits", "--epochs", "3", "--device", "cpu")
COMMANDS = {
    "weights": ("reengineer", *_DIGITS, "--labels", "7"),
    "channels": ("reengineer", *_DIGITS, "--labels", "7", "--granularity", "channel"),
    "transfer": ("transfer", *_DIGITS),
}
REPORT, STATE = "report.json", "checkpoint/state.safetensors"


@dataclass(frozen=True)
class Case:
    """A command with what it leaves when nothing happens to it, and the time that takes.

    ``half`` is what it leaves when it is stopped after its second epoch.
    """

    name: str
    server: Server
    unbroken: Path
    half: Path
    cpu_s: float

    @classmethod
    def measured(cls, name: str, server: Server, place: Path) -> Case:
        """Run the command unharmed and stopped, into folders below ``place``."""
        place.mkdir(parents=True)
        unbroken, half = place / "unbroken", place / "half"
        ended = server.run([*COMMANDS[name], "--out", unbroken])
        assert ended.code == 0, ended.lines
        stopped = server.run([*COMMANDS[name], "--out", half], ("interrupt", 2))
        assert stopped.code == 130, stopped.lines
        return cls(name, server, unbroken, half, ended.cpu_s)

    def start(self, out: Path, fate: Fate = UNHARMED) -> Running:
        """The command, into ``out``."""
        return self.server.start([*COMMANDS[self.name], "--out", out], fate)

    def run(self, out: Path, fate: Fate = UNHARMED) -> Ended:
        """The command, to its end."""
        return self.start(out, fate).ended()

    def differences(self, out: Path) -> list[str]:
        """Files of a run folder that differ from the unbroken run's, or are in one of the two."""
        return differences(out, self.unbroken)


def differences(out: Path, unbroken: Path) -> list[str]:
    """Files that differ but for the seconds in them, or that only one of two run folders has."""
    mine, theirs = timeless(out), timeless(unbroken)
    return sorted(
        name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)
    )


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {
        str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()
    }


def timeless(out: Path) -> dict[str, bytes]:
    """Every file of a run folder, without the seconds that the run took."""
    found = contents(out)
    if REPORT in found:
        found[REPORT] = json.dumps(_without_seconds(json.loads(found[REPORT]))).encode()
    if STATE in found:
        tensors, values = from_file(out / STATE)
        found[STATE] = to_bytes(tensors, _without_seconds(values))
    return found


def _without_seconds(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "seconds"}
