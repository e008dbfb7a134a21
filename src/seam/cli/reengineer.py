"""`seam reengineer`: direct reuse."""

from __future__ import annotations

import typer

from seam.artefacts.mirroring import WORK, mirroring
from seam.cli import search_options as given
from seam.cli.console import Output
from seam.cli.options import Config, Device, Json, Quiet, Seed, problem_of
from seam.cli.searching import check_places, choose_again, run_search


@mirroring("out", WORK, unless="dry_run")
def run(
    ctx: typer.Context,
    model: given.Model = None,
    data: given.Data = None,
    labels: given.Labels = None,
    groups: given.Groups = None,
    out: given.Out = None,
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
    final_latency: given.FinalLatency = None,
    runtime: given.Runtime = None,
    batch: given.Batch = None,
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
    keep_latency: given.KeepLatency = None,
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
    track: given.Track = None,
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
    ctx.params["out"] = out  # a folder of this machine, if a URL was given
    if model is None:
        choose_again(output, ctx)
        return
    check_places(data, out, dry_run)
    run_search(output, problem_of(labels, groups), ctx.params)
