"""The faults that befall one run. Each is a function of a `Trial`; `KINDS` names them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

from cases import Case, contents
from disks import make_read_only, make_writable, resize, small_disk
from trials import Fault, Trial

PAGE, ROOM = 4096, 2**26
LEAST_DAYS, MOST_DAYS = 1, 4000
DAY_S = 24 * 3600.0
SPARE_BYTES = 28 * 2**20
OTHER = "holds a run of other settings"


def stopped(trial: Trial[Case], number: signal.Signals) -> None:
    """A signal at random moments, a few times in a row: the next run is harmed where it goes on."""
    out = trial.place / "run"
    for _ in range(trial.blows):
        running = trial.case.start(out)
        if running.works_until(trial.moment()):
            running.send(number)
        ended = running.ended()
        trial.injected += ended.code == -number
        if ended.code not in (0, -number):
            trial.wrong.append(f"code {ended.code}: {' | '.join(ended.lines[-3:])}")
    trial.finish(out)


def full_disk(trial: Trial[Case]) -> None:
    """A disk with too little room, then with enough."""
    needed = sum(-(-len(data) // PAGE) for data in contents(trial.case.unbroken).values())
    with small_disk(trial.place / "disk", PAGE * trial.moments.randint(1, needed)) as disk:
        trial.met(trial.case.run(disk / "run"), saying="free some disk space")
        resize(disk, ROOM)
        trial.finish(disk / "run")


def read_only(trial: Trial[Case]) -> None:
    """The disk becomes read-only while the run works."""
    with small_disk(trial.place / "disk", ROOM) as disk:
        running = trial.case.start(disk / "run")
        if running.works_until(trial.moment()):
            make_read_only(disk)
        trial.met(running.ended(), saying="choose another --out")
        make_writable(disk)
        trial.finish(disk / "run")


def half_written(trial: Trial[Case]) -> None:
    """A file of a stopped or a finished run is cut off anywhere.

    What follows from the rest is written anew. What does not is named, with the mend, and nothing
    else is touched.
    """
    out = _begun(trial)
    name = trial.moments.choice(sorted(contents(out)))
    file = out / name
    whole = file.read_bytes()
    file.write_bytes(whole[: trial.moments.randrange(max(1, len(whole) - 1))])
    before = contents(out)
    ended = trial.case.run(out)
    if ended.code == 0:
        trial.injected += 1
        trial.compare(out)
        return
    # Settings that are cut off between two lines are other settings, and are shown as such.
    line, is_config = ended.lines[-1], name == "config.yaml"
    trial.met(ended, saying=OTHER if is_config and OTHER in line else "restore it")
    if file.name not in line and not (is_config and OTHER in line):
        trial.wrong.append(f"{name}: not named: {line}")
    if contents(out) != before:
        trial.wrong.append(f"{name}: refused, and yet something was written")
    _mend(out, name, whole)
    trial.finish(out)


def _mend(out: Path, name: str, whole: bytes) -> None:
    """Do what the message says: delete what is damaged, or restore the settings."""
    if name.startswith("checkpoint/"):
        shutil.rmtree(out / "checkpoint")
    elif name == "config.yaml":
        (out / name).write_bytes(whole)
    else:
        (out / name).unlink()


def leftovers(trial: Trial[Case]) -> None:
    """What a kill leaves beside files and folders, with anything in it."""
    out = _begun(trial)
    for name in sorted(contents(trial.case.unbroken)):
        file = out / name
        if trial.moments.random() < 0.5 and file.parent.is_dir() and file.parent.name != "adapter":
            junk = trial.moments.randbytes(trial.moments.randrange(2000))
            file.with_name(f".{file.name}.tmp").write_bytes(junk)
    for name in ("adapter", "model"):
        if (trial.case.unbroken / name).is_dir():
            for suffix in trial.moments.choice([("new",), ("old",), ("new", "old")]):
                copy = shutil.copytree(trial.case.unbroken / name, out / f".{name}.{suffix}")
                next(copy.iterdir()).write_bytes(b"cut off")
    trial.injected += 1
    trial.finish(out)


def clock_back(trial: Trial[Case]) -> None:
    """The clock runs backwards in one run, which is killed; in the next it is further back."""
    out = trial.place / "run"
    days = sorted(trial.moments.randint(LEAST_DAYS, MOST_DAYS) for _ in range(2))
    running = trial.case.start(out, ("clock", days[0] * DAY_S))
    if running.works_until(trial.moment()):
        running.send(signal.SIGKILL)
    running.ended()
    later = time.time() + days[1] * DAY_S
    for file in out.rglob("*"):
        os.utime(file, (later, later))
    trial.injected += 1
    ended = trial.case.run(out, ("clock", days[1] * DAY_S))
    if ended.code:
        trial.wrong.append(f"code {ended.code}: {' | '.join(ended.lines[-3:])}")
    trial.finish(out)


def two_at_once(trial: Trial[Case]) -> None:
    """Two processes on one run folder, the second at once or at a random moment."""
    out = trial.place / "run"
    moment = trial.moment() if trial.moments.random() < 0.5 else 0.0
    first = trial.case.start(out)
    first.works_until(moment)
    both = [trial.case.start(out), first]
    trial.one_goes_on([each.ended() for each in both])
    trial.finish(out)


def no_memory(trial: Trial[Case]) -> None:
    """Memory ends somewhere in a run: a line, or death where a library knows no better."""
    out = trial.place / "run"
    ended = trial.case.run(out, ("memory", trial.moments.randint(0, SPARE_BYTES)))
    if ended.code < 0:
        trial.injected += 1
    else:
        trial.met(ended, saying="out of memory")
    trial.finish(out)


def _begun(trial: Trial[Case]) -> Path:
    """A copy of the stopped or of the finished run."""
    source = trial.moments.choice([trial.case.half, trial.case.unbroken])
    return shutil.copytree(source, trial.place / "run")


KINDS: dict[str, Fault] = {
    "kill -9": partial(stopped, number=signal.SIGKILL),
    "SIGTERM": partial(stopped, number=signal.SIGTERM),
    "disk full": full_disk,
    "read-only disk": read_only,
    "half-written file": half_written,
    "leftovers of a kill": leftovers,
    "clock runs backwards": clock_back,
    "two processes": two_at_once,
    "out of memory": no_memory,
}
NEED_DISK = ("disk full", "read-only disk")
