"""Texts: a small BERT for 77 intents of a bank, re-engineered for those about cards, or for one.

    python bench/text_base.py --out runs/bert
    python bench/text.py --base runs/bert --seed 0

Sizes are fixed beforehand: 30 % of the multiply-accumulates (channels) or of the maskable weights.
The point is the most accurate on validation data of at most that size; test data is used once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, Log, arguments, save

from seam.core.problem import Problem
from seam.jobs.direct import reengineer
from seam.jobs.plan import plan
from seam.models.base import BaseModel
from seam.models.load import load_base

SHARE = 0.3
SETTINGS: dict[str, dict[str, Any]] = {
    "channel": {"keep_macs": SHARE, "levels": 2, "growth": 3.0, "views": 0, "tune_lr": 0.001},
    "weight": {"keep": SHARE, "final_density": SHARE, "levels": 3},
}
COMMON = {"epochs": 12, "precision": "bfloat16"}


def problems(base: BaseModel) -> dict[str, Problem]:
    return {
        "intents about cards": Problem.of([name for name in base.labels if "card" in name]),
        "lost or stolen card, or not": Problem.of(["lost_or_stolen_card"]),
    }


def row_of(base: BaseModel, name: str, data: str, granularity: str, seed: int) -> dict[str, Any]:
    problem = problems(base)[name]
    settings = plan(problem, granularity=granularity, seed=seed, **COMMON, **SETTINGS[granularity])
    report = reengineer(base, problem, data, settings=settings, observer=Log()).report
    keys = ("accuracy", "against_restricted", "density", "weights", "macs", "seconds", "split_hash")
    return {
        "name": name,
        "labels": len(problem.outputs),
        "granularity": granularity,
        "seed": seed,
        "n": report["samples"],
        **{key: report[key] for key in keys},
        "settings": settings.search.to_dict(),
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--base", type=Path, required=True, help="folder of bench/text_base.py")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=SETTINGS, default=None)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    out = args.out or RESULTS / "text.json"
    base = load_base(f"hf:{args.base}")
    data = str(args.shared / "data" / "banking77")
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"] if out.exists() else []
    for granularity in [args.only] if args.only else SETTINGS:
        for name in problems(base):
            print(granularity, name, flush=True)
            rows.append(row_of(base, name, data, granularity, args.seed))
            save(out, {"threads": args.threads, "rows": rows})


if __name__ == "__main__":
    main()
