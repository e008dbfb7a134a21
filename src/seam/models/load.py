"""Base models by name: `timm:NAME`, `torchvision:NAME`, `zoo:NAME`, with optional local weights.

`hf:FOLDER` and `hf:OWNER/NAME` are models of `transformers`, which bring their own. `model:FOLDER`
is what a search for channels has left, to be searched again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seam.artefacts.reading import MAX_JSON, is_there, parse_json, read_named
from seam.artefacts.yaml_file import parse_yaml
from seam.core.text import AnyPreprocessing, TextPreprocessing
from seam.errors import ConfigError, LabelError, ModelError, in_line, nearest
from seam.models import hf
from seam.models.base import BaseModel
from seam.models.origin import Origin, origin_of, pinned
from seam.models.sources import BUILDERS, Built
from seam.models.weights import load_weights, read_weights
from seam.models.zoo import ZOO

FIXED = ("tokenizer", "digest", "padding", "vocabulary")
"""What of a text's preprocessing belongs to the model, and cannot be chosen."""


@dataclass(frozen=True, kw_only=True)
class BaseSpec:
    """How a base model is named and loaded.

    >>> BaseSpec(name="zoo:digits").load().labels[7]
    '7'

    Args:
        name: ``timm:NAME``, ``torchvision:NAME``, ``hf:FOLDER``, ``hf:OWNER/NAME[@REVISION]``,
            ``zoo:NAME``, or ``model:FOLDER`` for the ``model`` folder of a run made with channels,
            whose weights can be searched in turn.
        weights: a safetensors file, or a pickled state dict (read with ``weights_only``); without
            it the library's own pretrained weights.
        model_args: passed on to the library that builds the model.
        labels_file: one label a line, in the order of the logits; else the weights' own metadata,
            else what the library says.
        preprocessing: values that replace those of the model's own configuration.
        head_layer: name of the layer that a new head replaces, where it cannot be found by itself.
        revision: commit of the hub's repository to take timm's pretrained weights from; by default
            the one that its main branch is at, which is recorded.

    Raises:
        ModelError: a value is of the wrong type.
    """

    name: str
    weights: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    labels_file: str | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)
    head_layer: str = ""
    revision: str = ""

    def __post_init__(self) -> None:
        texts = (self.name, self.head_layer, self.revision)
        files = (each for each in (self.weights, self.labels_file) if each is not None)
        named = (self.model_args, self.preprocessing)
        fits = all(isinstance(each, str) for each in (*texts, *files))
        if not fits or not all(isinstance(each, Mapping) for each in named):
            raise ModelError(
                "a base model's name and files are texts, its arguments and preprocessing names "
                "with values; restore the file that says otherwise"
            )

    def to_dict(self) -> dict[str, Any]:
        """The specification as plain values; files by their absolute path."""
        optional = {"head_layer": self.head_layer, "revision": self.revision}
        named = {name: value for name, value in optional.items() if value}
        return {
            **named,
            "name": _absolute_name(self.name),
            "weights": _absolute(self.weights),
            "model_args": dict(self.model_args),
            "labels_file": _absolute(self.labels_file),
            "preprocessing": dict(self.preprocessing),
        }

    def load(self, device: torch.device | str = "cpu", *, label_count: int = 0) -> BaseModel:
        """Build the model, fill in its weights, find its labels, and try it once.

        Args:
            device: where to put it.
            label_count: so many labels are called by their numbers where they are unknown; by
                default they are refused then.

        Raises:
            ModelError: the name is unknown, the weights do not fit, the input size cannot be taken.
            LabelError: the labels are unknown or of another number than the logits.
        """
        state, metadata = read_weights(self.weights) if self.weights else ({}, {})
        module, preprocessing, own_labels = self._build(pretrained=not self.weights)
        if self.weights:
            load_weights(module, state, self.weights)
        labels = self._labels(metadata) or own_labels or tuple(map(str, range(label_count)))
        known = self._pinned(module)
        base = BaseModel(
            # Convolutions run a quarter faster on the CPU with channels last.
            module.float().to(device).to(memory_format=torch.channels_last).eval(),
            labels or _unknown_labels(self.name),
            self._preprocessing(preprocessing),
            known.name,
            known.to_dict(),
            self.head_layer,
            self._origin(module),
        )
        base.check()
        return base

    def architecture(self) -> nn.Module:
        """The module alone, with first weights; nothing is fetched and no weights file is read.

        >>> BaseSpec(name="zoo:digits").architecture().fc.out_features
        10

        Raises:
            ModelError: the name is unknown, or its builder does not take the model arguments.
        """
        if self.name.startswith("hf:"):
            return hf.architecture(self.name.removeprefix("hf:"), self.model_args)
        return self._build(pretrained=False)[0]

    def _build(self, *, pretrained: bool) -> Built:
        source, _, name = self.name.partition(":")
        if source not in BUILDERS or not name:
            meant = nearest(self.name, [f"zoo:{each}" for each in ZOO])
            raise ModelError(
                f"base model '{self.name}' is not of the form timm:NAME, torchvision:NAME, "
                f"hf:NAME, zoo:NAME, model:FOLDER{meant}"
            )
        arguments = dict(self.model_args)
        if self.revision and pretrained:
            if source == "hf":
                raise ModelError(f"give the revision with the name, as {self.name}@REVISION")
            if source != "timm":
                raise ModelError(
                    f"{self.name} does not come from a hub, so it has no revision; leave that out"
                )
            arguments |= pinned(name, self.revision)
        return BUILDERS[source](name, arguments, pretrained)

    def _pinned(self, module: nn.Module) -> BaseSpec:
        """This with the commit that a model of `transformers` was fetched at."""
        revision = getattr(module, "revision", "")
        name = f"{self.name.partition('@')[0]}@{revision}" if revision else self.name
        return replace(self, name=name)

    def _origin(self, module: nn.Module) -> Origin | None:
        """Where on a hub the weights came from; None where they came from a file."""
        source, _, name = self.name.partition(":")
        if source == "timm" and not self.weights:
            return origin_of(module, self.revision)
        revision = getattr(module, "revision", "")
        repository = name.partition("@")[0]
        if source == "hf" and revision:
            return Origin(name=repository, repository=repository, revision=revision)
        return None

    def _preprocessing(self, own: AnyPreprocessing) -> AnyPreprocessing:
        known = [each.name for each in fields(own) if each.name not in FIXED]
        for name in self.preprocessing:
            if name not in known:
                raise ConfigError(
                    f"preprocessing '{name}' is unknown to a model of {_taken(own)}; "
                    f"give one of {', '.join(known)}{nearest(name, known)}"
                )
        return replace(own, **self.preprocessing)

    def _labels(self, metadata: Mapping[str, str]) -> tuple[str, ...]:
        return read_labels(self.labels_file) if self.labels_file else labels_in(metadata)


