"""`seam sweep`: many problems on one base model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seam.artefacts.mirroring import SWEEP, mirroring
from seam.artefacts.yaml_file import read_yaml
from seam.cli import search_options as given
from seam.cli.console import Output
from seam.cli.options import (
    Config,
    Device,
    Json,
    Quiet,
    Seed,
    device_of,
    groups_of,
    is_labels,
    names_in,
    pairs,
    place,
)
from seam.cli.searching import check_places, setting_of, settings_of, spec_of
from seam.cli.sweep_rows import table_of, watched
from seam.core.problem import Problem
from seam.errors import ConfigError, LabelError

if TYPE_CHECKING:
    from seam.jobs.sweep_state import Row

_SWEEP = "Sweep"
EachLabel = Annotated[
    bool,
    typer.Option(
        "--each-label", help="Each label of the data against the rest.", rich_help_panel=_SWEEP
    ),
]
Problems = Annotated[
    Path | None,
    typer.Option(
        help="YAML file: for each name a label, a list of labels, or groups.",
        rich_help_panel=_SWEEP,
    ),
]
Grid = Annotated[
    list[str] | None,
    typer.Option(
        help="OPTION=VALUE,VALUE: each problem with each; repeat.", rich_help_panel=_SWEEP
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--workers", help="Problems at a time; by default one a core.", rich_help_panel=_SWEEP
    ),
]
Threads = Annotated[int, typer.Option(help="Of each problem.", rich_help_panel=_SWEEP)]
Gpus = Annotated[
    float,
    typer.Option("--gpus-per-problem", help="A share of one will do.", rich_help_panel=_SWEEP),
]
Address = Annotated[
    str | None,
    typer.Option(
        help="Of a Ray cluster, as ray://HOST:10001; else Ray runs here.", rich_help_panel=_SWEEP
    ),
]


@mirroring("out", SWEEP, unless="dry_run")
def run(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="As for reengineer.")],
    data: given.Data = None,
    each_label: EachLabel = False,
    problems: Problems = None,
    grid: Grid = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the sweep, or its URL.", parser=place, metavar="FOLDER"),
    ] = None,
    workers: Count = None,
    threads: Threads = 1,
    gpus: Gpus = 0.0,
    address: Address = None,
    weights: given.Weights = None,
    head_layer: given.HeadLayer = None,
    model_args: given.ModelArgs = None,
    labels_file: given.LabelsFile = None,
    input_size: given.InputSize = None,
    mean: given.Mean = None,
    std: given.Std = None,
    crop_fraction: given.CropFraction = None,
    interpolation: given.Interpolation = None,
    max_length: given.MaxLength = None,
    preset: given.Preset = "default",
    granularity: given.Granularity = None,
    epochs: given.Epochs = None,
    batch_size: given.BatchSize = None,
    score_lr: given.Rate = None,
    head_lr: given.Rate = None,
    tune_lr: given.Rate = None,
    alpha: given.Alpha = None,
    final_density: given.FinalDensity = None,
    final_macs: given.FinalMacs = None,
    round_to: given.Round = None,
    levels: given.Levels = None,
    growth: given.Growth = None,
    head: given.HeadKind = None,
    tune: given.Tune = None,
    distill: given.Distill = None,
    precision: given.Precision = None,
    accumulate: given.Accumulate = None,
    safer: given.Safer = None,
    exclude: given.Exclude = None,
    tolerance: given.Tolerance = None,
    keep: given.Keep = None,
    keep_macs: given.KeepMacs = None,
    pick: given.Epoch = None,
    shots: given.Shots = None,
    validation: given.Validation = None,
    validation_from: given.ValidationFrom = None,
    negatives: given.Negatives = None,
    augment: given.Augment = None,
    rename: given.Rename = None,
    skip_bad: given.SkipBad = False,
    seed: Seed = 0,
    device: Device = "auto",
    dry_run: given.DryRun = False,
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Re-engineer MODEL for many problems, several at a time, each in a run folder of its own.

    The same command goes on with what is not finished.
    """
    from seam.jobs.sweep import sweep
    from seam.jobs.sweep_check import foreseen
    from seam.jobs.sweep_parts import parts_of
    from seam.jobs.workers import Workers

    output = Output(json, quiet)
    check_places(data, out, dry_run)
    assert data is not None
    named = _problems(data, ctx.params)
    spec = spec_of(ctx.params)
    parts = parts_of(named, grid=_grid(grid), **settings_of(ctx.params, spec))
    if dry_run:
        rows = foreseen(spec, parts, data, out=out)
        output.show(table_of(rows))
        output.document({"runs": rows})
        _check_failed(rows)
        return
    assert out is not None
    where = Workers(count=workers, threads=threads, gpus=gpus, address=address)
    kind = device_of(device) if not address else device
    with watched(output, parts) as told:
        rows = sweep(spec, parts, data, out=out, workers=where, device=kind, told=told)
    _show(output, rows, out)
    _check_failed(rows)


