"""Adapters to and from a model hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seam.artefacts.adapter import Adapter, load_adapter
from seam.artefacts.adapter_file import JSON_FILE, TENSOR_FILE
from seam.artefacts.atomic import existing, shown, write_folder
from seam.artefacts.card import model_card
from seam.artefacts.hub import CARD, MODEL_FILES, check_name, fetch, hub_name
from seam.artefacts.hub_upload import licence_on_hub, upload
from seam.artefacts.mirroring import MAKE, READ, mirroring
from seam.artefacts.model_manifest import load_manifest
from seam.artefacts.run import RunFolder
from seam.errors import ConfigError, HubError, RunFolderError
from seam.jobs.bases import LOCAL
from seam.jobs.shrunk import check_pair
from seam.models.zoo import ZOO

OWN_LICENCE = "apache-2.0"
"""Of the weights that this package ships."""


@mirroring("run", READ)
def push(
    run: str | Path,
    repository: str,
    *,
    model: bool = False,
    licence: str | None = None,
    private: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Upload a run's adapter to a model hub, with a card that has the base's licence.

    >>> push("runs/vehicles", "somebody/vehicles", dry_run=True)["files"]  # doctest: +SKIP
    {'adapter.safetensors': 44871, 'adapter.json': 6310, 'README.md': 1672}

    Args:
        run: a finished run folder, or an adapter folder, or the URL of one.
        repository: USER/NAME; made if it is not there. What it holds of an older adapter is
            replaced.
        model: upload the shrunk model of a run for channels, too.
        licence: identifier of the adapter's licence, as in ``apache-2.0``; by default the base
            model's, as its hub repository states it.
        private: make a new repository private.
        dry_run: upload nothing.

    Returns:
        ``repository``, ``url``, ``revision`` (the new commit), ``private``, ``licence``, ``base``
        and ``files`` (name to bytes).

    Raises:
        ConfigError: the base's licence is not known and none is given.
        AdapterError: the adapter is damaged.
        RunFolderError: the run has no adapter yet, or no shrunk model.
        HubError: nobody is logged in, or the hub cannot be reached or refuses.
    """
    check_name(repository)
    folder = _adapter_folder(Path(run))
    adapter = load_adapter(folder)
    stated = {"license": licence} if licence else _licence(adapter)
    files = {name: (folder / name).read_bytes() for name in (TENSOR_FILE, JSON_FILE)}
    files[CARD] = model_card(adapter, license=stated, repository=repository).encode()
    if model:
        files |= _model(folder)
    revision, url = None, None
    if not dry_run:
        title = ", ".join(adapter.problem.outputs[:5])
        revision, url = upload(
            repository, files, private=private, message=f"Adapter for {title[:60]}, by seam"
        )
    return {
        "repository": repository,
        "url": url,
        "revision": revision,
        "private": private,
        "licence": stated["license"],
        "base": _base(adapter),
        "files": {name: len(data) for name, data in files.items()},
    }


