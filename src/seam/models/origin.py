"""Which hub repository, at which commit, pretrained weights came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from seam.errors import ModelError

FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A hub's repository at a commit, as it was when the weights were loaded.

    >>> Origin(name="resnet18.a1_in1k", repository="timm/resnet18.a1_in1k").revision
    ''

    ``name`` is what the library calls the weights, its tag included. ``revision`` is the commit, or
    empty where it could not be told; ``licence`` the library's own word for it, or empty.
    """

    name: str
    repository: str
    revision: str = ""
    licence: str = ""

    def to_dict(self) -> dict[str, str]:
        """As plain values, for JSON."""
        return asdict(self)


def origin_of(module: nn.Module, revision: str = "") -> Origin | None:
    """Where timm took the weights of ``module`` from; None where that was no hub.

    Args:
        module: built by timm, with pretrained weights.
        revision: the commit that was asked for; else the one in the hub's cache is looked up.
    """
    config: dict[str, Any] = getattr(module, "pretrained_cfg", None) or {}
    repository, _, pinned = str(config.get("hf_hub_id") or "").partition("@")
    if not repository or config.get("file") or config.get("state_dict"):
        return None
    name, tag = config.get("architecture", ""), config.get("tag", "")
    return Origin(
        name=f"{name}.{tag}" if tag else str(name),
        repository=repository,
        revision=revision or pinned or _cached_revision(repository, config.get("hf_hub_filename")),
        licence=str(config.get("license") or ""),
    )


def _cached_revision(repository: str, filename: str | None) -> str:
    """The commit whose weights file the hub's cache holds under the main branch."""
    from huggingface_hub import try_to_load_from_cache

    for name in (filename, *FILES):
        found = try_to_load_from_cache(repository, name) if name else None
        if isinstance(found, str):
            return Path(found).parent.name
    return ""


def pinned(name: str, revision: str) -> dict[str, Any]:
    """The arguments with which timm takes the weights of ``name`` at a commit of its repository.

    Raises:
        ModelError: timm has no such weights on a hub.
    """
    from timm.models import get_pretrained_cfg

    config = get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id:
        raise ModelError(
            f"timm:{name} has no weights on a hub, so no revision of them can be asked for; "
            "leave the revision out"
        )
    overlay = {"hf_hub_id": f"{config.hf_hub_id}@{revision}", "custom_load": config.custom_load}
    return {"pretrained_cfg_overlay": overlay}
