"""Objects below one URL, by `fsspec`: the only place where files that lie elsewhere are touched."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from seam.artefacts.atomic import FULL, shown
from seam.errors import ConfigError, MissingExtraError, StorageError, in_line

URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
EXTRAS = {"s3": "seam[s3]", "s3a": "seam[s3]", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs"}
"""What to install for a protocol; of the others fsspec's own message says it."""
GONE = (FileNotFoundError,)


def is_url(place: object) -> bool:
    """Whether a place is named by a URL, as ``s3://bucket/runs/a``; a plain path never is.

    >>> is_url("s3://bucket/runs/a"), is_url("runs/a"), is_url(Path("runs/a"))
    (True, False, False)
    """
    return isinstance(place, str) and URL.match(place) is not None


def absent(place: str | Path) -> str:
    """Why a file or folder that is read from this machine only is not there, and the mend.

    >>> absent("photos"), absent("s3://bucket/photos")[:33]
    ('does not exist; check the path', 'is a URL, and is not read from it')
    """
    if is_url(place):
        return "is a URL, and is not read from it; copy it to this machine and give that path"
    return "does not exist; check the path"


class Storage:
    """The objects below a URL, by their names relative to it.

    >>> storage = Storage("memory://doctest/storage")
    >>> storage.create("a", b"1"), storage.create("a", b"2"), storage.read("a")
    (True, False, b'1')
    >>> storage.delete(["a"])
    >>> storage.read("a") is None
    True

    Raises:
        ConfigError: the URL is none that fsspec knows, or names no folder.
        MissingExtraError: what its protocol needs is not installed.
    """

    def __init__(self, url: str) -> None:
        self._system, root = _opened(url)
        self.url = url.rstrip("/")
        self._root = str(root).rstrip("/")

    @property
    def local(self) -> Path | None:
        """The folder, where the URL names one of this machine (``file://``)."""
        from fsspec.implementations.local import LocalFileSystem

        return Path(self._root) if isinstance(self._system, LocalFileSystem) else None

    def sizes(self) -> dict[str, int]:
        """Bytes of each object, by name; nothing where nothing is.

        Raises:
            StorageError: the place cannot be read, or an object's name leads out of it.
        """
        with self._explained("read", passing=(StorageError,)):
            found: Mapping[str, Any] = self._system.find(self._root, detail=True)
            if self._root in found:
                raise StorageError(f"{shown(self.url)} is a file; give the folder it lies in")
            sizes = {
                place[len(self._root) + 1 :]: int(facts["size"]) for place, facts in found.items()
            }
        objects = [name for name in sizes if name[-1:] not in ("", "/")]  # others mark folders
        for name in objects:
            if not _is_inside(name):  # the name may be anything, the copy must not lead anywhere
                raise StorageError(
                    f"{shown(self.url)} holds an object of the unsafe name {shown(name)}; delete it"
                )
        return {name: sizes[name] for name in objects}

    def fetch(self, names: Sequence[str], folder: Path) -> None:
        """Copy objects into ``folder``.

        Raises:
            FileNotFoundError: one of them is gone.
            StorageError: they cannot be read.
        """
        files = [folder / name for name in names]
        with self._explained("read", passing=GONE):
            for file in files:
                file.parent.mkdir(parents=True, exist_ok=True)
            self._system.get(list(map(self._place, names)), list(map(str, files)))

    def store(self, name: str, file: Path) -> None:
        """Copy a file here; a reader sees the old object or the new."""
        with self._explained("written"):
            self._system.put_file(str(file), self._place(name))

    def delete(self, names: Sequence[str]) -> None:
        """Delete objects, in this order; one that is gone already is no error."""
        for name in names:
            with suppress(*GONE), self._explained("written", passing=GONE):
                self._system.rm_file(self._place(name))

    def read(self, name: str) -> bytes | None:
        """An object's bytes, or None."""
        try:
            with self._explained("read", passing=GONE):
                return bytes(self._system.cat_file(self._place(name)))
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a small object."""
        with self._explained("written"):
            self._system.pipe_file(self._place(name), data)

    def create(self, name: str, data: bytes) -> bool:
        """Write a small object that is not there; whether it was not."""
        with self._explained("written"):
            try:
                self._system.pipe_file(self._place(name), data, mode="create")
            except FileExistsError:
                return False
            return True

    def _place(self, name: str) -> str:
        return f"{self._root}/{name}"

    @contextmanager
    def _explained(self, what: str, *, passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Turn whatever a storage's library raises into one line, but for those ``passing``."""
        try:
            yield
        except passing:
            raise
        except Exception as error:  # each library has its own errors
            raise StorageError(
                f"{shown(self.url)} cannot be {what} ({in_line(error)}); {_mend(error)}"
            ) from error


def _is_inside(name: str) -> bool:
    """Whether a name, put behind a folder's, leads into that folder.

    >>> _is_inside("adapter/adapter.json"), _is_inside("a/../../b"), _is_inside("")
    (True, False, False)
    """
    return {"", ".", ".."}.isdisjoint(name.split("/")) and not re.search(r"[\\\0]", name)


def _opened(url: str) -> tuple[Any, str]:
    """Fsspec's file system for a URL, and the place in it."""
    import fsspec

    protocol, _, rest = url.partition("://")
    if not _is_inside(rest.strip("/")):
        raise ConfigError(f"{shown(url)} names no folder; write it as s3://BUCKET/FOLDER")
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        package = EXTRAS.get(protocol.lower())
        mend = f"pip install '{package}'" if package else in_line(error)
        raise MissingExtraError(
            f"what '{protocol}://' needs is not installed; run: {mend}"
        ) from error
    except Exception as error:  # each library checks its own way
        raise ConfigError(f"{shown(url)} cannot be opened: {in_line(error)}") from error
    return found


def _mend(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno in FULL:
        return "free some disk space for its local copy, or set TMPDIR to a larger disk"
    if isinstance(error, FileNotFoundError):
        return "check the name, and that the bucket exists"
    if isinstance(error, PermissionError) or "credential" in str(error).lower():
        return "check the credentials, and what they allow"
    return "check the network and the address, then give the same command again"
