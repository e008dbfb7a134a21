"""Who is told how a job gets on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from seam.search.frontier import Point


class Observer(Protocol):
    """Told how a job gets on; does nothing by itself."""

    def stage(self, text: str) -> None:
        """A new stage begins."""

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """A training step is finished; ``epoch`` counts finished epochs."""

    def point(self, point: Point, epochs: int) -> None:
        """An epoch is finished and measured on validation data."""


class Silent:
    """An observer that says nothing; a base for those that tell some of it."""

    def stage(self, text: str) -> None:
        """Nothing."""

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        """Nothing."""

    def point(self, point: Point, epochs: int) -> None:
        """Nothing."""
