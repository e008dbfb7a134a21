"""`seam`: the commands."""

from __future__ import annotations

import os
import sys

import click
import typer

from seam.cli.console import fail
from seam.cli.demo import run as demo
from seam.cli.evaluate import run as evaluate
from seam.cli.inspect import run as inspect
from seam.cli.predict import run as predict
from seam.cli.reengineer import run as reengineer
from seam.errors import SeamError

app = typer.Typer(
    name="seam",
    help="Search the weights of a trained network that your problem needs, and remove the rest.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("reengineer")(reengineer)
app.command("evaluate")(evaluate)
app.command("inspect")(inspect)
app.command("predict")(predict)
app.command("demo")(demo)


@app.callback()
def _version(
    version: bool = typer.Option(False, "--version", help="Show the version and end."),
) -> None:
    if version:
        from seam import __version__

        typer.echo(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; bad input ends with one line and exit code 2."""
    try:
        code = app(standalone_mode=False)
    except SeamError as error:
        fail(str(error))
        code = 2
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = 2
    except click.ClickException as error:
        fail(error.format_message())
        code = 2
    except (KeyboardInterrupt, click.Abort):
        fail("stopped; what was finished is kept, and the same command continues from there")
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)
