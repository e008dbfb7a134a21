"""Writes ``good/``: one good file of each kind, small, as seam and its users write them.

    python tests/hostile/good.py

The files are kept in the repository, so that the tests need no search; they are written anew when a
format changes.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save_file

import seam
from seam.data.digits import load_digits
from seam.exporting.sidecar import sidecar_bytes
from seam.jobs.plan import plan

GOOD = Path(__file__).parent / "good"
GROUPS = {"even": ["0", "2"], "odd": ["1", "3"]}
BRIEF = {"epochs": 1, "shots": 20, "batch_size": 32, "tune": "none", "levels": 1}
TEXTS = {
    "run.yaml": "labels: '7'\nepochs: 3\nkeep: 0.1\nmodel-args: {depth: 2}\nrename: {x: '7'}\n"
    "mean: [0.5]\nexclude: [fc]\nskip-bad: true\nseed: 1\nmodel: zoo:digits\n",
    "groups.yaml": "even: ['0', 2]\nodd: [1, 3]\n",
    "problems.yaml": "seven: 7\nfew: [1, 2]\nhalves: {even: [0, 2], odd: [1, 3]}\n",
    "trigger.yaml": "patch: [[255, 0], [0, 255]]\ntarget_label: 7\nposition: [0, 0]\n"
    "opacity: 0.5\n",
    "patch.yaml": "patch: patch.png\ntarget_label: 7\nposition: top-left\n",
    "labels.txt": "zero\none\ntwo\n",
    "texts.txt": "a red fox\na blue bird\n",
    "metadata.json": '["zero", "one"]\n',
}
"""What users write."""


@cache
def digits() -> dict[str, Any]:
    """A few images of digits, which need no file."""
    return {name: split.select(range(60)) for name, split in load_digits().items()}


def write(place: Path) -> None:
    """Fill ``place``, which is made."""
    base, problem = seam.load_base("zoo:digits"), seam.Problem.groups(GROUPS)
    channels = plan(problem, granularity="channel", keep_macs=0.2, **BRIEF)
    run, walk = place / "run", place / "walk"
    seam.reengineer(base, problem, digits(), out=run, settings=channels)
    seam.measure_defects(run, seam.DefectsPlan(samples=4, steps=1, autoattack=0), data=digits())
    brief = plan(problem, exclude=("conv2", "conv3", "fc"), **BRIEF)
    seam.reengineer(base, problem, digits(), out=walk, settings=brief)
    shutil.rmtree(run / "checkpoint")
    shutil.rmtree(walk / "adapter")
    shutil.rmtree(walk / "measured")
    for name in ("config.yaml", "report.json", "history.jsonl"):
        (place / "sweep/runs/even").mkdir(parents=True, exist_ok=True)
        shutil.copy(run / name, place / "sweep/runs/even" / name)
    _write_small(place, base)


def _write_small(place: Path, base: seam.BaseModel) -> None:
    for name, text in TEXTS.items():
        (place / name).write_text(text, encoding="utf-8")
    Image.new("RGBA", (3, 2), (255, 0, 0, 128)).save(place / "patch.png")
    Image.new("RGB", (12, 9), (1, 2, 3)).save(place / "image.png")
    save_file({"w": torch.ones(3), "b": torch.zeros(2)}, place / "weights.safetensors")
    torch.save({"state_dict": {"w": torch.ones(3)}}, place / "weights.pth")
    (place / "export").mkdir()
    (place / "export/model.onnx").write_bytes(b"none")
    values = {"outputs": ["a", "b"], "preprocessing": base.preprocessing.to_dict()}
    sidecar = sidecar_bytes(values, {"model.onnx": b"none"})
    (place / "export/model.json").write_bytes(sidecar)


if __name__ == "__main__":
    shutil.rmtree(GOOD, ignore_errors=True)
    GOOD.mkdir()
    write(GOOD)
