"""Channels-last against contiguous weights: time of a search-like step of ResNet-20 on this CPU.

One step is a forward and a backward pass of a batch of 64; both layouts take turns.
"""

from __future__ import annotations

import copy
import time
from functools import partial

import torch
from common import RESULTS, arguments, in_turns, save
from torch import Tensor, nn
from torch.nn import functional as F

from seam.models.zoo import ZOO


def step_ms(model: nn.Module, images: Tensor, targets: Tensor) -> float:
    start = time.perf_counter()
    F.cross_entropy(model(images), targets).backward()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    contiguous = ZOO["cifar_resnet20"].build().eval()
    last = copy.deepcopy(contiguous).to(memory_format=torch.channels_last)
    images, targets = torch.randn(64, 3, 32, 32), torch.randint(0, 10, (64,))
    usual, other, ratio = in_turns(
        *(partial(step_ms, model, images, targets) for model in (contiguous, last)), args.rounds
    )
    found = {"contiguous_ms": usual, "channels_last_ms": other, **ratio}
    save(args.out or RESULTS / "channels_last.json", {"threads": args.threads, **found})
    print(found)


if __name__ == "__main__":
    main()
