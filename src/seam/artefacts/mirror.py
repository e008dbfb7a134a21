"""A folder at a URL, worked on in a copy on this machine.

All that makes local folders safe (temporary names, renames) stays as it is; what has changed is
pushed in an order in which a reader, or a kill at any moment, finds a run that can go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from seam.artefacts.atomic import shown
from seam.artefacts.storage import GONE, Storage
from seam.artefacts.storage_lock import LOCK, Lock
from seam.errors import StorageError

OURS = ("config.yaml", "sweep.yaml", "lock", "adapter.json", "adapter.safetensors", "model.json")
"""One of these lies in every folder that seam makes, or in its ``adapter``."""
ORDER = (
    ("config.yaml", "environment.json", "lock", "sweep.yaml"),
    ("checkpoint/points/*",),
    ("checkpoint/state.safetensors",),
    (),  # all others
    ("adapter.safetensors", "adapter/adapter.safetensors", "model/*", "export/*"),
    ("*adapter.json", "*README.md", "model/model.json", "export/*/model.json"),
    ("report.json",),
)
"""What is pushed first and last: whatever refers to other files comes after them."""
OTHERS, SEALS = ORDER.index(()), len(ORDER) - 2
"""From `SEALS` on, files vouch for others: they are taken away before those are replaced."""
TRIES = 3


class Mirror:
    """The copy of ``storage`` in ``folder``."""

    def __init__(self, storage: Storage, folder: Path, *, without: Collection[str] = ()) -> None:
        self.storage, self.folder, self.without = storage, folder, tuple(without)
        self.lock: Lock | None = None
        self._there: dict[str, str] = {}

    def pull(self) -> None:
        """Make the copy, of all but what is ``without``.

        Raises:
            StorageError: the place cannot be read, or holds nothing of seam's: whoever names a
                bucket by mistake does not wait for all that is in it.
        """
        for _ in range(TRIES):
            found = {n: size for n, size in self.storage.sizes().items() if n != LOCK}
            if found and not any(name.removeprefix("adapter/") in OURS for name in found):
                raise StorageError(
                    f"{shown(self.storage.url)} holds {shown(min(found))} and neither a run nor "
                    "an adapter; give the folder of one, or another --out"
                )
            found = {n: size for n, size in found.items() if not n.startswith(self.without)}
            if self._fetched(found):
                self._there = {name: _digest(self.folder / name) for name in found}
                return
        raise StorageError(
            f"{shown(self.storage.url)} changes while it is read; wait for who works there"
        )

    def look(self, *patterns: str) -> None:
        """Fetch what others have written since, by patterns of names, of that which is ``without``.

        What has the same size is taken to be the same.
        """
        found = {
            name: size
            for name, size in self.storage.sizes().items()
            if any(fnmatchcase(name, each) for each in patterns)
            and _size(self.folder / name) != size
        }
        with suppress(*GONE):  # the next look will see what has become of it
            self.storage.fetch(list(found), self.folder)

    def push(self) -> None:
        """Bring what has changed in the copy to the URL.

        Raises:
            StorageError: it cannot be written, or another process works there now.
        """
        if self.lock is not None:
            self.lock.check()
        now = {name: _digest(file) for name, file in self._files().items()}
        changed = [name for name, digest in now.items() if self._there.get(name) != digest]
        changed.sort(key=lambda name: (_rank(name), name))
        replaced = [name for name in changed if name in self._there]
        self._delete([name for name in reversed(replaced) if _rank(name) >= SEALS])
        for name in changed:
            self.storage.store(name, self.folder / name)
            self._there[name] = now[name]
        self._delete(sorted(self._there.keys() - now.keys()))

    def _fetched(self, found: dict[str, int]) -> bool:
        """Whether all objects were there as listed, while somebody else may be replacing them."""
        try:
            self.storage.fetch(list(found), self.folder)
        except GONE:
            return False
        return all(_size(self.folder / name) == size for name, size in found.items())

    def _delete(self, names: list[str]) -> None:
        self.storage.delete(names)
        for name in names:
            del self._there[name]

    def _files(self) -> dict[str, Path]:
        """The copy's files by name; what a writer has not finished begins with a dot."""
        found = {
            file.relative_to(self.folder): file for file in self.folder.rglob("*") if file.is_file()
        }
        return {
            name.as_posix(): file
            for name, file in found.items()
            if not any(part.startswith(".") for part in name.parts)
            and not name.as_posix().startswith(self.without)
        }


def _rank(name: str) -> int:
    """Where a file comes in `ORDER`: by the last line that names it.

    >>> _rank("checkpoint/state.safetensors") < _rank("history.jsonl") < _rank("report.json")
    True
    """
    ranks = [n for n, names in enumerate(ORDER) if any(fnmatchcase(name, each) for each in names)]
    return max(ranks, default=OTHERS)


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
