"""One process at a time at a URL: an object that its holder renews.

No clock is compared. Whoever finds the object watches it: a change means that its holder lives, no
change for `STALE_S` that it was killed.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from seam.artefacts.atomic import shown
from seam.artefacts.storage import Storage
from seam.errors import StorageError

LOCK = ".lock"
BEAT_S, STALE_S = 10.0, 60.0
POLLS = 10
"""How often the object is looked at while its holder is expected to renew it once."""


class Lock:
    """A lock that is held; `check` says whether it still is."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._facts = {"host": platform.node(), "pid": os.getpid(), "id": uuid4().hex}
        self._beats = 0
        self._ended = Event()
        self._beating = Thread(target=self._beat, name="seam-lock", daemon=True)

    def take(self) -> None:
        """Take it, from a process that was killed too.

        Raises:
            StorageError: another process holds it, or the place cannot be written.
        """
        if not self._storage.create(LOCK, self._data()):
            self._wait_for_a_dead_holder()
            self._storage.write(LOCK, self._data())
            self._ended.wait(BEAT_S / 2)  # of several that waited, the last to write has it
            self.check()
        self._beating.start()

    def check(self) -> None:
        """That this process still has it.

        Raises:
            StorageError: another has taken it over.
        """
        found = _parsed(self._storage.read(LOCK))
        if found.get("id") != self._facts["id"]:
            raise _in_use(self._storage.url, found)

    def give_back(self) -> None:
        """Let go; what cannot be told, others find out by waiting."""
        self._ended.set()
        self._beating.join()
        with suppress(StorageError):
            self.check()
            self._storage.delete([LOCK])

    def _beat(self) -> None:
        """Renew it until the end, or until another has it; the network may fail for a while."""
        while not self._ended.wait(BEAT_S):
            with suppress(StorageError):
                if _parsed(self._storage.read(LOCK)).get("id") != self._facts["id"]:
                    return
                self._beats += 1
                self._storage.write(LOCK, self._data())

    def _wait_for_a_dead_holder(self) -> None:
        first = self._storage.read(LOCK)
        holder, began = _parsed(first), time.monotonic()
        logging.getLogger("seam").warning(
            f"{shown(self._storage.url)} was held by {_named(holder)}; waiting up to "
            f"{STALE_S:.0f} s for a sign of its life"
        )
        while time.monotonic() - began < STALE_S:
            time.sleep(BEAT_S / POLLS)
            now = self._storage.read(LOCK)
            if now is not None and now != first:
                raise _in_use(self._storage.url, _parsed(now))
            if now is None and self._storage.create(LOCK, self._data()):
                return

    def _data(self) -> bytes:
        return json.dumps({**self._facts, "beats": self._beats}).encode()


@contextmanager
def locked(storage: Storage) -> Iterator[Lock]:
    """Keep other processes out of a URL.

    >>> with locked(Storage("memory://doctest/lock")) as lock:
    ...     lock.check()

    Raises:
        StorageError: another process works there.
    """
    lock = Lock(storage)
    lock.take()
    try:
        yield lock
    finally:
        lock.give_back()


def _parsed(data: bytes | None) -> dict[str, Any]:
    with suppress(ValueError):
        found = json.loads(data or b"")
        if isinstance(found, dict):
            return found
    return {}


def _named(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"


def _in_use(url: str, holder: dict[str, Any]) -> StorageError:
    return StorageError(
        f"{shown(url)} is in use by {_named(holder)}; wait for it, or give another --out"
    )
