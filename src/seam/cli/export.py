"""`seam export`: a finished run for other runtimes."""

from __future__ import annotations

from typing import Annotated

import typer

from seam.artefacts.mirroring import MAKE, mirroring
from seam.cli.console import Output
from seam.cli.options import Config, Device, Json, OtherData, Quiet, Run, device_of, names_in


@mirroring("run", MAKE)
def run(
    run: Run,
    to: Annotated[str, typer.Option(help="Formats, with commas: onnx, openvino, torch.")],
    int8: Annotated[
        bool, typer.Option("--int8", help="Also in 8 bits (onnx, openvino), with its accuracy.")
    ] = False,
    data: OtherData = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Write a finished run for other runtimes; each is opened again and compared."""
    from seam.jobs.export import export
    from seam.reporting.exports import exports_table
    from seam.reporting.words import predict_command

    output = Output(json, quiet)
    with output.progress() as observer:
        found = export(
            run, to=names_in(to), int8=int8, data=data, device=device_of(device), observer=observer
        )
    follow = predict_command(found["exports"][0]["folder"], found["content"])
    output.show(exports_table(found["exports"]), f"next: {follow}")
    output.document(found)
