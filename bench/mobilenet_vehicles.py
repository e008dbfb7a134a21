"""MobileNetV2 (ImageNet, 1,000 labels) for ten vehicle labels of `imagenet40_64px`, on CPU.

Scale, shift and biases adapt, all other values stay.

Reports test accuracy against restricted, weights kept, and the process's peak memory.
"""

from __future__ import annotations

import resource
import time

import torch
from common import RESULTS, VALUES_STAY, Log, arguments, mobilenet, save

from seam.core.problem import Problem
from seam.jobs.direct import reengineer
from seam.jobs.plan import plan

VEHICLES = (
    "beach wagon",
    "bullet train",
    "convertible",
    "freight car",
    "limousine",
    "police van",
    "school bus",
    "sports car",
    "tractor",
    "trolleybus",
)


class StepLog(Log):
    """Prints some steps, too: an epoch takes minutes."""

    def step(self, epoch: int, epochs: int, step: int, steps: int) -> None:
        if step % 20 == 0:
            print(f"{epoch}/{epochs} {step}/{steps} {time.monotonic():.0f}", flush=True)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--levels", type=int, default=2)
    parser.add_argument("--final-density", type=float, default=0.35)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--shots", type=int, default=250, help="samples a label")
    parser.add_argument("--run-folder", default=None)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    problem = Problem.subset(VEHICLES)
    settings = plan(
        problem,
        **VALUES_STAY,
        epochs=args.epochs,
        levels=args.levels,
        final_density=args.final_density,
        batch_size=args.batch_size,
        shots=args.shots,
        seed=args.seed,
    )
    start = time.monotonic()
    result = reengineer(
        mobilenet(args.shared),
        problem,
        str(args.shared / "data" / "imagenet40_64px"),
        out=args.run_folder,
        settings=settings,
        observer=StepLog(),
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report = result.report
    print(report["accuracy"], report["weights"], peak)
    save(
        args.out or RESULTS / "mobilenet_vehicles.json",
        {
            "seed": args.seed,
            "threads": args.threads,
            "shots": args.shots,
            "config": settings.search.to_dict(),
            "seconds": time.monotonic() - start,
            "peak_memory_bytes": peak,
            "memory_definition": "largest resident set of the whole process (getrusage)",
            "weights_kept_share": report["weights"]["kept"] / report["weights"]["base"],
            "history": result.history,
            "report": report,
        },
    )


if __name__ == "__main__":
    main()
