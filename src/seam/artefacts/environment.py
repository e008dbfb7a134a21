"""The machine and the versions that figures depend on."""

from __future__ import annotations

import platform
from contextlib import suppress
from typing import Any

import torch


def environment() -> dict[str, Any]:
    """Machine, threads and versions: what every figure was measured with."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for name in ("seam", "torch", "torchvision", "timm", "numpy", "datasets", "safetensors"):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "versions": versions,
    }
