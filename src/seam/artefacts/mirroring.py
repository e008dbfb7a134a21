"""Folders at a URL for code that knows folders of this machine: copied, worked on, pushed back."""

from __future__ import annotations

import functools
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from seam.artefacts.atomic import shown
from seam.artefacts.mirror import Mirror
from seam.artefacts.storage import URL, Storage, is_url
from seam.artefacts.storage_lock import locked
from seam.errors import ConfigError, SeamError, StorageError

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Use:
    """What a place is for; ``without`` are files that are not copied."""

    writes: bool
    alone: bool
    without: tuple[str, ...] = ("checkpoint/",)  # large, and needed to go on or to choose again


READ = Use(writes=False, alone=False)
NOTE = Use(writes=True, alone=False)
MAKE = Use(writes=True, alone=True)
WORK = Use(writes=True, alone=True, without=())
SWEEP = Use(writes=True, alone=True, without=("runs/",))
"""Read; add to, beside others; make anew; search, or choose again; have others search below."""

_mirrors: dict[Path, Mirror] = {}
"""The mirrors that are open in this process, by their folders."""


@contextmanager
def mirrored(place: str | Path, use: Use) -> Iterator[Path]:
    """The folder of this machine to use for ``place``: itself, or a copy of what a URL names.

    >>> with mirrored("runs/a", READ) as folder:
    ...     str(folder)
    'runs/a'

    What has changed in a copy is pushed at the end. Errors name the URL, not the copy.

    Raises:
        StorageError: the place cannot be reached, or is in use.
    """
    if not is_url(place):
        yield _path(place)
        return
    storage = Storage(str(place))
    if storage.local is not None:
        yield storage.local
        return
    if use.alone and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            "several processes search together in a folder that they share, not at "
            f"{shown(place)}; give another --out"
        )
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="seam-"))).resolve()
        mirror = Mirror(storage, scratch / storage.url.replace("://", "/"), without=use.without)
        stack.enter_context(_listed(mirror))
        if use.alone:
            mirror.lock = stack.enter_context(locked(storage))
        mirror.pull()
        try:
            yield mirror.folder
        except StorageError:
            raise
        except SeamError:  # what was written until then is kept, as on a disk
            if use.writes:
                with suppress(StorageError):
                    mirror.push()
            raise
        if use.writes:
            mirror.push()


def mirror_of(folder: str | Path | None) -> Mirror | None:
    """The open mirror that a folder is the copy of."""
    return None if folder is None or is_url(folder) else _mirrors.get(Path(folder))


def named(value: Any) -> Any:
    """What the user called it: a path in an open mirror as its URL, in a text or nested values too.

    >>> named({"folder": "runs/a", "bytes": 3})
    {'folder': 'runs/a', 'bytes': 3}
    """
    if isinstance(value, Path):
        text = named(str(value))
        return text if is_url(text) else value
    if isinstance(value, str):
        for mirror in _mirrors.values():
            protocol, _, rest = mirror.storage.url.partition("://")
            value = value.replace(str(mirror.folder).removesuffix(rest), f"{protocol}://")
        return value
    if isinstance(value, Mapping):
        return {key: named(each) for key, each in value.items()}
    return [named(each) for each in value] if isinstance(value, list) else value


def writable(folder: Path) -> bool:
    """Whether a folder can be written; of a copy, whether its URL can."""
    mirror = mirror_of(folder)
    if mirror is None:
        return os.access(folder, os.W_OK)
    try:
        mirror.storage.write(".probe", b"")
        mirror.storage.delete([".probe"])
    except StorageError:
        return False
    return True


def mirroring(
    parameter: str,
    use: Use,
    *,
    unless: str = "",
    returned: Callable[[Any], Any] = named,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function's ``parameter`` also be a URL, or a list of them: it gets the copies' folders.

    >>> @mirroring("run", READ)
    ... def size(run: str | Path) -> int:
    ...     return Path(run, "history.jsonl").stat().st_size

    Args:
        parameter: its name.
        use: `READ`, `NOTE`, `MAKE` or `WORK`.
        unless: another parameter; where that is true, the place is only read.
        returned: applied to what the function returns, which may name places in the copy.
    """

    def decorated(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            given = signature.bind(*args, **kwargs)
            found: Any = given.arguments.get(parameter)
            several = isinstance(found, list | tuple)
            places = list(found) if several else [found]
            if not any(map(_is_elsewhere, places)):
                return function(*args, **kwargs)
            how = replace(use, writes=False, alone=False) if given.arguments.get(unless) else use
            with ExitStack() as stack:
                folders = [stack.enter_context(mirrored(each, how)) for each in places]
                given.arguments[parameter] = folders if several else folders[0]
                result: R = returned(function(*given.args, **given.kwargs))
                return result

        return called

    return decorated


@contextmanager
def _listed(mirror: Mirror) -> Iterator[None]:
    """Have `named` and `mirror_of` know a mirror, and errors speak of its URL."""
    _mirrors[mirror.folder] = mirror
    try:
        yield
    except SeamError as error:
        text = named(str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error
    finally:
        del _mirrors[mirror.folder]


def _is_elsewhere(place: object) -> bool:
    return is_url(place) or (isinstance(place, Path) and _was_url(place))


def _was_url(place: Path) -> bool:
    """Whether a path was made of a URL, which loses a slash: ``s3:/bucket``."""
    first = place.parts[0] if place.parts else ""
    return len(first) > 2 and URL.fullmatch(f"{first}//") is not None and not Path(first).exists()


def _path(place: str | Path) -> Path:
    path = Path(place)
    if _was_url(path):
        raise ConfigError(
            f"{shown(place)} is a URL made a path, or one where only a path will do; in Python "
            "give the URL as a string, else a folder of this machine"
        )
    return path
