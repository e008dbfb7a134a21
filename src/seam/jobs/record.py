"""What an evaluation leaves in the run folder, so that the run's page can show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from seam.artefacts.measured import record, recorded
from seam.artefacts.mirroring import writable
from seam.artefacts.run import RunFolder
from seam.defects.subjects import Examples
from seam.errors import RunFolderError

LATENCY, LATENCY_INT8, DEFECTS = "latency.json", "latency-int8.json", "defects.safetensors"
SPEED = ("latency", "size_bytes", "peak_memory_bytes")


def may_record(folder: RunFolder, *, own: bool) -> bool:
    """Whether figures belong in the run folder: they are of its own data, and it can be written."""
    return own and writable(folder.path)


def record_latency(folder: RunFolder, report: Mapping[str, Any]) -> None:
    """Keep the figures of `seam evaluate --latency`; those of 8-bit models beside the others."""
    name = LATENCY_INT8 if report["latency"]["model"] == "quantized" else LATENCY
    record(folder, name, {key: report[key] for key in SPEED})


def record_defects(
    folder: RunFolder, figures: Mapping[str, Any], examples: Sequence[Examples]
) -> None:
    """Keep figures and images of `seam evaluate --defects`, beside what was measured before."""
    try:
        before, tensors = recorded(folder, DEFECTS)
    except RunFolderError:
        before, tensors = {}, {}
    values = {**before, **figures}
    values["defects"] = {**before.get("defects", {}), **figures["defects"]}
    shown = {**before.get("examples", {})}
    for each in examples:
        texts = {"title": each.title, "truth": each.truth}
        shown[each.name] = {**texts, "base": list(each.base), "result": list(each.result)}
        tensors |= {f"{each.name}/clean": _bytes(each.clean)}
        tensors |= {f"{each.name}/changed": _bytes(each.changed)}
    record(folder, DEFECTS, {**values, "examples": shown}, tensors)


def _bytes(images: Tensor) -> Tensor:
    """Images in [0, 1] as uint8."""
    return (255 * images.detach().cpu()).round().byte()
