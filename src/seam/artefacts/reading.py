"""Files of others, read with care: regular ones of bounded size, and plain values in them.

What is wrong becomes a ValueError or an OSError, which the reader of the file around it turns into
an error that names the file.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

MAX_JSON = 16 * 2**20
MAX_DEPTH = 100
"""Of lists and mappings within one another: far below where Python's own recursion ends."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_regular(file: Path, limit: int | None = None) -> bytes:
    """A regular file's bytes; its kind and size are looked at before anything is read.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = file.write_text("seam")
    >>> read_regular(file, 4)
    b'seam'

    Raises:
        ValueError: it is a pipe, a device or a folder, or has more than ``limit`` bytes.
        OSError: it cannot be read.
    """
    if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for a writer
        raise ValueError("it is not a regular file")
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if limit is not None and size > limit:
            raise ValueError(f"it has {size} bytes, at most {limit} are allowed")
        return stream.read(size)


def is_there(path: Path) -> bool:
    """Whether something is at ``path``; nothing is where the name is longer than one can be.

    >>> is_there(Path("a" * 5000))
    False
    """
    try:
        return path.exists()
    except OSError:
        return False


def read_named(file: Path, limit: int) -> bytes:
    """The bytes of a file that the user names, which may be a pipe; never more than ``limit``.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = file.write_text("seam")
    >>> read_named(file, 4)
    b'seam'

    Raises:
        ValueError: there are more.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"it has more than {limit} bytes")
    return data


def parse_json(data: bytes, *, finite: bool = True) -> Any:
    """Plain values from JSON; NaN and infinity only where not ``finite``.

    >>> parse_json(b'{"n": [1, 2.5]}')
    {'n': [1, 2.5]}

    Raises:
        ValueError: it is no JSON, holds a key twice or a number that none is, or is nested deeply.
    """
    own = {"parse_constant": _no_constant, "parse_float": _finite} if finite else {}
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, **own)  # type: ignore[arg-type]
    except RecursionError as error:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep") from error
    check_plain(value)
    return value


def check_plain(value: Any) -> None:
    """That a tree holds texts, numbers, truths and None alone, and ends before `MAX_DEPTH`.

    >>> check_plain({"a": b"bytes"})
    Traceback (most recent call last):
    ValueError: it holds a value of type bytes; put it in quotes
    """
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                below += [*each, *each.values()]
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str):
                if _SURROGATE.search(each):
                    raise ValueError("it holds half a character, which has no UTF-8")
            elif not isinstance(each, bool | int | float | None):
                raise ValueError(
                    f"it holds a value of type {type(each).__name__}; put it in quotes"
                )
        if not below:
            return
        level = below
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")


def check_archive(file: Path) -> None:
    """That a zip archive holds no more than its file does: nothing packed, nothing twice.

    Raises:
        ValueError: unpacking it would take more memory than the file has bytes.
        zipfile.BadZipFile: it is no such archive.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
    packed = any(each.compress_type != zipfile.ZIP_STORED for each in entries)
    if packed or sum(each.file_size for each in entries) > file.stat().st_size:
        raise ValueError("it is compressed, which PyTorch's own files are not")


def _no_constant(_text: str) -> float:
    raise ValueError("it holds NaN or Infinity")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_constant(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("it holds a key twice")
    return values
