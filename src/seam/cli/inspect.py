"""`seam inspect`: what an adapter holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seam.artefacts.mirroring import READ, mirroring
from seam.cli.console import Output
from seam.cli.options import Config, Json, Quiet, place


@mirroring("adapter", READ)
def run(
    adapter: Annotated[
        Path,
        typer.Argument(
            help="Adapter folder, as RUN/adapter, or its URL; or USER/NAME on a hub.", parser=place
        ),
    ],
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Show what an adapter holds, layer by layer; needs no base model."""
    from seam.jobs.share import open_adapter
    from seam.reporting.terminal import adapter_table, describe_adapter
    from seam.reporting.words import predict_command

    output = Output(json, quiet)
    opened = open_adapter(adapter)
    found, command = describe_adapter(opened), predict_command("RUN", opened.preprocessing.content)
    output.show(adapter_table(found))
    output.show(f"next: {command}, or seam.load(ADAPTER, base=...) in Python")
    output.document(found)
