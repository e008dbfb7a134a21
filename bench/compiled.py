"""torch.compile against eager: time of a search-like step in bfloat16, and what compiling takes.

One step is a forward and a backward pass of a batch of 64; both take turns. The steps after which
compiling has paid for itself are counted from the medians.
"""

from __future__ import annotations

import statistics
from typing import Any

import torch
from precision import each_model, step_ms

from seam.models.zoo import ZOO


def row_of(name: str, rounds: int) -> dict[str, Any]:
    eager = ZOO[name].build().train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, targets = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
    images = images.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(eager)
    first = step_ms(compiled, images, targets, low=True)
    times = [
        [step_ms(model, images, targets, low=True) for model in (eager, compiled)]
        for _ in range(rounds + 2)
    ][2:]  # the first ones warm up
    usual, faster = (statistics.median(each) for each in zip(*times, strict=True))
    low, middle, high = statistics.quantiles([after / before for before, after in times], n=4)
    return {
        "model": name,
        "eager_ms": usual,
        "compiled_ms": faster,
        "ratio": middle,
        "ratio_quartiles": [low, high],
        "compile_seconds": first / 1000,
        "repaid_after_steps": round(first / (usual - faster)) if faster < usual else None,
        "n": rounds,
    }


if __name__ == "__main__":
    each_model(__doc__, row_of, "compiled.json")