def _check_failed(rows: Sequence[Row]) -> None:
    failed = [row for row in rows if row["state"] == "failed"]
    if failed:
        raise ConfigError(
            f"{len(failed)} of {len(rows)} problems failed, the first, '{failed[0]['name']}': "
            f"{failed[0]['error']}; mend that, and the same command goes on with them"
        )


def _problems(data: str, options: Mapping[str, Any]) -> dict[str, Problem]:
    """The problems by name."""
    if options["each_label"] == (options["problems"] is not None):
        raise ConfigError("name the problems: give either --each-label or --problems FILE")
    if options["each_label"]:
        from seam.data.load import labels_of

        labels = labels_of(data, rename=pairs(options["rename"], "rename"))
        return {label: Problem.one_vs_rest(label) for label in labels}
    file: Path = options["problems"]
    values = read_yaml(file, what="problems file", example="name: [label, label]")
    return {str(name): _problem(file, str(name), value) for name, value in values.items()}


def _problem(file: Path, name: str, value: Any) -> Problem:
    """A problem as the file has it: a label, a list of labels, or groups of them."""
    if isinstance(value, str | int):
        return Problem.of([str(value)])
    if is_labels(value):
        return Problem.of([str(label) for label in value])
    if isinstance(value, dict) and all(map(is_labels, value.values())):
        return groups_of(value)
    raise LabelError(
        f"problems file '{file}': problem '{name}' is no label, list of labels or groups; "
        "write  name: [label, label]"
    )


def _grid(values: Sequence[str] | None) -> dict[str, list[Any]]:
    """``keep=0.1,0.2`` as names and values."""
    found: dict[str, list[Any]] = {}
    for text in values or []:
        name, equals, rest = text.partition("=")
        given_values = names_in(rest)
        if not equals or not name or not given_values:
            raise ConfigError(f"--grid '{text}' is not of the form OPTION=VALUE,VALUE")
        found |= setting_of(name.replace("-", "_"), [_value(text) for text in given_values])
    return found


def _value(text: str) -> Any:
    """A number where it is one, else the text.

    >>> [_value(text) for text in ("1e-3", "16", "none")]
    [0.001, 16, 'none']
    """
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _show(output: Output, rows: Sequence[Row], out: Path) -> None:
    """The table of all problems, and a page of those that have finished."""
    from seam.reporting.page import compare

    output.show(table_of(rows))
    finished = [row["folder"] for row in rows if row["state"] == "finished"]
    page = None
    if len(finished) > 1:
        page = compare(finished, out=out / "compare.html")["path"]
    seen = f"   or open {page}" if page else ""
    output.show(f"sweep folder: {out}  (all figures: sweep.parquet){seen}")
    output.document({"runs": [dict(row) for row in rows], "page": page and str(page)})
