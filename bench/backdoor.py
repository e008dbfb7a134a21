"""A backdoored base: what is left of the trigger, in a plain search, a safer one, and others.

    python bench/backdoor.py --shots 50 500 --seeds 0 1 2

`wrn16_1_cifar10_backdoored` of ../shared, reused for three of its labels with and without dog, the
trigger's target, and for dog against the rest. Beside plain fine-tuning of the whole base on the
same images, the base after a published repair, and one that was never poisoned. The trigger is that
of ../shared and is put on test images only: the search makes its own. Rows that are in the file
already are not run again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, Log, arguments, save
from peers.students import RECIPES, student
from torch import nn

from seam.core.problem import Problem
from seam.defects.backdoor import Trigger
from seam.defects.inheritance import target_rate
from seam.defects.pixels import on_pixels, predicted
from seam.defects.triggered import trigger_figures
from seam.evaluation.accuracy import outputs_of, share_right
from seam.jobs.defects import subjects_of
from seam.jobs.direct import reengineer
from seam.jobs.measure import test_figures as figures_of
from seam.jobs.plan import Plan, plan
from seam.jobs.task import Task
from seam.models.base import BaseModel
from seam.models.load import load_base

PROBLEMS = {
    "cat, dog, horse": Problem.subset(["cat", "dog", "horse"]),
    "ship, truck, frog": Problem.subset(["ship", "truck", "frog"]),
    "dog or not": Problem.one_vs_rest("dog"),
}
OTHERS = ("clean", "repaired")
"""Methods that make nothing of the base: networks of the same shape, by the names of their files.

One was never poisoned: what it has, no repair can be asked to get below.
"""
METHODS = (*OTHERS, "finetune", "seam", "safer")
TRIGGER = Trigger(patch=[[255, 0, 255], [0, 255, 0], [255, 0, 255]], target_label="dog")
EPOCHS = {50: 40, 500: 20}
SETTINGS: dict[str, Any] = {
    "batch_size": 32,
    "augment": "crop+flip",
    "remove": 0.3,
    "precision": "bfloat16",
}
"""Chosen on images that no search saw, with 500 a label: bench/NOTES.md, 54."""


def wrn16(shared: Path, kind: str) -> BaseModel:
    """One of the small wide residual networks of ../shared."""
    file = shared / "models" / f"wrn16_1_cifar10_{kind}.safetensors"
    return load_base("zoo:wrn16_1", weights=file)


def settings_of(problem: Problem, method: str, shots: int, seed: int) -> Plan:
    """The same samples for every method; fine-tuning has the true labels alone."""
    given = {**SETTINGS, "shots": shots, "seed": seed, "epochs": EPOCHS.get(shots, 20)}
    if method == "finetune":
        given |= {"distill": 0.0}
    safer = "triggers" if method == "safer" else None
    return plan(problem, safer=safer, **given)


def result_of(
    method: str, base: BaseModel, task: Task, data: str, shared: Path
) -> tuple[nn.Module, float]:
    """What a method makes of the base, and the share of its weights that is left."""
    if method in OTHERS:
        of_it = Task(wrn16(shared, method), task.problem, data, task.settings)
        return of_it.compared.answers, 1.0
    if method == "finetune":
        _, model, _ = student(task, method, 0.0, RECIPES["adam"], say=print)
        return model, 1.0
    done = reengineer(base, task.problem, data, settings=task.settings, observer=Log())
    return done.model, done.report["density"]


def row_of(method: str, name: str, shots: int, seed: int, shared: Path) -> dict[str, Any]:
    """One method on one problem: accuracy, and success of the trigger, on test data."""
    base, problem, start = wrn16(shared, "backdoored"), PROBLEMS[name], time.process_time()
    settings, data = settings_of(problem, method, shots, seed), str(shared / "data" / "cifar10")
    task = Task(base, problem, data, settings)
    model, density = result_of(method, base, task, data, shared)
    measured, _ = figures_of(task.test_answers, model, task.baselines, task.data.test)
    found, _ = trigger_figures(subjects_of(task, model), TRIGGER)
    own, restricted = found["reengineered"], found["base"]["restricted"]
    return {
        "method": method,
        "problem": name,
        "shots": shots,
        "seed": seed,
        "density": density,
        "success": {key: own[key] for key in ("value", "low", "high", "n")},
        **of_the_target(task, model),
        "base_success": restricted,
        "meaning": found["meaning"],
        "accuracy": measured["accuracy"],
        "against_restricted": measured["against_restricted"],
        "n": task.data.sizes(),
        "split_hash": task.data.split_hash,
        "cpu_seconds": round(time.process_time() - start, 1),
        "settings": json.loads(json.dumps(settings.to_dict())),
    }


def of_the_target(task: Task, model: nn.Module) -> dict[str, dict[str, Any] | None]:
    """What explains a trigger's success; each None where no output stands for its target.

    Clean samples of other outputs that are given the target: a trigger without any effect has this
    success. And the target's own that are recognised, without and with the trigger: a model that
    takes it for a sign against the target loses some.
    """
    if "dog" not in task.problem.outputs:
        return dict.fromkeys(("without_trigger", "recognised", "recognised_with_trigger"))
    target, test = task.problem.outputs.index("dog"), task.data.test
    found, truth = outputs_of(model, test).argmax(1).cpu(), test.targets.cpu()
    own = (truth == target).nonzero().flatten()
    seen, triggered = on_pixels(model, task.base.preprocessing), TRIGGER.apply(test.scaled(own))
    shares = {
        "without_trigger": target_rate(found, truth, target),
        "recognised": share_right(found[own], truth[own]),
        "recognised_with_trigger": share_right(predicted(seen, triggered), truth[own]),
    }
    return {name: share.to_dict() for name, share in shares.items()}


def missing(rows: list[dict[str, Any]], args: Any) -> Iterator[tuple[str, str, int, int]]:
    """What is not measured yet."""
    done = {(row["method"], row["problem"], row["shots"], row["seed"]) for row in rows}
    for seed, shots, name, method in product(args.seeds, args.shots, PROBLEMS, args.methods):
        if (method, name, shots, seed) not in done:
            yield method, name, shots, seed


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--shots", nargs="*", type=int, default=[50, 500])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", default=METHODS, choices=METHODS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    out = args.out or RESULTS / "backdoor.json"
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"] if out.exists() else []
    for asked in missing(rows, args):
        rows.append(row_of(*asked, args.shared))
        print(asked, rows[-1]["success"], rows[-1]["against_restricted"], flush=True)
        save(out, {"threads": args.threads, "rows": rows})


if __name__ == "__main__":
    main()
