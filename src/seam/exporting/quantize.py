"""Weights and activations in 8 bits, by each runtime's own post-training quantization."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from seam.errors import ModelError, in_line
from seam.exporting.extras import needs, silent, untracked
from seam.exporting.program import input_name

CALIBRATION_SAMPLES = 300
"""How many training images the ranges of the activations are taken from: NNCF's own default."""


def quantize_onnx(source: Path, path: Path, images: Sequence[Tensor]) -> None:
    """Write the ONNX model ``source`` in 8 bits to ``path``, by ONNX Runtime.

    >>> quantize_onnx(Path("model.onnx"), Path("int8.onnx"), images)  # doctest: +SKIP

    Static, with quantize-dequantize pairs; weights per channel; ranges by minimum and maximum.
    Weights use 7 of their 8 bits: on processors without VNNI sums of two products of 8 bits would
    saturate, and change answers.

    Args:
        source: a float32 model, as `to_onnx` writes it.
        path: the file to write.
        images: training samples, each (C, H, W) or (length), for the ranges of the activations.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        ModelError: the model cannot be quantized.
    """
    needs("onnx", "onnxruntime", extra="onnx")
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._images = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {input_name(image): image[None].cpu().numpy()}

    eight = quantization.QuantType.QInt8
    with _as_model_error("ONNX Runtime"), tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(path),
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=eight,
            weight_type=eight,
        )


def quantize_openvino(source: Path, path: Path, images: Sequence[Tensor]) -> None:
    """Write the OpenVINO model ``source`` in 8 bits to ``path``, by NNCF.

    >>> quantize_openvino(Path("model.xml"), Path("int8.xml"), images)  # doctest: +SKIP

    Args:
        source: a float32 model, as `to_openvino` writes it.
        path: the ``.xml`` file to write.
        images: training samples, each (C, H, W) or (length), for the ranges of the activations.

    Raises:
        MissingExtraError: openvino or nncf is not installed.
        ModelError: the model cannot be quantized.
    """
    needs("openvino", "nncf", extra="openvino")
    import nncf
    import openvino

    with _as_model_error("NNCF"):
        nncf.set_log_level(logging.ERROR)
        model = openvino.Core().read_model(source)
        dataset = nncf.Dataset([image[None].cpu().numpy() for image in images])
        with silent(), untracked():
            small = nncf.quantize(model, dataset, subset_size=len(images))
        openvino.save_model(small, path, compress_to_fp16=False)


@contextmanager
def _as_model_error(tool: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # each tool has errors of its own
        raise ModelError(
            f"{tool} cannot quantize the model ({in_line(error)}); export it without --int8"
        ) from error
