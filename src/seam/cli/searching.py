"""What the commands that search share: base model, search, choice among points, what is shown."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from seam.cli.console import Output
from seam.cli.options import device_of, numbers, pairs
from seam.errors import ConfigError

if TYPE_CHECKING:
    from seam.core.problem import Problem
    from seam.jobs.result import Result
    from seam.models.load import BaseSpec

SILENT = Output(as_json=False, quiet=True)
RULES = {
    "pick": "epoch",
    "keep": "keep",
    "remove": "keep",
    "keep_macs": "keep_macs",
    "keep_latency": "keep_latency",
    "tolerance": "tolerance",
}
"""How a point is chosen: option and rule."""
GENERAL = ("out", "device", "json", "quiet", "config")
SETTINGS = (
    *("granularity", "epochs", "batch_size", "score_lr", "head_lr", "tune_lr", "alpha"),
    *("final_density", "final_macs", "final_latency", "runtime", "batch", "round_to"),
    *("levels", "growth", "head", "tune", "distill", "finetune_epochs"),
    *("precision", "accumulate", "safer"),
    *("keep", "remove", "keep_macs", "keep_latency"),
    *("shots", "validation", "validation_from", "negatives", "augment", "skip_bad", "seed"),
)
"""Options that are settings of the same name."""
NAMED = {"pick": "epoch", "round": "round_to", "preset": "preset_name"}
"""Options that set one of another name."""


def check_places(data: str | None, out: Path | None, dry_run: bool) -> None:
    """That it is said what to search on, and where to.

    Raises:
        ConfigError: one of them is missing.
    """
    if data is None:
        raise ConfigError("no data is given; add --data FOLDER")
    if out is None and not dry_run:
        raise ConfigError("no run folder is given; add --out FOLDER")


def run_search(output: Output, problem: Problem, options: Mapping[str, Any]) -> None:
    """The search that the options ask for, or with ``dry_run`` what it would do."""
    from seam.artefacts.run import RunFolder
    from seam.jobs.direct import recorded, reengineer
    from seam.jobs.observe import Silent
    from seam.jobs.plan import plan
    from seam.jobs.ranks import launched
    from seam.jobs.task import Task
    from seam.jobs.track import Several, track

    spec, data, out = spec_of(options), options["data"], options["out"]
    dry_run = options["dry_run"]
    settings = plan(problem, **settings_of(options, spec))
    trackers = track(*(options["track"] or ()), out=out or Path())
    device = device_of(options["device"])
    with launched(device) as ranks, (output if ranks.is_main else SILENT).progress() as observer:
        observer.stage("loading the base model")
        base = ranks.agreed(lambda: spec.load(ranks.device))
        if dry_run:
            if out is not None:
                RunFolder(out).check(recorded(base, problem, data, settings))
            facts = Task(base, problem, data, settings).facts()
        else:
            told = Several(observer, trackers) if ranks.is_main else Silent()
            result = reengineer(
                base, problem, data, out=out, settings=settings, observer=told, ranks=ranks
            )
    if not ranks.is_main:
        return
    if dry_run:
        from seam.reporting.terminal import dry_run as dry_run_table

        output.show(dry_run_table(facts))
        output.document(facts)
    else:
        trackers.keep(show(output, result))


def _base_facts(spec: BaseSpec) -> tuple[str, int]:
    """The base model's name and number of labels, as far as the options tell."""
    usual = 10 if spec.name.startswith("zoo:") else 1000
    count = spec.model_args.get("num_classes", usual)
    return spec.name, count if isinstance(count, int) else usual


def spec_of(options: Mapping[str, Any]) -> BaseSpec:
    """The base model that the options name."""
    from seam.models.load import BaseSpec, parse_model_args

    overrides = {
        "size": options["input_size"],
        "mean": numbers(options["mean"], "mean"),
        "std": numbers(options["std"], "std"),
        "crop_fraction": options["crop_fraction"],
        "interpolation": options["interpolation"],
        "length": options["max_length"],
    }
    return BaseSpec(
        name=options["model"],
        weights=options["weights"],
        model_args=parse_model_args(options["model_args"] or []),
        labels_file=options["labels_file"],
        preprocessing={name: value for name, value in overrides.items() if value is not None},
        head_layer=options["head_layer"] or "",
    )


