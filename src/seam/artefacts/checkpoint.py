"""Tensors and plain values in one safetensors file, so that they always belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from seam.artefacts.reading import parse_json, read_regular
from seam.core.masks import pack, unpack
from seam.errors import RunFolderError, in_line

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
        tensors = load_tensors(read_regular(file))
        values = parse_json(tensors.pop(VALUES).numpy().tobytes(), finite=False)
        if not isinstance(values, dict):
            raise ValueError("its values are no mapping")
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise _damaged(file, error) from error
    return tensors, values


def check_whole(file: Path) -> None:
    """That a file is there and as long as its header says; no tensor is read.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    try:
        with safe_open(file, "pt"):
            pass
    except (OSError, SafetensorError) as error:
        raise _damaged(file, error) from error


def packed(snapshot: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, list[int]]]:
    """Masks as bits, tuned values where they are kept, the rest as it is; and the masks' shapes."""
    tensors = {}
    for name, value in snapshot.items():
        mask = snapshot.get(_mask_of(name))
        if value.dtype == torch.bool:
            tensors[name] = torch.from_numpy(pack(value.cpu().numpy()))
        else:
            tensors[name] = value if mask is None else value[mask]
    shapes = {n: list(value.shape) for n, value in snapshot.items() if value.dtype == torch.bool}
    return tensors, shapes


def unpacked(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, Any], file: Path
) -> dict[str, Tensor]:
    """Inverse of `packed`, zeros where nothing is kept; ``file`` is whom to blame.

    Raises:
        RunFolderError: bits and shapes do not fit.
    """
    try:
        masks = {
            name: torch.from_numpy(unpack(tensors[name].numpy(), shape))
            for name, shape in shapes.items()
        }
        return {
            name: masks[name] if name in masks else spread(value, masks.get(_mask_of(name)))
            for name, value in tensors.items()
        }
    except (ArithmeticError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise _damaged(file, error) from error


def spread(kept: Tensor, mask: Tensor | None) -> Tensor:
    """Values at the places that a mask keeps, zeros elsewhere.

    >>> spread(torch.tensor([5.0]), torch.tensor([False, True])).tolist()
    [0.0, 5.0]
    """
    if mask is None or kept.shape == mask.shape:  # earlier versions stored all
        return kept
    full = torch.zeros(mask.shape, dtype=kept.dtype)
    return full.masked_scatter_(mask, kept)


def _mask_of(name: str) -> str:
    """Name of the mask over a tuned value."""
    return name.replace("delta/", "mask/", 1) if name.startswith("delta/") else ""


def _damaged(file: Path, error: Exception) -> RunFolderError:
    return RunFolderError(
        f"checkpoint file '{file}' cannot be read ({in_line(error)}); restore it, or delete the "
        "run's folder checkpoint: the same command then searches anew"
    )
