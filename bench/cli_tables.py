"""Tables of the command line, from its code."""

from __future__ import annotations

import inspect

from seam.cli.main import EXIT_CODES, app


def commands() -> str:
    """Every command with the first line of its help."""
    rows = [
        f"| `seam {each.name}` | {(inspect.getdoc(each.callback) or '').partition(chr(10))[0]} |"
        for each in app.registered_commands
    ]
    return "\n".join(["| command | what it does |", "| --- | --- |", *rows]) + "\n"


def exit_codes() -> str:
    """What a command ends with."""
    rows = [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()]
    return "\n".join(["| code | meaning |", "| ---: | --- |", *rows]) + "\n"
