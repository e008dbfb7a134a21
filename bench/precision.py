"""bfloat16 against float32: time of a search-like step of ResNet-20 and VGG-16 on this machine.

One step is a forward and a backward pass of a batch of 64; both precisions take turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from common import RESULTS, arguments, in_turns, save
from torch import Tensor, nn
from torch.nn import functional as F

from seam.models.zoo import ZOO

NAMES = ("cifar_resnet20", "cifar_vgg16")


def step_ms(model: nn.Module, images: Tensor, targets: Tensor, *, low: bool) -> float:
    start = time.perf_counter()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=low):
        outputs = model(images)
    F.cross_entropy(outputs.float(), targets).backward()
    return 1000 * (time.perf_counter() - start)


def row_of(name: str, rounds: int) -> dict[str, Any]:
    model = ZOO[name].build().eval()
    images, targets = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
    usual, low, ratio = in_turns(
        *(partial(step_ms, model, images, targets, low=each) for each in (False, True)), rounds
    )
    return {"model": name, "float32_ms": usual, "bfloat16_ms": low, **ratio}


def each_model(text: str | None, row_of: Callable[[str, int], dict[str, Any]], file: str) -> None:
    """A row a model, printed and saved as ``file``; ``text`` says what is measured."""
    parser = arguments(text)
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rows = []
    for name in NAMES:
        rows.append(row_of(name, args.rounds))
        print(rows[-1], flush=True)
    save(args.out or RESULTS / file, {"threads": args.threads, "rows": rows})


if __name__ == "__main__":
    each_model(__doc__, row_of, "precision.json")
