"""`seam reengineer`: direct reuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seam.cli.console import Output
from seam.cli.options import (
    Config,
    Device,
    Json,
    Quiet,
    Seed,
    device_of,
    numbers,
    pairs,
    problem_of,
)
from seam.errors import ConfigError

if TYPE_CHECKING:
    from seam.core.problem import Problem
    from seam.jobs.direct import Result
    from seam.models.load import BaseSpec

_SEARCH = "Search"
_POINT = "Which point"
_DATA = "Data"
_BASE = "Base model"


def run(
    model: Annotated[
        str | None, typer.Argument(help="timm:NAME, torchvision:NAME or zoo:NAME.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Image folder, parquet folder, hub name, or digits.", rich_help_panel=_DATA
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="One label (against the rest) or several, with commas between them."),
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="YAML file  name: [label, label]  merging labels.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder. The same command continues it.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Weights file (safetensors).", rich_help_panel=_BASE)
    ] = None,
    model_args: Annotated[
        list[str] | None,
        typer.Option(help="key=value for the model's builder; repeat.", rich_help_panel=_BASE),
    ] = None,
    labels_file: Annotated[
        str | None,
        typer.Option(help="The base's labels, one a line.", rich_help_panel=_BASE),
    ] = None,
    input_size: Annotated[
        int | None, typer.Option(min=1, help="Side in pixels.", rich_help_panel=_BASE)
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Of each channel, in [0, 1].", rich_help_panel=_BASE)
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Of each channel, in [0, 1].", rich_help_panel=_BASE)
    ] = None,
    crop_fraction: Annotated[
        float | None, typer.Option(help="Of the resized image.", rich_help_panel=_BASE)
    ] = None,
    interpolation: Annotated[
        str | None, typer.Option(help="bicubic, bilinear or nearest.", rich_help_panel=_BASE)
    ] = None,
    preset: Annotated[
        str, typer.Option(help="default, or paper (as published).", rich_help_panel=_SEARCH)
    ] = "default",
    granularity: Annotated[
        str | None, typer.Option(help="What one bit removes: weight.", rich_help_panel=_SEARCH)
    ] = None,
    epochs: Annotated[int | None, typer.Option(rich_help_panel=_SEARCH)] = None,
    batch_size: Annotated[int | None, typer.Option(rich_help_panel=_SEARCH)] = None,
    score_lr: Annotated[float | None, typer.Option(rich_help_panel=_SEARCH)] = None,
    head_lr: Annotated[float | None, typer.Option(rich_help_panel=_SEARCH)] = None,
    tune_lr: Annotated[float | None, typer.Option(rich_help_panel=_SEARCH)] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Penalty on density (paper).", rich_help_panel=_SEARCH)
    ] = None,
    final_density: Annotated[
        float | None, typer.Option(help="Where the walk ends.", rich_help_panel=_SEARCH)
    ] = None,
    levels: Annotated[
        int | None, typer.Option(help="Steps of the walk down.", rich_help_panel=_SEARCH)
    ] = None,
    head: Annotated[
        str | None, typer.Option(help="slice, append or replace.", rich_help_panel=_SEARCH)
    ] = None,
    tune: Annotated[
        str | None,
        typer.Option(help="What may adapt: none, norm, all.", rich_help_panel=_SEARCH),
    ] = None,
    distill: Annotated[
        float | None,
        typer.Option(help="Share of the base's own answers in the loss.", rich_help_panel=_SEARCH),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="Layer that is not masked, * allowed; repeat.", rich_help_panel=_SEARCH),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            help="Points below restricted that are accepted; 0.5 by default.",
            rich_help_panel=_POINT,
        ),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(help="Most accurate point of at most this density.", rich_help_panel=_POINT),
    ] = None,
    keep_macs: Annotated[
        float | None,
        typer.Option(help="... of at most this share of MACs.", rich_help_panel=_POINT),
    ] = None,
    pick: Annotated[
        int | None,
        typer.Option(
            help="Point of the frontier by epoch; with --out of a finished run, nothing else is "
            "needed.",
            rich_help_panel=_POINT,
        ),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(help="At most so many samples a label.", rich_help_panel=_DATA)
    ] = None,
    validation: Annotated[
        float | None, typer.Option(help="Share of training data.", rich_help_panel=_DATA)
    ] = None,
    negatives: Annotated[
        str | None, typer.Option(help="balanced or all.", rich_help_panel=_DATA)
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, crop or crop+flip.", rich_help_panel=_DATA)
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(help="DATA_LABEL=BASE_LABEL; repeat.", rich_help_panel=_DATA),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out unreadable images.", rich_help_panel=_DATA)
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, write nothing, search nothing.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Re-engineer MODEL for the labels you need.

    Searches the weights that matter to them, removes the rest, and measures the result against the
    whole model, the model restricted to your labels, and the model with a trained head.
    """
    output = Output(json, quiet)
    if model is None:
        _pick_again(output, out, tolerance=tolerance, keep=keep, keep_macs=keep_macs, epoch=pick)
        return
    if data is None:
        raise ConfigError("no data is given; add --data FOLDER")
    if out is None and not dry_run:
        raise ConfigError("no run folder is given; add --out FOLDER")
    problem = problem_of(labels, groups)

    from seam.jobs.plan import plan
    from seam.models.load import BaseSpec, parse_model_args

    settings = plan(
        problem,
        preset_name=preset,
        granularity=granularity,
        epochs=epochs,
        batch_size=batch_size,
        score_lr=score_lr,
        head_lr=head_lr,
        tune_lr=tune_lr,
        alpha=alpha,
        final_density=final_density,
        levels=levels,
        head=head,
        tune=tune,
        distill=distill,
        exclude=tuple(exclude or ()),
        tolerance=None if tolerance is None else tolerance / 100,
        keep=keep,
        keep_macs=keep_macs,
        epoch=pick,
        shots=shots,
        validation=validation,
        negatives=negatives,
        augment=augment,
        rename=pairs(rename, "rename"),
        skip_bad=skip_bad,
        seed=seed,
    )
    overrides = {
        "size": input_size,
        "mean": numbers(mean, "mean"),
        "std": numbers(std, "std"),
        "crop_fraction": crop_fraction,
        "interpolation": interpolation,
    }
    spec = BaseSpec(
        name=model,
        weights=weights,
        model_args=parse_model_args(model_args or []),
        labels_file=labels_file,
        preprocessing={name: value for name, value in overrides.items() if value is not None},
    )
    _search(output, spec, problem, data, out, settings, device_of(device), dry_run)