@mirroring("out", MAKE)
def pull(
    repository: str, *, out: str | Path | None = None, revision: str | None = None
) -> dict[str, Any]:
    """Fetch an adapter from a model hub and check all of it; the base model is not fetched.

    >>> pull("somebody/vehicles", out="runs/vehicles")["outputs"]  # doctest: +SKIP
    ['beach wagon', 'sports car']

    Args:
        repository: USER/NAME.
        out: folder that gets ``adapter/``, and ``model/`` where the repository has a shrunk model;
            `seam.load` takes it. Without it, the files stay in the hub's cache.
        revision: branch, tag or commit; by default the main branch.

    Returns:
        ``repository``, ``revision`` (the commit), ``folder``, ``content`` (image or text),
        ``outputs``, ``base`` and ``files`` (name to bytes).

    Raises:
        HubError: the hub cannot be reached, has no such repository, or it holds no adapter.
        AdapterError: the adapter is damaged or hostile.
        RunFolderError: ``out`` holds something else.
    """
    folder = Path(out) if out is not None else None
    if folder is not None and RunFolder(folder).holds_run:
        raise RunFolderError(
            f"folder {shown(folder)} holds a run, which is not replaced; give another --out"
        )
    if folder is not None:
        RunFolder(folder).refuse_links()
    found = fetch(repository, revision=revision)
    adapter = load_adapter(found.folder)
    files = {name: (found.folder / name).read_bytes() for name in found.files}
    if found.has_model:
        small = found.folder / "model"
        check_pair(small, load_manifest(small), found.folder)
    if folder is not None:
        if found.has_model:
            write_folder(folder / "model", {Path(name).name: files[name] for name in MODEL_FILES})
        write_folder(folder / "adapter", {n: files[n] for n in files if n not in MODEL_FILES})
    return {
        "repository": repository,
        "revision": found.revision,
        "folder": str(folder or found.folder),
        "content": adapter.preprocessing.content,
        "outputs": list(adapter.problem.outputs),
        "base": _base(adapter),
        "files": {name: len(data) for name, data in files.items()},
    }


@mirroring("place", READ)
def open_adapter(place: str | Path) -> Adapter:
    """The adapter in a folder, or in a hub's repository where no folder here has that name.

    >>> open_adapter("runs/seven/adapter").problem.outputs  # doctest: +SKIP
    ('not 7', '7')

    Raises:
        AdapterError: it is no adapter, damaged or hostile.
        HubError: as `pull`.
    """
    repository = hub_name(place)
    return load_adapter(place if repository is None else fetch(repository).folder)


def _adapter_folder(run: Path) -> Path:
    """The adapter of a run folder, or the adapter folder itself."""
    if (existing(run) / JSON_FILE).exists():
        return existing(run)
    folder = RunFolder(run)
    if not existing(folder.adapter).exists():
        folder.settings()  # says so where it is no run
        raise RunFolderError(
            f"run {shown(run)} has no adapter yet; run {folder.command} again to finish it"
        )
    return existing(folder.adapter)


def _model(adapter: Path) -> dict[str, bytes]:
    """The files of the shrunk model beside an adapter; its program is left out, as pickles are."""
    folder = existing(RunFolder(adapter.parent).model)
    if not (folder / "model.json").exists():
        raise RunFolderError(
            f"run {shown(adapter.parent)} has no shrunk model; leave --model out, or search "
            "with --granularity channel"
        )
    check_pair(folder, load_manifest(folder), adapter)
    return {name: (folder / Path(name).name).read_bytes() for name in MODEL_FILES}


def _licence(adapter: Adapter) -> dict[str, str]:
    """What is known of the licence of an adapter's base model.

    Raises:
        ConfigError: nothing.
    """
    source, details = adapter.base.source, adapter.base.details
    place, _, name = source.partition(":")
    if details.get("weights") != LOCAL:
        if place == "zoo" and name in ZOO and ZOO[name].weights:
            return {"license": OWN_LICENCE}
        hub = details.get("hub")
        if place == "timm" and isinstance(hub, Mapping):
            stated = _on_hub(str(hub.get("repository", "")), str(hub.get("revision", "")))
            recorded = str(hub.get("licence", ""))
            if stated or recorded:
                return stated or {"license": recorded}
    raise ConfigError(
        f"the licence of base model {shown(source)} is not known, and the adapter needs one; "
        "give --licence NAME, as in --licence apache-2.0"
    )


def _on_hub(repository: str, revision: str) -> dict[str, str]:
    try:
        return licence_on_hub(repository, revision)
    except HubError:  # what was recorded when the base was loaded has to do
        return {}


def _base(adapter: Adapter) -> dict[str, Any]:
    """Which base model an adapter needs, for people."""
    base = adapter.base
    hub = base.details.get("hub")
    known = hub if isinstance(hub, Mapping) else {}
    return {
        "source": base.source,
        "fingerprint": base.fingerprint,
        "repository": known.get("repository"),
        "revision": known.get("revision"),
    }
