"""An adapter's base model, found again by what the adapter says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from seam.artefacts.adapter_value import Adapter, BaseReference
from seam.artefacts.atomic import shown
from seam.artefacts.hub import check_name
from seam.artefacts.model_manifest import FILE_ARGUMENTS
from seam.core.text import TextPreprocessing
from seam.errors import AdapterError, HubError, ModelError, in_line
from seam.models.base import BaseModel
from seam.models.budget import sized_like
from seam.models.load import BaseSpec

FETCHED = ("timm", "torchvision", "hf", "zoo")
LOCAL = "local"


def details_of(recipe: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of a base's recipe an adapter records: no paths.

    >>> details_of({"model_args": {}, "weights": "/home/me/mine.safetensors"})
    {'model_args': {}, 'weights': 'local'}
    """
    known = recipe or {}
    weights = {"weights": LOCAL} if known.get("weights") else {}
    return {"model_args": known.get("model_args", {}), **weights}


def base_of_adapter(adapter: Adapter, device: str = "cpu") -> BaseModel:
    """The base model that an adapter names, fetched from its library at the commit it names.

    >>> base_of_adapter(load_adapter("runs/seven/adapter")).source  # doctest: +SKIP
    'zoo:digits'

    What an adapter says is not trusted: libraries are asked for their own models alone, never for
    files, and the result's fingerprint is compared when the adapter is applied.

    Raises:
        ModelError: the base is an own module or has own weights, which have to be passed.
        HubError: its weights cannot be fetched at the recorded commit.
        AdapterError: what it says of its base is damaged.
    """
    reference = adapter.base
    place, _, name = reference.source.partition(":")
    folder = place == "hf" and not _hub(reference)["repository"]
    if place not in FETCHED or folder or reference.details.get("weights") == LOCAL:
        what = "weights of a file" if place in FETCHED else "an own module"
        raise ModelError(
            f"the adapter belongs to {shown(reference.source)} with {what} (fingerprint "
            f"{reference.fingerprint[:12]}), which nobody else can fetch; load it and pass it from "
            "Python: seam.load(..., base=BASE)"
        )
    spec = _spec(adapter, place, name)
    try:
        with sized_like(4 * adapter.maskable):
            return spec.load(device, label_count=reference.label_count)
    except ModelError as error:
        if not spec.revision:
            raise
        repository = _hub(reference)["repository"]
        raise HubError(
            f"base model {shown(spec.name)} cannot be fetched at the revision that the adapter was "
            f"made from, {spec.revision[:12]} of {shown(repository)} "
            f"({in_line(error.__cause__ or error)}); connect, or pass the base: "
            "seam.load(..., base=BASE)"
        ) from error


def _spec(adapter: Adapter, place: str, name: str) -> BaseSpec:
    """How to load the base; everything that the adapter says is checked."""
    reference = adapter.base
    arguments = reference.details.get("model_args", {})
    if not isinstance(arguments, Mapping) or not set(arguments).isdisjoint(FILE_ARGUMENTS):
        raise AdapterError(
            "the adapter's base has model arguments that name a file; load the base and pass it: "
            "seam.load(..., base=BASE)"
        )
    hub = _hub(reference) if place in ("timm", "hf") else {}
    name, revision = hub.get("name") or name, hub.get("revision", "")
    if place == "hf":
        check_name(hub["repository"])
        name, revision = f"{hub['repository']}@{revision}", ""
    expected = adapter.preprocessing
    known = dict(vars(expected))
    if isinstance(expected, TextPreprocessing):
        known = {"length": expected.length}
    return BaseSpec(
        name=f"{place}:{name}",
        model_args=dict(arguments),
        preprocessing=known,
        head_layer=reference.head_layer,
        revision=revision,
    )


def _hub(reference: BaseReference) -> dict[str, str]:
    """What the adapter says of its base's hub repository; empty where it says nothing."""
    found = reference.details.get("hub", {})
    names = ("name", "repository", "revision")
    if not isinstance(found, Mapping) or not all(isinstance(found.get(n, ""), str) for n in names):
        raise AdapterError(
            "the adapter's base has a damaged hub repository; fetch the adapter again"
        )
    hub = {name: found.get(name, "") for name in names}
    if not re.fullmatch("([0-9a-f]{40})?", hub["revision"]):
        raise AdapterError("the adapter's base has a revision that is no commit; fetch it again")
    return hub
