"""Several processes on this machine, forked from the test's, in one gloo group."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from seam.jobs.ranks import launched
from seam.search.parallel import Ranks

LIMIT_S = 120


def together(count: int, work: Callable[[Ranks], Any]) -> list[Any]:
    """What ``work`` gives on each of ``count`` processes, which find one another as launched ones.

    An exception is given instead of a value where it was raised.
    """
    fork = multiprocessing.get_context("fork")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pipes = [fork.Pipe(duplex=False) for _ in range(count)]
    processes = [
        fork.Process(target=_run, args=(pipe[1], rank, count, port, work))
        for rank, pipe in enumerate(pipes)
    ]
    for process in processes:
        process.start()
    try:
        return [_received(pipe[0]) for pipe in pipes]
    finally:
        for process in processes:
            process.join(LIMIT_S)
            assert process.exitcode == 0


def _received(pipe: Connection) -> Any:
    assert pipe.poll(LIMIT_S), "a process has not answered"
    return pickle.loads(pipe.recv_bytes())


def _run(pipe: Connection, rank: int, count: int, port: int, work: Callable[[Ranks], Any]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    try:
        with launched("cpu") as ranks:
            found = work(ranks)
            ranks.wait()
    except Exception as error:
        traceback.print_exc()
        found = error
    pipe.send_bytes(pickle.dumps(found))  # tensors by value
