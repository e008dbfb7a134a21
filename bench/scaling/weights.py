"""Time and memory of a search step against the number of weights, beside a plain training step.

    python bench/scaling/weights.py --threads 1

Vision transformers of random weights at 224 pixels: every size has the same number of tokens, so
computation grows with the weights alone. Plain: forward, cross entropy, backward, Adam on all
weights. Steps of a search take turns with plain ones. Sizes that the file has are not run again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import RESULTS, arguments, save
from masked_step import Fixed, measured, peak_growth, ticks, timed, training_step
from scaling.model import exponent
from torch import nn

from seam.core.problem import Problem
from seam.masking.head import attach_head
from seam.search.loop import begin
from seam.search.presets import preset
from seam.search.samples import Batch, SearchData

KINDS = ("plain", "bitmask", "default")
PIXELS, LABELS = 224, 1000
PROBLEM = Problem.one_vs_rest("0")
MEMBERS = PROBLEM.members([str(number) for number in range(LABELS)])
WARM = 2


@dataclass(frozen=True)
class Size:
    """A vision transformer; the last two are ViT-B/16 and ViT-L/16."""

    width: int
    depth: int
    heads: int
    steps: int

    def build(self) -> nn.Module:
        import timm

        torch.manual_seed(0)
        return timm.models.VisionTransformer(
            embed_dim=self.width, depth=self.depth, num_heads=self.heads, num_classes=LABELS
        ).eval()


SIZES = {
    "0.3 M": Size(48, 6, 2, 20),
    "1 M": Size(96, 7, 3, 20),
    "5 M": Size(192, 12, 3, 10),
    "22 M": Size(384, 12, 6, 7),
    "86 M": Size(768, 12, 12, 5),
    "304 M": Size(1024, 24, 16, 3),
}


def batch_of(size: int) -> Batch:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(size, 3, PIXELS, PIXELS, generator=generator)
    return Batch(images, torch.arange(size) % 2, torch.arange(size))


def step_of(kind: str, size: Size, batch: Batch) -> Callable[[], None]:
    """One training step, or one step of a preset's search."""
    example = batch.images[:1]
    if kind == "plain":
        model = attach_head(size.build(), "slice", MEMBERS, example=example, seed=0)
        return training_step(model, batch)
    config = preset(kind, PROBLEM)
    state = begin(attach_head(size.build(), config.head, MEMBERS, example=example, seed=0), config)
    state.started = True  # the look at the data that sets the scores is not a step
    data = Fixed(batch, 1000)
    steps = ticks(state, SearchData(data, data), config)
    return lambda: next(steps)


def memory(kind: str, name: str, batch: int) -> int:
    """Growth of the peak resident set over three steps, in bytes."""
    return peak_growth(lambda: step_of(kind, SIZES[name], batch_of(batch)), 3)


def turns(kind: str, name: str, batch: int) -> list[list[float]]:
    """Milliseconds of plain steps and of a search's, in turns."""
    pair = [step_of(each, SIZES[name], batch_of(batch)) for each in (KINDS[0], kind)]
    return [[timed(step) for step in pair] for _ in range(WARM + SIZES[name].steps)][WARM:]


MEASURES: dict[str, Callable[[str, str, int], Any]] = {"memory": memory, "turns": turns}


def row_of(name: str, batch: int, threads: int) -> dict[str, Any]:
    """Times and memory of one size; a search's steps take turns with plain ones."""

    def child(what: str, kind: str) -> Any:
        return measured(__file__, threads, what, kind, name, str(batch))

    size = SIZES[name]
    count = sum(each.numel() for each in size.build().parameters())
    peaks = {kind: child("memory", kind) for kind in KINDS}
    row: dict[str, Any] = {"size": name, "weights": count, "batch": batch, "n": size.steps}
    plain: list[float] = []
    for kind in KINDS[1:]:
        taken = child("turns", kind)
        plain += [turn[0] for turn in taken]
        row[kind] = {
            "ms": median(turn[1] for turn in taken),
            "iqr_ms": quantiles([turn[1] for turn in taken], n=4)[::2],
            "ratio": median(turn[1] / turn[0] for turn in taken),
            "memory_bytes": peaks[kind],
            "memory_ratio": peaks[kind] / peaks[KINDS[0]],
        }
    row[KINDS[0]] = {
        "ms": median(plain),
        "iqr_ms": quantiles(plain, n=4)[::2],
        "memory_bytes": peaks[KINDS[0]],
    }
    return row


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--child", nargs=4, metavar=("WHAT", "KIND", "SIZE", "BATCH"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.child:
        what, kind, name, batch = args.child
        print(json.dumps(MEASURES[what](kind, name, int(batch))))
        return
    file = args.out or RESULTS / "scaling" / "weights.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
    for name in args.sizes:
        if any((row["size"], row["batch"]) == (name, args.batch) for row in rows):
            continue
        rows.append(row_of(name, args.batch, args.threads))
        print(rows[-1], flush=True)
        found = {"threads": args.threads, "pixels": PIXELS, "seed": 0, "rows": rows}
        if len(rows) > 2:
            counts = [row["weights"] for row in rows]
            found["exponents"] = {
                kind: exponent(counts, [row[kind]["ms"] for row in rows]) for kind in KINDS
            }
        save(file, found)


if __name__ == "__main__":
    main()
