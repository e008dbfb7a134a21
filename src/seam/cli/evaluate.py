"""`seam evaluate`: measure a finished run again."""

from __future__ import annotations

from typing import Annotated

import typer

from seam.artefacts.mirroring import NOTE, mirroring
from seam.cli.console import Output
from seam.cli.defect_options import (
    AdaptiveFeatures,
    Attacks,
    AutoAttack,
    Epsilon,
    FeatureLayer,
    Published,
    Samples,
    Steps,
    TriggerFile,
    defects_plan,
)
from seam.cli.options import (
    Config,
    Device,
    Json,
    OtherData,
    Quiet,
    Run,
    device_of,
    names_in,
    numbers,
)
from seam.errors import ConfigError

BATCHES = "1,16"


@mirroring("run", NOTE)
def run(
    run: Run,
    data: OtherData = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Time base and result; measure their size and memory.")
    ] = False,
    runtimes: Annotated[
        str | None,
        typer.Option(
            help="Where to time them: some of torch,torch_compiled,onnxruntime,openvino. "
            "By default wherever it can be done here."
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="To time with; by default PyTorch's, at most one a core.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(help="Batch sizes to time.", show_default=BATCHES)
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Time the exported 8-bit models, not the float one.")
    ] = False,
    defects: Attacks = False,
    samples: Samples = None,
    steps: Steps = None,
    epsilon: Epsilon = None,
    autoattack: AutoAttack = None,
    published: Published = False,
    adaptive_features: AdaptiveFeatures = False,
    feature_layer: FeatureLayer = None,
    trigger: TriggerFile = None,
    device: Device = "auto",
    json: Json = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Measure a finished run on its test data: accuracy, weights, MACs; with --latency, time.

    With --defects or --trigger, what it has inherited from its base.
    """
    from seam.evaluation.latency import LatencyPlan
    from seam.jobs.again import files_to_time, remeasure
    from seam.jobs.defects import Defects, kept_defects, refuse_export
    from seam.jobs.reopen import reopen
    from seam.reporting.attacked import write_sheets
    from seam.reporting.defects import defects_summary
    from seam.reporting.latency import speed
    from seam.reporting.terminal import per_label, summary
    from seam.reporting.words import predict_command

    timing = (runtimes, threads, batch, int8 or None)
    if not latency and any(value is not None for value in timing):
        raise ConfigError(
            "--runtimes, --threads, --batch and --int8 say how to time; give --latency too"
        )
    named = tuple(names_in(runtimes)) if runtimes is not None else None
    plan = (
        LatencyPlan(runtimes=named, batches=_sizes(batch or BATCHES), threads=threads)
        if latency
        else False
    )
    wanted = defects_plan(
        defects,
        trigger,
        samples=samples,
        steps=steps,
        epsilon=epsilon,
        autoattack=autoattack,
        published=published or None,
        adaptive_features=adaptive_features or None,
        feature_layer=feature_layer,
    )
    if wanted is not None:
        refuse_export(run)
    files = files_to_time(run, latency=plan, int8=int8)
    output = Output(json, quiet)
    found = Defects({}, [])
    with output.progress() as observer:
        observer.stage("measuring on test data" + (", then timing" if latency else ""))
        opened = reopen(run, data=data, device=device_of(device))
        report = remeasure(opened, latency=plan, files=files)
        if wanted is not None:
            found = kept_defects(opened, wanted, observer)
    report |= found.figures
    sheets = write_sheets(found.examples, run)
    output.show(summary(report), per_label(report))
    if latency:
        output.show(speed(report))
    if found.figures:
        output.show(defects_summary(report), f"pictures: {', '.join(map(str, sheets))}")
    output.show(f"next: {predict_command(run, opened.adapter.preprocessing.content)}")
    output.document(report)


def _sizes(text: str) -> tuple[int, ...]:
    """Batch sizes.

    >>> _sizes("1,16")
    (1, 16)
    """
    values = numbers(text, "batch") or ()
    if not all(value.is_integer() for value in values):
        raise ConfigError(f"--batch is '{text}'; give whole numbers with commas between them")
    return tuple(map(int, values))
