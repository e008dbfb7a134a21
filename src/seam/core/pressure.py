"""What presses on density while a search goes on: frozen, checked when built."""

from __future__ import annotations

from dataclasses import dataclass

from seam.core.checks import at_least, is_number, require


@dataclass(frozen=True, kw_only=True)
class Penalty:
    """Press on density through the loss: ``task loss + alpha * density`` (the paper's way).

    With ``stop`` the search is over at the first step after which no more than that is kept.
    """

    alpha: float = 1.0
    stop: float | None = None

    def __post_init__(self) -> None:
        at_least("alpha", self.alpha, 0)
        require(
            self.stop is None or (is_number(self.stop) and 0 < self.stop < 1),
            f"stop is {self.stop}; give a density in (0, 1)",
        )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Press on density through the threshold: each step keeps exactly the scheduled share.

    The walk goes down from 1 to ``final_density`` in ``levels`` equal ratios. Each level falls
    during its first ``fall`` share of steps and then stays, while the learning rates sink to zero,
    so that its end is a fair point. Each level is ``growth`` times as long as the one before.
    """

    final_density: float = 0.1
    levels: int = 10
    fall: float = 0.3
    growth: float = 1.0

    def __post_init__(self) -> None:
        require(
            is_number(self.final_density) and 0 < self.final_density < 1,
            f"final density is {self.final_density}; give a value in (0, 1)",
        )
        require(
            is_number(self.fall) and 0 < self.fall <= 1,
            f"fall is {self.fall}; give a value in (0, 1]",
        )
        at_least("levels", self.levels, 1, whole=True)
        at_least("growth", self.growth, 1)
