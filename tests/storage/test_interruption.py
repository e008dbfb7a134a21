"""Killed at any moment, the same command on a machine that has nothing ends with the same bytes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import runpy
import signal
import time
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import fsspec
import pytest

HERE = Path(__file__).parent
COMMAND = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "7", "--epochs", "2"]
PRELOAD = ["seam.cli.main", "seam.jobs.direct", "seam.reporting.gallery", "seam.reporting.terminal"]
PRELOAD += ["datasets", "sklearn.datasets", "torch._dynamo", "matplotlib.backends.backend_agg"]
PRELOAD += ["fsspec", "aiobotocore.session"]
Fate = tuple[str, float]


def forkserver() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    assert isinstance(context, ForkServerContext)
    context.set_forkserver_preload(PRELOAD)
    return context


def environment(scratch: Path) -> dict[str, str]:
    """Where the server is, and where to put what a kill leaves behind."""
    found = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return {**found, "TMPDIR": str(scratch)}


def run(out: object, log: Path, fate: Fate = ("", 0)) -> tuple[int, list[str]]:
    """Exit code and lines of one command; ``("kill", s)`` kills it after s seconds.

    Its copy of the run folder is its own: nothing is taken over from a command before.
    """
    given = {
        "arguments": [*COMMAND, "--out", str(out)],
        "environment": environment(log.parent),
        "log": str(log),
        "fate": fate,
    }
    process = forkserver().Process(target=runpy.run_path, args=(str(HERE / "child.py"), given))
    process.start()
    if fate[0] == "kill":
        time.sleep(fate[1])
        process.kill()
    process.join(120)
    assert process.exitcode is not None
    code = process.exitcode
    process.close()
    return code, log.read_text().splitlines()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a local disk, left alone."""
    place = tmp_path_factory.mktemp("unbroken")
    code, lines = run(place / "out", place / "log")
    assert code == 0, lines
    return place / "out"


def results(out: Path) -> dict[str, bytes]:
    """What has to be the same: all but what holds seconds."""
    different = ("report.json", "checkpoint/state.safetensors")
    found = {
        str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()
    }
    return {name: data for name, data in sorted(found.items()) if name not in different}


def assert_same(url: str, unbroken: Path, scratch: Path) -> None:
    """That the objects at ``url`` are the files of the unbroken run, and no lock is left."""
    fsspec.filesystem("s3").get(f"{url}/", f"{scratch}/", recursive=True)
    found, expected = results(scratch), results(unbroken)
    assert list(found) == list(expected)
    assert [name for name in found if found[name] != expected[name]] == []
    mine, theirs = (json.loads((at / "report.json").read_text()) for at in (scratch, unbroken))
    del mine["seconds"], theirs["seconds"]
    assert mine == theirs


def test_killed_between_two_objects(bucket: str, unbroken: Path, tmp_path: Path) -> None:
    """Attempts die just before or after a later and later write, until one gets through."""
    url, code, attempts = f"{bucket}/runs/seven", -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        attempts += 1
        when = ("before", "after")[attempts % 2]
        code, lines = run(url, tmp_path / "log", (when, 6 * attempts))
    assert code == 0, lines
    assert attempts > 2
    assert any("waiting up to" in line for line in lines)
    assert_same(url, unbroken, tmp_path / "out")


def test_killed_at_a_random_moment(bucket: str, unbroken: Path, tmp_path: Path) -> None:
    url, after = f"{bucket}/runs/seven", random.uniform(0.5, 2.0)
    code, lines = run(url, tmp_path / "log", ("kill", after))
    assert code in (0, -signal.SIGKILL), (after, lines)
    code, lines = run(url, tmp_path / "log")
    assert code == 0, (after, lines)
    assert_same(url, unbroken, tmp_path / "out")


def test_a_second_process_is_refused_until_the_first_is_killed(bucket: str, tmp_path: Path) -> None:
    url = f"{bucket}/runs/seven"
    first, told = holder(url, tmp_path)
    assert told.recv() == "held"
    code, lines = run(url, tmp_path / "log")
    assert code == 2
    assert f"is in use by process {first.pid} on " in lines[-1]
    assert "wait for it, or give another --out" in lines[-1]
    first.kill()
    first.join()
    second, told = holder(url, tmp_path)
    assert told.recv() == "held"
    told.send("let go")
    second.join()
    assert second.exitcode == 0
    assert fsspec.filesystem("s3").find(bucket) == []


def holder(url: str, scratch: Path) -> tuple[ForkServerProcess, Connection]:
    """A process that works at ``url``, and the pipe that says so."""
    there, here = forkserver().Pipe()
    given = {"url": url, "pipe": there, "environment": environment(scratch)}
    process = forkserver().Process(target=runpy.run_path, args=(str(HERE / "holder.py"), given))
    process.start()
    return process, here
