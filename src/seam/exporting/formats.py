"""The formats that a model can be exported to, and what belongs to each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from seam.errors import ConfigError, nearest
from seam.exporting.extras import needs
from seam.exporting.onnx import to_onnx
from seam.exporting.openvino import to_openvino
from seam.exporting.program import to_program
from seam.exporting.quantize import quantize_onnx, quantize_openvino

Quantize = Callable[[Path, Path, Sequence[Tensor]], None]


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a format is written, and how far its runtime may be off.

    Args:
        name: as in ``--to``.
        file: name of the model file.
        write: ``to_*``: module, example, path, info.
        modules: what has to be installed to write and run it.
        quantize: float32 file, 8-bit file, training images; None where the runtime has no such.
        tolerance: largest difference of a logit from PyTorch's, as a share of the largest logit:
            float32 sums in another order. Reduced precision and wrong operators are far above it.
    """

    name: str
    file: str
    write: Callable[..., None]
    modules: tuple[str, ...] = ()
    quantize: Quantize | None = None
    quantizer: tuple[str, ...] = ()
    tolerance: float = 1e-4

    def require(self, *, int8: bool) -> None:
        """That what it needs is installed.

        Raises:
            MissingExtraError: something is not; the message names the extra.
        """
        needs(*self.modules, *(self.quantizer if int8 else ()), extra=self.name)


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format(
            name="onnx",
            file="model.onnx",
            write=to_onnx,
            modules=("onnx", "onnxscript", "onnxruntime"),
            quantize=quantize_onnx,
        ),
        Format(
            name="openvino",
            file="model.xml",
            write=to_openvino,
            modules=("openvino",),
            quantize=quantize_openvino,
            quantizer=("nncf",),
        ),
        Format(name="torch", file="model.pt2", write=to_program),
    )
}
"""By name."""


def formats_of(names: Sequence[str], *, int8: bool = False) -> list[Format]:
    """The formats of these names, each once.

    >>> [each.file for each in formats_of(["onnx", "torch"])]
    ['model.onnx', 'model.pt2']

    Raises:
        ConfigError: a name is unknown, there is none, or none of them can be quantized.
    """
    known = ", ".join(FORMATS)
    if isinstance(names, str):
        names = [names]
    for name in names:
        if name not in FORMATS:
            raise ConfigError(
                f"export format '{name}' is unknown{nearest(str(name), list(FORMATS))}; "
                f"give --to one or more of {known}"
            )
    if not names:
        raise ConfigError(f"no export format is named; give --to one or more of {known}")
    found = [FORMATS[name] for name in dict.fromkeys(names)]
    if int8 and not any(each.quantize for each in found):
        raise ConfigError(
            "--int8 is for onnx and openvino; name one of them in --to, or leave --int8 out"
        )
    return found


def versions(found: Format, *, int8: bool) -> dict[str, Any]:
    """Versions of what writes and runs a format."""
    from importlib.metadata import version

    names = ("seam", "torch", *found.modules, *(found.quantizer if int8 else ()))
    return {name: version(name) for name in names}
