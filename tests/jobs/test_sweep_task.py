"""What a worker of a sweep makes of a problem that needs too much memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import seam
from seam.errors import ran_out_of_memory
from seam.jobs import sweep_task


def too_large(*_arguments: object, **_settings: object) -> None:
    torch.empty(2**50)


def test_memory_that_ends_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is raised, and not returned, so that the problem is tried again."""
    monkeypatch.setattr(sweep_task, "reengineer", too_large)
    problem, base = seam.Problem.of(["7"]), seam.BaseSpec(name="zoo:digits")
    with pytest.raises(MemoryError, match=r"out of memory \(.*allocate.*\); give fewer --workers"):
        sweep_task.run_problem(base, problem, "digits", seam.plan(problem), tmp_path, "cpu", 1)


def test_other_errors_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.ones(2) @ torch.ones(3)
    assert not ran_out_of_memory(found.value)
