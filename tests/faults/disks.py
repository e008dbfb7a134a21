"""Small disks in memory that can fill up and become read-only. Only root may mount them."""

from __future__ import annotations

import functools
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BUSY_S = 10.0


@contextmanager
def small_disk(place: Path, size_bytes: int) -> Iterator[Path]:
    """A disk of so many bytes, mounted at ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(place))
    try:
        yield place
    finally:
        _run("umount", "--lazy", str(place))


def resize(place: Path, size_bytes: int) -> None:
    """Make room, as a user does who deletes something."""
    _run("mount", "-o", f"remount,size={size_bytes}", str(place))


def make_read_only(place: Path) -> bool:
    """As a disk does that has failed; False where somebody was always writing a file meanwhile."""
    limit = time.monotonic() + BUSY_S
    while time.monotonic() < limit:
        try:
            _run("mount", "-o", "remount,ro", str(place))
        except subprocess.CalledProcessError:
            time.sleep(0.002)
        else:
            return True
    return False


def make_writable(place: Path) -> None:
    """Mend it."""
    _run("mount", "-o", "remount,rw", str(place))


@functools.cache
def why_not() -> str:
    """Why no disk can be mounted here; nothing where one can."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk", 2**16):
                return ""
        except (OSError, subprocess.CalledProcessError) as error:
            return f"this test mounts a small disk, which needs root on Linux ({error})"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
