"""Which channel counts a runtime likes: measured, not assumed.

Runtimes compute channels in blocks (8 of them with AVX2, 16 with AVX-512, or none). Where a block
is filled up with zeros anyway, further channels in it cost nothing; where a count that is no
multiple leaves the fast path, they even save time. Which it is depends on runtime and processor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seam.errors import ConfigError
from seam.evaluation.layer_graphs import repeated
from seam.evaluation.layer_spec import LayerSpec
from seam.evaluation.machine import thread_count, torch_threads
from seam.evaluation.timing import Budget, Spread, turns

MULTIPLES = (1, 4, 8, 16)
WIDTHS = tuple(range(49, 65))
"""One whole block of the largest multiple, so that every width has its rounded one among them."""
ROUNDS = Budget(rounds=25, seconds=0.0, longest=10.0, turn_ms=1.0, warm_up=2)


def measure_widths(
    widths: Sequence[int] = WIDTHS,
    *,
    runtime: str,
    batch: int = 1,
    threads: int | None = None,
    side: int = 16,
    budget: Budget = ROUNDS,
) -> dict[int, Spread]:
    """Milliseconds of a 3x3 convolution of each width, to the same width, all taking turns.

    >>> brief = Budget(rounds=2, seconds=0.0, turn_ms=0.1)
    >>> found = measure_widths((7, 8), runtime="torch", threads=1, side=4, budget=brief)
    >>> list(found)
    [7, 8]

    Each with a ReLU, as the mean of several copies in one program (see `layer_graphs`); each
    quartile is the difference of the same quartiles of two programs. On a busy machine only the
    lower one can be trusted.

    Args:
        widths: channels, in and out.
        runtime: torch, onnxruntime or openvino.
        batch: images a call.
        threads: by default PyTorch's, at most one a core.
        side: height and width of the images.
        budget: for all widths together.

    Raises:
        MissingExtraError: the runtime is not installed.
    """
    threads = thread_count(threads)
    copies = 9 if batch * side**2 < 2048 else 3  # long calls need fewer
    specs = [
        LayerSpec("conv", n, n, kernel=(3, 3), padding=(1, 1), height=side, width=side)
        for n in widths
    ]
    with torch_threads(threads):
        programs = [
            repeated(spec, runtime, n, batch=batch, threads=threads)
            for spec in specs
            for n in (1, copies)
        ]
        times = turns(programs, budget)
    found = {}
    for i, width in enumerate(widths):
        one, many = Spread.of(times[2 * i]), Spread.of(times[2 * i + 1])
        median, low, high = (
            max((getattr(many, name) - getattr(one, name)) / (copies - 1), 1e-6)
            for name in ("median", "low", "high")
        )
        found[width] = Spread(median, low, high, one.n)
    return found


def costs_of_rounding(ms: Mapping[int, float]) -> dict[int, float]:
    """What rounding all widths up to a multiple costs: time after it over time before.

    >>> blocks_of_8 = {width: float(-(-width // 8)) for width in range(49, 65)}
    >>> {n: round(cost, 3) for n, cost in costs_of_rounding(blocks_of_8).items()}
    {1: 1.0, 4: 1.0, 8: 1.0, 16: 1.067}

    Below 1 it saves time. Widths whose rounded one was not timed are left out.

    Raises:
        ConfigError: no width has a rounded one.
    """
    costs = {}
    for multiple in MULTIPLES:
        rounded = {width: -(-width // multiple) * multiple for width in ms}
        pairs = [(ms[up], ms[width]) for width, up in rounded.items() if up in ms]
        if not pairs:
            raise ConfigError(
                f"no multiple of {multiple} is among the widths {sorted(ms)}; time 49 to 64"
            )
        costs[multiple] = sum(up for up, _ in pairs) / sum(own for _, own in pairs)
    return costs


def preferred_multiple(ms: Mapping[int, float], *, tolerance: float = 0.01) -> int:
    """The largest multiple that channels are rounded up to for nothing, of 1, 4, 8 and 16.

    >>> preferred_multiple({width: float(-(-width // 8)) for width in range(49, 65)})
    8
    >>> preferred_multiple({width: float(width) for width in range(49, 65)})
    1

    The one that costs least; among those that cost ``tolerance`` more at most, the largest, as it
    keeps more channels in the same time.

    Args:
        ms: milliseconds by width, over a whole block of 16: the lower quartiles of
            `measure_widths`.
        tolerance: a share of the time.

    Raises:
        ConfigError: the widths do not hold a multiple of 16.
    """
    costs = costs_of_rounding(ms)
    least = min(costs.values())
    return max(multiple for multiple, cost in costs.items() if cost <= least + tolerance)
