"""`seam report` and `seam compare`: what they print, write and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., "object"]


def test_json_and_next(call: Call, finished: Path) -> None:
    outcome = call("report", finished, "--json")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["bytes"] == Path(found["path"]).stat().st_size
    assert [line["what"] for line in found["missing"]] == ["latency", "defects"]
    outcome = call("report", finished)
    assert f"next: seam evaluate {finished} --latency" in outcome.out
    assert call("report", finished, "--quiet").out == ""


def test_compare_writes_where_it_is_told(call: Call, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "both.html"
    outcome = call("compare", finished, finished, "--out", out, "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["path"] == str(out)
    assert out.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_reengineer_names_the_report(call: Call, finished: Path) -> None:
    outcome = call("reengineer", "--out", finished, "--tolerance", "50")
    assert f"seam report {finished}" in outcome.out


@pytest.mark.parametrize("command", [["report"], ["compare"]])
def test_what_is_no_run_is_refused(call: Call, tmp_path: Path, command: list[str]) -> None:
    outcome = call(*command, tmp_path, *([tmp_path] if command == ["compare"] else []))
    assert (outcome.code, outcome.out) == (2, "")
    assert "is no run folder" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_one_run_is_too_few(call: Call, finished: Path) -> None:
    outcome = call("compare", finished)
    assert outcome.code == 2
    assert "give two or more to compare" in outcome.err
