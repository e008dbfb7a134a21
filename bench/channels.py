"""Channels searched, removed, fine-tuned: accuracy, MACs, weights at sizes fixed beforehand.

    python bench/channels.py resnet20 --labels ship,truck,frog --seed 0 --run runs/r20_stf_0
    python bench/channels.py vgg16 --labels airplane --run runs/vgg_0 --set precision=bfloat16
    python bench/channels.py resnet20 --run runs/r20_stf_0 --latency

The size is the target of each base (`SETTINGS`), not chosen on any accuracy; the point is the most
accurate on validation data of at most that size. Test data is used once, at the end. With
``--latency`` a finished run is timed against its base; run that on an otherwise idle machine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, Log, arguments, mobilenet, resnet20, save, vgg16
from groups import GROUPS

from seam.core.problem import Problem
from seam.evaluation.latency import LatencyPlan
from seam.jobs.again import evaluate
from seam.jobs.direct import reengineer
from seam.jobs.plan import plan

BASES = {"resnet20": resnet20, "vgg16": vgg16, "mobilenet": mobilenet}
DATA = {"resnet20": "cifar10", "vgg16": "cifar10", "mobilenet": "imagenet40_64px"}
SETTINGS: dict[str, dict[str, Any]] = {
    "resnet20": {"final_macs": 0.25, "levels": 2, "growth": 6.0, "fall": 0.1},
    "vgg16": {"final_macs": 0.04, "levels": 3, "growth": 6.0, "fall": 0.2},
    "mobilenet": {"final_macs": 0.35, "levels": 1, "fall": 0.1, "batch_size": 32},
}
LENGTHS: dict[tuple[str, str], dict[str, int]] = {
    ("resnet20", "subset"): {"epochs": 48, "views": 8},
    ("resnet20", "one-vs-rest"): {"epochs": 16, "views": 4},
    ("vgg16", "subset"): {"epochs": 40, "views": 8},
    ("vgg16", "one-vs-rest"): {"epochs": 12, "views": 4},
    ("mobilenet", "subset"): {"epochs": 6, "views": 2},
}


def problem_of(labels: str) -> Problem:
    """One label against the rest, several, or one of the groups of ten."""
    return Problem.of(GROUPS.get(labels) or labels.split(","))


def changes_of(name: str, problem: Problem, args: argparse.Namespace) -> dict[str, Any]:
    """The settings of a run: the preset's, the base's size, all negatives."""
    changes = {"granularity": "channel", "seed": args.seed, **SETTINGS[name]}
    changes |= LENGTHS[name, problem.kind]
    if args.epochs:
        changes["epochs"] = args.epochs
    changes["keep_macs"] = changes["final_macs"]
    if problem.kind == "one-vs-rest":
        changes["negatives"] = "all"
    for pair in args.set:
        key, _, value = pair.partition("=")
        changes[key] = json.loads(value) if value[:1] in "-0123456789" else value
    return changes


def row_of(report: dict[str, Any]) -> dict[str, Any]:
    """What the tables need of a report."""
    keys = ("accuracy", "against_restricted", "weights", "macs", "model", "seconds", "seed")
    more = ("latency", "size_bytes", "peak_memory_bytes", "validation", "picked", "problem")
    found = {key: report[key] for key in (*keys, *more, "frontier", "split_hash") if key in report}
    return {**found, "base": report["base"]["source"], "n": report["samples"]}


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("name", choices=BASES)
    parser.add_argument("--labels", default="ship,truck,frog")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--set", nargs="*", default=[], help="further settings, key=value")
    parser.add_argument("--latency", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    out = args.out or RESULTS / "channels" / f"{args.run.name}.json"
    base = BASES[args.name](args.shared)
    data = str(args.shared / "data" / DATA[args.name])
    if args.latency:
        report = evaluate(args.run, base=base, data=data, latency=LatencyPlan(threads=args.threads))
    else:
        problem = problem_of(args.labels)
        changes = changes_of(args.name, problem, args)
        settings = plan(problem, base=(args.name, len(base.labels)), **changes)
        report = reengineer(
            base, problem, data, out=args.run, settings=settings, observer=Log()
        ).report
    settings_used = json.loads(json.dumps(plan_of(args.run)))
    save(out, {"threads": args.threads, "settings": settings_used, **row_of(report)})


def plan_of(run: Path) -> dict[str, Any]:
    """The search settings that a run folder records."""
    from seam.artefacts.run import RunFolder

    settings = RunFolder(run).settings()
    return {"search": settings["search"], "data": settings["data"]}


if __name__ == "__main__":
    main()
