"""One command in a process of its own, which may be killed while it writes to its storage.

The globals ``arguments``, ``environment``, ``log`` and ``fate`` are set by whoever runs this file.
"""

import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable

import torch

from seam.artefacts import storage_lock
from seam.artefacts.storage import Storage
from seam.cli.main import main

torch.set_num_threads(1)
os.environ.update(environment)  # noqa: F821
tempfile.tempdir = environment["TMPDIR"]  # noqa: F821
sys.stdout = sys.stderr = open(log, "w", buffering=1)  # noqa: F821, PTH123, SIM115
storage_lock.BEAT_S, storage_lock.STALE_S = 0.1, 0.5
when, number = fate  # noqa: F821
writes = itertools.count(1)


def fatal(write: Callable[..., object]) -> Callable[..., object]:
    """SIGKILL this process just before or after its nth write."""

    def written(*arguments: object, **options: object) -> object:
        last = next(writes) == number
        if last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        found = write(*arguments, **options)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    return written


for name in ("create", "store", "delete"):
    setattr(Storage, name, fatal(getattr(Storage, name)))
sys.argv = ["seam", *arguments]  # noqa: F821
main()
