"""The machine that a time belongs to, and PyTorch's threads on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from seam.errors import ConfigError

RUNTIME_PACKAGES = ("torch", "onnxruntime", "openvino")


def describe_machine() -> dict[str, Any]:
    """Processor, cores, system and the runtimes' versions.

    >>> sorted(describe_machine())
    ['cores', 'cpu', 'memory_bytes', 'system', 'versions']

    ``cores`` are those this process may use; a runtime that is not installed has no version.
    """
    versions = {}
    for name in RUNTIME_PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "cpu": _cpu(),
        "cores": usable_cores(),
        "memory_bytes": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def load_average() -> float | None:
    """Processes that wanted a core, on average over the last minute; None where nobody counts.

    >>> load_average() is None or load_average() >= 0
    True
    """
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def thread_count(asked: int | None = None) -> int:
    """Threads to measure with: those asked for, or else PyTorch's, at most one a core.

    >>> thread_count(1)
    1

    Raises:
        ConfigError: more are asked for than there are cores, or none.
    """
    cores = usable_cores()
    if asked is None:
        return min(torch.get_num_threads(), cores)
    if not 1 <= asked <= cores:
        raise ConfigError(
            f"--threads is {asked}, and this process may use {cores} core(s); "
            f"give a number from 1 to {cores}"
        )
    return asked


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """PyTorch on ``count`` threads; as before afterwards.

    >>> with torch_threads(1):
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cpu() -> str:
    """The processor's name with what sets two models of one name apart."""
    facts: dict[str, str] = {}
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or platform.processor() or platform.machine()
    flags = facts.get("flags", "").split()
    widest = next((flag for flag in ("amx_tile", "avx512f", "avx2") if flag in flags), None)
    return f"{name} ({widest})" if widest else name


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
