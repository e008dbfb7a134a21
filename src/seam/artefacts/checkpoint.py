"""Tensors and plain values in one safetensors file, so that they always belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from seam.core.masks import pack, unpack
from seam.errors import RunFolderError

VALUES = "state/json"


def to_bytes(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> bytes:
    """A file's bytes; equal arguments give equal bytes.

    >>> len(to_bytes({}, {"epoch": 1})) > 0
    True
    """
    text = json.dumps(values, sort_keys=True).encode()
    found = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    found[VALUES] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return save_tensors(found)


def from_file(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of `to_bytes`.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    try:
        tensors = load_tensors(file.read_bytes())
        values = json.loads(bytes(tensors.pop(VALUES).numpy()))
        if not isinstance(values, dict):
            raise ValueError("its values are no mapping")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise _damaged(file, error) from error
    return tensors, values


def packed(snapshot: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """The tensors with masks as bits, and the masks' shapes."""
    tensors = {
        name: torch.from_numpy(pack(value.cpu().numpy())) if value.dtype == torch.bool else value
        for name, value in snapshot.items()
    }
    shapes = {n: list(value.shape) for n, value in snapshot.items() if value.dtype == torch.bool}
    return tensors, shapes


def unpacked(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, Any], file: Path
) -> dict[str, Tensor]:
    """Inverse of `packed`; ``file`` is whom to blame.

    Raises:
        RunFolderError: bits and shapes do not fit.
    """
    try:
        return {
            name: torch.from_numpy(unpack(value.numpy(), shapes[name])) if name in shapes else value
            for name, value in tensors.items()
        }
    except (ValueError, TypeError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"checkpoint file '{file}' cannot be read ({error}); delete the run folder, start again"
    )
