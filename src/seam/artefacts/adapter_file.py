"""An adapter's two files as bytes; specified in ``docs/adapter-format.md``.

What is read may be damaged or hostile: nothing is trusted before it is checked, and whatever fails
becomes one `AdapterError` that names the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from seam.artefacts.adapter_value import FLOATS, Adapter, BaseReference, one_line
from seam.artefacts.atomic import existing, shown
from seam.artefacts.checkpoint import spread
from seam.artefacts.preprocessing_file import read_preprocessing
from seam.artefacts.reading import MAX_JSON, parse_json, read_regular
from seam.core.masks import pack, unpack
from seam.core.problem import Problem
from seam.errors import AdapterError

FORMAT, VERSION = "seam-adapter", 1
JSON_FILE, TENSOR_FILE = "adapter.json", "adapter.safetensors"
MAX_HEADER = 16 * 2**20
MAX_TENSORS = 2**30
NO_CHECKSUM = "0" * 64
MEND = "fetch the adapter again, or run the command that made it again"


def to_bytes(adapter: Adapter) -> dict[str, bytes]:
    """The two files, by name; the same adapter gives the same bytes.

    Raises:
        AdapterError: the adapter is larger than the format allows.
    """
    tensors = save_tensors(_stored(adapter))
    document = _encode(
        {
            **adapter.to_dict(),
            "format": FORMAT,
            "version": VERSION,
            "tensors": {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()},
        }
    )
    if len(tensors) > MAX_TENSORS or len(document) > MAX_JSON:
        raise AdapterError(
            f"the adapter takes {len(tensors)} + {len(document)} bytes, the format allows "
            f"{MAX_TENSORS} + {MAX_JSON}; tune less (--tune norm), or keep less"
        )
    return {TENSOR_FILE: tensors, JSON_FILE: document}


def recorded_digest(folder: Path) -> str | None:
    """The digest that an adapter's JSON file gives, unchecked; None where there is none."""
    try:
        found = parse_json(read_regular(existing(folder) / JSON_FILE, MAX_JSON))
        return str(found["tensors"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_folder(folder: Path) -> Adapter:
    """Inverse of `to_bytes`, from a folder, everything checked.

    Raises:
        AdapterError: it is no adapter, damaged, hostile or of another format version.
    """
    place = _find(folder)
    json_file, tensor_file = place / JSON_FILE, place / TENSOR_FILE
    with _blaming(json_file):
        text = read_regular(json_file, MAX_JSON)
        document = _parse(text)
        version = _get(document, "version", int)
    if version > VERSION:
        raise AdapterError(
            f"adapter file {shown(json_file)} has format version {str(version)[:12]}, newer than "
            f"{VERSION}, which this seam reads; upgrade seam"
        )
    with _blaming(json_file):
        _check_document(document, text)
    with _blaming(tensor_file):
        data = read_regular(tensor_file, MAX_TENSORS)
        tensors = _parse_tensors(data, document["tensors"])
        groups = _unpacked(tensors, document["masks"])
    with _blaming(json_file):
        adapter = _adapter(document, groups)
        if document["density"] != {"kept": adapter.kept, "maskable": adapter.maskable}:
            raise ValueError("'density' does not fit the masks")
        return adapter


def _stored(adapter: Adapter) -> dict[str, Tensor]:
    stored = {
        f"mask/{name}": torch.from_numpy(pack(mask.numpy())) for name, mask in adapter.masks.items()
    }
    stored |= {f"head/{name}": value for name, value in adapter.head.items()}
    for name, value in adapter.delta.items():
        stored[f"delta/{name}"] = value[adapter.masks[name]] if name in adapter.masks else value
    return stored


def _encode(document: Mapping[str, Any]) -> bytes:
    """The document's bytes, its checksum among them."""
    bare = _lines({**document, "checksum": NO_CHECKSUM})
    return _lines({**document, "checksum": hashlib.sha256(bare).hexdigest()})


def _lines(document: Mapping[str, Any]) -> bytes:
    rows = (
        f"{json.dumps(key)}: "
        + json.dumps(document[key], sort_keys=True, ensure_ascii=False, allow_nan=False)
        for key in sorted(document)
    )
    return ("{\n" + ",\n".join(rows) + "\n}\n").encode()


def _find(folder: Path) -> Path:
    place = existing(folder)
    if not (place / JSON_FILE).exists():
        inside = folder / "adapter"
        hint = inside if (inside / JSON_FILE).exists() else "the folder RUN/adapter of a run"
        raise AdapterError(
            f"{shown(folder)} is not an adapter folder: it holds no {JSON_FILE}; give {hint}"
        )
    return place


def _parse(text: bytes) -> dict[str, Any]:
    document = parse_json(text)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    if document.get("format") != FORMAT:
        raise ValueError(f"its 'format' is not '{FORMAT}'")
    return document


def _check_document(document: dict[str, Any], text: bytes) -> None:
    """Version, checksum, and that the parts that are read have the right types."""
    if document["version"] != VERSION:
        raise ValueError(f"its format version is not {VERSION}")
    checksum = _get(document, "checksum", str).encode()
    if len(checksum) != 64 or text.count(checksum) != 1:
        raise ValueError("it has no checksum")
    bare = text.replace(checksum, NO_CHECKSUM.encode())
    if hashlib.sha256(bare).hexdigest().encode() != checksum:
        raise ValueError("it was changed after it was written (its checksum differs)")
    for key in ("base", "problem", "preprocessing", "masks", "density", "config", "metrics"):
        _get(document, key, dict)
    tensors = _get(document, "tensors", dict)
    _get(tensors, "bytes", int)
    _get(tensors, "sha256", str)
    for name, shape in document["masks"].items():
        if not _is_ints(shape) or any(side < 1 for side in shape):
            raise ValueError(f"the shape of mask '{name[:80]}' is no list of positive integers")


def _parse_tensors(data: bytes, expected: Mapping[str, Any]) -> dict[str, Tensor]:
    if len(data) != expected["bytes"]:
        raise ValueError(f"it has {len(data)} bytes, expected {str(expected['bytes'])[:24]}")
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise ValueError("it was changed after it was written (its SHA-256 differs)")
    header = int.from_bytes(data[:8], "little")
    if header > min(MAX_HEADER, len(data) - 8):
        raise ValueError(f"its header claims {header} bytes")
    return load_tensors(data)


def _unpacked(
    tensors: Mapping[str, Tensor], shapes: Mapping[str, list[int]]
) -> dict[str, dict[str, Tensor]]:
    """Masks, head and full-shape deltas, from the tensors as stored."""
    groups: dict[str, dict[str, Tensor]] = {"mask": {}, "head": {}, "delta": {}}
    for full, value in tensors.items():
        group, _, name = full.partition("/")
        if group not in groups:
            raise ValueError(f"tensor '{full[:80]}' is unexpected")
        if value.dtype not in ((torch.uint8,) if group == "mask" else FLOATS):
            raise ValueError(f"tensor '{full[:80]}' has type {value.dtype}")
        groups[group][name] = value
    different = sorted(groups["mask"].keys() ^ shapes.keys())
    if different:
        where = JSON_FILE if different[0] in shapes else TENSOR_FILE
        raise ValueError(f"mask '{different[0][:80]}' is in {where} only")
    masks = {
        name: torch.from_numpy(unpack(value.numpy(), shapes[name]))
        for name, value in groups["mask"].items()
    }
    delta = {
        name: _spread(name, value, masks[name]) if name in masks else value
        for name, value in groups["delta"].items()
    }
    return {"masks": masks, "head": groups["head"], "delta": delta}


def _spread(name: str, kept: Tensor, mask: Tensor) -> Tensor:
    if kept.shape != (int(mask.sum()),):
        raise ValueError(
            f"'delta/{name[:80]}' has shape {tuple(kept.shape)}, its mask keeps {int(mask.sum())}"
        )
    return spread(kept, mask)


def _adapter(document: dict[str, Any], groups: dict[str, dict[str, Tensor]]) -> Adapter:
    base, problem = document["base"], document["problem"]
    labels = _get(problem, "labels", list)
    for names in (_get(problem, "outputs", list), *labels):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("'problem' holds a label that is no string")
    members = _get(base, "members", list)
    if not all(_is_ints(group) for group in members):
        raise ValueError("'members' holds something else than lists of numbers")
    _get(problem, "kind", str)
    return Adapter(
        **groups,
        head_kind=document.get("head"),  # type: ignore[arg-type]
        problem=Problem.from_dict(problem),
        preprocessing=read_preprocessing(document["preprocessing"]),
        base=BaseReference(
            source=_get(base, "source", str),
            fingerprint=_get(base, "fingerprint", str),
            label_count=_get(base, "label_count", int),
            members=tuple(map(tuple, members)),
            details=_get(base, "details", dict),
            head_layer=_get({"head_layer": "", **base}, "head_layer", str),
        ),
        config=document["config"],
        metrics=document["metrics"],
        seam=_get(document, "seam", str),
    )


def _get(values: Mapping[str, Any], key: str, kind: type) -> Any:
    value = values.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"its '{key}' is missing or of the wrong type")
    return value


def _is_ints(value: object) -> bool:
    return isinstance(value, list) and all(type(each) is int for each in value)


@contextmanager
def _blaming(file: Path) -> Iterator[None]:
    """Turn whatever reading ``file`` raises into one line that names it and the mend."""
    try:
        yield
    except OSError as error:
        raise AdapterError(
            f"adapter file {shown(file)} cannot be read ({error.strerror or error}); {MEND}"
        ) from error
    except Exception as error:  # parsers of others raise what they like
        raise AdapterError(
            f"adapter file {shown(file)} is damaged: {one_line(error)}; {MEND}"
        ) from error
