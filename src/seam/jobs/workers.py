"""Where the problems of a sweep are searched: a Ray of this machine's own, or a cluster."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from seam.core.checks import at_least
from seam.errors import ConfigError, MissingExtraError, in_line


@dataclass(frozen=True)
class Workers:
    """Where a sweep's problems are searched.

    >>> Workers(count=2).threads
    1

    Args:
        count: problems at a time; by default as many as this machine has cores for.
        threads: of each. Rounding depends on it, so results do not depend on ``count``.
        gpus: of each; a share of one lets several problems have it.
        address: of a Ray cluster, as ``ray://HOST:10001`` or ``auto``; by default Ray is started
            here for the sweep, and ended with it. All nodes need the same paths.
        tries: how often a problem is tried whose search ended in an unforeseen way.

    Raises:
        ConfigError: a value is out of range.
    """

    count: int | None = None
    threads: int = 1
    gpus: float = 0.0
    address: str | None = None
    tries: int = 2

    def __post_init__(self) -> None:
        if self.count is not None:
            at_least("workers", self.count, 1, whole=True)
        at_least("threads", self.threads, 1, whole=True)
        at_least("gpus per problem", self.gpus, 0)
        at_least("tries", self.tries, 1, whole=True)
        if self.address and self.count is not None:
            raise ConfigError("a cluster has its own number of workers; leave --workers out")


def ray_of(address: str | None) -> Any:
    """Ray, which is asked to report nothing of its use, and to give workers the usual priority.

    A Ray of this machine's own listens on all its networks, so whoever has no token is refused.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    os.environ.setdefault("RAY_ENABLE_ZERO_COPY_TORCH_TENSORS", "1")  # nobody writes to them
    if address is None and "ray" not in sys.modules:  # it reads this when it is imported
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        return import_module("ray")
    except ImportError as error:
        raise MissingExtraError(
            "ray is needed for a sweep and is not installed; pip install 'seam[sweep]'"
        ) from error


def place_of(workers: Workers) -> dict[str, Any]:
    """What Ray is started with.

    Raises:
        ConfigError: this machine has fewer GPUs than a problem is to have.
    """
    if workers.address:
        return {"address": workers.address}
    count = workers.count or max(1, (os.cpu_count() or 1) // workers.threads)
    gpus = torch.cuda.device_count()
    if workers.gpus > gpus:
        raise ConfigError(
            f"{workers.gpus:g} GPUs a problem are more than the {gpus} of this machine; "
            "give fewer (--gpus-per-problem)"
        )
    cores = count * workers.threads
    return {"address": "local", "num_cpus": cores, "num_gpus": gpus, "include_dashboard": False}


@contextmanager
def cluster(ray: Any, place: Mapping[str, Any]) -> Iterator[None]:
    """A Ray of this sweep's own, or the cluster that was named.

    Raises:
        ConfigError: there is none at that address.
    """
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        ray.init(**place, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"Ray cannot be reached or started ({in_line(error)}); check --address"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
