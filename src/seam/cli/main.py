"""`seam`: the commands."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer

from seam.cli.console import fail
from seam.cli.demo import run as demo
from seam.cli.evaluate import run as evaluate
from seam.cli.export import run as export
from seam.cli.init import run as init
from seam.cli.inspect import run as inspect
from seam.cli.predict import run as predict
from seam.cli.pull import run as pull
from seam.cli.push import run as push
from seam.cli.reengineer import run as reengineer
from seam.cli.report import compare
from seam.cli.report import run as report
from seam.cli.sweep import run as sweep
from seam.cli.transfer import run as transfer
from seam.errors import RankError, SeamError, in_line, ran_out_of_memory

# What typer raises for bad usage: click's UsageError, or its own copy of it; it exports neither.
UsageError: Any = typer.BadParameter.__base__

EXIT_CODES = {
    0: "done",
    1: "a defect of seam, or of something below it; a traceback says where",
    2: "a mistake, in one line that names the mend; nothing is half-written",
    130: "stopped by Ctrl-C; what was finished is kept, and the same command goes on",
}

app = typer.Typer(
    name="seam",
    help="Search the weights of a trained network that your problem needs, and remove the rest.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.command("reengineer")(reengineer)
app.command("transfer")(transfer)
app.command("sweep")(sweep)
app.command("evaluate")(evaluate)
app.command("export")(export)
app.command("inspect")(inspect)
app.command("predict")(predict)
app.command("push")(push)
app.command("pull")(pull)
app.command("init")(init)
app.command("report")(report)
app.command("compare")(compare)
app.command("demo")(demo)


def _show_version(wanted: bool) -> None:
    if wanted:
        from seam import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and end."
        ),
    ] = False,
) -> None:
    """What comes before the command."""


def main() -> None:
    """Run the command line; bad input ends with one line and exit code 2."""
    try:
        code = app(prog_name="seam", standalone_mode=False)
    except RankError:
        code = 2
    except SeamError as error:
        fail(f"{error} (see {error.page})" if error.page else str(error))
        code = 2
    except UsageError as error:
        _misused(error)
        code = 2
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            fail(f"'{error.filename}' is too long for the name of a file; give another")
        elif ran_out_of_memory(error):
            fail(
                f"out of memory ({in_line(error)}); close other programs, or give a smaller "
                "--batch-size. What was finished is kept, and the same command continues from there"
            )
        else:
            raise
        code = 2
    if code == 130:
        fail("stopped; what was finished is kept, and the same command continues from there")
    sys.exit(code if isinstance(code, int) else 0)


def _misused(error: Any) -> None:
    """One line for bad usage; a command without anything shows its help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return
    command = error.ctx.command_path if error.ctx is not None else "seam"
    fail(f"{error.format_message().rstrip('.')}; see {command} --help")
