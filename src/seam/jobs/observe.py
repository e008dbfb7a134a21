"""Who is told how a job gets on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from seam.search.frontier import Point


class Observer(Protocol):
    """Told how a job gets on; does nothing by itself."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def begun(self, settings: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> None:
        """A search of ``settings`` begins, or goes on after ``points`` (as `Point.to_dict`)."""

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """A training step is finished; ``epoch`` counts finished epochs."""

    def point(self, point: Point, epochs: int) -> None:
        """An epoch is finished and measured on validation data."""

    def finished(self, report: Mapping[str, Any], folder: Path | None) -> None:
        """The result is measured on test data and, with a run folder, written."""


class Silent:
    """An observer that says nothing; a base for those that tell some of it."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def begun(self, settings: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> None:
        """Nothing."""

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Nothing."""

    def point(self, point: Point, epochs: int) -> None:
        """Nothing."""

    def finished(self, report: Mapping[str, Any], folder: Path | None) -> None:
        """Nothing."""