def settings_of(options: Mapping[str, Any], spec: BaseSpec) -> dict[str, Any]:
    """What the options make of a problem's settings: keywords of `seam.jobs.plan.plan`."""
    return {
        "preset_name": options["preset"],
        "base": _base_facts(spec),
        "exclude": tuple(options["exclude"] or ()),
        "tolerance": _points(options["tolerance"]),
        "epoch": options["pick"],
        "rename": pairs(options["rename"], "rename"),
        **{name: options[name] for name in SETTINGS if name in options},
    }


def setting_of(option: str, values: Sequence[Any]) -> dict[str, list[Any]]:
    """An option and values as the keyword of `seam.jobs.plan.plan` that it sets.

    >>> setting_of("tolerance", [0.5])
    {'tolerance': [0.005]}
    >>> setting_of("pick", [3])
    {'epoch': [3]}
    """
    if option == "tolerance" and all(isinstance(value, int | float) for value in values):
        values = [_points(value) for value in values]
    return {NAMED.get(option, option): [*values]}


def _points(tolerance: float | None) -> Any:
    """Percentage points as a share."""
    if tolerance is not None and not tolerance >= 0:
        raise ConfigError(f"tolerance is {tolerance}; give points, 0 or more")
    return None if tolerance is None else tolerance / 100


def choose_again(output: Output, ctx: typer.Context) -> None:
    """Choose another point of a finished run's frontier; nothing else may be asked.

    Raises:
        ConfigError: it is.
    """
    options, out = _given(ctx), ctx.params["out"]
    rules = [name for name in RULES if options.get(name) is not None]
    others = [name for name in options if name not in (*RULES, *GENERAL)]
    if out is None or len(rules) != 1 or others:
        extra = f", without --{_option(others[0])}" if out is not None and others else ""
        known = ", ".join(f"--{_option(name)}" for name in RULES if name in ctx.params)
        raise ConfigError(
            "no MODEL is given; give one, or choose again among a finished run's points: "
            f"--out RUN with one of {known}{extra}"
        )
    from seam.core.pick import Pick
    from seam.jobs.again import pick_again
    from seam.jobs.plan import kept

    name, value = rules[0], options[rules[0]]
    value = _points(value) if name == "tolerance" else value
    rule = kept(value) if name == "remove" else Pick(rule=RULES[name], value=value)  # type: ignore[arg-type]
    with output.progress() as observer:
        device = device_of(ctx.params["device"])
        result = pick_again(out, rule, device=device, observer=observer)
    show(output, result)


def _given(ctx: typer.Context) -> dict[str, Any]:
    """The options that were given, on the command line or in the config file."""
    return {
        name: value
        for name, value in ctx.params.items()
        if getattr(ctx.get_parameter_source(name), "name", "DEFAULT") != "DEFAULT"
    }


def _option(name: str) -> str:
    return name.replace("_", "-")


def show(output: Output, result: Result) -> list[Path]:
    """Write the pictures, print the table and what to do next; returns the pictures' files."""
    from seam.reporting.gallery import write_pictures
    from seam.reporting.terminal import per_label, summary
    from seam.reporting.words import predict_command

    pictures, content = write_pictures(result), result.adapter.preprocessing.content
    output.show(summary(result.report), per_label(result.report))
    shrunk, run = result.report["model"]["kind"] == "shrunk", shlex.quote(str(result.folder))
    more = f"seam evaluate {run}"
    if shrunk:
        more = f"seam export {run} --to onnx   or   {more} --latency"
    output.show(
        f"run folder: {result.folder}  (pictures: {', '.join(file.name for file in pictures)})",
        f"next: {predict_command(str(result.folder), content)}   or   {more}   "
        f"or   seam report {run}",
    )
    output.document(result.report)
    return pictures
