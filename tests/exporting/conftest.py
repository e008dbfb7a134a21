"""One finished run, and what it was exported to."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import seam

NAMES = ("onnx", "onnx-int8", "openvino", "openvino-int8", "torch")


@dataclass(frozen=True)
class Exports:
    """A run folder with everything exported from it."""

    run: Path
    rows: dict[str, dict[str, Any]]

    def folder(self, name: str) -> Path:
        return self.run / "export" / name

    def file(self, name: str) -> Path:
        (found,) = (f for f in self.folder(name).iterdir() if f.suffix in (".onnx", ".xml", ".pt2"))
        return found


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Every format, in float32 and in 8 bits; copy it before changing it."""
    run = tmp_path_factory.mktemp("runs") / "exported"
    problem = seam.Problem.subset(["3", "5"])
    base = seam.load_base("zoo:digits")
    seam.reengineer(base, problem, "digits", out=run, settings=seam.plan(problem, epochs=2))
    found = seam.export(run, to=["onnx", "openvino", "torch"], int8=True)
    return Exports(run, {row["name"]: row for row in found["exports"]})


@pytest.fixture
def copied(exports: Exports, tmp_path: Path) -> Exports:
    """A copy of it."""
    return Exports(shutil.copytree(exports.run, tmp_path / "exported"), exports.rows)
