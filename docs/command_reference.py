"""A Sphinx directive, `commands`: every command of `seam` with its options, from the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from seam.cli.main import app


class Commands(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(lines()), allow_section_headings=True)


def lines() -> Iterator[str]:
    """The commands as Markdown, a section each."""
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        usage = " ".join(["seam", name, *(_usage(each) for each in arguments)])
        yield from (f"## seam {name}", "", command.help.partition("\f")[0], "")
        yield from ("```text", f"{usage} [OPTIONS]", "```", "")
        panels: dict[str, list[Any]] = {}
        for each in command.params:
            panels.setdefault(each.rich_help_panel or "", []).append(each)
        for panel, parameters in panels.items():
            yield from (f"| {panel or 'option'} | meaning |", "| --- | --- |")
            for each in parameters:
                yield f"| {_names(each)} | {_escaped(each.help or '')}{_default(each)} |"
            yield ""


def _usage(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.name.upper()}`"
    return ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])


def _default(parameter: Any) -> str:
    if parameter.required:
        return " (required)"
    value = parameter.default
    if value is None or value is False or value == () or callable(value):
        return ""
    return f" (default: `{value}`)"


def _escaped(text: str) -> str:
    """Help as a table's cell: no rich markup, nothing that Markdown would read."""
    plain = text.replace("\\[", "[").replace("\n", " ")
    return "".join(f"\\{sign}" if sign in r"\|*_<>[]" else sign for sign in plain)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
