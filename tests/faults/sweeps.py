"""The faults that befall a sweep: its driver, its workers, and the runs it has made."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pyarrow.parquet as pq
from cases import contents, differences
from forks import Ended, Running, Server
from trials import Fault, Trial

PROBLEMS, VALUES = "seven: 7\n", (0.2, 0.5)
LOOK_S, ORPHANS_S = 0.1, 60.0
TASKS = ("ray::lay_groundwork", "ray::run_problem")


@dataclass(frozen=True)
class Sweep:
    """A sweep of one problem to two sizes, and what it leaves when nothing happens to it.

    Moments are of the processor time of the worker: the driver waits for it.
    """

    server: Server
    unbroken: Path
    problems: Path
    cpu_s: float
    name: str = "sweep"

    @classmethod
    def measured(cls, server: Server, place: Path) -> Sweep:
        """Run it unharmed, into a folder below ``place``."""
        place.mkdir(parents=True)
        problems = place / "problems.yaml"
        problems.write_text(PROBLEMS)
        sweep = cls(server, place / "unbroken", problems, 0.0)
        running = sweep.start(sweep.unbroken)
        cpu_s = max([cpu_s for _, cpu_s in workers(running)], default=0.0)
        ended = running.ended()
        assert ended.code == 0, ended.lines
        return cls(server, sweep.unbroken, problems, cpu_s)

    def start(self, out: Path) -> Running:
        """The sweep, into ``out``."""
        what = ("zoo:digits", "--data", "digits", "--epochs", "2", "--workers", 1)
        grid = ("--grid", f"keep={','.join(map(str, VALUES))}")
        where = ("--problems", self.problems, "--out", out, "--device", "cpu")
        return self.server.start(["sweep", *what, *grid, *where])

    def run(self, out: Path) -> Ended:
        """The sweep, to its end."""
        return self.start(out).ended()

    def differences(self, out: Path) -> list[str]:
        """Files that differ from the unbroken sweep's; in the table, figures but for seconds."""
        found = []
        for part in sorted((self.unbroken / "runs").iterdir()):
            mine = out / "runs" / part.name
            found += [f"{part.name}/{name}" for name in differences(mine, part)]
        if figures(out) != figures(self.unbroken):
            found.append("sweep.parquet")
        names = [sorted(file.name for file in place.iterdir()) for place in (out, self.unbroken)]
        return found if names[0] == names[1] else [*found, *names[0]]


def figures(out: Path) -> list[dict[str, object]]:
    """The table's rows, without what is of this folder or this time."""
    rows: list[dict[str, object]] = pq.read_table(out / "sweep.parquet").to_pylist()
    return [{k: v for k, v in row.items() if k not in ("seconds", "folder")} for row in rows]


def workers(running: Running) -> Iterator[tuple[psutil.Process, float]]:
    """The worker at work, with its processor time, again and again until the sweep ends."""
    while running.process.is_alive():
        try:
            for each in psutil.Process(running.pid).children(recursive=True):
                if each.cmdline()[:1] and each.cmdline()[0].startswith(TASKS):
                    times = each.cpu_times()
                    yield each, times.user + times.system
        except psutil.NoSuchProcess:
            pass
        time.sleep(LOOK_S)


def worker_at(running: Running, cpu_s: float) -> psutil.Process | None:
    """The worker, once it has used so much processor time; None if the sweep ends before."""
    return next((each for each, used in workers(running) if used >= cpu_s), None)


def driver_stopped(trial: Trial[Sweep], number: signal.Signals) -> None:
    """A signal to the driver, and the same command at once. What Ray has started must end, too."""
    out = trial.place / "sweep"
    running, family = trial.case.start(out), []
    if worker_at(running, trial.moment()) is not None:
        family = psutil.Process(running.pid).children(recursive=True)
        running.send(number)
        trial.injected += 1
    running.ended()
    trial.finish(out)
    _, left = psutil.wait_procs(family, timeout=ORPHANS_S)
    trial.wrong += [f"outlived the driver: {each.name()}" for each in left]


def worker_killed(trial: Trial[Sweep]) -> None:
    """A worker's process is killed, as the kernel does where memory ends; nobody helps.

    A limit on a worker's address space tells nothing: Ray itself does not survive one.
    """
    out = trial.place / "sweep"
    running = trial.case.start(out)
    worker = worker_at(running, trial.moment())
    if worker is not None:
        worker.kill()
        trial.injected += 1
    ended = running.ended()
    if ended.code:
        trial.wrong.append(f"code {ended.code}: {' | '.join(ended.lines[-3:])}")
    else:
        trial.compare(out)


def half_written_run(trial: Trial[Sweep]) -> None:
    """Any file of a finished sweep is cut off: found and written anew, or named with the mend."""
    out = trial.place / "sweep"
    for name, data in contents(trial.case.unbroken).items():
        file = out / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    part = out / "runs" / f"seven-keep={trial.moments.choice(VALUES)}"
    name = trial.moments.choice(["report.json", "adapter/adapter.safetensors", "adapter/README.md"])
    data = (part / name).read_bytes()
    (part / name).write_bytes(data[: trial.moments.randrange(len(data) - 1)])
    trial.injected += 1
    trial.finish(out)


def two_sweeps(trial: Trial[Sweep]) -> None:
    """Two drivers on one folder: one goes on, the other is refused."""
    out = trial.place / "sweep"
    both = [trial.case.start(out), trial.case.start(out)]
    trial.one_goes_on([each.ended() for each in both])
    trial.compare(out)


SWEEP_KINDS: dict[str, Fault] = {
    "kill -9 of the driver": partial(driver_stopped, number=signal.SIGKILL),
    "SIGTERM of the driver": partial(driver_stopped, number=signal.SIGTERM),
    "kill -9 of a worker": worker_killed,
    "half-written file of a sweep": half_written_run,
    "two sweeps": two_sweeps,
}
