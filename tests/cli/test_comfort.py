"""A file of options, completion, pages of the documentation in errors, progress, exit codes."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from check_links import ROOT, anchors
from rich.console import Console

from seam import errors
from seam.cli import console
from seam.cli.console import Bars, Lines
from seam.cli.init import COMMANDS, template
from seam.cli.main import EXIT_CODES, app, main
from seam.exporting import sidecar  # noqa: F401  its error belongs to the table, too
from seam.search.frontier import Point

Call = Callable[..., "object"]
COLOUR = re.compile(r"\x1b\[[0-9;]*3(?:[0-7]m|8;)")  # of eight, or of 256 and more


# ------------------------------------------------------------------------------------------ init


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^#(?=[a-z])", "", text)


def test_a_new_file_runs_as_it_is(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("init")
    assert outcome.code == 0, outcome.err
    assert "next: seam reengineer --config run.yaml" in outcome.out
    plain = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "7", "--dry-run", "--json"]
    expected = json.loads(call(*plain).out)
    assert (
        json.loads(call("reengineer", "--config", "run.yaml", "--dry-run", "--json").out)
        == expected
    )

    Path("all.yaml").write_text(uncommented(Path("run.yaml").read_text()))
    outcome = call("reengineer", "--config", "all.yaml", "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out) == expected


@pytest.mark.parametrize("command", COMMANDS)
def test_a_new_file_holds_every_option(command: str) -> None:
    import typer

    parameters = typer.main.get_command(app).commands[command].params  # type: ignore[attr-defined]
    names = {
        max((opt for opt in each.opts if opt.startswith("--")), default=each.name).removeprefix(
            "--"
        )
        for each in parameters
        if each.name not in ("config", "help")
    }
    assert set(yaml.safe_load(uncommented(template(command)))) == names


def test_init_refuses(call: Call, tmp_path: Path) -> None:
    mine = tmp_path / "run.yaml"
    mine.write_text("mine")
    for arguments, told in (
        ([mine], "is there already; give another FILE"),
        ([tmp_path / "none/run.yaml"], "cannot be written (No such file or directory)"),
        ([tmp_path / "new.yaml", "--command", "predict"], "takes no such file; give reengineer or"),
    ):
        outcome = call("init", *arguments)
        assert (outcome.code, outcome.out) == (2, "")
        assert told in outcome.err
    assert {each.name for each in tmp_path.iterdir()} == {"run.yaml"}
    assert mine.read_text() == "mine"


def test_a_config_file_may_use_the_flags_names(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: zoo:digits\ndata: digits\nlabels: 3,5\nround: 8\n")
    outcome = call("reengineer", "--config", file, "--dry-run")
    assert outcome.code == 2
    assert "'round_to' does not fit granularity 'weight'" in outcome.err
    file.write_text("rounds: 8\n")
    assert (
        "option 'rounds' is unknown; did you mean 'round'"
        in call("reengineer", "--config", file).err
    )


# ------------------------------------------------------------------------------------ completion


@pytest.mark.parametrize(("words", "found"), [("seam ree", "reengineer"), ("seam pus", "push")])
def test_completion(words: str, found: str) -> None:
    asked = {"_SEAM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "seam"],
        env={**os.environ, **asked},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == [found]


def test_completion_can_be_shown() -> None:
    """For the shell it is called from: here one that stays its parent."""
    done = subprocess.run(
        ["bash", "-c", '"$0" -m seam --show-completion; exit $?', sys.executable],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "complete -o default -F _" in done.stdout


# ---------------------------------------------------------------------------------------- errors


def kinds(of: type[errors.SeamError] = errors.SeamError) -> Iterator[type[errors.SeamError]]:
    yield of
    for each in of.__subclasses__():
        yield from kinds(each)


def test_the_pages_of_errors_are_there() -> None:
    pages = {kind.page for kind in kinds() if kind.page}
    assert len(pages) > 3
    for page in pages:
        file, _, heading = page.partition("#")
        assert (ROOT / file).is_file()
        assert not heading or heading in anchors(ROOT / file)


def test_errors_name_their_page(call: Call, tmp_path: Path) -> None:
    outcome = call("predict", tmp_path, tmp_path / "none.png")
    assert outcome.code == 2
    assert outcome.err.endswith(" (see docs/run-folder.md)\n")
    assert "see docs" not in call("reengineer", "zoo:digits", "--labels", "7").err


# ------------------------------------------------------------------------------------ exit codes


def test_exit_codes(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {call("--version").code, call("predict").code}
    for error in (KeyboardInterrupt(), errors.DataError("no")):

        def fail(*_: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr("seam.cli.main.app", lambda fail=fail, **_: fail())
        seen.add(call("demo").code)
    monkeypatch.setattr("seam.cli.main.app", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # which ends a process with a traceback and code 1
        main()
    assert seen | {1} == set(EXIT_CODES)


# -------------------------------------------------------------------------------------- progress


@pytest.mark.parametrize("width", [30, 40, 80, 120])
def test_a_bar_takes_one_line(width: int) -> None:
    screen = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with Bars(screen) as bars:
        for stage in ("measuring the latency of layers in openvino", "searching"):
            bars.stage(stage)
            bars.step(1, 30, 5, 10)
            bars.point(Point(1, 0.5, 0.9, 0.4, 1.0), 30)
            lines = screen.render_lines(bars._progress.get_renderable())
            text = ["".join(part.text for part in line).rstrip() for line in lines]
            assert len([line for line in text if line]) == 1
            assert len(text[0]) <= width
            assert "5 %" in text[0]
            assert ("density" in text[0]) == (
                (width >= 80 and stage == "searching") or width == 120
            )


def test_a_log_has_lines_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    lines = Lines()
    for step in range(10):
        lines.step(0, 3, step, 10)
        now[0] += 25.0
    told = capsys.readouterr().err
    assert told == "".join(f"epoch 1/3  step {step}/10\n" for step in (3, 6, 9))
    assert "\r" not in told


def test_no_colours_if_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        monkeypatch.setenv("TERM", "xterm-256color")
        screen = Console(file=io.StringIO(), width=80, force_terminal=True)
        with Bars(screen) as bars:
            bars.stage("searching")
        assert isinstance(screen.file, io.StringIO)
        shown[value] = bool(COLOUR.search(screen.file.getvalue()))
    assert shown == {"": True, "1": False}
