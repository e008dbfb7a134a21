"""Adapters on a model hub, fetched through `huggingface_hub`.

A repository is not trusted: of its files only those in `LIMITS` are fetched, and none that is
larger than its limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seam.artefacts.adapter_file import JSON_FILE, MAX_TENSORS, TENSOR_FILE
from seam.artefacts.atomic import shown
from seam.artefacts.card import HUB_NAME
from seam.artefacts.hub_client import TIMEOUT_S, client, explained, in_cache, offline
from seam.artefacts.model_folder import TENSORS
from seam.artefacts.model_manifest import MANIFEST, MAX_MANIFEST
from seam.artefacts.reading import MAX_JSON
from seam.errors import ConfigError, HubError, in_line

CARD = "README.md"
MODEL_FILES = (f"model/{MANIFEST}", f"model/{TENSORS}")
LIMITS = {
    JSON_FILE: MAX_JSON,
    TENSOR_FILE: MAX_TENSORS,
    CARD: 2**20,
    MODEL_FILES[0]: MAX_MANIFEST,
    MODEL_FILES[1]: 16 * 2**30,
}
"""Files of a repository that are taken, and the most bytes of each."""


@dataclass(frozen=True)
class Snapshot:
    """A repository's files at a commit, in the hub's cache."""

    repository: str
    revision: str
    folder: Path
    files: tuple[str, ...]

    @property
    def has_model(self) -> bool:
        """Whether a shrunk model is among them."""
        return set(MODEL_FILES) <= set(self.files)


def hub_name(place: str | Path) -> str | None:
    """``place`` as a repository's name, if it can only be that: a local folder always wins.

    >>> hub_name("somebody/vehicles"), hub_name("./runs/vehicles"), hub_name("/tmp/vehicles")
    ('somebody/vehicles', None, None)

    A name whose first part is a folder here is a path, so a misspelt path is not asked for.
    """
    text = str(place)
    if not HUB_NAME.fullmatch(text) or Path(text).exists() or Path(text).parent.is_dir():
        return None
    return text


def check_name(repository: str) -> None:
    """That ``repository`` has the form USER/NAME.

    Raises:
        ConfigError: it has not.
    """
    if not HUB_NAME.fullmatch(repository) or re.search(r"--|\.\.|[-.]$|[-.]/", repository):
        raise ConfigError(
            f"{shown(repository)} is no repository; give USER/NAME of letters, digits, '-', '_' "
            "and '.', as in somebody/vehicles"
        )


def fetch(repository: str, *, revision: str | None = None) -> Snapshot:
    """Fetch an adapter, its card and its model, if any, into the hub's cache.

    >>> fetch("somebody/vehicles").files  # doctest: +SKIP
    ('adapter.json', 'adapter.safetensors', 'README.md')

    With ``HF_HUB_OFFLINE`` set nothing is asked for: what the cache holds is taken.

    Raises:
        HubError: the hub cannot be reached, has no such repository, or it holds no adapter.
    """
    check_name(repository)
    api = client()
    if offline():
        return _cached(repository, revision) or _nothing_cached(repository)
    with explained(repository, revision):
        found = api.model_info(
            repository, revision=revision, files_metadata=True, timeout=TIMEOUT_S
        )
        sizes = {each.rfilename: each.size for each in found.siblings or []}
        names = _wanted(repository, sizes)
        first = Path(api.hf_hub_download(repository, names[0], revision=revision))
        commit = first.parent.name
        for name in names[1:]:
            api.hf_hub_download(repository, name, revision=commit)
    return _checked(Snapshot(repository, commit, first.parent, tuple(names)))


def _wanted(repository: str, sizes: Mapping[str, int | None]) -> list[str]:
    """The known files that the repository has, none of them too large."""
    for name in (JSON_FILE, TENSOR_FILE):
        if name not in sizes:
            shared = ", ".join(sorted(sizes)[:4]) or "nothing"
            raise HubError(
                f"hub repository {shown(repository)} holds no adapter: there is no {name}, only "
                f"{in_line(ValueError(shared))}; give one that seam push has made"
            )
    names = [name for name in LIMITS if name in sizes]
    if not set(MODEL_FILES) <= set(names):
        names = [name for name in names if name not in MODEL_FILES]
    for name in names:
        _check_size(repository, name, sizes[name])
    return names


def _check_size(repository: str, name: str, size: int | None) -> None:
    if size is None or size > LIMITS[name]:
        raise HubError(
            f"{name} of hub repository {shown(repository)} has {size} bytes, at most "
            f"{LIMITS[name]} are allowed; give another repository"
        )


def _checked(found: Snapshot) -> Snapshot:
    """The same, once what arrived is no larger than it may be."""
    for name in found.files:
        _check_size(found.repository, name, (found.folder / name).stat().st_size)
    return found


def _cached(repository: str, revision: str | None) -> Snapshot | None:
    """What the hub's cache holds of an adapter; None where it is not whole."""
    found = in_cache(repository, LIMITS, revision)
    if JSON_FILE not in found or TENSOR_FILE not in found:
        return None
    folder = found[JSON_FILE].parent
    return _checked(Snapshot(repository, folder.name, folder, tuple(found)))


def _nothing_cached(repository: str) -> Snapshot:
    raise HubError(
        f"{shown(repository)} is no folder here and not in the hub's cache, and HF_HUB_OFFLINE is "
        "set; unset it to fetch the repository, or give a local folder"
    )
