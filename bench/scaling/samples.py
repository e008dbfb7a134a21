"""Time of a search against the numbers of samples, epochs and labels; one is varied at a time.

python bench/scaling/samples.py --threads 1
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import RESULTS, arguments, resnet20, save
from scaling.model import line

import seam
from seam.models.base import BaseModel

REPEATS = 3
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHOTS, EPOCHS, LABELS = (50, 100, 200, 400), (1, 2, 4, 8), (2, 4, 7, 10)


def seconds(base: BaseModel, data: str, *, labels: int, shots: int, epochs: int) -> float:
    """Processor seconds of a search with its measurements, reading data included."""
    problem = seam.Problem.of(CIFAR10[:labels])
    settings = seam.plan(problem, shots=shots, epochs=epochs)
    start = time.process_time()
    seam.reengineer(base, problem, data, settings=settings)
    return time.process_time() - start


def main() -> None:
    parser = arguments(__doc__)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    base, data = resnet20(args.shared), str(args.shared / "data" / "cifar10")
    seconds(base, data, labels=2, shots=20, epochs=1)  # what is imported late
    usual = {"labels": 2, "shots": 100, "epochs": 2}
    curves: dict[str, Any] = {}
    for name, varied, sizes, unit in (
        ("training images", "shots", SHOTS, usual["labels"]),
        ("epochs", "epochs", EPOCHS, 1),
        ("labels, as many images in all", "labels", LABELS, 1),
    ):
        costs = []
        for size in sizes:
            given = {**usual, varied: size}
            if varied == "labels":
                given["shots"] = 280 // size
            taken = [seconds(base, data, **given) for _ in range(REPEATS)]
            costs.append(median(taken))
            print(name, given, taken, flush=True)
        counts = [unit * size for size in sizes]
        curves[name] = {"sizes": counts, "seconds": costs, "line": line(counts, costs)}
        save(
            args.out or RESULTS / "scaling" / "samples.json",
            {"usual": usual, "repeats": REPEATS, "seed": 0, "threads": args.threads,
             "curves": curves},
        )  # fmt: skip


if __name__ == "__main__":
    main()
