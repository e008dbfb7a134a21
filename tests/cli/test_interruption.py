"""Stopped at any moment, the same command ends with the same bytes as a run left alone."""

from __future__ import annotations

import json
import multiprocessing
import random
import runpy
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from seam.artefacts import atomic

CHILD = str(Path(__file__).with_name("child.py"))
COMMAND = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "7", "--epochs", "6"]
PRELOAD = ["seam.cli.main", "seam.jobs.direct", "seam.reporting.gallery", "seam.reporting.terminal"]
PRELOAD += ["datasets", "sklearn.datasets", "torch._dynamo", "matplotlib.backends.backend_agg"]

Fate = tuple[str, float]


class Server:
    """Runs commands in processes forked from one that has imported everything."""

    def __init__(self, log: Path) -> None:
        self.log = log
        context = multiprocessing.get_context("forkserver")
        assert isinstance(context, ForkServerContext)
        context.set_forkserver_preload(PRELOAD)
        self.context = context

    def run(self, out: Path, fate: Fate = ("none", 0)) -> tuple[int, list[str]]:
        """Exit code and lines of one command; ``("kill", s)`` kills it after s seconds."""
        given = {"arguments": [*COMMAND, "--out", str(out)], "log": str(self.log), "fate": fate}
        process = self.context.Process(target=runpy.run_path, args=(CHILD, given))
        process.start()
        if fate[0] == "kill":
            time.sleep(fate[1])
            process.kill()
        process.join(120)
        assert process.exitcode is not None
        code = process.exitcode
        process.close()
        return code, self.log.read_text().splitlines()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(tmp_path_factory.mktemp("log") / "log")


@pytest.fixture(scope="module")
def unbroken(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run left alone."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    code, lines = server.run(out)
    assert code == 0, lines
    return out


def results(out: Path) -> dict[str, bytes]:
    """What has to be the same: all but what holds seconds."""
    different = ("report.json", "checkpoint/state.safetensors")
    found = {
        str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()
    }
    return {name: data for name, data in sorted(found.items()) if name not in different}


def assert_same(out: Path, unbroken: Path) -> None:
    found, expected = results(out), results(unbroken)
    assert list(found) == list(expected)
    assert [name for name in found if found[name] != expected[name]] == []
    mine, theirs = (json.loads((place / "report.json").read_text()) for place in (out, unbroken))
    del mine["seconds"], theirs["seconds"]
    assert mine == theirs


def test_ctrl_c_says_how_to_continue(server: Server, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, lines = server.run(out, ("interrupt", 3))
    assert code == 130
    assert lines[-1] == (
        "seam: stopped; what was finished is kept, and the same command continues from there"
    )
    assert [line for line in lines if line.startswith("epoch")][-1].startswith("epoch 3/6")
    assert not (out / "adapter").exists()

    code, lines = server.run(out)
    assert code == 0
    assert next(line for line in lines if line.startswith("epoch")).startswith("epoch 4/6")
    assert_same(out, unbroken)


def test_killed_between_two_writes(server: Server, unbroken: Path, tmp_path: Path) -> None:
    """The nth attempt dies just before or after its nth write, until one gets through."""
    attempts = 0
    code = -signal.SIGKILL
    while code == -signal.SIGKILL:
        attempts += 1
        when = ("before", "after")[attempts % 2]
        code, lines = server.run(tmp_path / "out", (when, attempts))
    assert code == 0, lines
    assert attempts > 5
    assert_same(tmp_path / "out", unbroken)


def test_killed_at_random_moments(server: Server, unbroken: Path, tmp_path: Path) -> None:
    moments = random.Random(0)
    for _ in range(4):
        code, lines = server.run(tmp_path / "out", ("kill", moments.uniform(0.2, 2.0)))
        assert code in (0, -signal.SIGKILL), lines
    code, lines = server.run(tmp_path / "out")
    assert code == 0, lines
    assert_same(tmp_path / "out", unbroken)


def test_a_full_disk(server: Server, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, lines = server.run(out, ("disk", 64 * 1024))
    assert code == 2
    assert lines[-1].startswith("seam: ")
    assert "free some disk space, then give the same command again" in lines[-1]
    assert not [line for line in lines if "Traceback" in line]
    assert not list(out.rglob("*.tmp"))
    code, lines = server.run(out)
    assert code == 0, lines
    assert_same(out, unbroken)


def test_a_disk_that_is_full_at_every_write_in_turn(
    call: Callable[..., object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = [*COMMAND[:-1], "1", "--quiet", "--out"]
    assert call(*command, tmp_path / "unbroken").code == 0
    write, code, attempts, left = atomic._write, 2, 0, 0

    def full(path: Path, data: bytes) -> None:
        nonlocal left
        left -= 1
        write(path, data[: len(data) // 2] if left == 0 else data)
        if left == 0:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic, "_write", full)
    while code == 2:
        attempts, left = attempts + 1, attempts + 1
        outcome = call(*command, tmp_path / "out")
        code = outcome.code
        if code == 2:
            assert outcome.err.count("\n") == 1
            assert "(No space left on device); free some disk space" in outcome.err
    assert code == 0
    assert attempts > 5
    assert_same(tmp_path / "out", tmp_path / "unbroken")


def test_two_processes_do_not_share_a_run_folder(
    server: Server, finished: Path, call: Callable[..., object], tmp_path: Path
) -> None:
    context = multiprocessing.get_context("forkserver")
    there, here = context.Pipe()
    child = context.Process(target=runpy.run_path, args=(HOLDER, {"run": finished, "pipe": there}))
    child.start()
    assert here.recv() == "held"
    outcome = call("reengineer", "--out", finished, "--tolerance", "1", "--quiet")
    here.send("go")
    child.join(30)
    assert outcome.code == 2
    assert "is in use by another process; wait for it, or give another --out" in outcome.err
    assert call("reengineer", "--out", finished, "--tolerance", "1", "--quiet").code == 0


HOLDER = str(Path(__file__).with_name("holder.py"))
