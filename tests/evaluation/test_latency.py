"""Base against result in each runtime: the figures' keys, and what is left out and why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from seam.errors import ConfigError, MissingExtraError, ModelError
from seam.evaluation.latency import LatencyPlan, measure_latency
from seam.evaluation.machine import thread_count, torch_threads, usable_cores
from seam.evaluation.memory import peak_memory, size_bytes
from seam.evaluation.runtimes import Subject, compiled, known_runtimes
from seam.evaluation.timing import Budget
from seam.jobs.latency import speed_and_size

CELL = {"base_ms", "result_ms", "ratio", "iqr", "base_iqr_ms", "result_iqr_ms", "rounds"}
IMAGES = torch.zeros(3, 3, 16, 16)


def plan(budget: Budget, *runtimes: str, batches: tuple[int, ...] = (1, 16)) -> LatencyPlan:
    return LatencyPlan(runtimes=runtimes or None, batches=batches, threads=1, budget=budget)


def without(patch: pytest.MonkeyPatch, *modules: str) -> None:
    for name in modules:
        patch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime", "openvino"])
def test_the_narrow_one_is_faster(
    wide: Subject, narrow: Subject, brief: Budget, runtime: str
) -> None:
    found = measure_latency(wide, narrow, IMAGES, kind="shrunk", plan=plan(brief, runtime))
    assert set(found) == {"threads", "machine", "model", runtime, "fastest"}
    assert (found["threads"], found["model"]) == (1, "shrunk")
    assert set(found[runtime]) == set(found["fastest"]) == {"1", "16"}
    for cell in found[runtime].values():
        assert set(cell) == CELL
        assert cell["iqr"][0] <= cell["iqr"][1]
    assert found[runtime]["16"]["ratio"] < 0.7
    assert found["fastest"]["16"]["runtime"] == runtime
    gain = found["fastest"]["16"]["gain_over_plain_torch"]
    assert (gain > 1) if runtime == "torch" else gain is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled(wide: Subject, brief: Budget) -> None:
    tiny = Subject("tiny", nn.Sequential(nn.Flatten(), nn.Linear(768, 2)).eval(), wide.folder)
    found = measure_latency(
        tiny, tiny, IMAGES, kind="masked", plan=plan(brief, "torch_compiled", batches=(1,))
    )
    assert set(found["torch_compiled"]["1"]) == CELL


def test_missing_runtimes_are_skipped_unless_they_are_named(
    wide: Subject, narrow: Subject, brief: Budget, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "onnxruntime", "openvino")
    monkeypatch.setattr("seam.evaluation.runtimes.shutil.which", lambda _: None)
    found = measure_latency(wide, narrow, IMAGES, kind="masked", plan=plan(brief, batches=(1,)))
    assert "pip install 'seam[onnx]'" in found["onnxruntime"]["skipped"]
    assert "pip install 'seam[openvino]'" in found["openvino"]["skipped"]
    assert "install g++ or clang++" in found["torch_compiled"]["skipped"]
    assert found["fastest"]["1"]["runtime"] == "torch"
    named = plan(brief, "openvino", batches=(1,))
    with pytest.raises(MissingExtraError, match=r"pip install 'seam\[openvino\]'"):
        measure_latency(wide, narrow, IMAGES, kind="masked", plan=named)


def test_a_model_that_cannot_be_compiled() -> None:
    class Fails(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no such thing")

    with pytest.raises(ModelError, match=r"\(.*no such thing.*\); leave torch_compiled out"):
        compiled(Fails(), IMAGES)


def test_what_cannot_be_timed() -> None:
    with pytest.raises(ConfigError, match="runtime 'openvin' is unknown; did you mean 'openvino'"):
        LatencyPlan(runtimes=("openvin",))
    with pytest.raises(ConfigError, match="there are torch, torch_compiled, onnxruntime, openvino"):
        known_runtimes(["zzz"])
    with pytest.raises(ConfigError, match="no runtime is named"):
        LatencyPlan(runtimes=())
    with pytest.raises(ConfigError, match=r"batch sizes are \[0\]; give whole numbers"):
        LatencyPlan(batches=(0,))
    with pytest.raises(ConfigError, match=f"give a number from 1 to {usable_cores()}"):
        LatencyPlan(threads=usable_cores() + 1)


def test_threads_are_as_before_afterwards() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError), torch_threads(1):
        raise RuntimeError
    assert torch.get_num_threads() == before
    assert thread_count() <= usable_cores()


def test_a_quantized_model_is_only_files(
    wide: Subject, narrow: Subject, brief: Budget, tmp_path: Path
) -> None:
    file = narrow.file("onnxruntime", IMAGES)
    base = wide.module
    assert base is not None
    found = speed_and_size(
        base,
        None,
        IMAGES,
        kind="quantized",
        plan=plan(brief, batches=(1,)),
        files={"onnxruntime": file},
    )
    assert found["latency"]["model"] == "quantized"
    assert set(found["latency"]["onnxruntime"]["1"]) == CELL
    assert "no program for torch" in found["latency"]["torch"]["skipped"]
    assert found["latency"]["fastest"]["1"]["gain_over_plain_torch"] is None
    assert found["size_bytes"] == {"base": size_bytes(base), "result": file.stat().st_size}
    memory = found["peak_memory_bytes"]
    assert memory["empty"] < memory["result"] <= 1.1 * memory["base"]
    assert (memory["runtime"], memory["batch"]) == ("onnxruntime", 16)


def test_size_counts_what_is_shared_once_and_buffers_too() -> None:
    layer = nn.Linear(10, 10)
    header = size_bytes(nn.Linear(1, 1)) - 8
    assert 0 <= size_bytes(layer) - header - 4 * 110 < 64  # padding and digits of the header
    assert size_bytes(nn.Sequential(layer, layer)) - size_bytes(nn.Sequential(layer)) == 0
    assert size_bytes(layer.double()) == size_bytes(nn.Linear(10, 10))
    assert size_bytes(nn.BatchNorm1d(1000)) > 4 * 4 * 1000


def test_peak_memory_that_cannot_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "broken.onnx"
    file.write_bytes(b"no model")
    found = peak_memory({"base": file}, (1, 3, 8, 8), threads=1)
    assert "the process that runs 'broken.onnx' failed" in found["skipped"]
    monkeypatch.setattr("seam.evaluation.memory.STATUS", tmp_path / "none")
    assert "/proc" in peak_memory({}, (1,), threads=1)["skipped"]
