"""`seam export`, and `seam predict` with what it wrote."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Call = Callable[..., "object"]


def test_export_then_predict(call: Call, finished: Path, digit_images: Path) -> None:
    done = call("export", finished, "--to", "torch")
    assert done.code == 0, done.err
    assert "100.00 %" in done.out
    assert "masked" in done.out
    next_line = done.out.splitlines()[-1]
    assert next_line == f"next: seam predict {finished}/export/torch IMAGE"

    image = next(digit_images.rglob("*.png"))
    rows = {}
    for place in (finished, finished / "export/torch", finished / "export/torch/model.pt2"):
        done = call("predict", place, image, "--json")
        assert done.code == 0, done.err
        rows[place] = json.loads(done.out)[0]["label"]
    assert len(set(rows.values())) == 1
    folder = image.parent
    found = json.loads(call("predict", finished, folder, "--json").out)
    assert [row["image"] for row in found] == sorted(map(str, folder.glob("*.png")))
    done = call("predict", finished / "export/torch", image)
    assert done.out.splitlines()[-1] == f"next: seam evaluate {finished} --latency"


def test_json_and_quiet(call: Call, finished: Path) -> None:
    done = call("export", finished, "--to", " torch ,", "--json", "--quiet")
    assert done.code == 0, done.err
    assert done.err == ""
    (row,) = json.loads(done.out)["exports"]
    assert (row["name"], row["runtime"], row["model"]) == ("torch", "torch", "masked")
    done = call("export", finished, "--to", "torch", "--quiet")
    assert (done.code, done.out, done.err) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--to", "openvin"], "did you mean 'openvino'?"),
        (["--to", ""], "no export format is named"),
        (["--to", "torch", "--int8"], "--int8 is for onnx and openvino"),
        ([], "--to"),
    ],
)
def test_bad_options(call: Call, arguments: list[str], says: str, finished: Path) -> None:
    done = call("export", finished, *arguments)
    assert (done.code, done.out) == (2, "")
    assert says in done.err
    assert len(done.err.splitlines()) == 1
    assert not (finished / "export").exists()


def test_a_missing_runtime(call: Call, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = call("export", finished, "--to", "torch,onnx")
    assert done.code == 2
    assert "pip install 'seam[onnx]'" in done.err
    assert not (finished / "export").exists()


def test_no_run(call: Call, tmp_path: Path) -> None:
    done = call("export", tmp_path, "--to", "torch")
    assert done.code == 2
    assert "no run folder" in done.err
