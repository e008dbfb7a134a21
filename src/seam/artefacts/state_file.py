"""A search's state on disk: one file, or one a rank where several processes search together.

Each rank writes its share of the tensors, so that none holds the bytes of all. An index, written
last, says which files belong together; whichever of file and index is of the later epoch counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from seam.artefacts.atomic import write_bytes, write_json
from seam.artefacts.checkpoint import from_file, to_bytes
from seam.artefacts.reading import MAX_JSON, parse_json, read_regular
from seam.search.parallel import ALONE, Ranks

WHOLE, INDEX = "state.safetensors", "state.json"
State = tuple[dict[str, Tensor], dict[str, Any]]


def save_state(
    folder: Path, tensors: Mapping[str, Tensor], values: Mapping[str, Any], ranks: Ranks = ALONE
) -> None:
    """Write a state, which all ``ranks`` hold alike; ``values["epoch"]`` says of which epoch.

    Raises:
        RunFolderError: a file cannot be written; the state saved before is still there.
    """
    if ranks.count == 1:
        write_bytes(folder / WHOLE, to_bytes(tensors, values))
        _forget(folder, {WHOLE})
        return
    names = [
        f"state-{values['epoch']:04d}-{rank + 1}-of-{ranks.count}.safetensors"
        for rank in range(ranks.count)
    ]
    mine = shares(tensors, ranks.count)[ranks.rank]
    write_bytes(folder / names[ranks.rank], to_bytes(mine, values))
    ranks.wait()
    if ranks.is_main:
        write_json(folder / INDEX, {"epoch": values["epoch"], "files": names})
        _forget(folder, {INDEX, *names})


def load_state(folder: Path) -> State | None:
    """The state last saved, by however many ranks, or None.

    Raises:
        RunFolderError: a file of it is missing or damaged.
    """
    files = _indexed(folder)
    whole = folder / WHOLE
    if not files:
        return from_file(whole) if whole.exists() else None
    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for file in files:
        part, values = from_file(file)
        tensors |= part
    if whole.exists():  # a kill came between a state and the deletion of the one before
        single = from_file(whole)
        if single[1]["epoch"] > values["epoch"]:
            return single
    return tensors, values


def shares(tensors: Mapping[str, Tensor], count: int) -> list[dict[str, Tensor]]:
    """The tensors in ``count`` parts of about the same number of bytes.

    >>> import torch
    >>> found = shares({"a": torch.zeros(9), "b": torch.zeros(5), "c": torch.zeros(5)}, 2)
    >>> [sorted(part) for part in found]
    [['a'], ['b', 'c']]
    """
    parts: list[dict[str, Tensor]] = [{} for _ in range(count)]
    sizes = [0] * count
    for name, value in sorted(tensors.items(), key=lambda item: (-item[1].nbytes, item[0])):
        least = sizes.index(min(sizes))
        parts[least][name] = value
        sizes[least] += value.nbytes
    return parts


def _indexed(folder: Path) -> list[Path]:
    """The files that the index names, if there is one."""
    index = folder / INDEX
    try:
        names = parse_json(read_regular(index, MAX_JSON))["files"] if index.exists() else []
        return [folder / Path(name).name for name in names]
    except (OSError, ValueError, KeyError, TypeError):
        return [index]  # which `from_file` then says is damaged


def _forget(folder: Path, kept: set[str]) -> None:
    """Delete the states of before."""
    for file in folder.glob("state*"):
        if file.name not in kept:
            with suppress(OSError):
                file.unlink()
