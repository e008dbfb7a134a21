"""What every test gets: no network, a throwaway cache, data beside the repository, commands."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CACHE = pytest.StashKey[str]()
# Two busy PyTorch processes on few cores slow each other manyfold; the models here are small. Set
# here and not in a hook: the conftest files of folders that are named import torch before any hook.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Set before any test module is imported: both libraries read these when they are imported."""
    config.stash[CACHE] = tempfile.mkdtemp(prefix="seam-tests-")
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["HF_DATASETS_CACHE"] = config.stash[CACHE]


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[CACHE], ignore_errors=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository that holds data and models too large for it."""
    folder = ROOT.parent / "shared"
    if (folder / "data").is_dir():
        return folder
    reason = "this test needs the folder ../shared/data beside the repository"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass(frozen=True)
class Outcome:
    """What a command left on its two streams, and its exit code."""

    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run one command in this process."""
    from seam.cli.main import main

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["seam", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Outcome(ended.value.code, *capsys.readouterr())

    return run
