"""`seam transfer`: indirect reuse."""

from __future__ import annotations

import typer

from seam.artefacts.mirroring import WORK, mirroring
from seam.cli import search_options as given
from seam.cli.console import Output
from seam.cli.options import Config, Device, Json, Quiet, Seed, names_in, pairs
from seam.cli.searching import check_places, choose_again, run_search


@mirroring("out", WORK, unless="dry_run")
def run(
    ctx: typer.Context,
    model: given.Model = None,
    data: given.Data = None,
    labels: given.NewLabels = None,
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
    finetune_epochs: given.FinetuneEpochs = None,
    batch_size: given.BatchSize = None,
    score_lr: given.Rate = None,
    head_lr: given.Rate = None,
    tune_lr: given.Rate = None,
    alpha: given.Alpha = None,
    final_macs: given.FinalMacs = None,
    final_latency: given.FinalLatency = None,
    runtime: given.Runtime = None,
    batch: given.Batch = None,
    round_to: given.Round = None,
    levels: given.Levels = None,
    growth: given.Growth = None,
    distill: given.Distill = None,
    precision: given.Precision = None,
    accumulate: given.Accumulate = None,
    safer: given.Safer = None,
    exclude: given.Exclude = None,
    remove: given.Remove = None,
    tolerance: given.Below = None,
    keep_macs: given.KeepMacs = None,
    keep_latency: given.KeepLatency = None,
    pick: given.Epoch = None,
    shots: given.Shots = None,
    validation: given.Validation = None,
    validation_from: given.ValidationFrom = None,
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
    """Re-engineer MODEL for new labels: those of your data, which it need not know.

    Trains a new head, searches the weights that matter to it, removes the rest, tunes what is kept,
    and measures the result against the whole model with a trained head.
    """
    output = Output(json, quiet)
    ctx.params["out"] = out  # a folder of this machine, if a URL was given
    if model is None:
        choose_again(output, ctx)
        return
    check_places(data, out, dry_run)
    from seam.core.problem import Problem
    from seam.data.load import labels_of

    assert data is not None
    if labels is None:
        found = labels_of(data, rename=pairs(rename, "rename"))
    else:
        found = tuple(names_in(labels))
    run_search(output, Problem.new_labels(found), ctx.params)
