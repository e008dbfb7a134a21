"""Files and folders that are written whole or not at all.

Each is written under a temporary name beside its target, flushed to the disk and renamed. A reader
sees the old content or the new, also after a kill or a power cut. One writer a target at a time.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seam.errors import RunFolderError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
IN_THE_WAY = (errno.EISDIR, errno.ENOTDIR, errno.EEXIST)


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to the file ``path``, whole or not at all; folders above it are made.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "run" / "state.bin"
    >>> write_bytes(file, b"seam")
    >>> file.read_bytes()
    b'seam'

    Raises:
        RunFolderError: it cannot be written; what was there before is still there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(temporary, data)
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)


def write_text(path: str | Path, text: str) -> None:
    r"""Write ``text`` as UTF-8 with ``\n`` line ends, whole or not at all.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> write_text(file, "seam")
    >>> file.read_text()
    'seam'

    Raises:
        RunFolderError: as `write_bytes`.
    """
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON with sorted keys: the same value gives the same bytes.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "report.json"
    >>> write_json(file, {"n": 1})
    >>> json.loads(file.read_text())
    {'n': 1}

    Raises:
        RunFolderError: as `write_bytes`.
        ValueError: ``value`` holds NaN or infinity, which JSON has no word for.
    """
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def make_folder(path: str | Path) -> None:
    """Make a folder and those above it; one that is there stays as it is.

    >>> import tempfile
    >>> make_folder(Path(tempfile.mkdtemp()) / "runs" / "a")

    Raises:
        RunFolderError: it cannot be made.
    """
    with _explained(Path(path)):
        Path(path).mkdir(parents=True, exist_ok=True)


def delete_file(path: str | Path) -> None:
    """Delete a file; one that is not there is deleted already.

    >>> import tempfile
    >>> delete_file(Path(tempfile.mkdtemp()) / "report.json")

    Raises:
        RunFolderError: it cannot be deleted.
    """
    with _explained(Path(path)):
        Path(path).unlink(missing_ok=True)


def write_folder(path: str | Path, files: Mapping[str, bytes]) -> None:
    """Write a folder that holds exactly ``files``; they appear together, or not at all.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp()) / "adapter"
    >>> write_folder(folder, {"a": b"1", "b": b"2"})
    >>> sorted(file.name for file in folder.iterdir())
    ['a', 'b']

    A folder that is there is replaced: it is renamed to ``.NAME.old``, the new one takes its place,
    then the old one is deleted. `existing` finds whichever of the two a kill has left. A folder
    that holds anything but ``files`` is left alone.

    Raises:
        RunFolderError: it cannot be written, or holds other files; it is still there.
    """
    path = Path(os.path.realpath(path))
    with _explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _recover(path)
        _require_replaceable(path, files)
        new = path.with_name(f".{path.name}.new")
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir()
            for name, data in files.items():
                _write(new / name, data)
            _sync_folder(new)
            _swap(new, path)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise


def existing(path: str | Path) -> Path:
    """Where a folder's content is: at ``path``, or in what a killed `write_folder` has left.

    >>> existing("runs/adapter").name
    'adapter'
    """
    path = Path(path)
    old = _old(Path(os.path.realpath(path)))
    return old if not path.exists() and old.is_dir() else path


def _swap(new: Path, path: Path) -> None:
    """Put ``new`` at ``path``; what is there stays readable until then."""
    old = _old(path)
    if not path.exists():
        new.rename(path)
        _sync_folder(path.parent)
        return
    path.rename(old)
    try:
        new.rename(path)
    except BaseException:
        old.rename(path)
        raise
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(path: Path) -> None:
    """Finish what a killed `_swap` has left."""
    old = _old(path)
    if not old.is_dir():
        return
    if path.exists():
        shutil.rmtree(old)
    else:
        old.rename(path)


def _old(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _require_replaceable(path: Path, files: Mapping[str, bytes]) -> None:
    if not path.exists():
        return
    other = sorted(entry.name for entry in path.iterdir() if entry.name not in files)
    if other:
        raise RunFolderError(
            f"folder {shown(path)} also holds {shown(other[0])}, so it is not replaced; "
            "give a new or empty folder"
        )


def _write(path: Path, data: bytes) -> None:
    """Write a file that is not there yet: what a kill left is deleted, a link is not followed."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Make renames in ``path`` last. Some filesystems cannot, and Windows does not need to."""
    if os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(number)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn any OSError into one line that names the path and the mend."""
    try:
        yield
    except RunFolderError:
        raise
    except OSError as error:
        raise RunFolderError(
            f"{shown(path)} cannot be written ({error.strerror or error}); {_mend(error.errno)}"
        ) from error


def _mend(number: int | None) -> str:
    if number in FULL:
        return "free some disk space, then give the same command again"
    if number in FORBIDDEN:
        return "change its permissions, or choose another --out"
    if number in IN_THE_WAY:
        return "something of that name is in the way: move it, or choose another --out"
    return "check the disk, or choose another --out"


def shown(path: str | Path) -> str:
    r"""A path for an error message: quoted, on one line.

    >>> shown("runs/a")
    "'runs/a'"
    """
    text = str(path)
    return f"'{text}'" if text.isprintable() else ascii(text)


def is_temporary(path: Path) -> bool:
    """Whether a killed `write_bytes` has left this file.

    >>> is_temporary(Path("notes.txt"))
    False
    """
    return path.name.startswith(".") and path.suffix == ".tmp" and path.is_file()
