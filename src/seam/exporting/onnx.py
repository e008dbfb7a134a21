"""To ONNX, for ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from seam.errors import ModelError, in_line
from seam.exporting.extras import needs
from seam.exporting.program import input_name, traced


def to_onnx(
    module: nn.Module, example: Tensor, path: Path, *, info: Mapping[str, str] | None = None
) -> None:
    """Write ``module`` as one ``.onnx`` file: input ``images`` or ``tokens``, output ``logits``.

    Batches may have any size.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "model.onnx"
    >>> to_onnx(nn.Linear(3, 2), torch.zeros(1, 3), file)
    >>> file.stat().st_size > 0
    True

    Args:
        module: gives (b, K) logits for images (b, C, H, W) or texts (b, length); it is copied, and
            stays as it is.
        example: such images or texts; only their shape but for b, and their type, matter.
        path: the file to write; weights are inside it, so it is at most 2 GB.
        info: texts to keep inside the file, as the model's ``metadata_props``.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
        ModelError: the module cannot be traced, or holds what ONNX has no operator for.
    """
    needs("onnx", "onnxscript", extra="onnx")
    program = traced(module, example)
    try:
        written = torch.onnx.export(
            program,
            dynamo=True,
            input_names=[input_name(example)],
            output_names=["logits"],
            verbose=False,
        )
        assert written is not None
        written.model.metadata_props.update(info or {})
        written.save(path, external_data=False)
    except Exception as error:  # the converter raises what it likes
        raise ModelError(
            f"the model cannot be written as ONNX ({in_line(error)}); try --to openvino or torch"
        ) from error
