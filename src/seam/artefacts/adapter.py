"""Adapters: a result without its base model, in 1 bit a weight; saved, loaded and applied."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from seam.artefacts.adapter_file import MEND, read_folder, to_bytes
from seam.artefacts.adapter_value import FLOATS, Adapter, BaseReference, one_line
from seam.artefacts.atomic import shown, write_folder
from seam.artefacts.card import model_card
from seam.artefacts.mirroring import MAKE, READ, mirroring
from seam.errors import AdapterError, BaseMismatchError
from seam.masking.head import Headed, attach_head
from seam.models.base import BaseModel

__all__ = ["Adapter", "BaseReference", "apply_adapter", "load_adapter", "save_adapter"]

CARD_FILE = "README.md"


@mirroring("folder", MAKE)
def save_adapter(adapter: Adapter, folder: str | Path) -> int:
    """Write the adapter's folder, whole or not at all; returns its size in bytes.

    >>> save_adapter(adapter, "runs/airplane/adapter")  # doctest: +SKIP
    44871

    A folder that holds an older adapter is replaced. The same adapter gives the same bytes. The
    folder may be a URL, as ``s3://bucket/adapters/airplane``.

    Raises:
        RunFolderError: the folder cannot be written, or holds other files.
        AdapterError: the adapter is larger than the format allows.
    """
    files = {**to_bytes(adapter), CARD_FILE: model_card(adapter).encode()}
    write_folder(folder, files)
    return sum(map(len, files.values()))


@mirroring("folder", READ)
def load_adapter(folder: str | Path) -> Adapter:
    """Read an adapter and check all of it; needs no base model.

    >>> load_adapter("runs/airplane/adapter").problem.outputs  # doctest: +SKIP
    ('not airplane', 'airplane')

    The folder may be a URL.

    Raises:
        AdapterError: it is no adapter, damaged, hostile or of another format version.
    """
    return read_folder(Path(folder))


def apply_adapter(adapter: Adapter, base: BaseModel) -> Headed:
    """The re-engineered model: a copy of the base with head, deltas and masks written into it.

    >>> apply_adapter(load_adapter("runs/airplane/adapter"), base)  # doctest: +SKIP

    A plain module on the base's device, in evaluation mode; its outputs equal those of the masked
    model that was searched, bit for bit. Removed elements are exactly zero. ``base`` is unchanged.

    Raises:
        BaseMismatchError: the adapter belongs to another base model.
        AdapterError: it names parameters, shapes or labels that the base does not have.
    """
    if adapter.base.fingerprint != base.fingerprint:
        raise BaseMismatchError(
            f"the adapter belongs to base model {shown(adapter.base.source)} with fingerprint "
            f"{adapter.base.fingerprint[:12]}{_at(adapter.base.details.get('hub'))}, not to "
            f"{shown(base.source)} with fingerprint {base.fingerprint[:12]}"
            f"{_at(base.origin and base.origin.to_dict())}; give the base model and weights it was "
            "made from"
        )
    if adapter.base.label_count != len(base.labels):
        raise AdapterError(
            f"the adapter is for {adapter.base.label_count} base labels, the base model has "
            f"{len(base.labels)}; give the labels it was made with"
        )
    module = copy.deepcopy(base.module).eval()
    try:
        model = attach_head(
            module,
            adapter.head_kind,
            adapter.base.all_members(),
            example=base.example(),
            seed=0,
            layer=adapter.base.head_layer,
        )
        model.head.load_state_dict(adapter.head)
    except (RuntimeError, IndexError) as error:
        raise AdapterError(
            f"the adapter's head does not fit the base model ({one_line(error)}); {MEND}"
        ) from error
    model.replaced = None  # the base's own classifier is not part of the result
    _write_in(adapter, model.backbone)
    return model.eval()


def _at(hub: object) -> str:
    """The commit of a hub's repository, where one is known."""
    revision = hub.get("revision") if isinstance(hub, Mapping) else None
    return f" (revision {revision[:12]})" if isinstance(revision, str) and revision else ""


@torch.no_grad()
def _write_in(adapter: Adapter, module: nn.Module) -> None:
    """Write deltas, then zeros where the masks remove."""
    places: dict[str, Tensor] = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    for name, value in [*adapter.delta.items(), *adapter.masks.items()]:
        place = places.get(name)
        kinds = FLOATS if value.dtype == torch.bool else (value.dtype,)
        if place is None or place.shape != value.shape or place.dtype not in kinds:
            raise AdapterError(
                f"the adapter's '{name}' {tuple(value.shape)} fits no parameter of the base model; "
                f"{MEND}"
            )
    for name, value in adapter.delta.items():
        places[name].copy_(value)
    for name, mask in adapter.masks.items():
        places[name].masked_fill_(~mask.to(places[name].device), 0)
