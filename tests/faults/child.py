"""One command in a process of its own, which may meet a fault there. Run by a fork server.

The globals ``arguments``, ``log`` and ``fate`` are set by whoever runs this file. A fate is a kind
of fault and a number: which rename, which epoch, how many bytes, how many seconds.
"""

import itertools
import os
import resource
import signal
import sys
import time

import psutil
import torch

from seam.cli import console
from seam.cli.main import main

torch.set_num_threads(1)
sys.stdout = sys.stderr = open(log, "w", buffering=1)  # noqa: F821, PTH123, SIM115
os.dup2(sys.stderr.fileno(), 2)  # what libraries say as they die
signal.signal(signal.SIGINT, signal.default_int_handler)
kind, number = fate  # noqa: F821
renames = itertools.count(1)


def die_at_rename(when: str) -> None:
    """SIGKILL this process just before or after its nth rename: between two writes."""
    for name in ("replace", "rename"):
        real = getattr(os, name)

        def moved(*places: str, real: object = real) -> None:
            last = next(renames) == number
            if last and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            real(*places)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, name, moved)


def interrupt_after_epoch() -> None:
    """SIGINT this process, as Ctrl-C does, in the middle of the nth epoch."""
    told = console.Lines.point

    def point(self: console.Lines, point: object, epochs: int) -> None:
        told(self, point, epochs)
        if point.epoch == number:
            os.kill(os.getpid(), signal.SIGINT)

    console.Lines.point = point


def limit_memory() -> None:
    """From the first stage that works on data, so many bytes more than there are then."""
    told = console.Lines.stage

    def stage(self: console.Lines, text: str) -> None:
        told(self, text)
        if text == "reading data":
            limit = psutil.Process().memory_info().vms + number
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    console.Lines.stage = stage


def turn_clock_back() -> None:
    """The wall clock starts so many seconds back, and runs backwards."""
    real, start = time.time, time.time()
    time.time = lambda: 2 * start - real() - number


if kind in ("before", "after"):
    die_at_rename(kind)
elif kind == "interrupt":
    interrupt_after_epoch()
elif kind == "clock":
    turn_clock_back()
elif kind == "disk":  # no file may grow beyond: what a full disk does, to large files
    resource.setrlimit(resource.RLIMIT_FSIZE, (number, resource.RLIM_INFINITY))
elif kind == "memory":
    limit_memory()

sys.argv = ["seam", *arguments]  # noqa: F821
main()
