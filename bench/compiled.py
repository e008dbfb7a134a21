"""torch.compile against eager: time of a search-like step in bfloat16, and what compiling takes.

One step is a forward and a backward pass of a batch of 64; both take turns. The steps after which
compiling has paid for itself are counted from the medians.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from common import in_turns
from precision import each_model, step_ms

from seam.models.zoo import ZOO


def row_of(name: str, rounds: int) -> dict[str, Any]:
    eager = ZOO[name].build().train().to(memory_format=torch.channels_last)
    images, targets = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
    images = images.contiguous(memory_format=torch.channels_last)
    compiled = torch.compile(eager)
    first = step_ms(compiled, images, targets, low=True)
    usual, faster, ratio = in_turns(
        *(partial(step_ms, model, images, targets, low=True) for model in (eager, compiled)), rounds
    )
    return {
        "model": name,
        "eager_ms": usual,
        "compiled_ms": faster,
        **ratio,
        "compile_seconds": first / 1000,
        "repaid_after_steps": round(first / (usual - faster)) if faster < usual else None,
    }


if __name__ == "__main__":
    each_model(__doc__, row_of, "compiled.json")
