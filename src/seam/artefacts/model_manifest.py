"""What a shrunk model on disk says of itself: how its base is built, and what differs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from torch import nn

from seam.artefacts.adapter_value import MAX_LABELS, BaseReference, one_line
from seam.artefacts.atomic import existing, shown
from seam.artefacts.preprocessing_file import read_preprocessing
from seam.artefacts.reading import parse_json, read_regular
from seam.core.config import Head
from seam.core.problem import Problem
from seam.core.text import AnyPreprocessing
from seam.errors import ModelError
from seam.models.base import BaseModel
from seam.models.hf import recorded_config

FORMAT, VERSION = "seam-model", 1
MANIFEST = "model.json"
MAX_MANIFEST = 64 * 2**20
FILE_ARGUMENTS = (
    *("checkpoint_path", "cache_dir"),
    *("pretrained", "pretrained_cfg", "pretrained_cfg_overlay"),
)
"""Model arguments with which a manifest could have a library open files or the network."""
MEND = "run the command that made it again"


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

    >>> from seam.models.load import BaseSpec
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


def load_manifest(folder: str | Path) -> ModelManifest:
    """What a model folder says of its model; no tensor is read.

    >>> load_manifest("runs/seven/model").problem.outputs  # doctest: +SKIP
    ('not 7', '7')

    Raises:
        ModelError: it is no model folder, or damaged or hostile.
    """
    return read_manifest(existing(Path(folder)))[1]


def read_manifest(place: Path) -> tuple[dict[str, Any], ModelManifest]:
    """The whole document in a folder, and the manifest in it.

    Raises:
        ModelError: as `load_manifest`.
    """
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
            f"model file {shown(file)} is damaged ({one_line(error)}); {MEND}"
        ) from error
