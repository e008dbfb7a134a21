"""The page of a run: what it holds, what it says is missing, and that labels stay text."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hatchling.builders.wheel import WheelBuilder

import seam
from seam.artefacts.measured import Predictions
from seam.artefacts.run import RunFolder
from seam.data.decode import open_image
from seam.data.load import load_splits
from seam.data.thumbnail import data_uri
from seam.errors import DataError
from seam.jobs.report import gather
from seam.jobs.shown_samples import disagreements
from seam.reporting.run_view import confusion_view, verdict_of

LIMIT = 2_000_000


def text_of(run: Path) -> str:
    return (run / "report.html").read_text(encoding="utf-8")


def test_a_finished_run(channels_run: Path) -> None:
    written = seam.report(channels_run)
    assert written == {
        "path": str(channels_run / "report.html"),
        "bytes": (channels_run / "report.html").stat().st_size,
        "missing": [],
        "content": "image",
    }
    assert written["bytes"] < LIMIT
    text = text_of(channels_run)
    for section in ("result", "frontier", "layers", "latency", "confusions", "images", "defects"):
        assert f'id="{section}"' in text
    assert "data:image/" in text
    assert seam.report(channels_run)["bytes"] == written["bytes"]


def test_labels_are_text(channels_run: Path) -> None:
    seam.report(channels_run)
    text = text_of(channels_run)
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in text
    assert len(re.findall(r"<script>", text)) == 1


def test_figures_are_those_of_the_report(weights_run: Path) -> None:
    seam.report(weights_run)
    found, text = json.loads((weights_run / "report.json").read_text()), text_of(weights_run)
    assert f"{found['weights']['kept']:,}" in text
    assert f"{100 * found['accuracy']['reengineered']['value']:.2f} %" in text
    assert verdict_of(found) in text
    for point in found["frontier"]:
        assert f"--pick {point['epoch']}" in text


def test_counts_and_images_agree_with_the_report(weights_run: Path) -> None:
    document, report = gather(weights_run), json.loads((weights_run / "report.json").read_text())
    against = report["against_restricted"]
    for side in ("gained", "lost"):
        assert document["pictures"][side]["all"] == against[side]
        assert len(document["pictures"][side]["shown"]) == min(12, against[side])
    right = sum(row[i] for i, row in enumerate(document["confusion"]["methods"]["reengineered"]))
    accuracy = report["accuracy"]["reengineered"]
    assert right / accuracy["n"] == accuracy["value"]


def test_images_are_those_that_were_predicted(weights_run: Path) -> None:
    found = Predictions.load(RunFolder(weights_run))
    wrong = {**found.methods, "reengineered": 1 - found.targets, "restricted": found.targets}
    shown = disagreements(
        Predictions(
            outputs=found.outputs,
            targets=found.targets,
            methods=wrong,
            numbers=found.numbers,
            digests=found.digests,
        ),
        "restricted",
        "digits",
    )
    assert shown is not None
    assert shown["lost"]["all"] == len(found.targets)
    splits = load_splits("digits")
    test = splits.get("test", splits["train"])
    first = int(found.numbers[0])
    assert shown["lost"]["shown"][0]["image"] == data_uri(open_image(test.source.read(first), 3))
    is_nine = test.names[test.labels[first]] == "9"
    assert shown["lost"]["shown"][0]["truth"] == ("9" if is_nine else "not 9")


def test_what_is_missing_is_said_with_its_command(copy: Path) -> None:
    assert {line["what"]: line["command"] for line in seam.report(copy)["missing"]} == {
        "latency": f"seam evaluate {copy} --latency",
        "defects": f"seam evaluate {copy} --defects",
    }
    (copy / "measured" / "predictions.safetensors").unlink()
    lines = {line["what"]: line for line in seam.report(copy)["missing"]}
    assert lines["predictions"]["command"] == f"seam evaluate {copy}"
    seam.evaluate(copy)
    assert "predictions" not in {line["what"] for line in seam.report(copy)["missing"]}


def test_figures_of_another_point_are_not_shown(copy: Path) -> None:
    epochs = [point["epoch"] for point in json.loads((copy / "frontier.json").read_text())]
    picked = json.loads((copy / "report.json").read_text())["picked"]["epoch"]
    before = (copy / "measured" / "predictions.safetensors").read_bytes()
    other = next(epoch for epoch in epochs if epoch != picked)
    seam.pick_again(copy, seam.Pick(rule="epoch", value=other))
    (copy / "measured" / "predictions.safetensors").write_bytes(before)
    lines = {line["what"]: line["why"] for line in seam.report(copy)["missing"]}
    assert lines["predictions"] == "measured of another point than the one that is chosen now"


def test_data_that_is_gone_or_changed(copy: Path, tmp_path: Path) -> None:
    found = Predictions.load(RunFolder(copy))
    flipped = {"restricted": found.targets, "reengineered": 1 - found.targets}
    parts = {"outputs": found.outputs, "targets": found.targets, "methods": flipped}
    changed = Predictions(**parts, numbers=found.numbers, digests=found.digests + 1)
    with pytest.raises(DataError, match="the data has changed since it was tested"):
        disagreements(changed, "restricted", "digits")
    same = Predictions(**parts, numbers=found.numbers, digests=found.digests)
    with pytest.raises(DataError, match="does not exist"):
        disagreements(same, "restricted", str(tmp_path / "gone"))
    with pytest.raises(DataError, match="own data"):
        disagreements(same, "restricted", None)
    no_places = Predictions(**parts)
    assert disagreements(no_places, "restricted", "digits") is None


def test_an_unfinished_run(copy: Path) -> None:
    for name in ("report.json", "adapter/adapter.json"):
        (copy / name).unlink()
    written = seam.report(copy)
    assert [line["what"] for line in written["missing"]] == ["result"]
    frontier = json.loads((copy / "frontier.json").read_text())
    last = max(row["epoch"] for row in frontier)
    assert last > 0
    assert written["missing"][0]["command"] == f"seam reengineer --out {copy} --pick {last}"
    assert "This run has not finished: 6 of 6 epochs are done" in text_of(copy)
    (copy / "frontier.json").write_text(json.dumps([r for r in frontier if r["epoch"] == 0]))
    assert seam.report(copy)["missing"][0]["command"] == "", "the base alone is no choice"
    for name in ("history.jsonl", "frontier.json", "environment.json"):
        (copy / name).unlink()
    assert seam.report(copy)["missing"][0]["command"] == ""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.yaml", "problem: 3"),
        ("report.json", "{}"),
        ("report.json", "[]"),
        ("history.jsonl", "{"),
        ("frontier.json", "[1]"),
    ],
)
def test_damage_is_one_line(copy: Path, name: str, content: str) -> None:
    (copy / name).write_text(content)
    (copy / "report.html").write_text("before")
    with pytest.raises(seam.SeamError) as caught:
        seam.report(copy)
    assert "\n" not in str(caught.value)
    assert text_of(copy) == "before"


def test_one_run_is_no_list_of_runs() -> None:
    with pytest.raises(seam.SeamError, match="'runs/seven' is no list of runs"):
        seam.compare("runs/seven")


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(seam.SeamError, match="is no run folder"):
        seam.report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_new_labels(tmp_path: Path) -> None:
    parity = seam.Problem.new_labels(["even", "odd"])
    names = {str(digit): parity.outputs[digit % 2] for digit in range(10)}
    settings = seam.plan(parity, epochs=2, remove=0.5, rename=names, shots=40)
    base, out = seam.load_base("zoo:digits"), tmp_path / "out"
    seam.transfer(base, "digits", problem=parity, settings=settings, out=out)
    seam.report(out)
    text = text_of(out)
    assert f"seam transfer --out {out} --pick" in text
    assert "the base with a new head" in text


def test_compare(weights_run: Path, channels_run: Path, copy: Path, tmp_path: Path) -> None:
    (copy / "report.json").unlink()
    out = tmp_path / "all.html"
    written = seam.compare([weights_run, channels_run, copy], out=out)
    text = out.read_text(encoding="utf-8")
    assert written["bytes"] == out.stat().st_size < LIMIT
    assert "different sets of test samples" in text
    assert "left (channels), or not 0 (weights)" in text  # of the runs' one axis
    assert "not finished" in text
    assert {line["run"] for line in written["missing"]} == {str(weights_run), str(copy)}
    with pytest.raises(seam.SeamError, match="give two or more to compare"):
        seam.compare([weights_run], out=out)


def test_many_outputs_are_listed_by_their_confusions() -> None:
    matrix = np.full((20, 20), 1).tolist()
    matrix[3][4] = 9
    found = confusion_view(
        {"outputs": [str(i) for i in range(20)], "methods": {"restricted": matrix}}
    )
    assert found["matrices"] == []
    assert found["pairs"][0]["rows"][0] == {"truth": "3", "predicted": "4", "count": 9, "of": 28}
    assert len(found["pairs"][0]["rows"]) == 15


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.02, "points more than"), (-0.02, -0.01, "points less than"), (-0.1, 0.1, "shown")],
)
def test_the_verdict_is_read_off_the_interval(low: float, high: float, words: str) -> None:
    share = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100}
    report = {
        "against_restricted": {"difference": {"value": (low + high) / 2, "low": low, "high": high}},
        "weights": {"kept": 1, "base": 4},
        "macs": {"theoretical": 1, "base": 2},
        "accuracy": {"reengineered": share},
        "picked": {"rule": "tolerance", "value": 0.005},
        "samples": {"validation": 24},
        "validation": {},
        "density": 0.25,
    }
    assert words in verdict_of(report)
    assert "Nothing was removed: 24 validation samples" in verdict_of({**report, "density": 1.0})


def test_predictions_that_do_not_fit() -> None:
    with pytest.raises(seam.SeamError, match="do not fit"):
        Predictions(
            outputs=["a", "b"], targets=torch.tensor([0]), methods={"full": torch.tensor([2])}
        )


def test_a_notebook_shows_table_and_picture() -> None:
    problem = seam.Problem.one_vs_rest("7")
    settings = seam.plan(problem, epochs=1)
    result = seam.reengineer(seam.load_base("zoo:digits"), problem, "digits", settings=settings)
    html = result._repr_html_()
    assert html.count("<tr>") == 5
    assert 'src="data:image/png;base64,' in html
    assert "<script" not in html


def test_templates_are_in_the_wheel(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    here = {file.name for file in (root / "src/seam/reporting/templates").iterdir()}
    built = next(WheelBuilder(str(root)).build(directory=str(tmp_path)))
    with zipfile.ZipFile(built) as wheel:
        names = {Path(n).name for n in wheel.namelist() if "reporting/templates/" in n}
    assert here == names
    assert {"page.css", "page.js", "run.html.j2"} <= here
