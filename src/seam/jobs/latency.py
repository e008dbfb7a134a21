"""The figures of a result's speed and size, beside its base's."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from seam.evaluation.latency import LatencyPlan, batch_of, measure_latency
from seam.evaluation.memory import peak_memory, size_bytes
from seam.evaluation.runtimes import SUFFIXES, Subject, on_cpu

MEMORY_BATCH = 16


def speed_and_size(
    base: nn.Module,
    result: nn.Module | None,
    images: Tensor,
    *,
    kind: str,
    plan: LatencyPlan | None = None,
    files: Mapping[str, Path] | None = None,
) -> dict[str, Any]:
    """``latency``, ``size_bytes`` and ``peak_memory_bytes`` of a report.

    >>> speed_and_size(base, result, images, kind="masked")["latency"]["model"]  # doctest: +SKIP
    'masked'

    Args:
        base: the base module with its whole head.
        result: the re-engineered module with its head; None for a quantized one.
        images: preprocessed samples (n, C, H, W).
        kind: masked, shrunk or quantized: what ``result`` is.
        plan: what to time.
        files: the result's programs that exist already, by runtime (onnxruntime, openvino).

    Raises:
        MissingExtraError: a runtime that the plan names is not installed.
        ModelError: a model cannot be exported to a runtime that the plan names.
    """
    plan = plan or LatencyPlan()
    with tempfile.TemporaryDirectory(prefix="seam-latency-") as place:
        folder = Path(place)
        theirs = Subject("base", on_cpu(base), folder)
        ours = Subject(
            "result", on_cpu(result) if result is not None else None, folder, files or {}
        )
        latency = measure_latency(theirs, ours, images, kind=kind, plan=plan)
        return {
            "latency": latency,
            "size_bytes": {"base": size_bytes(base), "result": _bytes_of(ours)},
            "peak_memory_bytes": _memory(theirs, ours, images, latency),
        }


def speed(
    base: nn.Module, result: nn.Module, images: Tensor, *, kind: str, plan: LatencyPlan
) -> dict[str, Any]:
    """``latency`` of a report alone; arguments as `speed_and_size`'s.

    >>> speed(base, result, images, kind="shrunk", plan=plan)["openvino"]  # doctest: +SKIP
    """
    with tempfile.TemporaryDirectory(prefix="seam-latency-") as place:
        theirs = Subject("base", on_cpu(base), Path(place))
        ours = Subject("result", on_cpu(result), Path(place))
        return measure_latency(theirs, ours, images, kind=kind, plan=plan)


def _bytes_of(result: Subject) -> int:
    """Of the parameters; of a quantized model, of its smallest program."""
    if result.module is not None:
        return size_bytes(result.module)
    return min(
        sum(part.stat().st_size for part in {file, file.with_suffix(".bin")} if part.exists())
        for file in result.files.values()
    )


def _memory(
    base: Subject, result: Subject, images: Tensor, latency: Mapping[str, Any]
) -> dict[str, Any]:
    """In the first runtime with files that both models were timed in."""
    for runtime in SUFFIXES:
        if runtime in latency and "skipped" not in latency[runtime]:
            files = {each.name: each.file(runtime, images) for each in (base, result)}
            shape = batch_of(images, MEMORY_BATCH).shape
            return peak_memory(files, shape, threads=latency["threads"])
    return {
        "skipped": "neither onnxruntime nor openvino was timed; "
        "pip install 'seam[onnx]' and name no runtimes"
    }
