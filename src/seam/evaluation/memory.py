"""What a model needs: bytes on disk, and memory of a process that runs it.

Run as a program (``python -m seam.evaluation.memory FILE SHAPE THREADS``) it is that process: it
imports the runtime and nothing else of weight.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seam.exporting.extras import needs

if TYPE_CHECKING:
    from torch import nn

STATUS = Path("/proc/self/status")
PATIENCE = 300
"""Seconds that a process may take."""


def size_bytes(module: nn.Module) -> int:
    """Bytes of a safetensors file with all parameters and buffers of ``module`` in float32.

    >>> from torch import nn
    >>> size_bytes(nn.Linear(10, 10)) - size_bytes(nn.Linear(10, 9))
    44

    Whole numbers keep their type; what several layers share is counted once.
    """
    import torch
    from safetensors.torch import save

    tensors = {}
    for named in (module.named_parameters(), module.named_buffers()):
        for name, value in named:
            kept = value.detach().cpu()
            tensors[name] = (kept.float() if torch.is_floating_point(kept) else kept).contiguous()
    return len(save({name: value.clone() for name, value in tensors.items()}))


def peak_memory(files: Mapping[str, Path], shape: Sequence[int], *, threads: int) -> dict[str, Any]:
    """Peak resident bytes of a fresh process for each file, which opens it and runs a batch.

    Args:
        files: ``.onnx`` or ``.xml`` programs by name.
        shape: of the batch, (b, C, H, W) or (b, length).
        threads: that the runtime may use.

    Returns:
        One figure a name; ``empty``, the same process before it opens the model; ``runtime``;
        ``batch``. Or ``{"skipped": reason}``.
    """
    if not STATUS.exists():
        return {"skipped": "peak memory is read from /proc, which this system does not have"}
    found: dict[str, Any] = {}
    for name, file in files.items():
        command = [
            sys.executable,
            "-m",
            __name__,
            str(file),
            ",".join(map(str, shape)),
            f"{threads}",
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=True, timeout=PATIENCE
            )
        except (OSError, subprocess.SubprocessError) as error:
            last = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
            return {"skipped": f"the process that runs '{file.name}' failed: {' '.join(last)}"}
        measured = json.loads(done.stdout.splitlines()[-1])
        found[name], found["empty"] = measured["peak"], measured["empty"]
        found["runtime"] = measured["runtime"]
    return {**found, "batch": shape[0]}


def _high_water() -> int:
    """Peak resident bytes of this process so far; ``ru_maxrss`` would hold its parent's too."""
    for line in STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"{STATUS} has no VmHWM")


def _run(file: str, shape: Sequence[int], threads: int) -> dict[str, Any]:
    """Open and run ``file``; called in a process of its own."""
    import numpy as np

    texts = len(shape) == 2  # token numbers; images have four dimensions
    images = np.zeros(shape, dtype=np.int64 if texts else np.float32)
    if file.endswith(".xml"):
        needs("openvino", extra="openvino")
        import openvino

        empty = _high_water()
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        openvino.Core().compile_model(file, "CPU", settings)([images])
        return {"runtime": "openvino", "empty": empty, "peak": _high_water()}
    needs("onnxruntime", extra="onnx")
    import onnxruntime

    empty = _high_water()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    session.run(None, {session.get_inputs()[0].name: images})
    return {"runtime": "onnxruntime", "empty": empty, "peak": _high_water()}


if __name__ == "__main__":
    _file, _shape, _threads = sys.argv[1:]
    print(json.dumps(_run(_file, [int(size) for size in _shape.split(",")], int(_threads))))
