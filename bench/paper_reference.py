"""The `paper` preset against the published algorithm's run: density and accuracy, epoch by epoch.

Reference: ../shared/reference/seam_resnet20_cifar10_airplane.csv (airplane or not, full training
set, seed 0). That file counts from 0: its epoch e is the state after e + 1 epochs.
"""

from __future__ import annotations

import copy
import csv
import dataclasses

import torch
from common import RESULTS, arguments, resnet20, save

from seam.core.problem import Problem
from seam.data.config import DataConfig
from seam.data.prepare import prepare
from seam.evaluation.accuracy import outputs_of, share_right
from seam.masking.head import attach_head
from seam.search.loop import begin, search
from seam.search.objective import Objective
from seam.search.presets import preset
from seam.search.samples import SearchData


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--epochs", type=int, default=21)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with (args.shared / "reference" / "seam_resnet20_cifar10_airplane.csv").open() as file:
        reference = list(csv.DictReader(file))
    base = resnet20(args.shared)
    problem = Problem.one_vs_rest("airplane")
    data = prepare(
        str(args.shared / "data" / "cifar10"),
        problem,
        base_labels=base.labels,
        preprocessing=base.preprocessing,
        config=DataConfig(),
        seed=args.seed,
        device=torch.device("cpu"),
    )
    train, held = data.search.train, data.search.validation
    whole = dataclasses.replace(
        train,
        pixels=torch.cat([train.pixels, held.pixels]),
        targets=torch.cat([train.targets, held.targets]),
    )
    config = dataclasses.replace(preset("paper", problem), epochs=args.epochs)
    model = attach_head(
        copy.deepcopy(base.module),
        config.head,
        problem.members(base.labels),
        example=base.example(),
        seed=args.seed,
    )
    state = begin(model, config)
    rows = []
    samples = SearchData(whole, held)
    for loss in search(state, samples, config, Objective(), seed=args.seed):
        right = share_right(outputs_of(model, data.test).argmax(1), data.test.targets)
        theirs = reference[state.epoch - 1]
        rows.append(
            {
                "epoch": int(theirs["epoch"]),
                "loss": loss,
                "density": state.masks.density(),
                "reference_density": float(theirs["density"]),
                "test_accuracy": right.to_dict(),
                "reference_accuracy": float(theirs["test_accuracy"]),
            }
        )
        print(rows[-1], flush=True)
    later = rows[1:]
    differences = [row["density"] - row["reference_density"] for row in later]
    gaps = [row["test_accuracy"]["value"] - row["reference_accuracy"] for row in later]
    save(
        args.out or RESULTS / "paper_reference.json",
        {
            "definition": "epochs 1 to 20 of the reference file; training samples 5,000 + 5,000",
            "seed": args.seed,
            "split_hash": data.split_hash,
            "threads": args.threads,
            "largest_density_difference": max(map(abs, differences)),
            "mean_accuracy_difference": sum(gaps) / len(gaps),
            "mean_absolute_accuracy_difference": sum(map(abs, gaps)) / len(gaps),
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
