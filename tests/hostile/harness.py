"""What must hold of every file that is read, and how it is seen."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from targets import Target

from seam.errors import SeamError

ALLOWANCE = 64 * 2**20
"""Bytes that reading any file may take beside twice its honest size: parsers, caches, fonts."""
NAMED = {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link"}
"""What changes a folder, and follows no link at the end of a path."""
WRITES = {*NAMED, "os.truncate", "os.chmod", "os.chown", "os.utime", "shutil.rmtree"}
RUNS = {
    *("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"),
    *("subprocess.Popen", "socket.connect", "marshal.load", "marshal.loads"),
}
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class ViolationError(AssertionError):
    """A file made a reader do what none may do."""


@dataclass(frozen=True)
class Verdict:
    """How a reader took a file: its one line, empty where it was accepted; and the memory."""

    line: str
    honest: int
    grown: int

    @property
    def ratio(self) -> float:
        """Memory beyond the allowance, as a multiple of the file's honest size."""
        return max(0, self.grown - ALLOWANCE) / max(1, self.honest)


def judge(target: Target, data: bytes, place: Path) -> Verdict:
    """Have ``data`` read in the place of the target's file, which is put back afterwards.

    Raises:
        ViolationError: another error than a `SeamError`, more than one line, code run or looked
            up, a write outside ``place``, or more memory than twice the honest size and the
            allowance.
    """
    file = place / target.file
    before = file.read_bytes()
    try:
        file.write_bytes(data)
        target.seal(file)
        return _judged(target, data, place)
    finally:
        file.write_bytes(before)
        target.seal(file)


def _judged(target: Target, data: bytes, place: Path) -> Verdict:
    line, honest = "", max(len(data), target.claims(data))
    start = _restart_peak()
    try:
        with watched(place):
            honest = max(honest, size_of(target.read(place)))
    except SeamError as error:
        line = str(error)
        if not line or len(line.splitlines()) != 1:
            raise ViolationError(f"not one line: {line!r}") from error
        _refuse_out_of_memory(error)
    except ViolationError:
        raise
    except BaseException as error:  # a panic of Rust's is no Exception
        raise ViolationError(f"{type(error).__name__}: {str(error)[:200]}") from error
    grown = _figure("VmHWM") - start
    if grown > 2 * honest + ALLOWANCE:
        raise ViolationError(f"{grown / 2**20:.0f} MiB for a file of {honest} bytes")
    return Verdict(line, honest, grown)


def size_of(value: Any) -> int:
    """Bytes that the content of a file takes when read in full."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, Image.Image):
        return value.width * value.height * 4
    if isinstance(value, dict):
        return sum(map(size_of, value.values()))
    return sum(map(size_of, value)) if isinstance(value, list | tuple) else 0


def _refuse_out_of_memory(error: BaseException | None) -> None:
    """What was only refused for want of memory would have been taken on a larger machine."""
    while error is not None:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise ViolationError(f"it was not refused before memory ran out: {error}")
        error = error.__cause__


# --------------------------------------------------------------------------------- what is watched

_watched: list[Path] = []


@contextmanager
def watched(place: Path) -> Iterator[None]:
    """Whatever writes outside ``place``, or runs what a file names, raises `ViolationError`."""
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    _watched.append(place.resolve())
    try:
        yield
    finally:
        _watched.pop()


_hooked: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watched:
        return
    if event in RUNS and not _is_import():
        raise ViolationError(f"{event} {arguments[:2]!r}")
    if event == "open" and _writes(*arguments):
        _refuse_outside(event, arguments[0])
    elif event in WRITES:
        for path in arguments[:2]:
            if isinstance(path, str | bytes | os.PathLike):
                _refuse_outside(event, path)


def _writes(path: object, mode: str | None, flags: int) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    if mode is not None:
        return bool(set(mode) & set("wax+"))
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))


def _refuse_outside(event: str, path: Any) -> None:
    named = Path(os.fsdecode(path)).absolute()
    found = named.parent.resolve() / named.name if event in NAMED else named.resolve()
    if str(found) in (os.devnull, str(CLEAR.resolve())) or "__pycache__" in found.parts:
        return
    if not found.is_relative_to(_watched[-1]):
        raise ViolationError(f"{event} outside: {found}")


def _is_import() -> bool:
    """Whether Python itself reads a module's code."""
    frame = sys._getframe()
    while frame is not None:
        if "importlib" in frame.f_code.co_filename:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


# -------------------------------------------------------------------------------------- its memory


def _restart_peak() -> int:
    """Begin to count the peak anew; returns what is resident now."""
    if CLEAR.exists():
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before would hide what is taken now
        CLEAR.write_text("5")
    return _figure("VmRSS")


def _figure(name: str) -> int:
    """A line of the process's status in bytes; 0 where there is none."""
    if not STATUS.exists():
        return 0
    text = STATUS.read_text(encoding="ascii")
    return int(text.partition(f"{name}:")[2].split(maxsplit=1)[0]) * 1024
