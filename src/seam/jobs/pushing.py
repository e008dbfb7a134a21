"""A search whose run folder is a copy of a URL's, kept there as it gets on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from seam.artefacts.mirror import Mirror
from seam.artefacts.mirroring import mirror_of
from seam.jobs.observe import Observer, Silent
from seam.jobs.track import Several


class Pushing(Silent):
    """Pushes whenever something is worth keeping: the settings, each epoch, the result."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def begun(self, settings: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> None:  # noqa: ARG002
        """The settings, so that the run is seen to have begun."""
        self._mirror.push()

    def point(self, point: Any, epochs: int) -> None:  # noqa: ARG002
        """An epoch."""
        self._mirror.push()

    def finished(self, report: Mapping[str, Any], folder: Path | None) -> None:  # noqa: ARG002
        """The result."""
        self._mirror.push()


def pushing(folder: str | Path | None, observer: Observer) -> Observer:
    """The observer; what it is told is safe by then, where ``folder`` is the copy of a URL's."""
    mirror = mirror_of(folder)
    return observer if mirror is None else Several(Pushing(mirror), observer)
