"""A shrunk model on disk: tensors, a JSON manifest of shapes, and a program that needs no `seam`.

Neither file is a pickle. The manifest says how the base's architecture is built and which of its
layers have other widths; the tensors fill it in.
"""

from __future__ import annotations

import copy
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from seam.artefacts.adapter_value import MAX_LABELS, BaseReference, one_line
from seam.artefacts.atomic import existing, shown, write_folder
from seam.artefacts.preprocessing_file import read_preprocessing, tokenizer_files
from seam.artefacts.reading import parse_json, read_regular
from seam.core.config import Head
from seam.core.problem import Problem
from seam.core.text import AnyPreprocessing
from seam.errors import ModelError, SeamError
from seam.exporting.program import traced
from seam.masking.head import attach_head
from seam.masking.sides import set_tensor
from seam.models.base import BaseModel, blank
from seam.models.budget import sized_like
from seam.models.hf import recorded_config
from seam.models.load import BaseSpec
from seam.models.weights import fill
from seam.shrink.fold import drop_norm

FORMAT, VERSION = "seam-model", 1
MANIFEST, TENSORS, PROGRAM = "model.json", "model.safetensors", "model.pt2"
MAX_MANIFEST = 64 * 2**20
FILE_ARGUMENTS = (
    *("checkpoint_path", "cache_dir"),
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay"),
)
"""Model arguments with which a manifest could have a library open files or the network."""
_MEND = "run the command that made it again"


@dataclass(frozen=True, kw_only=True)
class ModelManifest:
    """All that a shrunk model is made of, but its tensors.

    ``attributes`` are the plain attributes (whole numbers) that differ from the base's layers,
    ``folded`` the norm layers that are gone, ``shapes`` every tensor's shape. ``adapter`` is the
    digest of the adapter's tensors that make the same point.
    """

    recipe: Mapping[str, Any] | None
    base: BaseReference
    problem: Problem
    preprocessing: AnyPreprocessing
    head_kind: Head
    attributes: Mapping[str, Mapping[str, int]]
    folded: Sequence[str]
    adapter: str = ""
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "recipe": self.recipe,
            "base": {
                "source": self.base.source,
                "fingerprint": self.base.fingerprint,
                "label_count": self.base.label_count,
                "members": self.base.members,
                **({"head_layer": self.base.head_layer} if self.base.head_layer else {}),
            },
            "problem": self.problem.to_dict(),
            "preprocessing": self.preprocessing.to_dict(),
            "head": self.head_kind,
            "attributes": self.attributes,
            "folded": list(self.folded),
            "adapter": self.adapter,
            "shapes": self.shapes,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: Path | None = None) -> ModelManifest:
        """Inverse of `to_dict`; a tokenizer is that in ``folder``."""
        base = values["base"]
        return cls(
            recipe=values["recipe"],
            base=BaseReference(
                source=str(base["source"]),
                fingerprint=str(base["fingerprint"]),
                label_count=int(base["label_count"]),
                members=tuple(tuple(map(int, group)) for group in base["members"]),
                head_layer=str(base.get("head_layer", "")),
            ),
            problem=Problem.from_dict(values["problem"]),
            preprocessing=read_preprocessing(values["preprocessing"], folder),
            head_kind=values["head"],
            attributes=values["attributes"],
            folded=values["folded"],
            adapter=str(values["adapter"]),
            shapes=values["shapes"],
        )


def architecture_recipe(base: BaseModel) -> dict[str, Any] | None:
    """What of a base's recipe builds its architecture: no files of the machine it was made on.

    >>> architecture_recipe(BaseSpec(name="zoo:digits").load())
    {'name': 'zoo:digits', 'model_args': {}}

    A model of `transformers` is built from its configuration.
    """
    if base.recipe is None:
        return None
    if base.recipe["name"].startswith("hf:"):
        return {"name": "hf:", "model_args": {"config": recorded_config(base.module)}}
    given = base.recipe.get("model_args", {})
    arguments = {name: value for name, value in given.items() if name not in FILE_ARGUMENTS}
    return {"name": base.recipe["name"], "model_args": arguments}


def changed_attributes(before: nn.Module, after: nn.Module) -> dict[str, dict[str, int]]:
    """Whole-number attributes in which the layers of two modules of one structure differ.

    >>> changed_attributes(nn.Linear(4, 2), nn.Linear(3, 2))
    {'': {'in_features': 3}}
    """
    found = {}
    later = dict(after.named_modules())
    for name, layer in before.named_modules():
        if name in later and type(later[name]) is type(layer):
            changed = {
                key: value
                for key, value in vars(later[name]).items()
                if type(value) is int and vars(layer).get(key) != value
            }
            if changed:
                found[name] = changed
    return found


def save_model(
    folder: str | Path, module: nn.Module, manifest: ModelManifest, example: Tensor
) -> int:
    """Write ``model/``, whole or not at all; returns its size in bytes without a program.

    A module that PyTorch cannot export for batches of any size comes without a program.

    Raises:
        RunFolderError: the folder cannot be written.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
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
    document, manifest = _read_manifest(place)
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
            f"the model in {shown(place)} does not fit its architecture "
            f"({one_line(error)}); {_MEND}"
        ) from error


def load_manifest(folder: str | Path) -> ModelManifest:
    """What a model folder says of its model; no tensor is read.

    >>> load_manifest("runs/seven/model").problem.outputs  # doctest: +SKIP
    ('not 7', '7')

    Raises:
        ModelError: as `load_model`.
    """
    return _read_manifest(existing(Path(folder)))[1]


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
            f"{_MEND}"
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


def _read_manifest(place: Path) -> tuple[dict[str, Any], ModelManifest]:
    file = place / MANIFEST
    try:
        document = parse_json(read_regular(file, MAX_MANIFEST))
        if document.get("format") != FORMAT:
            raise ValueError(f"its 'format' is not '{FORMAT}'")
        if document.get("version") != VERSION:
            raise ValueError(f"its version is not {VERSION}; upgrade seam")
        manifest = ModelManifest.from_dict(document, place)
        if manifest.head_kind not in get_args(Head):
            raise ValueError("its head is none that seam knows")
        if not 1 <= manifest.base.label_count <= MAX_LABELS:
            raise ValueError("the base's number of labels is out of range")
        return document, manifest
    except FileNotFoundError as error:
        raise ModelError(
            f"{shown(place)} is no model folder: it holds no {MANIFEST}; give RUN/model of a run "
            "made with --granularity channel"
        ) from error
    except Exception as error:  # whatever a hostile file makes a parser raise
        raise ModelError(
            f"model file {shown(file)} is damaged ({one_line(error)}); {_MEND}"
        ) from error


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
            f"model file {shown(file)} cannot be read ({one_line(error)}); {_MEND}"
        ) from error


def _program(module: nn.Module, example: Tensor) -> bytes:
    """The module as a `torch.export` program with a free batch size, as a file's bytes."""
    buffer = io.BytesIO()
    torch.export.save(traced(module, example), buffer)
    return buffer.getvalue()
