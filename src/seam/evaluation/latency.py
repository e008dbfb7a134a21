"""How long base and result take for a batch, in the same runtime, taking turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seam.errors import ConfigError, MissingExtraError, ModelError
from seam.evaluation.machine import (
    describe_machine,
    load_average,
    thread_count,
    torch_threads,
)
from seam.evaluation.runtimes import RUNTIMES, Subject, known_runtimes, reason_to_skip
from seam.evaluation.timing import Budget, Comparison, compare, figure

KINDS = ("masked", "shrunk", "quantized")


@dataclass(frozen=True)
class LatencyPlan:
    """What to time: runtimes, batch sizes, threads, and for how long.

    >>> LatencyPlan(runtimes=("torch",), threads=1).batches
    (1, 16)

    Without ``runtimes`` every one is timed that is there, and the others are listed as skipped; one
    that is named has to be there. ``threads`` are PyTorch's by default, at most one a core.

    Raises:
        ConfigError: a runtime is unknown, a batch size below 1, or threads outnumber cores.
    """

    runtimes: tuple[str, ...] | None = None
    batches: tuple[int, ...] = (1, 16)
    threads: int | None = None
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        if self.runtimes is not None:
            object.__setattr__(self, "runtimes", known_runtimes(self.runtimes))
        if not self.batches or any(size < 1 for size in self.batches):
            raise ConfigError(
                f"batch sizes are {list(self.batches)}; give whole numbers, each at least 1"
            )
        thread_count(self.threads)


def measure_latency(
    base: Subject, result: Subject, images: Tensor, *, kind: str, plan: LatencyPlan
) -> dict[str, Any]:
    """The report's ``latency``: every runtime and batch size, base against result.

    >>> import tempfile
    >>> from pathlib import Path
    >>> wide, narrow = torch.nn.Linear(64, 64), torch.nn.Linear(64, 2)
    >>> subjects = [Subject(str(m), m, Path(tempfile.mkdtemp())) for m in (wide, narrow)]
    >>> brief = Budget(rounds=5, seconds=0.0, turn_ms=0.1)
    >>> plan = LatencyPlan(runtimes=("torch",), batches=(1,), threads=1, budget=brief)
    >>> found = measure_latency(*subjects, torch.zeros(1, 64), kind="shrunk", plan=plan)
    >>> found["torch"]["1"]["rounds"], found["fastest"]["1"]["runtime"]
    (5, 'torch')

    Args:
        base: the base model with its whole head.
        result: the result with everything it needs, on the CPU as the base is.
        images: preprocessed samples (n, C, H, W); repeated where a batch needs more.
        kind: what ``result`` is: masked, shrunk or quantized.
        plan: what to time.

    Raises:
        MissingExtraError: a runtime that the plan names is not installed.
        ModelError: a model cannot be exported to a runtime that the plan names.
    """
    assert kind in KINDS
    threads = thread_count(plan.threads)
    machine = {**describe_machine(), "load_average": load_average()}
    found: dict[str, Any] = {"threads": threads, "machine": machine, "model": kind}
    with torch_threads(threads):
        for runtime in plan.runtimes or RUNTIMES:
            try:
                found[runtime] = {
                    str(size): _cell(base, result, runtime, batch_of(images, size), threads, plan)
                    for size in plan.batches
                }
            except (MissingExtraError, ModelError) as error:
                if plan.runtimes is not None:
                    raise
                found[runtime] = {"skipped": reason_to_skip(error)}
    found["fastest"] = {str(size): fastest(found, str(size)) for size in plan.batches}
    return found


def _cell(
    base: Subject, result: Subject, runtime: str, images: Tensor, threads: int, plan: LatencyPlan
) -> dict[str, Any]:
    if runtime == "torch_compiled":  # or what was compiled before is looked through at each call
        torch._dynamo.reset()
    ours = result.open(runtime, images, threads=threads)
    theirs = base.open(runtime, images, threads=threads)
    found: Comparison = compare(lambda: theirs(images), lambda: ours(images), plan.budget)
    return found.to_dict()


def batch_of(images: Tensor, size: int) -> Tensor:
    """The first ``size`` samples on the CPU, images in float32, begun anew where there are fewer.

    >>> batch_of(torch.tensor([[1.0], [2.0]]), 3).flatten().tolist()
    [1.0, 2.0, 1.0]
    """
    numbers = torch.arange(size) % len(images)
    inputs = images.detach().cpu()
    inputs = inputs.float() if inputs.is_floating_point() else inputs
    return inputs[numbers].contiguous()


def fastest(found: Mapping[str, Any], size: str) -> dict[str, Any] | None:
    """The runtime in which the result is fastest at a batch size, and the whole gain.

    >>> cells = {"torch": {"1": {"base_ms": 8.0, "result_ms": 4.0}}}
    >>> fastest({**cells, "openvino": {"1": {"base_ms": 2.0, "result_ms": 1.0}}}, "1")
    {'runtime': 'openvino', 'result_ms': 1.0, 'gain_over_plain_torch': 8.0}

    ``gain_over_plain_torch`` is how many times faster that is than the base in eager PyTorch, and
    None where that was not timed. None where nothing was timed.
    """
    timed = {name: found[name][size] for name in RUNTIMES if size in found.get(name, {})}
    if not timed:
        return None
    best = min(timed, key=lambda name: timed[name]["result_ms"])
    ours = timed[best]["result_ms"]
    gain = figure(timed["torch"]["base_ms"] / ours) if "torch" in timed else None
    return {"runtime": best, "result_ms": ours, "gain_over_plain_torch": gain}
