"""`seam push`: a run's adapter to a model hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seam.artefacts.mirroring import READ, mirroring
from seam.cli.console import Output
from seam.cli.options import Config, Json, Quiet, place


@mirroring("run", READ)
def run(
    run: Annotated[
        Path,
        typer.Argument(help="Run folder or adapter folder, or its URL.", parser=place),
    ],
    repository: Annotated[str, typer.Argument(help="USER/NAME on the hub.")],
    model: Annotated[
        bool, typer.Option("--model", help="The shrunk model of a run for channels, too.")
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option(help="As in apache-2.0; by default the base model's, where it is known."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A new repository is private.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be uploaded; upload nothing.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Upload a run's adapter to a model hub, with a model card."""
    from seam.jobs.share import push
    from seam.reporting.terminal import shared_table

    output = Output(json, quiet)
    found = push(run, repository, model=model, licence=licence, private=private, dry_run=dry_run)
    follow = "the same without --dry-run" if dry_run else f"seam pull {repository}"
    output.show(shared_table(found), f"next: {follow}")
    output.document(found)