def _search(
    output: Output,
    spec: BaseSpec,
    problem: Problem,
    data: str,
    out: Path | None,
    settings: Any,
    device: str,
    dry_run: bool,
) -> None:
    from seam.jobs.direct import reengineer
    from seam.jobs.task import Task

    with output.progress() as observer:
        observer.stage("loading the base model")
        base = spec.load(device)
        if dry_run:
            facts = Task(base, problem, data, settings).facts()
        else:
            result = reengineer(
                base,
                problem,
                data,
                out=out,
                settings=settings,
                provenance={"model": spec.to_dict()},
                observer=observer,
            )
    if dry_run:
        from seam.report.terminal import dry_run as dry_run_table

        output.show(dry_run_table(facts))
        output.document(facts)
    else:
        show(output, result)


def _pick_again(output: Output, out: Path | None, **rules: float | None) -> None:
    """Choose another point of a finished run's frontier."""
    given = {name: value for name, value in rules.items() if value is not None}
    if out is None or len(given) != 1:
        raise ConfigError(
            "no MODEL is given; give one, or choose again among a finished run's points: "
            "--out RUN with one of --pick, --keep, --keep-macs, --tolerance"
        )
    from seam.core.config import Pick
    from seam.jobs.direct import pick_again

    name, value = next(iter(given.items()))
    rule = Pick(rule=name, value=value / 100 if name == "tolerance" else value)  # type: ignore[arg-type]
    with output.progress() as observer:
        result = pick_again(out, rule, observer=observer)
    show(output, result)


def show(output: Output, result: Result) -> None:
    """Write the pictures, print the table and what to do next."""
    from seam.report.gallery import write_pictures
    from seam.report.terminal import per_label, summary

    pictures = write_pictures(result)
    output.show(summary(result.report), per_label(result.report))
    output.show(
        f"run folder: {result.folder}  (pictures: {', '.join(file.name for file in pictures)})",
        f"next: seam predict {result.folder} IMAGE   or   seam evaluate {result.folder}   "
        f"or   seam inspect {result.folder}/adapter",
    )
    output.document(result.report)
