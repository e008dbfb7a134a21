"""A sweep whose driver is killed, and then a worker, ends as if nothing had happened.

`bench/faults.py` has more kinds, and compares the whole sweep.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from cases import COMMANDS, differences
from forks import Server
from sweeps import worker_at

SEED = 1
TASK_CPU_S = 3.0
"""What a worker takes at least, on a fast machine, to import what it needs and to search."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_driver_and_worker_are_killed(tmp_path: Path) -> None:
    server, moments = Server(tmp_path), random.Random(SEED)
    (tmp_path / "problems.yaml").write_text("seven: 7\n")
    what = [argument for argument in COMMANDS["weights"][1:] if argument not in ("--labels", "7")]
    sweep = ["sweep", *what, "--problems", tmp_path / "problems.yaml", "--workers", 1]
    sweep += ["--out", tmp_path / "sweep"]

    driver = server.start(sweep)
    assert worker_at(driver, moments.uniform(0, TASK_CPU_S)) is not None
    driver.send(signal.SIGKILL)
    assert driver.ended().code == -signal.SIGKILL

    driver = server.start(sweep)
    worker = worker_at(driver, moments.uniform(0, TASK_CPU_S))
    assert worker is not None
    worker.kill()
    ended = driver.ended()
    assert ended.code == 0, ended.lines

    assert server.run([*COMMANDS["weights"], "--out", tmp_path / "single"]).code == 0
    different = differences(tmp_path / "sweep" / "runs" / "seven", tmp_path / "single")
    assert [name for name in different if not name.endswith(".png")] == [], f"seed {SEED}"
