"""`seam reengineer`: direct reuse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from seam.cli import search_options as given
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
    from seam.jobs.plan import Plan
    from seam.jobs.result import Result
    from seam.models.load import BaseSpec

RULES = {name: name for name in ("tolerance", "keep", "keep_macs", "keep_latency")} | {
    "pick": "epoch"
}
"""How a point is chosen: option and rule."""
GENERAL = ("out", "device", "json", "quiet", "config")


def run(
    ctx: typer.Context,
    model: given.Model = None,
    data: given.Data = None,
    labels: given.Labels = None,
    groups: given.Groups = None,
    out: given.Out = None,
    weights: given.Weights = None,
    model_args: given.ModelArgs = None,
    labels_file: given.LabelsFile = None,
    input_size: given.InputSize = None,
    mean: given.Mean = None,
    std: given.Std = None,
    crop_fraction: given.CropFraction = None,
    interpolation: given.Interpolation = None,
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
    final_latency: given.FinalLatency = None,
    runtime: given.Runtime = None,
    batch: given.Batch = None,
    round_to: given.Round = None,
    levels: given.Levels = None,
    growth: given.Growth = None,
    head: given.HeadKind = None,
    tune: given.Tune = None,
    distill: given.Distill = None,
    exclude: given.Exclude = None,
    tolerance: given.Tolerance = None,
    keep: given.Keep = None,
    keep_macs: given.KeepMacs = None,
    keep_latency: given.KeepLatency = None,
    pick: given.Epoch = None,
    shots: given.Shots = None,
    validation: given.Validation = None,
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
    """Re-engineer MODEL for the labels you need.

    Searches the weights that matter to them, removes the rest, and measures the result against the
    whole model, the model restricted to your labels, and the model with a trained head.
    """
    output = Output(json, quiet)
    options = ctx.params
    if model is None:
        _pick_again(output, out, _set(ctx), device)
        return
    if data is None:
        raise ConfigError("no data is given; add --data FOLDER")
    if out is None and not dry_run:
        raise ConfigError("no run folder is given; add --out FOLDER")
    problem = problem_of(labels, groups)
    spec = _spec(options)
    settings = _plan(problem, options, spec)
    _search(output, spec, problem, data, out, settings, device_of(device), dry_run)


def _set(ctx: typer.Context) -> dict[str, Any]:
    """The options that were given, on the command line or in the config file."""
    return {
        name: value
        for name, value in ctx.params.items()
        if getattr(ctx.get_parameter_source(name), "name", "DEFAULT") != "DEFAULT"
    }


def _plan(problem: Problem, options: dict[str, Any], spec: BaseSpec) -> Plan:
    """The settings that the options make."""
    from seam.jobs.plan import plan

    same = (
        *("granularity", "epochs", "batch_size", "score_lr", "head_lr", "tune_lr", "alpha"),
        *(
            "final_density",
            "final_macs",
            "final_latency",
            "runtime",
            "batch",
            "round_to",
            "levels",
            "growth",
        ),
        *("head", "tune", "distill", "keep", "keep_macs", "keep_latency"),
        *("shots", "validation", "negatives", "augment", "skip_bad", "seed"),
    )
    return plan(
        problem,
        preset_name=options["preset"],
        base=_base_facts(spec),
        exclude=tuple(options["exclude"] or ()),
        tolerance=_points(options["tolerance"]),
        epoch=options["pick"],
        rename=pairs(options["rename"], "rename"),
        **{name: options[name] for name in same},
    )


def _base_facts(spec: BaseSpec) -> tuple[str, int]:
    """The base model's name and number of labels, as far as the options tell."""
    usual = 10 if spec.name.startswith("zoo:") else 1000
    count = spec.model_args.get("num_classes", usual)
    return spec.name, count if isinstance(count, int) else usual


def _spec(options: dict[str, Any]) -> BaseSpec:
    """The base model that the options name."""
    from seam.models.load import BaseSpec, parse_model_args

    overrides = {
        "size": options["input_size"],
        "mean": numbers(options["mean"], "mean"),
        "std": numbers(options["std"], "std"),
        "crop_fraction": options["crop_fraction"],
        "interpolation": options["interpolation"],
    }
    return BaseSpec(
        name=options["model"],
        weights=options["weights"],
        model_args=parse_model_args(options["model_args"] or []),
        labels_file=options["labels_file"],
        preprocessing={name: value for name, value in overrides.items() if value is not None},
    )


def _points(tolerance: float | None) -> Any:
    """Percentage points as a share."""
    return None if tolerance is None else tolerance / 100


def _search(
    output: Output,
    spec: BaseSpec,
    problem: Problem,
    data: str,
    out: Path | None,
    settings: Plan,
    device: str,
    dry_run: bool,
) -> None:
    from seam.artefacts.run import RunFolder
    from seam.jobs.direct import recorded, reengineer
    from seam.jobs.task import Task

    with output.progress() as observer:
        observer.stage("loading the base model")
        base = spec.load(device)
        if dry_run:
            if out is not None:
                RunFolder(out).check(recorded(base, problem, data, settings))
            facts = Task(base, problem, data, settings).facts()
        else:
            result = reengineer(
                base,
                problem,
                data,
                out=out,
                settings=settings,
                observer=observer,
            )
    if dry_run:
        from seam.report.terminal import dry_run as dry_run_table

        output.show(dry_run_table(facts))
        output.document(facts)
    else:
        show(output, result)


def _pick_again(output: Output, out: Path | None, options: dict[str, Any], device: str) -> None:
    """Choose another point of a finished run's frontier."""
    rules = [name for name in RULES if options.get(name) is not None]
    others = [name for name in options if name not in (*RULES, *GENERAL)]
    if out is None or len(rules) != 1 or others:
        extra = f", without --{others[0].replace('_', '-')}" if out is not None and others else ""
        raise ConfigError(
            "no MODEL is given; give one, or choose again among a finished run's points: "
            f"--out RUN with one of --pick, --keep, --keep-macs, --keep-latency, --tolerance{extra}"
        )
    from seam.core.config import Pick
    from seam.jobs.again import pick_again

    name, value = rules[0], options[rules[0]]
    value = _points(value) if name == "tolerance" else value
    rule = Pick(rule=RULES[name], value=value)  # type: ignore[arg-type]
    with output.progress() as observer:
        result = pick_again(out, rule, device=device_of(device), observer=observer)
    show(output, result)


def show(output: Output, result: Result) -> None:
    """Write the pictures, print the table and what to do next."""
    from seam.report.gallery import write_pictures
    from seam.report.terminal import per_label, summary

    pictures = write_pictures(result)
    output.show(summary(result.report), per_label(result.report))
    shrunk = result.report["model"]["kind"] == "shrunk"
    more = f"seam export {result.folder} --to onnx" if shrunk else f"seam evaluate {result.folder}"
    if shrunk:
        more += f"   or   seam evaluate {result.folder} --latency"
    output.show(
        f"run folder: {result.folder}  (pictures: {', '.join(file.name for file in pictures)})",
        f"next: seam predict {result.folder} IMAGE   or   {more}   "
        f"or   seam inspect {result.folder}/adapter",
    )
    output.document(result.report)