def load_base(
    name: str,
    *,
    weights: str | Path | None = None,
    model_args: Mapping[str, Any] | None = None,
    labels_file: str | Path | None = None,
    head_layer: str = "",
    revision: str = "",
    **preprocessing: Any,
) -> BaseModel:
    """A trained classifier by name; short for ``BaseSpec(...).load()``.

    >>> load_base("zoo:digits").labels[7]
    '7'

    Further keywords (``size``, ``mean``, ``std``, ``crop_fraction``, ``interpolation``; of a model
    of texts ``length``) replace values of the model's own preprocessing. Arguments and errors are
    those of `BaseSpec`.
    """
    return BaseSpec(
        name=name,
        weights=None if weights is None else str(weights),
        model_args=dict(model_args or {}),
        labels_file=None if labels_file is None else str(labels_file),
        preprocessing=preprocessing,
        head_layer=head_layer,
        revision=revision,
    ).load()


def labels_in(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The labels that a weights file holds in its metadata, if any.

    >>> labels_in({"labels": '["cat", "dog"]'})
    ('cat', 'dog')

    Raises:
        LabelError: they are no list.
    """
    try:
        return tuple(map(str, parse_json(metadata.get("labels", "[]").encode())))
    except (ValueError, TypeError) as error:
        raise LabelError(
            "the weights' metadata holds no list of labels; give a --labels-file"
        ) from error


def read_labels(path: str) -> tuple[str, ...]:
    """Labels from a file of one a line.

    Raises:
        LabelError: it cannot be read, or is empty.
    """
    try:
        text = read_named(Path(path), MAX_JSON).decode()
    except (OSError, ValueError) as error:
        raise LabelError(
            f"labels file '{path}' cannot be read ({in_line(error)}); write one label a line"
        ) from error
    labels = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not labels:
        raise LabelError(f"labels file '{path}' is empty; write one label a line")
    return labels


def _unknown_labels(name: str) -> tuple[str, ...]:
    why = "only placeholders (LABEL_0, ...)" if name.startswith("hf:") else "unknown"
    raise LabelError(f"the labels of {name} are {why}; give a --labels-file, one label a line")


def _taken(preprocessing: AnyPreprocessing) -> str:
    return "texts" if isinstance(preprocessing, TextPreprocessing) else "images"


def parse_model_args(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` pairs as a dictionary; values read as YAML.

    >>> parse_model_args(["num_classes=5", "pad_type=same"])
    {'num_classes': 5, 'pad_type': 'same'}
    """
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"model argument '{pair}' is not of the form key=value")
        try:
            values[key] = parse_yaml(value)
        except ValueError as error:
            raise ConfigError(
                f"model argument '{pair}' has a value that is no YAML; put it in quotes"
            ) from error
    return values


def _absolute_name(name: str) -> str:
    """A folder in a name by its absolute path; other names as they are."""
    source, _, rest = name.partition(":")
    place = Path(rest).expanduser()
    local = source == "model" or (source == "hf" and is_there(place) and place.is_dir())
    return f"{source}:{place.resolve()}" if local else name


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).resolve())
