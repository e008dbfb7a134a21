"""What the commands print: one JSON document, or nothing, or plain tables."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from seam.cli import console
from seam.cli.console import Lines, Output, fail
from seam.reporting import terminal

Files = Callable[[Path], dict[str, bytes]]
Call = Callable[..., "object"]

SEARCH = ["reengineer", "zoo:digits", "--data", "digits", "--labels", "3,5", "--epochs", "2"]
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
REPORT = {
    *("problem", "preset", "accuracy", "density", "weights", "macs", "frontier", "seconds"),
    *("seed", "split_hash", "adapter_bytes"),
}


@pytest.fixture
def image(digit_images: Path) -> Path:
    return next(digit_images.rglob("*.png"))


# ---------------------------------------------------------------------------- --json and --quiet


def test_json_is_one_document(call: Call, finished: Path, image: Path, tmp_path: Path) -> None:
    commands = [
        [*SEARCH, "--out", tmp_path / "run"],
        [*SEARCH, "--dry-run"],
        ["reengineer", "--out", finished, "--tolerance", "50"],
        ["evaluate", finished],
        ["inspect", finished / "adapter"],
        ["predict", finished, image, image],
    ]
    found = []
    for command in commands:
        outcome = call(*command, "--json")
        assert outcome.code == 0, outcome.err
        found.append(json.loads(outcome.out))
        assert outcome.out == json.dumps(found[-1], indent=2, ensure_ascii=False) + "\n"
    for report in (found[0], found[2], found[3]):
        assert set(report) >= REPORT
    assert found[0] == json.loads((tmp_path / "run" / "report.json").read_text())
    assert found[4]["problem"]["outputs"] == ["3", "5"]
    assert [row["image"] for row in found[5]] == [str(image)] * 2
    assert found[5][0]["label"] in ("3", "5")


def test_quiet_prints_nothing(call: Call, finished: Path, image: Path, tmp_path: Path) -> None:
    for command in (
        [*SEARCH, "--out", tmp_path / "run"],
        [*SEARCH, "--dry-run"],
        ["reengineer", "--out", finished, "--tolerance", "50"],
        ["evaluate", finished],
        ["inspect", finished / "adapter"],
        ["predict", finished, image],
    ):
        outcome = call(*command, "--quiet")
        assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


def test_the_demo(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seam.cli.demo.EPOCHS", 2)
    outcome = call("demo", "--out", tmp_path / "demo", "--json", "--quiet")
    assert outcome.code == 0, outcome.err
    reports = json.loads(outcome.out)
    assert len(reports) == 2
    for name, report in reports.items():
        assert set(report) >= REPORT
        folder = tmp_path / "demo" / name
        for picture in ("frontier.png", "gained.png", "lost.png"):
            assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    said = call("demo", "--out", tmp_path / "demo")
    assert said.code == 0
    assert f"run folder: {tmp_path / 'demo'}" in said.out
    assert "gained.png" in said.out


def test_a_run_says_what_comes_next(call: Call, finished: Path, image: Path) -> None:
    assert f"next: seam predict {finished} IMAGE" in call(*SEARCH, "--out", finished).out
    assert f"next: seam predict {finished} IMAGE" in call("evaluate", finished).out
    assert "next: seam predict RUN IMAGE" in call("inspect", finished / "adapter").out
    assert f"next: seam inspect {finished}/adapter" in call("predict", finished, image).out


def test_evaluate_inspect_and_predict_write_nothing(
    call: Call, finished: Path, image: Path, files_of: Files
) -> None:
    before = files_of(finished)
    for command in (["evaluate"], ["inspect"], ["predict", image]):
        place = finished / "adapter" if command[0] == "inspect" else finished
        assert call(command[0], place, *command[1:]).code == 0
    assert files_of(finished) == before


def test_evaluate_repeats_the_report(call: Call, finished: Path) -> None:
    report = json.loads((finished / "report.json").read_text())
    assert json.loads(call("evaluate", finished, "--json").out) == report


def test_dry_run_writes_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files_of: Files
) -> None:
    monkeypatch.chdir(tmp_path)
    for more in ([], ["--out", tmp_path / "run"], ["--out", "run", "--json"]):
        outcome = call(*SEARCH, *more, "--dry-run")
        assert outcome.code == 0, outcome.err
        assert files_of(tmp_path) == {}
        assert list(tmp_path.iterdir()) == []
    facts = json.loads(outcome.out)
    norms = 2 * (32 + 64 + 96)
    assert facts["weights"] == {"base": 75370, "maskable": 75370 - norms}
    assert facts["samples"]["test"] == 121
    assert facts["steps"] == 2 * -(-facts["samples"]["train"] // 64)


# -------------------------------------------------------------------------------------- --config


def test_a_config_file_equals_the_options(call: Call, tmp_path: Path) -> None:
    options = [
        *("--rename", "0=0", "--rename", "1=1", "--exclude", "conv1", "--exclude", "fc"),
        *("--mean", "0.3", "--std", "0.4", "--tolerance", "2", "--skip-bad", "--seed", "4"),
        *("--final-density", "0.3", "--augment", "none"),
    ]
    written = {
        "model": "zoo:digits",
        "data": "digits",
        "labels": [3, 5],
        "epochs": 2,
        "rename": {0: 0, "1": "1"},
        "exclude": ["conv1", "fc"],
        "mean": [0.3],
        "std": 0.4,
        "tolerance": 2,
        "skip-bad": True,
        "seed": 4,
        "final_density": 0.3,
        "augment": "none",
        "shots": None,
        "quiet": True,
    }
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(written))
    assert call(*SEARCH, *options, "--out", tmp_path / "a", "--quiet").code == 0
    outcome = call("reengineer", "--config", file, "--out", tmp_path / "b")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    for name in ("config.yaml", "frontier.json", "adapter/adapter.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    picked = [json.loads((tmp_path / each / "report.json").read_text())["picked"] for each in "ab"]
    assert picked[0] == picked[1]
    assert picked[0]["value"] == 0.02


def test_the_command_line_wins_over_the_config_file(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("epochs: 7\nexclude: conv1\njson: true\n")
    outcome = call(*SEARCH, "--config", file, "--out", tmp_path / "run", "--quiet")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["seed"] == 0
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert settings["search"]["epochs"] == 2
    assert settings["exclude"] == ["conv1"]


def test_names_of_a_config_file_are_texts(call: Call, tmp_path: Path) -> None:
    """A folder may be called 5, and a label may have a comma."""
    file = tmp_path / "config.yaml"
    file.write_text("run: 5\n")
    assert "'5' is no run folder" in call("evaluate", "--config", file).err
    file.write_text("labels: ['a, b', '3']\nepochs: true\n")
    found = call("reengineer", "zoo:digits", "--data", "digits", "--dry-run", "--config", file)
    assert "'--epochs': Input should be a valid integer" in found.err
    file.write_text("labels: ['a, b', '3']\n")
    found = call("reengineer", "zoo:digits", "--data", "digits", "--dry-run", "--config", file)
    assert "label 'a, b' is not among" in found.err
    labels = '"a, b",3'
    found = call("reengineer", "zoo:digits", "--data", "digits", "--dry-run", "--labels", labels)
    assert "label 'a, b' is not among" in found.err


def test_a_config_file_for_another_command(call: Call, finished: Path, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(f"run: {finished}\njson: true\nquiet: yes\n")
    outcome = call("evaluate", "--config", file)
    assert outcome.code == 0, outcome.err
    assert set(json.loads(outcome.out)) >= REPORT


# ------------------------------------------------------------------------------------ appearance


def terminal_of(width: int, **settings: object) -> Console:
    return Console(file=io.StringIO(), width=width, markup=False, emoji=False, **settings)


def drawn(part: object, width: int) -> str:
    screen = terminal_of(width)
    screen.print(part)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


@pytest.fixture
def strange_report(finished: Path) -> dict[str, object]:
    """Labels that look like markup."""
    text = (finished / "report.json").read_text()
    report = json.loads(text)
    report["problem"]["outputs"] = ["[red]x[/red]", ":dog: [/]"]
    for row, name in zip(report["per_label"], report["problem"]["outputs"], strict=True):
        row["label"] = name
    return report


@pytest.mark.parametrize("width", [40, 140])
def test_tables_hold_no_codes_and_no_markup(
    width: int, strange_report: dict[str, object], finished: Path
) -> None:
    from seam.artefacts.adapter import load_adapter

    found = terminal.describe_adapter(load_adapter(finished / "adapter"))
    parts = [
        terminal.summary(strange_report),
        terminal.per_label(strange_report),
        terminal.adapter_table({**found, "problem": strange_report["problem"]}),
        terminal.predictions_table([{"image": "[b].png", "label": "[red]", "probability": 0.5}]),
        terminal.dry_run({"problem": {"kind": "[i]"}, "seed": 1}),
    ]
    for part in parts:
        text = drawn(part, width)
        assert not CONTROL.search(text)
        assert max(map(len, text.splitlines())) <= width
    if width == 140:
        text = drawn(parts[0], width) + drawn(parts[1], width)
        assert "[red]x[/red], :dog: [/]" in text
        assert text.count("[red]x[/red]") == 2
        assert "[b].png" in drawn(parts[3], width)
        assert "[i]" in drawn(parts[4], width)


def test_labels_with_markup_are_shown_as_they_are(
    call: Call, digit_images: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(digit_images, tmp_path / "images")
    (folder / "train" / "3").rename(folder / "train" / "[red]x")
    labels = tmp_path / "labels.txt"
    labels.write_text("0\n1\n2\n[red]x\n4\n5\n6\n7\n8\n:dog:\n")
    outcome = call(
        *("reengineer", "zoo:digits", "--data", folder, "--labels", "[red]x,5", "--epochs", "2"),
        *("--labels-file", labels, "--out", tmp_path / "[bold]run"),
    )
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith("[red]x, 5")
    assert f"run folder: {tmp_path / '[bold]run'}  (" in outcome.out
    assert not CONTROL.search(outcome.out + outcome.err)


def test_piped_output_does_not_depend_on_the_terminal(
    call: Call, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = call("inspect", finished / "adapter").out
    monkeypatch.setenv("COLUMNS", "40")
    assert call("inspect", finished / "adapter").out == wide
    assert not CONTROL.search(wide)


class Screen(io.StringIO):
    """A terminal without colours."""

    def isatty(self) -> bool:
        return True


def test_a_narrow_terminal(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    report = json.loads((finished / "report.json").read_text())
    Output(False, False).show(terminal.summary(report), "next: seam predict some/long/path IMAGE")
    text = re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())  # bold and italic are fine here
    assert not CONTROL.search(text)
    assert "next: seam predict some/long/path IMAGE\n" in text  # in one piece, to be copied
    assert max(len(line) for line in text.splitlines() if "next" not in line) <= 40


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from seam.search.frontier import Point

    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    with Output(False, False).progress() as observer:
        observer.point(Point(1, 0.5, 0.9, 0.4, 1.0), 2)
        observer.step(0, 2, 1, 2)
        observer.stage("reading [data]")
        observer.stage("searching")
        observer.step(0, 2, 1, 2)
        observer.point(Point(1, 0.5, 0.9, 0.4, 1.0), 2)
    assert isinstance(observer, console.Bars)
    assert "searching" in screen.getvalue()
    assert "25 %" in screen.getvalue()
    assert "density 50.00 %  MACs 40.0 %" in screen.getvalue()


def test_progress_elsewhere_is_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    from seam.search.frontier import Point

    with Output(False, False).progress() as observer:
        observer.stage("searching")
        observer.step(0, 2, 1, 2)
        observer.point(Point(1, 0.5, 0.9, 0.4, 1.0), 2)
    assert isinstance(observer, Lines)
    assert capsys.readouterr().err == (
        "searching\nepoch 1/2  density 50.00 %  MACs 40.0 %  validation 90.00 %  loss 1.0000\n"
    )


def test_errors_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    fail("label '\x1b[2J\u202ex' is\n\n  unknown")
    assert capsys.readouterr().err == "seam: label '\\x1b[2J\\u202ex' is unknown\n"


def test_json_for_a_stream_that_is_not_unicode(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)
    Output(True, False).document({"label": "Hündin"})
    stream.flush()
    assert json.loads(stream.buffer.getvalue()) == {"label": "Hündin"}  # type: ignore[attr-defined]


def test_help_and_version(call: Call) -> None:
    import seam

    outcome = call("--version")
    assert (outcome.code, outcome.out) == (0, f"{seam.__version__}\n")
    outcome = call("reengineer", "--help")
    assert outcome.code == 0
    assert all(word in outcome.out for word in ("--labels", "--keep-macs", "--skip-bad"))
    outcome = call()
    assert outcome.code == 2
    assert "reengineer" in outcome.out + outcome.err


def test_nothing_is_said_when_the_reader_has_gone(
    call: Call, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_self: Output, _values: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(Output, "document", gone)
    outcome = call("inspect", finished / "adapter", "--json")
    assert outcome.code in (0, 1)
    assert outcome.err == ""
