"""What each layer of a network costs at each width: the table behind a latency budget.

How a layer is timed. A call of a runtime costs far more than a narrow layer: in OpenVINO some
0.2 ms, and a 16-channel layer of 2 x 2 pixels 0.002 ms. Nor does a single layer run as it does in a
network: its input and output would be copied and reordered each time. So two programs take turns,
one with a single copy of the layer (a convolution or linear layer and a ReLU) and one with several,
and the difference, divided by the additional copies, is the layer's time. Lower quartiles are
compared, as what disturbs a measurement on a busy machine only adds to it. What a call costs is
measured once, and counts once for a network (`LatencyTable.call_ms`).

In between the measured widths the time is interpolated in both directions. A time that grew by
multiply-accumulates, inputs, outputs and a constant would be met exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from seam.errors import ConfigError
from seam.evaluation.latency_table import Grid, LatencyTable
from seam.evaluation.layer_graphs import repeated
from seam.evaluation.layer_spec import LayerSpec
from seam.evaluation.machine import describe_machine, thread_count, torch_threads
from seam.evaluation.runtimes import known_runtimes
from seam.evaluation.timing import Budget, Spread, figure, turns

QUICK = Budget(rounds=7, seconds=0.0, longest=0.4, turn_ms=1.0, warm_up=2)
MOST_COPIES = 17
WORK = 4e6
"""Multiply-accumulates that the additional copies should have together."""
WEIGHTS = 4_000_000
"""Weights that all copies together should not exceed: 16 MB, so that they do not leave the cache
where those of a narrowed network would not."""
CALL = LayerSpec("linear", 8, 8)
Progress = Callable[[int, int], None]


def measure_table(
    specs: Sequence[LayerSpec],
    *,
    runtime: str,
    batch: int = 1,
    threads: int | None = None,
    detail: int = 6,
    budget: Budget = QUICK,
    progress: Progress | None = None,
) -> LatencyTable:
    """Time layers at several widths; equal layers once.

    >>> layers = [LayerSpec("linear", 16, 8)] * 2
    >>> table = measure_table(layers, runtime="torch", threads=1, detail=2)
    >>> len(table.grids), table.ms(1, 12, 8) > 0
    (1, True)

    Args:
        specs: the layers at full width.
        runtime: torch, onnxruntime or openvino: the one that will be used.
        batch: images a call.
        threads: by default PyTorch's, at most one a core.
        detail: widths to time on each side of a layer. The time it takes grows with its square.
        budget: for each point.
        progress: told the points done and all points.

    Raises:
        MissingExtraError: the runtime is not installed.
        ConfigError: the runtime is unknown, or threads outnumber cores.
    """
    known_runtimes([runtime])
    if runtime == "torch_compiled":
        raise ConfigError(
            "runtime 'torch_compiled' compiles whole networks, and its layers have no times; "
            "give torch, onnxruntime or openvino"
        )
    threads = thread_count(threads)
    unique = list(dict.fromkeys(specs))
    points = sum(len(inputs) * len(outputs) for inputs, outputs in (s.grid(detail) for s in unique))
    done = 0

    def time_one(spec: LayerSpec) -> float:
        nonlocal done
        found, _ = measure_layer(spec, runtime=runtime, batch=batch, threads=threads, budget=budget)
        done += 1
        if progress is not None:
            progress(done, points)
        return found

    with torch_threads(threads):
        call_ms = measure_layer(CALL, runtime=runtime, batch=1, threads=threads)[1]
        grids = tuple(_grid(spec, detail, time_one) for spec in unique)
    layers = tuple(map(unique.index, specs))
    return LatencyTable(grids, layers, call_ms, runtime, batch, threads, describe_machine())


def _grid(spec: LayerSpec, detail: int, time_one: Callable[[LayerSpec], float]) -> Grid:
    inputs, outputs = spec.grid(detail)
    rows = (tuple(time_one(spec.narrowed(a, b)) for b in outputs) for a in inputs)
    return Grid(spec, inputs, outputs, tuple(rows))


def measure_layer(
    spec: LayerSpec, *, runtime: str, batch: int, threads: int, budget: Budget = QUICK
) -> tuple[float, float]:
    """Milliseconds of a layer inside a network, and of what a call costs beside it.

    >>> layer, call = measure_layer(
    ...     LayerSpec("linear", 64, 64), runtime="torch", batch=1, threads=1
    ... )
    >>> layer > 0
    True
    """
    weights = spec.macs / (spec.output[0] * spec.output[1])
    wanted = 1 + min(WORK / (batch * spec.macs), WEIGHTS / weights)
    copies = round(max(3, min(MOST_COPIES, wanted)))
    calls = [repeated(spec, runtime, n, batch=batch, threads=threads) for n in (1, copies)]
    one, many = (Spread.of(times).low for times in turns(calls, budget))
    layer = max((many - one) / (copies - 1), 1e-5)
    return figure(layer), figure(max(0.0, one - layer))
