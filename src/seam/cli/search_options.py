"""The options of the commands that search, by the panels its help shows them in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seam.cli.options import place

_SEARCH = "Search"
_POINT = "Which point"
_DATA = "Data"
_BASE = "Base model"

Model = Annotated[
    str | None,
    typer.Argument(
        help="timm:NAME, torchvision:NAME, hf:FOLDER, hf:OWNER/NAME, zoo:NAME or model:RUN/model."
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        help="One label (against the rest) or several, with commas between them; "
        "one that has a comma itself in double quotes."
    ),
]
NewLabels = Annotated[
    str | None,
    typer.Option(help="Those of the data's labels to tell apart; by default all of them."),
]
Groups = Annotated[
    Path | None, typer.Option(help="YAML file that merges labels: a list of them for each name.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Run folder, or a URL as s3://BUCKET/FOLDER. The same command continues it.",
        parser=place,
        metavar="FOLDER",
    ),
]
Track = Annotated[
    list[str] | None,
    typer.Option(help="Record the search in tensorboard or mlflow, inside the run folder; repeat."),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check everything, write nothing, search nothing.")
]

Data = Annotated[
    str | None,
    typer.Option(help="Image, parquet or CSV folder, hub name, or digits.", rich_help_panel=_DATA),
]
Shots = Annotated[
    int | None, typer.Option(help="At most so many samples a label.", rich_help_panel=_DATA)
]
Validation = Annotated[
    float | None, typer.Option(help="Share that choices are made by.", rich_help_panel=_DATA)
]
ValidationFrom = Annotated[
    str | None, typer.Option(help="train, or test: not seen by the base.", rich_help_panel=_DATA)
]
Negatives = Annotated[str | None, typer.Option(help="balanced or all.", rich_help_panel=_DATA)]
Augment = Annotated[
    str | None, typer.Option(help="none, crop or crop+flip.", rich_help_panel=_DATA)
]
Rename = Annotated[
    list[str] | None, typer.Option(help="DATA_LABEL=BASE_LABEL; repeat.", rich_help_panel=_DATA)
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out unreadable samples.", rich_help_panel=_DATA)
]

Weights = Annotated[
    str | None, typer.Option(help="Weights file (safetensors).", rich_help_panel=_BASE)
]
ModelArgs = Annotated[
    list[str] | None,
    typer.Option(help="key=value for the model's builder; repeat.", rich_help_panel=_BASE),
]
LabelsFile = Annotated[
    str | None, typer.Option(help="The base's labels, one a line.", rich_help_panel=_BASE)
]
InputSize = Annotated[int | None, typer.Option(help="Side in pixels.", rich_help_panel=_BASE)]
Mean = Annotated[
    str | None, typer.Option(help="Of each channel, in [0, 1].", rich_help_panel=_BASE)
]
Std = Annotated[str | None, typer.Option(help="Of each channel, in [0, 1].", rich_help_panel=_BASE)]
CropFraction = Annotated[
    float | None, typer.Option(help="Of the resized image.", rich_help_panel=_BASE)
]
Interpolation = Annotated[
    str | None, typer.Option(help="bicubic, bilinear or nearest.", rich_help_panel=_BASE)
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        help="Tokens of a text; 128 by default, or what the model takes.", rich_help_panel=_BASE
    ),
]

HeadLayer = Annotated[
    str | None,
    typer.Option(
        help="Layer that a new head replaces; by default the one that gives the logits.",
        rich_help_panel=_BASE,
    ),
]

Preset = Annotated[
    str,
    typer.Option(
        help="default, bitmask (values stay: one bit a weight), paper (published).",
        rich_help_panel=_SEARCH,
    ),
]
Granularity = Annotated[
    str | None,
    typer.Option(help="What is removed: weight (single ones) or channel.", rich_help_panel=_SEARCH),
]
Epochs = Annotated[int | None, typer.Option(rich_help_panel=_SEARCH)]
BatchSize = Annotated[int | None, typer.Option(rich_help_panel=_SEARCH)]
Rate = Annotated[float | None, typer.Option(rich_help_panel=_SEARCH)]
Alpha = Annotated[
    float | None, typer.Option(help="Penalty on density (paper).", rich_help_panel=_SEARCH)
]
FinalDensity = Annotated[
    float | None, typer.Option(help="Where the walk ends.", rich_help_panel=_SEARCH)
]
FinalMacs = Annotated[
    float | None,
    typer.Option(help="Where a walk for channels ends, in MACs.", rich_help_panel=_SEARCH),
]
FinalLatency = Annotated[
    float | None,
    typer.Option(help="Where a walk for channels ends, in time.", rich_help_panel=_SEARCH),
]
Runtime = Annotated[
    str | None,
    typer.Option(
        help="Of a budget in time: openvino, onnxruntime, torch.", rich_help_panel=_SEARCH
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(help="Of a budget in time: images a call.", rich_help_panel=_SEARCH),
]
Round = Annotated[
    int | None,
    typer.Option(
        "--round", help="A layer keeps a multiple of this many channels.", rich_help_panel=_SEARCH
    ),
]
Levels = Annotated[
    int | None, typer.Option(help="Steps of the walk down.", rich_help_panel=_SEARCH)
]
Growth = Annotated[
    float | None,
    typer.Option(help="Each level is so many times as long as the last.", rich_help_panel=_SEARCH),
]
HeadKind = Annotated[
    str | None, typer.Option(help="slice, append or replace.", rich_help_panel=_SEARCH)
]
Tune = Annotated[
    str | None, typer.Option(help="What may adapt: none, norm, all.", rich_help_panel=_SEARCH)
]
Distill = Annotated[
    float | None,
    typer.Option(help="Share of the base's own answers in the loss.", rich_help_panel=_SEARCH),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="Of the search's steps: float32, or bfloat16 where the processor has it.",
        rich_help_panel=_SEARCH,
    ),
]
Accumulate = Annotated[
    int | None,
    typer.Option(
        help="Parts in which each batch is computed, to save memory.", rich_help_panel=_SEARCH
    ),
]
Safer = Annotated[
    str | None,
    typer.Option(
        help="Show what the base is weak against, rightly labelled: attacks or triggers.",
        rich_help_panel=_SEARCH,
    ),
]
FinetuneEpochs = Annotated[
    int | None,
    typer.Option(help="Behind the search (paper).", rich_help_panel=_SEARCH),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(help="Layer that is not masked, * allowed; repeat.", rich_help_panel=_SEARCH),
]

Tolerance = Annotated[
    float | None,
    typer.Option(
        help="Points below restricted that are accepted; 0.5 by default.", rich_help_panel=_POINT
    ),
]
Remove = Annotated[
    float | None,
    typer.Option(
        help="Share of the weights to remove: the most accurate point of at most what is left.",
        rich_help_panel=_POINT,
    ),
]
Below = Annotated[
    float | None,
    typer.Option(
        "--tolerance",
        help="Points below the most accurate point that are accepted; 0.5 by default.",
        rich_help_panel=_POINT,
    ),
]
Keep = Annotated[
    float | None,
    typer.Option(help="Most accurate point of at most this density.", rich_help_panel=_POINT),
]
KeepMacs = Annotated[
    float | None,
    typer.Option(help="... of at most this share of MACs.", rich_help_panel=_POINT),
]
KeepLatency = Annotated[
    float | None,
    typer.Option(help="... of at most this share of the base's time.", rich_help_panel=_POINT),
]
Epoch = Annotated[
    int | None,
    typer.Option(
        help="Point of the frontier by epoch; with --out of a finished run, nothing else is "
        "needed.",
        rich_help_panel=_POINT,
    ),
]
