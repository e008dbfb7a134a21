"""`seam predict`: name the class of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seam.cli.console import Output
from seam.cli.options import Config, Device, Json, Quiet, device_of


def run(
    run: Annotated[Path, typer.Argument(help="Run folder, exported model, or USER/NAME on a hub.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Name the class of each image."""
    from seam.artefacts.hub import hub_name
    from seam.jobs.predict import load
    from seam.reporting.terminal import predictions_table

    output = Output(json, quiet)
    found = load(run, device=device_of(device))(images)
    rows = [{"image": str(file), **row} for file, row in zip(images, found, strict=True)]
    in_export = next((each.parent for each in run.parents if each.name == "export"), None)
    home = run.parent if run.name == "model" else run
    adapter = run if hub_name(run) else home / "adapter"
    follow = f"evaluate {in_export} --latency" if in_export else f"inspect {adapter}"
    output.show(predictions_table(rows), f"next: seam {follow}")
    output.document(rows)
