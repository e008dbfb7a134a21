"""The processes of one search, as `accelerate launch` or `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from seam.errors import ConfigError, in_line
from seam.jobs.plan import Plan
from seam.search.parallel import Ranks


@contextmanager
def launched(device: str) -> Iterator[Ranks]:
    """This process's place among those that were launched together; alone where it was not.

    >>> with launched("cpu") as ranks:
    ...     ranks.count
    1

    Args:
        device: kind of device that every process computes on; each gets one of its own.

    Raises:
        ConfigError: the processes cannot find one another.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks(device=torch.device(device))
        return
    from accelerate import PartialState

    try:
        state = PartialState(cpu=device == "cpu")
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            f"the processes of this search cannot find one another ({in_line(error)}); "
            "check what accelerate launch was given"
        ) from error
    try:
        yield Ranks(state.process_index, state.num_processes, state.device)
    finally:
        torch.distributed.destroy_process_group()
        PartialState._reset_state()


def check_ranks(settings: Plan, ranks: Ranks) -> None:
    """That several processes can search together with these settings.

    Raises:
        ConfigError: a budget in time, which each would measure for itself.
    """
    if ranks.count > 1 and settings.search.channels.cost == "latency":
        raise ConfigError(
            "a budget in time is measured by one process alone; start it without accelerate "
            "launch, or give a budget in multiply-accumulates (--final-macs)"
        )
