"""Base models by name: `timm:NAME`, `torchvision:NAME`, `zoo:NAME`, with optional local weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seam.core.preprocessing import Preprocessing
from seam.errors import ConfigError, LabelError, ModelError, nearest
from seam.models.base import BaseModel
from seam.models.zoo import ZOO, shipped_weights

SOURCES = ("timm", "torchvision", "zoo")


@dataclass(frozen=True, kw_only=True)
class BaseSpec:
    """How a base model is named and loaded.

    >>> BaseSpec(name="zoo:digits").load().labels[7]
    '7'

    Args:
        name: ``timm:NAME``, ``torchvision:NAME`` or ``zoo:NAME``.
        weights: a safetensors file, or a pickled state dict (read with ``weights_only``); without
            it the library's own pretrained weights.
        model_args: passed on to the library that builds the model.
        labels_file: one label a line, in the order of the logits; else the weights' own metadata,
            else what the library says.
        preprocessing: values that replace those of the model's own configuration.
    """

    name: str
    weights: str | None = None
    model_args: dict[str, Any] = field(default_factory=dict)
    labels_file: str | None = None
    preprocessing: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The specification as plain values."""
        return {
            "name": self.name,
            "weights": self.weights,
            "model_args": dict(self.model_args),
            "labels_file": self.labels_file,
            "preprocessing": dict(self.preprocessing),
        }

    def load(self, device: torch.device | str = "cpu") -> BaseModel:
        """Build the model, fill in its weights, find its labels, and try it once.

        Raises:
            ModelError: the name is unknown, the weights do not fit, the input size cannot be taken.
            LabelError: the labels are unknown or of another number than the logits.
        """
        source, _, name = self.name.partition(":")
        if source not in SOURCES or not name:
            raise ModelError(
                f"base model '{self.name}' is not of the form timm:NAME, torchvision:NAME, zoo:NAME"
            )
        state, metadata = _read_weights(self.weights) if self.weights else ({}, {})
        build = {"timm": _timm, "torchvision": _torchvision, "zoo": _zoo}[source]
        try:
            module, preprocessing, own_labels = build(name, self.model_args, not self.weights)
        except TypeError as error:
            raise ModelError(
                f"{self.name} does not take these model arguments: {_one_line(error)}"
            ) from error
        if self.weights:
            load_weights(module, state, self.weights)
        base = BaseModel(
            module.float().to(device).eval(),
            self._labels(metadata) or own_labels or _unknown_labels(self.name),
            replace(preprocessing, **self.preprocessing),
            self.name,
        )
        base.check()
        return base

    def _labels(self, metadata: Mapping[str, str]) -> tuple[str, ...]:
        if self.labels_file:
            try:
                text = Path(self.labels_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise LabelError(
                    f"labels file '{self.labels_file}' cannot be read: {_one_line(error)}"
                ) from error
            labels = tuple(line.strip() for line in text.splitlines() if line.strip())
            if not labels:
                raise LabelError(
                    f"labels file '{self.labels_file}' is empty; write one label a line"
                )
            return labels
        try:
            return tuple(str(label) for label in json.loads(metadata.get("labels", "[]")))
        except (ValueError, TypeError) as error:
            raise LabelError(
                "the weights' metadata holds no list of labels; give a --labels-file"
            ) from error


def load_base(
    name: str,
    *,
    weights: str | Path | None = None,
    model_args: Mapping[str, Any] | None = None,
    labels_file: str | Path | None = None,
    **preprocessing: Any,
) -> BaseModel:
    """A trained classifier by name; short for ``BaseSpec(...).load()``.

    >>> load_base("zoo:digits").labels[7]
    '7'

    Further keywords (``size``, ``mean``, ``std``, ``crop_fraction``, ``interpolation``) replace
    values of the model's own preprocessing. Arguments and errors are those of `BaseSpec`.
    """
    return BaseSpec(
        name=name,
        weights=None if weights is None else str(weights),
        model_args=dict(model_args or {}),
        labels_file=None if labels_file is None else str(labels_file),
        preprocessing=preprocessing,
    ).load()


def load_weights(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Fill ``module`` with ``state``, every name and shape fitting.

    Raises:
        ModelError: names are missing or unexpected, or shapes differ; the message lists them.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    shapes = [
        f"{name} is {tuple(state[name].shape)}, the model's {tuple(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    problems = [
        f"{word} {_some(names)}"
        for word, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("shapes differ:", shapes),
        )
        if names
    ]
    if problems:
        raise ModelError(
            f"weights '{where}' do not fit the model: {'; '.join(problems)}; "
            "check MODEL and --model-args"
        )
    module.load_state_dict(dict(state))


def _read_weights(path: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a weights file."""
    if not Path(path).is_file():
        raise ModelError(f"weights file '{path}' does not exist; check the path")
    try:
        if path.endswith(".safetensors"):
            from safetensors import safe_open

            with safe_open(path, "pt") as file:
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"weights file '{path}' cannot be read ({_one_line(error)}); give a safetensors file, "
            "or a state dict saved by torch.save"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(f"weights file '{path}' holds no state dict; save model.state_dict()")
    return dict(state), {}


Built = tuple[nn.Module, Preprocessing, tuple[str, ...]]


def _zoo(name: str, model_args: Mapping[str, Any], pretrained: bool) -> Built:
    if name not in ZOO:
        raise ModelError(
            f"zoo model '{name}' is unknown; give one of {', '.join(ZOO)}"
            + nearest(name, list(ZOO))
        )
    entry = ZOO[name]
    module = entry.build(**model_args)
    if pretrained:
        if entry.weights is None:
            raise ModelError(f"zoo:{name} comes without weights; give --weights FILE.safetensors")
        load_weights(module, shipped_weights(name), entry.weights)
    return module, entry.preprocessing, entry.labels


def _timm(name: str, model_args: Mapping[str, Any], pretrained: bool) -> Built:
    import timm
    from timm.data.config import resolve_model_data_config
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if not timm.is_model(name.split(".", maxsplit=1)[0]):
        raise ModelError(f"timm has no model '{name}'" + nearest(name, timm.list_models(), count=2))
    module = _fetched(lambda: timm.create_model(name, pretrained=pretrained, **model_args), name)
    config = resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    preprocessing = Preprocessing(
        size=int(config["input_size"][-1]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop_fraction=float(config["crop_pct"]),
        interpolation=_interpolation(str(config["interpolation"])),
    )
    subset = infer_imagenet_subset(module)
    labels = ImageNetInfo(subset).label_descriptions() if subset else []
    return module, preprocessing, tuple(labels)


def _torchvision(name: str, model_args: Mapping[str, Any], pretrained: bool) -> Built:
    from torchvision import models

    if name not in models.list_models():
        raise ModelError(
            f"torchvision has no model '{name}'" + nearest(name, models.list_models(), count=2)
        )
    weights = models.get_model_weights(name).DEFAULT
    module = _fetched(
        lambda: models.get_model(name, weights=weights if pretrained else None, **model_args), name
    )
    transforms = weights.transforms()
    preprocessing = Preprocessing(
        size=int(transforms.crop_size[0]),
        mean=tuple(transforms.mean),
        std=tuple(transforms.std),
        crop_fraction=transforms.crop_size[0] / transforms.resize_size[0],
        interpolation=_interpolation(transforms.interpolation.value),
    )
    return module, preprocessing, tuple(weights.meta["categories"])


def _fetched(build: Any, name: str) -> nn.Module:
    """A model from a library that may download its weights."""
    try:
        module: nn.Module = build()
    except TypeError:
        raise
    except Exception as error:
        raise ModelError(
            f"'{name}' cannot be built or its weights cannot be fetched ({_one_line(error)}); "
            "give local --weights FILE.safetensors"
        ) from error
    return module


def _interpolation(name: str) -> str:
    return name if name in ("bicubic", "bilinear", "nearest") else "bicubic"


def _unknown_labels(name: str) -> tuple[str, ...]:
    raise LabelError(f"the labels of {name} are unknown; give a --labels-file, one label a line")


def parse_model_args(pairs: list[str]) -> dict[str, Any]:
    """``key=value`` pairs as a dictionary; values read as YAML.

    >>> parse_model_args(["num_classes=5", "pad_type=same"])
    {'num_classes': 5, 'pad_type': 'same'}
    """
    import yaml

    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"model argument '{pair}' is not of the form key=value")
        values[key] = yaml.safe_load(value)
    return values


def _some(names: list[str], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
