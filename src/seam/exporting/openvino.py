"""To OpenVINO's own format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from seam.errors import ModelError, in_line
from seam.exporting.extras import needs, silent, untracked
from seam.exporting.program import input_name, traced


def to_openvino(
    module: nn.Module, example: Tensor, path: Path, *, info: Mapping[str, str] | None = None
) -> None:
    """Write ``module`` as an ``.xml`` file with its weights, in float32, beside it (``.bin``).

    >>> import tempfile, torch
    >>> file = Path(tempfile.mkdtemp()) / "model.xml"
    >>> to_openvino(nn.Linear(3, 2), torch.zeros(1, 3), file)
    >>> file.with_suffix(".bin").exists()
    True

    Args:
        module: gives (b, K) logits for images (b, C, H, W) or texts (b, length); it is copied, and
            stays as it is.
        example: such images or texts; only their shape but for b, and their type, matter.
        path: the ``.xml`` file to write.
        info: texts to keep inside the file, in ``rt_info`` under ``seam``.

    Raises:
        MissingExtraError: openvino is not installed.
        ModelError: the module cannot be traced, or holds what OpenVINO has no operator for.
    """
    needs("openvino", extra="openvino")
    import openvino

    program = traced(module, example)
    try:
        with silent(), untracked():
            model = openvino.convert_model(program)  # not of the module: that path warns
        model.reshape({0: openvino.PartialShape([-1, *example.shape[1:]])})
        model.input(0).get_tensor().set_names({input_name(example)})
        model.output(0).get_tensor().set_names({"logits"})
        for name, text in (info or {}).items():
            model.set_rt_info(text, ["seam", name])
        openvino.save_model(model, path, compress_to_fp16=False)
    except Exception as error:  # the converter raises what it likes
        raise ModelError(
            f"the model cannot be written for OpenVINO ({in_line(error)}); try --to onnx or torch"
        ) from error
