"""One peer of the channel search: same base, data, split, steps and MACs, another way to prune.

    python bench/peers/run.py resnet20 --labels ship,truck,frog --method l1 --seed 0 --out FILE.json
    python bench/peers/run.py resnet20 --method l1 --steps-like bench/results/channels/RUN.json ...
    python bench/peers/run.py resnet20 --out FILE.json --latency

Settings are those of bench/channels.py, or of one of its results (``--steps-like``). The epoch is
chosen on validation data; test data is used once. Beside FILE.json lies FILE.pt2, the result as a
`torch.export` program. With ``--latency`` a finished result is timed against its base and the
figures are added to FILE.json; run that on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from channels import BASES, DATA, changes_of, problem_of
from common import Log, arguments, save
from peers.prune import PROBES, UNIFORM_SLACK
from peers.shapes import resized, with_gathers, without_gathers
from peers.tune import SCRATCH_RATE, levels_of, tune

from seam.core.problem import Problem
from seam.data.config import DataConfig
from seam.data.prepare import DataSource, prepare
from seam.errors import ConfigError
from seam.evaluation.accuracy import first_images
from seam.evaluation.cost import executed_macs
from seam.evaluation.latency import LatencyPlan
from seam.exporting.program import to_program
from seam.jobs.direct import reengineer
from seam.jobs.latency import speed_and_size
from seam.jobs.measure import test_figures as figures_of
from seam.jobs.plan import Plan, plan
from seam.jobs.task import Task
from seam.masking.head import attach_head
from seam.models.base import BaseModel
from seam.models.zoo.cifar_resnet import PadShortcut
from seam.search.loop import SALIENCY_BATCHES

METHODS = ("tp-group-norm", "tp-group-taylor", "l1", "scratch", "paper")
UNIFORM = (
    f"the same share of every layer, in steps of 8 channels: the largest of at most "
    f"{UNIFORM_SLACK:g} times the budget of MACs is taken"
)
FLOOR = (
    "torch-pruning rounds what a layer keeps down to a multiple of 8; where it would round to 0, "
    "and so leave the layer whole, it keeps 8 here"
)
LIMITS = {
    "tp-group-norm": [FLOOR],
    "tp-group-taylor": [FLOOR],
    "l1": [UNIFORM, FLOOR],
    "scratch": [UNIFORM, "random weights; all learning rates are the scratch rate"],
    "paper": [
        "single weights are zeroed: a dense runtime still executes all of the base's MACs",
        "the paper's own rates, head, pick and loss; no budget, no distillation, no fine-tuning",
    ],
}
SHORTCUT = (
    "torch-pruning cannot prune the shortcuts without parameters; a gather of the same outputs "
    "stands for each, so that the stages' residual streams are pruned apart from one another, and "
    "what a stage no longer gives the next one reads as zero"
)


def row_of_peer(
    base: BaseModel, problem: Problem, data: DataSource, method: str, settings: Plan
) -> tuple[dict[str, Any], nn.Module]:
    """Everything measured of one peer, and its module; ``settings`` are those of our search.

    Raises:
        ConfigError: the method cannot meet the budget.
    """
    start = time.monotonic()
    if method == "paper":
        return _paper(base, problem, data, settings)
    task = Task(base, problem, data, settings)
    found = tune(task, method, say=lambda point: print(point, flush=True))
    module, example = found.model.eval(), task.base.example()
    figures, _ = figures_of(task.test_answers, module, task.baselines, task.data.test)
    base_macs, macs = (executed_macs(each, example) for each in (task.base.module, module))
    picked = found.points[found.picked - 1]
    pads = any(isinstance(each, PadShortcut) for each in base.module.modules())
    config = settings.search
    row = {
        **_facts(task.base, method, settings, task.data.sizes()["train"]),
        "problem": problem.to_dict(),
        "accuracy": figures["accuracy"],
        "against_restricted": figures["against_restricted"],
        "per_label": figures["per_label"],
        "macs": {"base": base_macs, "executed": macs, "share": macs / base_macs},
        "weights": {"base": _weights(base.module), "kept": _weights(module)},
        "model": {"kind": "shrunk"},
        "seconds": {
            "pruning": round(found.prune_seconds, 2),
            "search": round(found.seconds, 2),  # pruning and tuning, as in our own reports
            "cpu": round(found.cpu_seconds, 2),
            "total": round(time.monotonic() - start, 2),
        },
        "split_hash": task.data.split_hash,
        "n": task.data.sizes(),
        "validation": {
            **task.compared.bars.accuracies,
            "reengineered": picked["validation_accuracy"],
        },
        "picked": {"rule": "keep_macs", "epoch": found.picked},
        "points": found.points,
        "limits": [*LIMITS[method], *([SHORTCUT] if pads and method != "scratch" else [])],
    }
    row["settings"]["levels"] = levels_of(config, method).levels
    rate = SCRATCH_RATE if method == "scratch" else config.rates.tune
    row["settings"]["tune_rate"] = rate
    row["settings"]["head_rate"] = rate if method == "scratch" else config.rates.head
    return row, module


def _paper(
    base: BaseModel, problem: Problem, data: DataSource, settings: Plan
) -> tuple[dict[str, Any], nn.Module]:
    """The published search, of as many epochs."""
    theirs = plan(
        problem,
        preset_name="paper",
        base=(base.source, len(base.labels)),
        epochs=settings.search.epochs,
        batch_size=settings.search.batch_size,
        seed=settings.seed,
    )
    theirs = replace(theirs, data=settings.data)
    result = reengineer(base, problem, data, settings=theirs, observer=Log())
    report, module = result.report, result.model
    keys = ("problem", "accuracy", "against_restricted", "per_label", "weights", "density")
    more = ("seconds", "split_hash", "validation", "picked", "model")
    macs = report["macs"]
    row = {
        **_facts(base, "paper", theirs, report["samples"]["train"]),
        **{key: report[key] for key in (*keys, *more)},
        "macs": {**macs, "share": macs["executed"] / macs["base"]},
        "n": report["samples"],
        "points": result.history,
        "limits": LIMITS["paper"],
    }
    return row, module


def _facts(base: BaseModel, method: str, settings: Plan, train: int) -> dict[str, Any]:
    search = settings.search
    return {
        "method": method,
        "base": base.source,
        "seed": settings.seed,
        "epochs": search.epochs,
        "steps": search.epochs * -(-train // search.batch_size),
        "settings": {
            "search": search.to_dict(),
            "data": settings.data.to_dict(),
            "saliency_batches": SALIENCY_BATCHES,
            "probes": PROBES,
            "torch_pruning": version("torch-pruning"),
        },
    }


def _weights(module: nn.Module) -> int:
    return sum(each.numel() for each in module.parameters())


def rebuilt(base: BaseModel, row: dict[str, Any], tensors: dict[str, Tensor]) -> nn.Module:
    """A saved peer as a plain module, from its program's tensors."""
    problem = Problem.from_dict(row["problem"])
    model = attach_head(
        copy.deepcopy(base.in_evaluation().module),
        row["settings"]["search"]["head"],
        problem.members(base.labels),
        example=base.example(),
        seed=row["seed"],
    )
    if any(name.endswith(".source") for name in tensors):
        with_gathers(model)
    return without_gathers(resized(model, tensors)).eval()


