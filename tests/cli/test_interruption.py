"""Stopped between any two writes, the same command ends with the bytes of a run left alone.

Moments and faults of other kinds are those of `tests/faults`.
"""

from __future__ import annotations

import multiprocessing
import runpy
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from cases import differences
from forks import UNHARMED, Fate, Server

from seam.artefacts import atomic

COMMAND = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "7", "--epochs", "6"]


class Commands(Server):
    """The one command, into any folder."""

    def into(self, out: Path, fate: Fate = UNHARMED) -> tuple[int, list[str]]:
        """Exit code and lines."""
        ended = self.run([*COMMAND, "--out", out], fate)
        return ended.code, ended.lines


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def unbroken(server: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run left alone."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    code, lines = server.into(out)
    assert code == 0, lines
    return out


def assert_same(out: Path, unbroken: Path) -> None:
    assert differences(out, unbroken) == []


def test_ctrl_c_says_how_to_continue(server: Commands, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, lines = server.into(out, ("interrupt", 3))
    assert code == 130
    assert lines[-1] == (
        "seam: stopped; what was finished is kept, and the same command continues from there"
    )
    assert [line for line in lines if line.startswith("epoch")][-1].startswith("epoch 3/6")
    assert not (out / "adapter").exists()

    code, lines = server.into(out)
    assert code == 0
    assert next(line for line in lines if line.startswith("epoch")).startswith("epoch 4/6")
    assert_same(out, unbroken)


def test_killed_between_two_writes(server: Commands, unbroken: Path, tmp_path: Path) -> None:
    """The nth attempt dies just before or after its nth write, until one gets through."""
    attempts = 0
    code = -signal.SIGKILL
    while code == -signal.SIGKILL:
        attempts += 1
        when = ("before", "after")[attempts % 2]
        code, lines = server.into(tmp_path / "out", (when, attempts))
    assert code == 0, lines
    assert attempts > 5
    assert_same(tmp_path / "out", unbroken)


def test_a_full_disk(server: Commands, unbroken: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, lines = server.into(out, ("disk", 64 * 1024))
    assert code == 2
    assert lines[-1].startswith("seam: ")
    assert "free some disk space, then give the same command again" in lines[-1]
    assert not [line for line in lines if "Traceback" in line]
    assert not list(out.rglob("*.tmp"))
    code, lines = server.into(out)
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
    server: Commands, finished: Path, call: Callable[..., object], tmp_path: Path
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
