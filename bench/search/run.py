"""Every method on one problem, at equal data, split and steps; a JSON file a method.

    python bench/search/run.py resnet20/airplane --epochs 10 --seed 0
    python bench/search/run.py resnet20/airplane/50 --methods default wanda
    python bench/search/run.py --list

The curve is of validation data, by which each size's point is chosen; test data is used once, for
those points. A method whose file is there already is passed over. Settings are compared with
`--whole-validation --out FOLDER`: as few training images as asked, but all validation images.
"""

from __future__ import annotations

import copy
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import RESULTS, arguments, save
from search.figures import best_within, hypervolume, reached
from search.methods import METHODS, Method
from search.problems import BASES, Case, cases

from seam.artefacts.adapter import apply_adapter
from seam.core.pick import Pick
from seam.evaluation.accuracy import outputs_of, share_right
from seam.jobs.measure import paired
from seam.jobs.observe import Silent
from seam.jobs.result import adapter_of
from seam.jobs.task import Task
from seam.jobs.walk import Walk
from seam.search.frontier import Point, pick
from seam.search.loop import SALIENCY_BATCHES

SIZES = (0.4, 0.2, 0.1, 0.05)


class Clock(Silent):
    """CPU and wall seconds of this process at each epoch's end, since the search began."""

    def __init__(self) -> None:
        self.start = self.now()
        self.seconds: dict[int, dict[str, float]] = {0: dict.fromkeys(self.start, 0.0)}

    @staticmethod
    def now() -> dict[str, float]:
        return {"cpu_seconds": time.process_time(), "seconds": time.monotonic()}

    def begun(self, settings: object, points: object) -> None:  # noqa: ARG002
        self.start = self.now()

    def point(self, point: Point, epochs: int) -> None:
        now = self.now()
        self.seconds[point.epoch] = {name: now[name] - self.start[name] for name in now}
        print(point, epochs, flush=True)


def searched(task: Task, method: Method) -> tuple[Walk, list[dict[str, Any]]]:
    """A walk, and its points with the steps and seconds they took; looking at a batch is a step."""
    clock = Clock()
    walk = method.walk(task, clock)
    walk.run()
    steps = -(-len(task.data.search.train) // task.settings.search.batch_size)
    looks = min(steps, SALIENCY_BATCHES) if walk.state.strategy.start is not None else 0
    points = [
        {
            **point.to_dict(),
            "steps": point.epoch * steps + looks * (point.epoch > 0),
            **{name: round(spent, 2) for name, spent in clock.seconds[point.epoch].items()},
        }
        for point in walk.points
    ]
    return walk, points


def at_last(task: Task, walk: Walk) -> dict[str, float]:
    """Where the search ended, on validation data: what tells settings apart sooner than accuracy.

    Cross entropy of the true outputs, and divergence from the restricted base's probabilities.
    """
    validation = task.data.search.validation
    found = outputs_of(walk.state.model.eval(), validation)
    taught = task.baselines.outputs(task.compared.validation)
    apart = F.kl_div(found.log_softmax(1), taught.softmax(1), reduction="batchmean")
    return {
        "cross_entropy": float(F.cross_entropy(found, validation.targets.to(found.device))),
        "from_restricted": float(apart),
    }


def on_test(task: Task, walk: Walk, points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Test accuracy against restricted: of the most accurate point at each size, and of the pick.

    The pick, of size None, is the smallest point no worse than restricted. Validation chooses.
    """
    epochs = {point.epoch: point for point in walk.frontier}
    mine = [point for point in points if point["epoch"] in epochs]
    chosen: dict[float | None, int] = {None: pick(walk.frontier, Pick(), task.compared.bars).epoch}
    for size in SIZES:
        best = best_within(mine, "density", size)
        if best is not None:
            chosen[size] = best["epoch"]
    test = task.data.test
    restricted = task.baselines.predictions(outputs_of(task.compared.reader, test))["restricted"]
    rows = []
    for size, epoch in chosen.items():
        adapter = adapter_of(task, walk.snapshot(epochs[epoch]))
        found = outputs_of(apply_adapter(adapter, task.base), test).argmax(1)
        rows.append(
            {
                "size": size,
                "epoch": epoch,
                "density": adapter.density,
                "accuracy": share_right(found, test.targets).to_dict(),
                "restricted": share_right(restricted, test.targets).to_dict(),
                "against_restricted": paired(found, restricted, test.targets)["difference"],
            }
        )
    return rows


def row_of(task: Task, name: str, problem: str) -> dict[str, Any]:
    """All that one method gives on one problem."""
    walk, points = searched(task, METHODS[name])
    bars = dict(task.compared.bars.accuracies)
    chance = 1 / len(task.problem.outputs)
    return {
        "problem": problem,
        "method": name,
        "settings": task.settings.to_dict(),
        **task.provenance(),
        "validation": bars,
        "points": points,
        "last": at_last(task, walk),
        "hypervolume": {size: hypervolume(points, size, chance) for size in ("density", "macs")},
        "reached": reached(points, bars["restricted"]),
        "test": on_test(task, walk, points),
    }


def task_for(whole: Task, method: Method, base: tuple[str, int], changes: dict[str, Any]) -> Task:
    """The same data and baselines with a method's own settings."""
    task = copy.copy(whole)
    task.settings = method.plan(whole.problem, base, **changes)
    return task


def changes_of(args: Any, case: Case) -> dict[str, Any]:
    """What all methods have in common."""
    return {
        **BASES[case.base].settings,
        "epochs": args.epochs,
        "seed": args.seed,
        "precision": args.precision,
        "shots": None if args.whole_validation else args.shots or case.shots,
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("problem", nargs="?")
    parser.add_argument("--list", action="store_true", help="print the problems' names")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shots", type=int, default=None)
    parser.add_argument(
        "--whole-validation", action="store_true", help="few training images, all others"
    )
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    args = parser.parse_args()
    known = cases()
    if args.list:
        print("\n".join(known))
        return
    if args.problem not in known:
        parser.error(f"there is no problem '{args.problem}'; --list names them")
    torch.set_num_threads(args.threads)
    case = known[args.problem]
    if args.whole_validation and not BASES[case.base].halved:
        parser.error(
            f"'{case.base}' has no validation images to keep; leave --whole-validation out"
        )
    base = BASES[case.base].load(args.shared)
    facts, changes = (base.source, len(base.labels)), changes_of(args, case)
    folder = args.out or RESULTS / "search"
    whole = None
    for name in args.methods:
        shots = f"/{args.shots}" if args.shots else ""
        stem = re.sub(r"[^\w-]+", "_", f"{args.problem}{shots}_{name}_{args.seed}")
        file = folder / f"{stem}.json"
        if file.exists():
            continue
        method = METHODS[name]
        if whole is None:
            settings = method.plan(case.problem, facts, **changes)
            few = (args.shots or case.shots) if args.whole_validation else None
            data = BASES[case.base].data(args.shared, few)
            whole = Task(base, case.problem, data, settings)
        save(file, row_of(task_for(whole, method, facts, changes), name, args.problem))


if __name__ == "__main__":
    main()
