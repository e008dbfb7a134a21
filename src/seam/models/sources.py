"""What builds base models: one function for each source that a name can begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from seam.artefacts.hub_client import without_bars
from seam.core.preprocessing import Preprocessing
from seam.core.text import AnyPreprocessing
from seam.errors import ModelError, in_line, nearest
from seam.models import hf
from seam.models.weights import load_weights
from seam.models.zoo import ZOO, shipped_weights

Built = tuple[nn.Module, AnyPreprocessing, tuple[str, ...]]


def _hf(name: str, model_args: Mapping[str, Any], pretrained: bool) -> Built:
    for option, given in (("weights", not pretrained), ("model-args", bool(model_args))):
        if given:
            raise ModelError(
                f"hf:{name} brings its own weights and configuration; leave --{option} out"
            )
    return hf.load(name)


def _zoo(name: str, model_args: Mapping[str, Any], pretrained: bool) -> Built:
    if name not in ZOO:
        raise ModelError(
            f"zoo model '{name}' is unknown; give one of {', '.join(ZOO)}"
            + nearest(name, list(ZOO))
        )
    entry = ZOO[name]
    module = _built(lambda: entry.build(**model_args), f"zoo:{name}")
    if pretrained:
        if entry.weights is None:
            raise ModelError(f"zoo:{name} comes without weights; give --weights FILE.safetensors")
        load_weights(module, shipped_weights(name), entry.weights)
    return module, entry.preprocessing, entry.labels


def _shrunk(name: str, model_args: Mapping[str, Any], _pretrained: bool) -> Built:
    from seam.artefacts.model_folder import load_model

    if model_args:
        raise ModelError(f"model:{name} is already built; leave --model-args out")
    module, manifest = load_model(name)
    return module, manifest.preprocessing, manifest.problem.outputs


def _timm(name: str, model_args: Mapping[str, Any], pretrained: bool) -> Built:
    import timm
    from timm.data.config import resolve_model_data_config
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    without_bars()
    if not timm.is_model(name.split(".", maxsplit=1)[0]):
        raise ModelError(f"timm has no model '{name}'" + nearest(name, timm.list_models(), count=2))
    module = _built(
        lambda: timm.create_model(name, pretrained=pretrained, **model_args), f"timm:{name}"
    )
    config = resolve_model_data_config(module)  # type: ignore[no-untyped-call]
    preprocessing = Preprocessing(
        size=int(config["input_size"][-1]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop_fraction=float(config["crop_pct"]),
        interpolation=_interpolation(str(config["interpolation"])),
    )
    subset = infer_imagenet_subset(module)
    info = ImageNetInfo(subset) if subset else None
    labels = (
        zip(info.label_descriptions(), info.label_names(), strict=True)  # type: ignore[no-untyped-call]
        if info
        else ()
    )
    # With its synset among its synonyms, a label is found in data sorted by synset too.
    return module, preprocessing, tuple(f"{words}, {synset}" for words, synset in labels)


def _torchvision(name: str, model_args: Mapping[str, Any], pretrained: bool) -> Built:
    from torchvision import models

    classifiers = models.list_models(module=models)
    if name not in classifiers:
        raise ModelError(
            f"torchvision has no classifier '{name}'" + nearest(name, classifiers, count=2)
        )
    weights = models.get_model_weights(name).DEFAULT
    arguments = {"progress": False, **model_args}
    module = _built(
        lambda: models.get_model(name, weights=weights if pretrained else None, **arguments),
        f"torchvision:{name}",
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


def _built(build: Callable[[], nn.Module], name: str) -> nn.Module:
    """A model from a library, which may download its weights."""
    try:
        return build()
    except TypeError as error:
        raise ModelError(
            f"{name} does not take these model arguments ({in_line(error)}); check --model-args"
        ) from error
    except Exception as error:
        raise ModelError(
            f"{name} cannot be built or its weights cannot be fetched ({in_line(error)}); "
            "check --model-args, or give local --weights FILE.safetensors"
        ) from error


def _interpolation(name: str) -> str:
    return name if name in ("bicubic", "bilinear", "nearest") else "bicubic"


BUILDERS: dict[str, Callable[[str, Mapping[str, Any], bool], Built]] = {
    "timm": _timm,
    "torchvision": _torchvision,
    "hf": _hf,
    "zoo": _zoo,
    "model": _shrunk,
}
"""What builds the models of a source: their name, model arguments, whether with weights."""