@torch.no_grad()
def timed(
    base: BaseModel, row: dict[str, Any], program: Path, data: DataSource, latency: LatencyPlan
) -> dict[str, Any]:
    """``latency``, sizes and memory of a saved peer beside its base."""
    opened = torch.export.load(program)
    module = rebuilt(base, row, dict(opened.state_dict))
    samples = prepare(
        data,
        Problem.from_dict(row["problem"]),
        base_labels=base.labels,
        preprocessing=base.preprocessing,
        config=DataConfig(**row["settings"]["data"]),
        seed=row["seed"],
        device=torch.device("cpu"),
    )
    if samples.split_hash != row["split_hash"]:
        raise ConfigError(f"the data of '{program}' has changed since; restore it")
    images = first_images(samples.test, max(latency.batches))
    torch.testing.assert_close(module(images), opened.module()(images), rtol=1e-4, atol=1e-4)
    kind = row["model"]["kind"]
    return speed_and_size(base.in_evaluation().module, module, images, kind=kind, plan=latency)


def settings_of(name: str, problem: Problem, base: BaseModel, args: argparse.Namespace) -> Plan:
    """Those of our own run of the same base and problem."""
    if args.steps_like is not None:
        ours = json.loads(args.steps_like.read_text(encoding="utf-8"))
        if ours["problem"] != problem.to_dict() or ours["seed"] != args.seed:
            raise ConfigError(f"'{args.steps_like}' is a run of another problem or seed")
        values = {**ours["settings"], "exclude": [], "seed": args.seed}
        return Plan.from_dict(values)
    changes = changes_of(name, problem, args)
    return plan(problem, base=(name, len(base.labels)), **changes)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("name", choices=BASES)
    parser.add_argument("--labels", default="ship,truck,frog")
    parser.add_argument("--method", choices=METHODS, default="tp-group-taylor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--shots", type=int, default=None, help="a smoke check's few samples")
    parser.add_argument("--steps-like", type=Path, default=None, help="JSON of one of our runs")
    parser.add_argument("--set", nargs="*", default=[], help="further settings, key=value")
    parser.add_argument("--latency", action="store_true")
    args = parser.parse_args()
    if args.out is None:
        parser.error("--out is needed")
    torch.set_num_threads(args.threads)
    base = BASES[args.name](args.shared)
    data = str(args.shared / "data" / DATA[args.name])
    program = args.out.with_suffix(".pt2")
    if args.latency:
        row = json.loads(args.out.read_text(encoding="utf-8"))
        row |= timed(base, row, program, data, LatencyPlan(threads=args.threads))
    else:
        problem = problem_of(args.labels)
        settings = settings_of(args.name, problem, base, args)
        if args.shots is not None:
            settings = replace(settings, data=replace(settings.data, shots=args.shots))
        row, module = row_of_peer(base, problem, data, args.method, settings)
        row["threads"] = args.threads
        args.out.parent.mkdir(parents=True, exist_ok=True)
        to_program(module, base.example(), program)
    save(args.out, row)


if __name__ == "__main__":
    main()
