"""A shrunk model on disk: tensors, a JSON manifest of shapes, and a program that needs no `seam`.

Neither file is a pickle. The manifest says how the base's architecture is built and which of its
layers have other widths; the tensors fill it in.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from seam.artefacts.adapter_value import one_line
from seam.artefacts.atomic import existing, shown, write_folder
from seam.artefacts.model_manifest import (
    FILE_ARGUMENTS,
    FORMAT,
    MANIFEST,
    MEND,
    VERSION,
    ModelManifest,
    read_manifest,
)
from seam.artefacts.preprocessing_file import tokenizer_files
from seam.artefacts.reading import read_regular
from seam.errors import ModelError, SeamError
from seam.exporting.program import traced
from seam.masking.head import attach_head
from seam.masking.sides import set_tensor
from seam.models.base import blank
from seam.models.budget import sized_like
from seam.models.load import BaseSpec
from seam.models.weights import fill
from seam.shrink.fold import drop_norm

TENSORS, PROGRAM = "model.safetensors", "model.pt2"


def save_model(
    folder: str | Path, module: nn.Module, manifest: ModelManifest, example: Tensor
) -> int:
    """Write ``model/``, whole or not at all; returns its size in bytes without a program.

    A module that PyTorch cannot export for batches of any size comes without a program.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    state = {  # copies, for safetensors refuses tensors that share their memory
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in module.state_dict().items()
    }
    tensors = save_tensors(state)
    document = {
        "format": FORMAT,
        "version": VERSION,
        **manifest.to_dict(),
        "shapes": {name: list(value.shape) for name, value in state.items()},
        "tensors": {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()},
    }
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    files = {TENSORS: tensors, MANIFEST: text.encode(), **tokenizer_files(manifest.preprocessing)}
    try:
        program = {PROGRAM: _program(module, example)}
    except ModelError:  # the module runs, but not for every batch size in one program
        program = {}
    write_folder(folder, {**files, **program})
    return sum(map(len, files.values()))


def load_model(
    folder: str | Path, *, base: nn.Module | None = None
) -> tuple[nn.Module, ModelManifest]:
    """The shrunk module, in evaluation mode on the CPU, and its manifest; runs no search.

    >>> load_model("runs/seven/model")  # doctest: +SKIP

    Args:
        folder: a run's ``model`` folder.
        base: the base's module, where the manifest does not say how to build it; only its
            structure is used.

    Raises:
        ModelError: it is no such folder, damaged or hostile, or the base cannot be built.
    """
    place = existing(Path(folder))
    document, manifest = read_manifest(place)
    if base is None:
        if manifest.recipe is None:
            raise ModelError(
                f"the model in {shown(place)} was made from an own module, which its folder cannot "
                f"build; pass it as base=, or load {PROGRAM} with torch.export.load"
            )
        base = _architecture(place, manifest.recipe)
    tensors = _read_tensors(place, document)
    example = blank(manifest.preprocessing)
    try:
        model: nn.Module = attach_head(
            copy.deepcopy(base).float().cpu().eval(),
            manifest.head_kind,
            manifest.base.all_members(),
            example=example,
            seed=0,
            layer=manifest.base.head_layer,
        )
        _reshape(model, manifest, tensors)
        shapes = {name: list(value.shape) for name, value in tensors.items()}
        if shapes != manifest.shapes:
            raise ValueError("its tensors have other shapes than the manifest says")
        fill(model, tensors)
        return model.to(memory_format=torch.channels_last).eval(), manifest
    except Exception as error:
        raise ModelError(
            f"the model in {shown(place)} does not fit its architecture ({one_line(error)}); {MEND}"
        ) from error


def _architecture(place: Path, recipe: Mapping[str, Any]) -> nn.Module:
    try:
        if not set(recipe.get("model_args", {})).isdisjoint(FILE_ARGUMENTS):
            raise TypeError("its model arguments name a file")
        with sized_like((place / TENSORS).stat().st_size):
            return BaseSpec(**recipe).architecture()
    except SeamError:
        raise
    except Exception as error:  # libraries refuse arguments in their own ways
        raise ModelError(
            f"the model in {shown(place)} names its base in an unknown way ({one_line(error)}); "
            f"{MEND}"
        ) from error


def _reshape(model: nn.Module, manifest: ModelManifest, tensors: Mapping[str, Tensor]) -> None:
    """Give every layer of the whole architecture the widths of the shrunk one."""
    for name in manifest.folded:
        drop_norm(model, name)
    for name, changed in manifest.attributes.items():
        layer = model.get_submodule(name)
        for key, number in changed.items():
            if type(vars(layer).get(key)) is not int or type(number) is not int or number < 0:
                raise ValueError(f"layer '{name}' has no whole number '{key}'")
            setattr(layer, key, number)
    for full, value in tensors.items():
        owner, _, name = full.rpartition(".")
        layer = model.get_submodule(owner)
        if name not in layer._parameters and name not in layer._buffers:
            raise ValueError(f"there is no tensor '{full}'")
        set_tensor(layer, name, torch.empty_like(value))


def _read_tensors(place: Path, document: Mapping[str, Any]) -> dict[str, Tensor]:
    file = place / TENSORS
    try:
        if file.stat().st_size != document["tensors"]["bytes"]:
            raise ValueError("its size is not the manifest's")
        data = read_regular(file)
        if hashlib.sha256(data).hexdigest() != document["tensors"]["sha256"]:
            raise ValueError("its SHA-256 is not the manifest's")
        return load_tensors(data)
    except Exception as error:
        raise ModelError(
            f"model file {shown(file)} cannot be read ({one_line(error)}); {MEND}"
        ) from error


def _program(module: nn.Module, example: Tensor) -> bytes:
    """The module as a `torch.export` program with a free batch size, as a file's bytes."""
    buffer = io.BytesIO()
    torch.export.save(traced(module, example), buffer)
    return buffer.getvalue()
