"""Small runs whose pages are looked at."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import seam
from seam.evaluation.latency import LatencyPlan
from seam.evaluation.timing import Budget

HOSTILE = "</script><script>alert(1)</script>"
QUOTE = "\"><img src=x onerror='alert(1)'>"


@pytest.fixture(scope="session")
def channels_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Channels, timed and attacked, with label names that would break out of a page."""
    out = tmp_path_factory.mktemp("runs") / "hostile & <b>"
    problem = seam.Problem.groups({HOSTILE: ["3", "8"], QUOTE: ["5", "2"]})
    settings = seam.plan(
        problem, granularity="channel", keep_macs=0.4, epochs=1, levels=1, shots=40, batch_size=32
    )
    seam.reengineer(seam.load_base("zoo:digits"), problem, "digits", out=out, settings=settings)
    brief = Budget(rounds=5, seconds=0, turn_ms=0.2)
    timing = LatencyPlan(runtimes=("torch",), batches=(1, 4), threads=1, budget=brief)
    seam.evaluate(out, latency=timing)
    plan = seam.DefectsPlan(samples=30, steps=3, epsilon=32, autoattack=0)
    seam.measure_defects(out, plan)
    return out


@pytest.fixture(scope="session")
def weights_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of one label against the rest, several points; nothing but the search."""
    out = tmp_path_factory.mktemp("runs") / "nine"
    problem = seam.Problem.one_vs_rest("9")
    settings = seam.plan(problem, epochs=6)
    seam.reengineer(seam.load_base("zoo:digits"), problem, "digits", out=out, settings=settings)
    return out


@pytest.fixture
def copy(weights_run: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return shutil.copytree(weights_run, tmp_path / "nine")
