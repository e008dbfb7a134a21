"""Students for new labels, and what they inherit: ours beside fine-tuning, scratch, ReMoS, others.

    python bench/transfer.py resnet20 flowers --seed 0 --students runs/transfer
    python bench/transfer.py resnet20 gtsrb --shots 40 --methods seam safer --removed 0.5 ...
    python bench/transfer.py mobilenet flowers --epochs 10 --recipe adam --rate 0.0003 --out F...

What a student inherits is how often attacks that were made on the base flip it. All have the same
data split, batches and number of steps; but for first weights, the head that they start from is
trained on the frozen base. The epoch, or point, is chosen on validation data; test data is used
once. Rows that are in the file already are not run again. Each student is an adapter folder in
``--students``: ``seam.load(folder, base=base)``. Training images of `gtsrb` are frames of tracks,
so its validation figures flatter everyone alike.
"""

from __future__ import annotations

import json
import time
from argparse import Namespace
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, Log, arguments, mobilenet, resnet20, save
from peers.inherited import Inherited, away_from_attacks
from peers.students import FIRST_WEIGHTS, METHODS, RECIPES, SCRATCH, student
from torch import nn

from seam.artefacts.adapter import save_adapter
from seam.core.preprocessing import Preprocessing
from seam.core.problem import Problem
from seam.data.load import labels_of
from seam.evaluation.cost import executed_macs
from seam.jobs.measure import test_figures as figures_of
from seam.jobs.plan import plan
from seam.jobs.result import finish
from seam.jobs.task import Task
from seam.jobs.walk import Walk
from seam.models.base import BaseModel

BASES: dict[str, Callable[[Path], BaseModel]] = {
    "resnet20": resnet20,
    "mobilenet": partial(mobilenet, size=128),
}
WITHOUT_STATISTICS = ("mobilenet",)
"""Statistics of their norm layers are folded into scale and shift: mean 0, variance 1."""
REMOVED = (0.3, 0.5, 0.6, 0.7)
REMOS_REMOVED = 0.1
SETTINGS: dict[str, dict[str, Any]] = {"gtsrb": {"augment": "crop"}}
"""Mirrored traffic signs mean something else."""
OURS: dict[str, dict[str, Any]] = {"seam": {}, "safer": {"safer": "attacks"}, "away": {}}
"""Our searches: plain; shown attacks on the base; scores that start away from what attacks use."""


Inheritance = Callable[[nn.Module, Task], dict[str, Any]]
"""What a student inherits of its base's defects: figures for its row.

The base is ``task.base.module``, with a head for these labels ``task.headed()``; samples to attack
are ``task.data.test``.
"""


def rows_of(
    base: BaseModel,
    target: str,
    args: Namespace,
    *,
    inheritance: Inheritance,
    done: Collection[tuple[str, float]] = (),
) -> Iterator[dict[str, Any]]:
    """One row a student that is not ``done`` yet."""
    problem = Problem.new_labels(labels_of(target))
    common = {"epochs": args.epochs, "seed": args.seed, "batch_size": args.batch_size}
    common |= {"shots": args.shots, "augment": args.augment, "granularity": args.granularity}
    common |= {"precision": args.precision, "tune_lr": args.rate}
    shares = {"remos": [REMOS_REMOVED], **{key: [0.0] for key in ("finetune", *FIRST_WEIGHTS)}}
    for method in args.methods:
        for removed in shares.get(method, args.removed):
            if (method, removed) in done:
                continue
            name = f"{method}-{round(100 * removed)}-{args.seed}"
            print(name, flush=True)
            settings = plan(problem, remove=removed or 0.5, **common, **OURS.get(method, {}))
            task = Task(base, problem, target, settings)
            start, cpu = time.monotonic(), time.process_time()
            if method in OURS:
                row, model = ours(task, method, args.students / name)
            else:
                row, model = theirs(task, method, removed, args, args.students / name)
            clocks = {
                "total": round(time.monotonic() - start, 2),
                "cpu": round(time.process_time() - cpu, 2),
            }
            row = {"method": method, "removed": removed, "student": name, **facts_of(task), **row}
            yield {**row, "inheritance": inheritance(model, task), "seconds": clocks}


