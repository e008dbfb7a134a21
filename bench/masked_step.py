"""What a search step costs beside a plain training step: time interleaved, memory a process each.

Plain: forward, cross entropy, backward, Adam on all weights, everything else equal. Searched: the
whole step of the loop (schedule, threshold, masks, both optimizers). Median ratio of paired steps.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, arguments, save
from torch import nn
from torch.nn import functional as F

from seam.core.problem import Problem
from seam.masking.head import attach_head
from seam.models.zoo import ZOO
from seam.search.loop import begin, search
from seam.search.objective import Objective
from seam.search.presets import preset
from seam.search.samples import Batch, SearchData

MODELS = {
    "cifar_resnet20": (64, 32, 10),
    "cifar_vgg16": (64, 32, 10),
    "mobilenetv2_100": (16, 224, 1000),
}
# Batches enlarged for the memory figure, so that it stands out above what importing PyTorch takes.
MEMORY_BATCHES = {"cifar_resnet20": 8, "cifar_vgg16": 2, "mobilenetv2_100": 2}
PROBLEM = Problem.one_vs_rest("0")
KINDS = ("default", "bitmask", "paper")
MALLOC = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(2**20)}
"""What is freed is given back: else what the allocator keeps for itself is counted, too."""


class Fixed:
    """The same random batch again and again."""

    def __init__(self, batch: Batch, steps: int) -> None:
        self.batch, self.steps = batch, steps
        self.targets = batch.targets.repeat(steps)

    def __len__(self) -> int:
        return len(self.targets)

    def shuffled(self, *_: int, **__: int) -> Iterator[Batch]:
        yield from [self.batch] * self.steps

    ordered = shuffled


def build(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name in ZOO:
        module = ZOO[name].build()
    else:
        import timm

        module = timm.create_model(name, pretrained=False)
    return module.to(memory_format=torch.channels_last).eval()


def batch_of(name: str, times: int = 1) -> Batch:
    size, side, _ = MODELS[name]
    size *= times
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(size, 3, side, side, generator=generator)
    targets = torch.randint(0, 2, (size,), generator=generator)
    return Batch(images.to(memory_format=torch.channels_last), targets, torch.arange(size))


def plain_step(name: str, times: int = 1) -> Callable[[], None]:
    """One training step of the whole network with the same kind of head."""
    labels = [str(i) for i in range(MODELS[name][2])]
    batch = batch_of(name, times)
    module = build(name)
    members = PROBLEM.members(labels)
    model = attach_head(module, "slice", members, example=batch.images[:1], seed=0).eval()
    return training_step(model, batch)


def training_step(model: nn.Module, batch: Batch) -> Callable[[], None]:
    """Forward, cross entropy, backward, Adam on all weights."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(batch.images), batch.targets).backward()
        optimizer.step()

    return step


def masked_step(name: str, preset_name: str, steps: int, times: int = 1) -> Callable[[], None]:
    """One step of the loop itself, driven through its own callback."""
    labels = [str(i) for i in range(MODELS[name][2])]
    batch = batch_of(name, times)
    config = preset(preset_name, PROBLEM)
    members = PROBLEM.members(labels)
    model = attach_head(build(name), config.head, members, example=batch.images[:1], seed=0)
    state = begin(model, config)
    state.epoch = 1  # past the paper's first, head-only epoch
    data = Fixed(batch, steps)
    steps_of = ticks(state, SearchData(data, data), config)
    return lambda: next(steps_of)


def ticks(state, data, config) -> Iterator[None]:
    """The loop as a generator that stops after each step."""
    import threading

    go, done = threading.Semaphore(0), threading.Semaphore(0)

    def on_step(_step: int, _steps: int) -> None:
        done.release()
        go.acquire()

    def work() -> None:
        go.acquire()
        for _ in search(state, data, config, Objective(), seed=0, on_step=on_step):
            pass

    threading.Thread(target=work, daemon=True).start()
    while True:
        go.release()
        done.acquire()
        yield


def timed(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return 1000 * (time.perf_counter() - start)


def child(kind: str, name: str, threads: int) -> None:
    """Peak memory of a few steps, over the process before the model was built."""
    torch.set_num_threads(threads)
    times = MEMORY_BATCHES.get(name, 1)

    def made() -> Callable[[], None]:
        return plain_step(name, times) if kind == "plain" else masked_step(name, kind, 100, times)

    print(json.dumps(peak_growth(made, 5)))


def peak_growth(make: Callable[[], Callable[[], None]], steps: int) -> int:
    """By how many bytes making a step, and taking some, raise this process's peak."""
    before = peak_bytes()
    step = make()
    for _ in range(steps):
        step()
    return peak_bytes() - before


def measured(script: str, threads: int, *words: str) -> Any:
    """What a script prints with ``--child WORDS``, in a process of its own."""
    command = [sys.executable, script, "--threads", str(threads), "--child", *words]
    environment = {**os.environ, **MALLOC}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes() -> int:
    """Peak resident set of this process; getrusage would count what the parent had, too (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--child", nargs=2, default=None, metavar=("KIND", "MODEL"))
    args = parser.parse_args()
    if args.child:
        child(*args.child, args.threads)
        return
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.models:
        plain = plain_step(name)
        kinds = {kind: masked_step(name, kind, 10_000) for kind in KINDS}
        for step in (plain, *kinds.values()):
            for _ in range(3):
                step()
        times: dict[str, list[float]] = {"plain": [], **{kind: [] for kind in KINDS}}
        for _ in range(args.steps):
            times["plain"].append(timed(plain))
            for kind, step in kinds.items():
                times[kind].append(timed(step))
        memory = {kind: measured(__file__, args.threads, kind, name) for kind in times}
        for kind in kinds:
            ratios = [a / b for a, b in zip(times[kind], times["plain"], strict=True)]
            low, _, high = statistics.quantiles(ratios, n=4)
            rows.append(
                {
                    "model": name,
                    "preset": kind,
                    "batch": MODELS[name][0],
                    "pixels": MODELS[name][1],
                    "masked_ms": statistics.median(times[kind]),
                    "plain_ms": statistics.median(times["plain"]),
                    "ratio": statistics.median(ratios),
                    "iqr": [low, high],
                    "n": args.steps,
                    "memory_bytes": memory[kind],
                    "plain_memory_bytes": memory["plain"],
                    "memory_batch": MODELS[name][0] * MEMORY_BATCHES.get(name, 1),
                    "memory_ratio": memory[kind] / memory["plain"],
                }
            )
            print(rows[-1], flush=True)
        save(
            args.out or RESULTS / "masked_step.json",
            {
                "threads": args.threads,
                "memory_definition": "growth of the process's peak resident set over five steps",
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()
