"""`seam predict`: name the class of pictures or texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seam.artefacts.mirroring import READ, mirroring
from seam.cli.console import Output
from seam.cli.options import Config, Device, Json, Quiet, device_of, place


@mirroring("run", READ)
def run(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder or exported model, or the URL of one; or USER/NAME on a hub.",
            parser=place,
        ),
    ],
    samples: Annotated[
        list[str],
        typer.Argument(help="Image files or folders; or texts, or .txt files of one text a line."),
    ],
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Name the class of each image or text."""
    from seam.artefacts.hub import hub_name
    from seam.core.text import TextPreprocessing
    from seam.data.folder import images_in
    from seam.data.texts import texts_in
    from seam.jobs.predict import load
    from seam.reporting.terminal import predictions_table

    output = Output(json, quiet)
    predictor = load(run, device=device_of(device))
    if isinstance(predictor.preprocessing, TextPreprocessing):
        kind, samples = "text", texts_in(samples)
    else:
        kind, samples = "image", images_in(samples)
    found = predictor(samples)
    rows = [{kind: sample, **row} for sample, row in zip(samples, found, strict=True)]
    in_export = next((each.parent for each in run.parents if each.name == "export"), None)
    home = run.parent if run.name == "model" else run
    adapter = run if hub_name(run) else home / "adapter"
    follow = f"evaluate {in_export} --latency" if in_export else f"inspect {adapter}"
    output.show(predictions_table(rows), f"next: seam {follow}")
    output.document(rows)