def facts_of(task: Task) -> dict[str, Any]:
    """What all students of a task share."""
    config = task.settings.search
    steps = config.all_epochs * -(-len(task.data.search.train) // config.batch_size)
    return {
        "base": task.base.source,
        "outputs": len(task.problem.outputs),
        "seed": task.settings.seed,
        "steps": steps,
        "batch_size": config.batch_size,
        "split_hash": task.data.split_hash,
        "n": task.data.sizes(),
        "validation": dict(task.compared.bars.accuracies),
    }


def ours(task: Task, method: str, folder: Path) -> tuple[dict[str, Any], nn.Module]:
    """Our own student, at the size that the task's settings ask for."""
    start, walk = time.monotonic(), Walk(task, None, Log())
    if method == "away":
        preprocessing = task.base.preprocessing
        assert isinstance(preprocessing, Preprocessing)
        away = partial(away_from_attacks, preprocessing=preprocessing)
        walk.state.strategy = replace(walk.state.strategy, start=away)
    walk.run()
    done = finish(task, walk, None, start)
    save_adapter(done.adapter, folder / "adapter")
    report = done.report
    keys = ("accuracy", "against_head_only", "density", "weights", "macs", "model", "picked")
    return {
        **{key: report[key] for key in keys},
        "validation": report["validation"],
        "points": done.history,
        "settings": json.loads(json.dumps(task.settings.to_dict())),
    }, done.model


def theirs(
    task: Task, method: str, removed: float, args: Namespace, folder: Path
) -> tuple[dict[str, Any], nn.Module]:
    """Another method's student, saved as an adapter."""
    recipe = RECIPES[args.recipe]
    if args.rate is not None:
        recipe = replace(recipe, rate=args.rate)
    adapter, model, points = student(
        task,
        method,
        removed,
        recipe,
        say=lambda point: print(point, flush=True),
        statistics=args.base not in WITHOUT_STATISTICS,
    )
    figures, _ = figures_of(task.test_answers, model, task.baselines, task.data.test)
    save_adapter(adapter, folder / "adapter")
    weights = sum(each.numel() for each in task.base.module.parameters())
    nonzero = sum(int((each != 0).sum()) for each in model.parameters())
    best = max(point["validation_accuracy"] for point in points)
    macs = executed_macs(model, task.base.example())
    return {
        "accuracy": figures["accuracy"],
        "against_head_only": figures["against_head_only"],
        "density": adapter.density,
        "weights": {"base": weights, "kept": nonzero},
        "macs": {"base": executed_macs(task.base.module, task.base.example()), "executed": macs},
        "validation": {**task.compared.bars.accuracies, "reengineered": best},
        "points": points,
        "settings": vars(SCRATCH if method in FIRST_WEIGHTS else recipe),
    }, model


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("base", choices=BASES)
    parser.add_argument("target", help="a folder of ../shared/data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--shots", type=int, default=None)
    parser.add_argument("--augment", default=None)
    parser.add_argument("--granularity", default="weight", choices=("weight", "channel"))
    parser.add_argument("--recipe", default="sgd", choices=RECIPES)
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rate", type=float, default=None, help="of the base's own weights")
    parser.add_argument("--removed", nargs="*", type=float, default=REMOVED)
    parser.add_argument("--methods", nargs="*", default=("seam", "safer", *METHODS))
    parser.add_argument("--attacked", type=int, default=500, help="samples that attacks get")
    parser.add_argument("--validation", action="store_true", help="attack validation samples")
    parser.add_argument("--students", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.augment = args.augment or SETTINGS.get(args.target, {}).get("augment")
    name = f"{args.base}_{args.target}_{args.granularity}_{args.seed}"
    out = args.out or RESULTS / "transfer" / f"{name}.json"
    base = BASES[args.base](args.shared)
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"] if out.exists() else []
    done = {(row["method"], row["removed"]) for row in rows}
    inheritance = Inherited(args.attacked, validation=args.validation)
    data = str(args.shared / "data" / args.target)
    for row in rows_of(base, data, args, inheritance=inheritance, done=done):
        rows.append({"target": args.target, "recipe": args.recipe, **row})
        save(out, {"threads": args.threads, "rows": rows})


if __name__ == "__main__":
    main()
