"""One process at a time in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from seam.errors import RunFolderError


@contextmanager
def held(file: Path, *, what: str) -> Iterator[None]:
    """Keep other processes from holding ``file``; a killed process lets go by itself.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file, held(Path(file.name), what="run 'a'"):
    ...     pass

    Raises:
        RunFolderError: another process holds it; the message says ``what`` is in use.
    """
    try:
        import fcntl
    except ImportError:  # Windows: nobody is kept out
        yield
        return
    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFolderError(
                f"{what} is in use by another process; wait for it, or give another --out"
            ) from error
        except OSError:  # a network disk without locks keeps nobody out
            pass
        yield
