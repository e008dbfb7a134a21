"""The choice among the points of a frontier: frozen, checked when built."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from seam.core.checks import at_least, is_number, one_of, require

Rule = Literal["tolerance", "keep", "keep_macs", "keep_latency", "paper", "epoch"]


@dataclass(frozen=True, kw_only=True)
class Pick:
    """How one point of the frontier is chosen.

    >>> Pick(rule="keep", value=0.1)
    Pick(rule='keep', value=0.1)

    ``tolerance``: the smallest point whose validation accuracy is no worse than *restricted* minus
    ``value`` (a share: 0.005 is half a point). ``keep``, ``keep_macs`` and ``keep_latency``: the
    most accurate point whose density, share of non-zero MACs or share of the base's time is at most
    ``value``. ``paper``: the published rule.
    ``epoch``: the point after ``value`` epochs.
    """

    rule: Rule = "tolerance"
    value: float = 0.005

    def __post_init__(self) -> None:
        one_of("pick rule", self.rule, get_args(Rule))
        if self.rule in ("keep", "keep_macs", "keep_latency"):
            require(
                is_number(self.value) and 0 < self.value <= 1,
                f"{self.rule} is {self.value!r}; give a share in (0, 1]",
            )
        else:
            at_least(self.rule, self.value, 0)

    def to_dict(self) -> dict[str, Any]:
        """The rule as plain values."""
        return asdict(self)
