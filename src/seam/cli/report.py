"""`seam report` and `seam compare`: a run, or several, as one page of HTML."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from seam.artefacts.mirroring import NOTE, READ, mirroring, named
from seam.cli.console import Output
from seam.cli.options import Config, Json, Quiet, Run, place

SourceNow = Annotated[
    str | None, typer.Option("--data", help="Where the run's data is now, for the images.")
]


@mirroring("run", NOTE)
def run(
    run: Run,
    data: SourceNow = None,
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Write a run as one page, RUN/report.html, that works without a network."""
    from seam.reporting.page import report
    from seam.reporting.words import predict_command

    output = Output(json, quiet)
    written = report(run, data=data)
    follow = next((each["command"] for each in written["missing"] if each["command"]), None)
    _show(output, written, follow or predict_command(run, written["content"]))


@mirroring("runs", READ)
def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Run folders or their URLs, two or more.", parser=place),
    ],
    out: Annotated[Path, typer.Option(help="File to write.", parser=place, metavar="FILE")] = Path(
        "compare.html"
    ),
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Write several runs side by side as one page that works without a network."""
    from seam.reporting.page import compare as compare_runs

    written = compare_runs(runs, out=out)
    _show(Output(json, quiet), written, f"seam report {shlex.quote(named(str(runs[0])))}")


def _show(output: Output, written: dict[str, Any], follow: str) -> None:
    lines = [
        f"not in it: {' '.join(filter(None, (each.get('run'), each['what'])))} ({each['why']})"
        + f": {each['command']}" * bool(each["command"])
        for each in written["missing"]
    ]
    kilobytes = f"{written['bytes'] / 1000:,.0f} kB"
    output.show(f"{written['path']} ({kilobytes}): open it in a browser", *lines)
    output.show(f"next: {follow}")
    output.document(written)
