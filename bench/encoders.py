"""Encoders of transformers, re-engineered: a BERT for 77 intents of a bank, a ViT for 43 signs.

    python bench/encoder_base.py bert --out runs/bert
    python bench/encoders.py bert --base runs/bert --seed 0

Sizes are fixed beforehand (``--share``): of the multiply-accumulates (channels) or of the maskable
weights. The point is the most accurate on validation data of at most that size; test data is used
once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, VALUES_STAY, Log, arguments, save
from groups import SIGNS

from seam.core.problem import Problem
from seam.jobs.direct import reengineer
from seam.jobs.plan import plan
from seam.models.base import BaseModel
from seam.models.load import load_base

SETTINGS: dict[str, dict[str, Any]] = {
    "channel": {"levels": 2, "growth": 3.0, "views": 0, "tune_lr": 0.001},
    "weight": {**VALUES_STAY, "levels": 3},
}
SIZES = {"channel": ("keep_macs",), "weight": ("keep", "final_density")}
COMMON = {"epochs": 12, "precision": "bfloat16"}
DATA: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("banking77", {}),
    "vit": ("gtsrb", {"augment": "crop"}),
}
"""Data of a base, and settings for it: mirrored traffic signs mean something else."""


def problems(kind: str, base: BaseModel) -> dict[str, Problem]:
    """By name; chosen by words in the labels, before anything was measured."""
    if kind == "bert":
        return {
            "intents about cards": Problem.of([name for name in base.labels if "card" in name]),
            "lost or stolen card, or not": Problem.of(["lost_or_stolen_card"]),
        }
    return {name: Problem.of(list(labels)) for name, labels in SIGNS.items()}


def row_of(
    base: BaseModel, problem: Problem, data: str, granularity: str, changes: dict[str, Any]
) -> dict[str, Any]:
    """Search, and what the table needs of the report."""
    changes = {**COMMON, **SETTINGS[granularity], **changes}
    settings = plan(problem, granularity=granularity, **changes)
    report = reengineer(base, problem, data, settings=settings, observer=Log()).report
    keys = ("accuracy", "against_restricted", "density", "weights", "macs", "seconds", "split_hash")
    return {
        "labels": len(problem.outputs),
        "granularity": granularity,
        "seed": settings.seed,
        "n": report["samples"],
        **{key: report[key] for key in keys},
        "settings": settings.search.to_dict(),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("kind", choices=DATA)
    parser.add_argument("--base", type=Path, required=True, help="folder of bench/encoder_base.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--only", choices=SETTINGS, default=None)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    out = args.out or RESULTS / "encoders.json"
    base = load_base(f"hf:{args.base}")
    folder, changes = DATA[args.kind]
    data = str(args.shared / "data" / folder)
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"] if out.exists() else []
    for granularity in [args.only] if args.only else SETTINGS:
        for name, problem in problems(args.kind, base).items():
            print(granularity, name, flush=True)
            size = dict.fromkeys(SIZES[granularity], args.share)
            row = row_of(base, problem, data, granularity, {"seed": args.seed, **size, **changes})
            facts = {"base": f"{args.kind}, {folder}", "name": name, "share": args.share}
            rows.append({**facts, **row})
            save(out, {"threads": args.threads, "rows": rows})


if __name__ == "__main__":
    main()
