"""`seam init`: a file of options to begin with."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from seam.cli.console import Output
from seam.cli.options import Json, Quiet
from seam.cli.reengineer import run as reengineer
from seam.cli.transfer import run as transfer
from seam.errors import ConfigError

COMMANDS: dict[str, Callable[..., None]] = {"reengineer": reengineer, "transfer": transfer}

STARTERS = {
    "reengineer": {"model": "zoo:digits", "data": "digits", "labels": '"7"', "out": "runs/seven"},
    "transfer": {"model": "zoo:digits", "data": "digits", "out": "runs/mine"},
}
"""What a new file sets: enough for a run that needs no network."""
KINDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list[str]: "a list",
}


def run(
    file: Annotated[Path, typer.Argument(help="File to write.")] = Path("run.yaml"),
    command: Annotated[
        str, typer.Option(help=f"Whose options: {', '.join(STARTERS)}.")
    ] = "reengineer",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a file of options, each explained, that --config takes."""
    if command not in STARTERS:
        raise ConfigError(f"command '{command}' takes no such file; give {' or '.join(STARTERS)}")
    text = template(command)
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise ConfigError(f"'{file}' is there already; give another FILE, or move it") from error
    except OSError as error:
        raise ConfigError(f"'{file}' cannot be written ({error.strerror}); give another") from error
    output = Output(as_json, quiet)
    output.show(
        f"{file} is written; change it to what you have",
        f"next: seam {command} --config {shlex.quote(str(file))}",
    )
    output.document({"file": str(file), "command": command})


def template(command: str) -> str:
    r"""The options of a command as commented YAML, made from the command itself.

    >>> print(template("reengineer").partition("model: ")[2].partition("\n")[0])
    zoo:digits
    """
    panels: dict[str, list[str]] = {}
    for each in _options(COMMANDS[command]):
        panels.setdefault(each.panel, []).extend(["", *each.lines(STARTERS[command])])
    text = [
        f"# Options of `seam {command}`. Take the # before a name away to set it; what is empty is",
        "# left to the preset. The command line wins over this file.",
    ]
    for title, lines in panels.items():
        text += ["", f"# ---- {title} ----", *lines] if title else lines
    return "\n".join(text) + "\n"


@dataclass(frozen=True)
class _Option:
    """A command's option, as its function declares it."""

    name: str
    flag: str
    help: str
    panel: str
    kind: str
    default: Any

    def lines(self, starters: Mapping[str, str]) -> Iterator[str]:
        """What it means, then its name with the value that it has."""
        words = self.help or self.flag.replace("-", " ").capitalize()
        yield f"# {words.removesuffix('.')} ({self.kind})."
        if self.name in starters:
            yield f"{self.flag}: {starters[self.name]}"
        else:
            value = "" if self.default is None else json.dumps(self.default)
            yield f"#{self.flag}: {value}".rstrip()


def _options(command: Callable[..., None]) -> Iterator[_Option]:
    """The options of a command that a file can hold."""
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if name in ("ctx", "config"):
            continue
        kind, declared = get_args(hints[name])
        kinds = [each for each in get_args(kind) or (kind,) if each is not type(None)]
        words = (declared.default, *(declared.param_decls or ()))  # the first flag is "default"
        flags = [each for each in words if isinstance(each, str) and each.startswith("--")]
        yield _Option(
            name=name,
            flag=(flags or [name.replace("_", "-")])[0].removeprefix("--"),
            help=declared.help or "",
            panel=declared.rich_help_panel or "",
            kind=KINDS.get(kinds[0], "text"),
            default=parameter.default,
        )
