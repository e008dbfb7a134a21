"""Options that several commands share, and how their text becomes values."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from seam.artefacts.storage import is_url
from seam.artefacts.yaml_file import read_yaml
from seam.core.problem import Problem
from seam.errors import ConfigError, LabelError, in_line, nearest


def _read_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Take options from a YAML file; what the command line says wins."""
    if path is None:
        return None
    values = read_yaml(path, what="config file")
    known = {name: each for each in ctx.command.params for name in spellings(each)}
    defaults: dict[str, Any] = {}
    for key, value in values.items():
        name = str(key).replace("_", "-")
        if name not in known or name == "config":
            raise ConfigError(
                f"config file '{path}': option '{key}' is unknown{nearest(name, list(known))}"
            )
        defaults[str(known[name].name)] = _as_option(value, known[name])
    ctx.default_map = {**(ctx.default_map or {}), **defaults}
    return path


def _hush(quiet: bool) -> bool:
    """Keep warnings back where only errors are wanted."""
    logging.getLogger("seam").setLevel(logging.ERROR if quiet else logging.WARNING)
    return quiet


def spellings(parameter: Any) -> list[str]:
    """How a config file may call an option or an argument: as its flag, or as Python does."""
    flags = [flag.removeprefix("--") for flag in parameter.opts if flag.startswith("--")]
    return [*flags, str(parameter.name).replace("_", "-")]


def place(text: str) -> str | Path:
    """A folder as a command is given it; a URL stays one, which a path would take a slash from.

    >>> place("s3://bucket/runs/a")
    's3://bucket/runs/a'
    """
    return text if is_url(text) else Path(text)


Run = Annotated[Path, typer.Argument(help="Run folder, or the URL of one.", parser=place)]
"""A command gets a folder of this machine, whichever was given, by `mirroring`."""
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        is_eager=True,
        callback=_read_config,
        help="YAML file with options by name; the command line wins.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", callback=_hush, help="Print nothing but errors.")]
OtherData = Annotated[
    str | None,
    typer.Option("--data", help="Other data than the run's own, with a test split."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of splits, order and first weights.")]
Device = Annotated[
    str, typer.Option("--device", help="cpu, cuda, cuda:1, mps; auto takes the fastest there is.")
]


def _as_option(value: Any, option: Any) -> Any:
    """A YAML value as the command line would write it."""
    if value is None or getattr(option, "is_flag", False):
        return value
    if isinstance(value, dict):
        return [f"{left}={right}" for left, right in value.items()]
    several = list(map(str, value)) if isinstance(value, list) else [str(value)]
    if getattr(option, "multiple", False):
        return several
    return joined(several) if isinstance(value, list) else several[0]


def problem_of(labels: str | None, groups: Path | None) -> Problem:
    """The problem that ``--labels`` or ``--groups`` names.

    >>> problem_of("airplane, ship", None).outputs
    ('airplane', 'ship')
    """
    if (labels is None) == (groups is None):
        raise ConfigError(
            "name the problem: give either --labels LABEL[,LABEL...] or --groups FILE"
        )
    if labels is not None:
        return Problem.of(names_in(labels))
    assert groups is not None
    values = read_yaml(groups, what="groups file")
    for name, members in values.items():
        if not is_labels(members):
            raise LabelError(
                f"groups file '{groups}': group '{name}' is no list of labels; "
                "write  name: [label, label]"
            )
    return groups_of(values)


def is_labels(value: Any) -> bool:
    """Whether a YAML value is a list of labels.

    >>> is_labels(["airplane", 7]), is_labels("airplane")
    (True, False)
    """
    return isinstance(value, list) and all(isinstance(each, str | int) for each in value)


def groups_of(values: Mapping[Any, Any]) -> Problem:
    """The problem of groups that YAML names, each of which `is_labels`.

    >>> groups_of({"even": [0, 2], "odd": [1]}).outputs
    ('even', 'odd')
    """
    return Problem.groups({str(n): [str(m) for m in members] for n, members in values.items()})


def names_in(text: str) -> list[str]:
    """Names with commas between them; one that has a comma itself stands in double quotes.

    >>> names_in('onnx, "openvino, int8",')
    ['onnx', 'openvino, int8']
    """
    try:
        names = next(csv.reader([text], skipinitialspace=True), [])
    except csv.Error as error:
        raise ConfigError(f"{text!r:.80} is no list of names ({error}); give NAME,NAME") from error
    return [name.strip() for name in names if name.strip()]


def joined(names: list[str]) -> str:
    """Inverse of `names_in`.

    >>> joined(["onnx", "openvino, int8"])
    'onnx,"openvino, int8"'
    """
    found = io.StringIO()
    csv.writer(found, lineterminator="").writerow(names)
    return found.getvalue()


def numbers(text: str | None, name: str) -> tuple[float, ...] | None:
    """Comma-separated numbers.

    >>> numbers("0.5,0.5,0.5", "mean")
    (0.5, 0.5, 0.5)
    """
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--{name} is '{text}'; give numbers with commas between them") from error


def pairs(values: list[str] | None, name: str) -> dict[str, str]:
    """``left=right`` options as a dictionary.

    >>> pairs(["plane=airplane"], "rename")
    {'plane': 'airplane'}
    """
    found = {}
    for value in values or []:
        left, equals, right = value.partition("=")
        if not equals or not left:
            raise ConfigError(f"--{name} '{value}' is not of the form LEFT=RIGHT")
        found[left] = right
    return found


def device_of(name: str) -> str:
    """The device to work on.

    Raises:
        ConfigError: this machine or this PyTorch has no such device.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except Exception as error:  # each kind of device fails in its own way
        raise ConfigError(
            f"device '{name}' is not to be had here ({in_line(error, 100)}); give --device cpu"
        ) from error
    return name
