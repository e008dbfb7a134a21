"""`default` against `paper` on one-vs-rest problems of ResNet-20: the frontier, seed by seed.

At every density that the `paper` run visits, is there a `default` point no denser and at least as
accurate on validation, in at most as many steps? Test accuracy of the picked point stands beside
restricted. One call runs one preset, label and seed; `--merge` gathers all results into one table.
"""

from __future__ import annotations

import json
import time

import torch
from common import RESULTS, Log, arguments, resnet20, save

from seam.core.problem import Problem
from seam.jobs.direct import reengineer
from seam.jobs.plan import plan
from seam.search.loop import SALIENCY_BATCHES


def run(args) -> None:
    base = resnet20(args.shared)
    problem = Problem.one_vs_rest(args.label)
    settings = plan(problem, preset_name=args.preset, epochs=args.epochs, seed=args.seed)
    start = time.monotonic()
    result = reengineer(
        base,
        problem,
        str(args.shared / "data" / "cifar10"),
        out=args.run_folder,
        settings=settings,
        observer=Log(),
    )
    steps = -(-len(result.data.search.train) // settings.search.batch_size)
    name = f"{args.preset}_{args.label}_{args.seed}"
    save(
        args.out or RESULTS / "default_vs_paper" / f"{name}.json",
        {
            "preset": args.preset,
            "label": args.label,
            "seed": args.seed,
            "threads": args.threads,
            "steps_an_epoch": steps,
            "config": settings.search.to_dict(),
            "seconds": time.monotonic() - start,
            "history": [{**row, "steps": row["epoch"] * steps} for row in result.history],
            "report": result.report,
        },
    )


def dominated(paper: list[dict], default: list[dict]) -> list[dict]:
    """Each point of `paper`, and the best `default` point no denser and in no more steps.

    The batches of the saliency pass count as steps of `default`.
    """
    last = max(row["steps"] for row in paper)
    default = [{**row, "steps": row["steps"] + SALIENCY_BATCHES} for row in default]
    rows = []
    for row in paper:
        rivals = [p for p in default if p["density"] <= row["density"] and p["steps"] <= last]
        best = max(rivals, key=lambda p: p["validation_accuracy"], default=None)
        rows.append(
            {
                "density": row["density"],
                "paper": row["validation_accuracy"],
                "default": best and best["validation_accuracy"],
                "default_density": best and best["density"],
                "dominated": bool(
                    best and best["validation_accuracy"] >= row["validation_accuracy"]
                ),
            }
        )
    return rows


def merge(args) -> None:
    files = sorted((RESULTS / "default_vs_paper").glob("*.json"))
    runs = [json.loads(file.read_text()) for file in files]
    table, seeds = [], []
    for found in runs:
        report = found["report"]
        row = {key: found[key] for key in ("preset", "label", "seed")}
        row |= {name: report["accuracy"][name] for name in report["accuracy"]}
        row |= {
            "epochs": found["config"]["epochs"],
            "split_hash": report["split_hash"],
            "against_restricted": report["against_restricted"]["difference"],
            "density": report["density"],
            "weights_kept": report["weights"]["kept"] / report["weights"]["base"],
            "macs": report["macs"]["theoretical"] / report["macs"]["base"],
            "adapter_bytes": report.get("adapter_bytes"),
            "validation": report["validation"],
            "search_seconds": report["seconds"]["search"],
        }
        table.append(row)
    for paper in (r for r in runs if r["preset"] == "paper"):
        for default in (r for r in runs if r["preset"] == "default"):
            if (paper["label"], paper["seed"]) == (default["label"], default["seed"]):
                rows = dominated(paper["history"], default["history"])
                seeds.append(
                    {
                        "label": paper["label"],
                        "seed": paper["seed"],
                        "all_dominated": all(row["dominated"] for row in rows),
                        "count": f"{sum(row['dominated'] for row in rows)} of {len(rows)}",
                        "rows": rows,
                    }
                )
    save(args.out or RESULTS / "default_vs_paper.json", {"dominance": seeds, "runs": table})
    for row in seeds:
        print(row["label"], row["seed"], row["count"])


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--preset", default="default", choices=["default", "paper"])
    parser.add_argument("--label", default="airplane")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--run-folder", default=None)
    parser.add_argument("--merge", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    merge(args) if args.merge else run(args)


if __name__ == "__main__":
    main()
