"""Test accuracy at sizes fixed beforehand (`--keep`), from finished runs of default_vs_paper.py.

    python bench/keep_sizes.py --runs runs/default_airplane_0 runs/default_airplane_1 ...

Each run folder is opened once; its points are chosen by validation among those of at most the size.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch
from common import RESULTS, arguments, resnet20, save

from seam.artefacts.run import RunFolder
from seam.core.config import Pick
from seam.core.problem import Problem
from seam.jobs.observe import Silent
from seam.jobs.plan import Plan
from seam.jobs.result import finish
from seam.jobs.task import Task
from seam.jobs.walk import Walk
from seam.search.frontier import Point

SIZES = (0.5, 0.25, 0.1)


def points_of(folder: RunFolder) -> list[Point]:
    """Every point the run visited."""
    state = folder.load_state()
    assert state is not None, f"{folder.path} is not finished"
    return [Point(**row) for row in state[1]["points"]]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--runs", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    base = resnet20(args.shared)
    rows = []
    for place in args.runs:
        folder = RunFolder(place)
        settings = folder.settings()
        problem = Problem.from_dict(settings["problem"])
        data = str(args.shared / "data" / "cifar10")
        plan = Plan.from_dict(settings, Pick(rule="keep", value=1.0))
        task = Task(base, problem, data, plan)
        walk = Walk(task, folder, Silent())
        walk.points = points_of(folder)
        for size in SIZES:
            task.settings = replace(plan, pick=Pick(rule="keep", value=size))
            report = finish(task, walk, None, time.monotonic()).report
            rows.append(
                {
                    "label": problem.outputs[1],
                    "preset": settings["search"]["preset"],
                    "seed": plan.seed,
                    "epochs": plan.search.epochs,
                    "keep": size,
                    "density": report["density"],
                    "weights_kept": report["weights"]["kept"] / report["weights"]["base"],
                    "restricted": report["accuracy"]["restricted"],
                    "full": report["accuracy"]["full"],
                    "reengineered": report["accuracy"]["reengineered"],
                    "against_restricted": report["against_restricted"]["difference"],
                    "split_hash": report["split_hash"],
                }
            )
            print(
                problem.outputs[1],
                plan.seed,
                size,
                report["accuracy"]["restricted"]["value"],
                report["accuracy"]["reengineered"]["value"],
                flush=True,
            )
        save(args.out or RESULTS / "keep_sizes.json", {"threads": args.threads, "rows": rows})


if __name__ == "__main__":
    main()
