"""`seam evaluate`: measure a finished run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seam.cli.console import Output
from seam.cli.options import Config, Device, Json, Quiet, device_of


def run(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    data: Annotated[
        str | None, typer.Option(help="Other data than the run's own, with a test split.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Measure a finished run on its test data: four methods, by label, weights and MACs."""
    from seam.jobs.again import evaluate
    from seam.report.terminal import per_label, summary

    output = Output(json, quiet)
    with output.progress() as observer:
        observer.stage("measuring on test data")
        report = evaluate(run, data=data, device=device_of(device))
    output.show(summary(report), per_label(report), f"next: seam predict {run} IMAGE")
    output.document(report)
