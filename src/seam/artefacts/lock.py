"""One process at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seam.errors import RunFolderError


@contextmanager
def held(folder: Path, *, what: str) -> Iterator[None]:
    """Keep other processes from holding ``folder``; a killed process lets go by itself.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, held(Path(folder), what="run 'a'"):
    ...     pass

    The folder itself is locked, not a file in it: a file that is written anew is another file, and
    two processes that begin at once would each hold their own.

    Raises:
        RunFolderError: another process holds it; the message says ``what`` is in use.
    """
    try:
        import fcntl
    except ImportError:  # Windows: nobody is kept out
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(
                f"{what} is in use by another process; wait for it, or give another --out"
            ) from error
        except OSError:  # a network disk without locks keeps nobody out
            pass
        yield
    finally:
        os.close(number)
