"""`seam pull`: an adapter from a model hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seam.artefacts.mirroring import MAKE, mirroring
from seam.cli.console import Output
from seam.cli.options import Config, Json, Quiet, place


@mirroring("out", MAKE)
def run(
    repository: Annotated[str, typer.Argument(help="USER/NAME on the hub.")],
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for it, or a URL; by default it stays in the hub's cache.",
            parser=place,
            metavar="FOLDER",
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; by default the main branch.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Fetch an adapter from a model hub and check it; needs no base model."""
    from seam.jobs.share import pull
    from seam.reporting.terminal import shared_table
    from seam.reporting.words import predict_command

    output = Output(json, quiet)
    found = pull(repository, out=out, revision=revision)
    follow = predict_command(out or repository, found["content"])
    output.show(shared_table(found), f"next: {follow}")
    output.document(found)
