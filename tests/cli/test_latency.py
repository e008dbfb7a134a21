"""`seam evaluate --latency`: its JSON, its table, and what it refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from seam.evaluation.latency import LatencyPlan
from seam.evaluation.timing import Budget
from seam.reporting.latency import speed

Call = Callable[..., "object"]


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Budget(rounds=3, seconds=0.0, longest=2.0, turn_ms=0.5, warm_up=1)
    monkeypatch.setattr("seam.evaluation.latency.LatencyPlan", partial(LatencyPlan, budget=short))


def test_json_and_table(call: Call, finished: Path) -> None:
    flags = ["--latency", "--runtimes", "torch,onnxruntime", "--threads", "1", "--batch", "1,4"]
    outcome = call("evaluate", finished, *flags, "--json", "--quiet")
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    latency = found["latency"]
    assert set(latency) == {"threads", "machine", "model", "torch", "onnxruntime", "fastest"}
    assert latency["model"] == "masked"
    assert set(latency["torch"]) == set(latency["onnxruntime"]) == {"1", "4"}
    assert set(found["size_bytes"]) == {"base", "result"}
    assert set(found["peak_memory_bytes"]) == {"base", "result", "empty", "runtime", "batch"}
    assert not {"latency", "peak_memory_bytes"} & set(
        json.loads((finished / "report.json").read_text())
    )


def test_the_table_says_what_was_timed(call: Call, finished: Path) -> None:
    outcome = call("evaluate", finished, "--latency", "--runtimes", "torch", "--threads", "1")
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    for part in (
        "of the masked model: removed weights are zeros that a runtime still multiplies",
        "1 thread(s)",
        "the masked model is fastest in torch (",
        "times the speed of the base in torch.",
        "Float32 file: base 0.3",
        "Peak memory was skipped: neither onnxruntime nor openvino was timed",
    ):
        assert part in text


def test_a_missing_runtime_stands_below_the_table() -> None:
    report = {
        "latency": {
            "threads": 2,
            "machine": {"cpu": "some cpu", "cores": 2, "load_average": 3.5},
            "model": "quantized",
            "openvino": {"skipped": "it is missing; pip install 'seam[openvino]'"},
            "fastest": {"1": None},
        },
        "size_bytes": {"base": 2_000_000, "result": 500_000},
        "peak_memory_bytes": {"skipped": "no /proc"},
    }
    console = Console(width=200)
    with console.capture() as shown:
        console.print(speed(report))
    assert "openvino was skipped: it is missing; pip install 'seam[openvino]'" in shown.get()
    assert "The machine was busy (load 3.5 on 2 cores)" in shown.get()
    assert "of the quantized model" in shown.get()
    assert "base 2 MB, result 0.5 MB" in shown.get()


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--latency", "--runtimes", "opnvino"], "'opnvino' is unknown; did you mean 'openvino'?"),
        (["--latency", "--threads", "4096"], "--threads is 4096, and this process may use"),
        (["--latency", "--batch", "0"], "batch sizes are [0]; give whole numbers"),
        (["--latency", "--batch", "1.5"], "--batch is '1.5'; give whole numbers"),
        (["--latency", "--batch", "nan"], "--batch is 'nan'; give whole numbers"),
        (["--latency", "--runtimes", ""], "no runtime is named"),
        (["--threads", "1"], "give --latency too"),
        (["--batch", "1"], "give --latency too"),
    ],
)
def test_bad_input(call: Call, finished: Path, flags: list[str], expected: str) -> None:
    outcome = call("evaluate", finished, *flags, "--quiet")
    assert (outcome.code, outcome.out) == (2, "")
    assert expected in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_runtime_that_is_named_and_missing(
    call: Call, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    outcome = call("evaluate", finished, "--latency", "--runtimes", "openvino", "--quiet")
    assert outcome.code == 2
    assert "pip install 'seam[openvino]'" in outcome.err


def test_the_8_bit_exports_are_timed(call: Call, finished: Path) -> None:
    flags = ["--latency", "--int8", "--threads", "1", "--batch", "1", "--json", "--quiet"]
    refused = call("evaluate", finished, *flags)
    assert (refused.code, refused.out) == (2, "")
    assert "has no 8-bit export; run seam export" in refused.err
    assert call("export", finished, "--to", "onnx", "--int8", "--quiet").code == 0
    outcome = call("evaluate", finished, *flags)
    assert outcome.code == 0, outcome.err
    found = json.loads(outcome.out)
    assert found["latency"]["model"] == "quantized"
    assert set(found["latency"]["onnxruntime"]) == {"1"}
    assert "no program for torch" in found["latency"]["torch"]["skipped"]
    assert found["size_bytes"]["result"] < found["size_bytes"]["base"]
