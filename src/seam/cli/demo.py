"""`seam demo`: all of it in a minute, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seam.cli.console import Output
from seam.cli.options import Config, Device, Json, Quiet, Seed, device_of

PROBLEMS = {"seven": ("7",), "three-five-eight": ("3", "5", "8")}
EPOCHS = 20


def run(
    out: Annotated[Path, typer.Option(help="Folder for the two run folders.")] = Path("runs/demo"),
    seed: Seed = 0,
    device: Device = "cpu",
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Re-engineer a real model on real handwritten digits: "is it a 7?" and "3, 5 or 8 only"."""
    import torch

    from seam.cli.searching import show
    from seam.core.problem import Problem
    from seam.jobs.direct import reengineer
    from seam.jobs.plan import plan
    from seam.models.load import BaseSpec

    torch.set_num_threads(1)  # on images of 8 x 8 pixels more threads take longer
    output = Output(False, quiet or json)
    spec = BaseSpec(name="zoo:digits")
    base = spec.load(device_of(device))
    reports = {}
    for name, labels in PROBLEMS.items():
        problem = Problem.of(labels)
        with output.progress() as observer:
            result = reengineer(
                base,
                problem,
                "digits",
                out=out / name,
                settings=plan(
                    problem,
                    epochs=EPOCHS,
                    batch_size=32,
                    augment="crop",
                    validation=0.2,
                    keep=0.15,
                    seed=seed,
                ),
                observer=observer,
            )
        show(output, result)
        reports[name] = result.report
    Output(json, quiet).document(reports)
