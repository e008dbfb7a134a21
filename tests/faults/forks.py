"""Commands in processes forked from one that has imported everything: cheap, and killable."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import runpy
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import psutil

CHILD = str(Path(__file__).with_name("child.py"))
PRELOAD = ["seam.cli.main", "seam.jobs.direct", "seam.reporting.gallery", "seam.reporting.terminal"]
PRELOAD += ["datasets", "sklearn.datasets", "torch._dynamo", "matplotlib.backends.backend_agg"]
PRELOAD += ["seam.reporting.plots", "matplotlib.figure", "matplotlib.projections"]
PRELOAD += ["seam.jobs.indirect", "seam.artefacts.model_folder", "torch.export", "torch_pruning"]
LOOK_S, LIMIT_S = 0.005, 600.0

Fate = tuple[str, float]
UNHARMED: Fate = ("none", 0)


@dataclass(frozen=True)
class Ended:
    """How a command ended; a killed one has the signal's number below zero as its code."""

    code: int
    lines: list[str]
    cpu_s: float

    @property
    def is_refused(self) -> bool:
        """Whether it ended as bad input does: exit code 2, and one line that says why."""
        said = [line for line in self.lines if line.startswith("seam: ")]
        traced = any("Traceback" in line for line in self.lines)
        return self.code == 2 and len(said) == 1 and self.lines[-1] == said[0] and not traced


class Running:
    """A command that has been started."""

    def __init__(self, process: ForkServerProcess, log: Path) -> None:
        self.process, self.log, self.cpu_s = process, log, 0.0

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def works_until(self, cpu_s: float) -> bool:
        """Wait until it has used so much processor time; False if it ends before.

        A moment in processor time is the same place in a run on a busy machine as on an idle one.
        """
        while self.process.is_alive():
            self._look()
            if self.cpu_s >= cpu_s:
                return True
            time.sleep(LOOK_S)
        return False

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing where it has ended."""
        if self.process.is_alive():
            os.kill(self.pid, number)

    def ended(self) -> Ended:
        """Wait for its end."""
        limit = time.monotonic() + LIMIT_S
        while self.process.is_alive() and time.monotonic() < limit:
            self._look()
            self.process.join(LOOK_S)
        if self.process.is_alive():
            self.process.kill()
            raise TimeoutError(f"{self.log}: no end after {LIMIT_S:g} s")
        self.process.join()
        code = self.process.exitcode
        assert code is not None
        self.process.close()
        return Ended(
            code, self.log.read_text().splitlines() if self.log.exists() else [], self.cpu_s
        )

    def _look(self) -> None:
        try:
            times = psutil.Process(self.pid).cpu_times()
        except psutil.NoSuchProcess:
            return
        self.cpu_s = max(self.cpu_s, times.user + times.system)


class Server:
    """Starts commands; their output goes into files below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = itertools.count()
        context = multiprocessing.get_context("forkserver")
        assert isinstance(context, ForkServerContext)
        context.set_forkserver_preload(PRELOAD)
        self._context = context

    def start(self, arguments: Sequence[object], fate: Fate = UNHARMED) -> Running:
        """Start one command; `child.py` says what a ``fate`` is."""
        log = self.folder / f"{next(self._numbers)}.log"
        given = {"arguments": list(map(str, arguments)), "log": str(log), "fate": fate}
        process = self._context.Process(target=runpy.run_path, args=(CHILD, given))
        process.start()
        return Running(process, log)

    def run(self, arguments: Sequence[object], fate: Fate = UNHARMED) -> Ended:
        """One command to its end."""
        return self.start(arguments, fate).ended()
