"""Who chooses: images that the base was trained on, or ones that it has not seen.

The same search twice, `--validation-from train` and `test`; its smallest point as validation sees
it, and as the test images that are left do.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, Log, arguments, resnet20, save

import seam


def row_of(shared: Path, label: str, source: str, **changes: Any) -> dict[str, Any]:
    base, problem = resnet20(shared), seam.Problem.one_vs_rest(label)
    settings = seam.plan(problem, validation_from=source, **changes)
    with tempfile.TemporaryDirectory() as folder:
        result = seam.reengineer(
            base,
            problem,
            str(shared / "data" / "cifar10"),
            out=folder,
            settings=settings,
            observer=Log(),
        )
        smallest = min(result.frontier, key=lambda point: point.density)
        small = seam.pick_again(
            folder, seam.Pick(rule="epoch", value=smallest.epoch), base=base
        ).report
    report = result.report
    return {
        "from": source,
        "label": label,
        "samples": report["samples"],
        "validation": report["validation"],
        "picked": report["density"],
        "accuracy": report["accuracy"],
        "smallest": {
            "point": smallest.to_dict(),
            "against_restricted": small["against_restricted"]["difference"],
        },
    }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--label", default="airplane")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--shots", type=int, default=None)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    changes = {
        "epochs": args.epochs,
        "shots": args.shots,
        "seed": args.seed,
        "precision": "bfloat16",
    }
    rows = [row_of(args.shared, args.label, source, **changes) for source in ("train", "test")]
    save(args.out or RESULTS / "unseen.json", {**changes, "threads": args.threads, "rows": rows})


if __name__ == "__main__":
    main()
