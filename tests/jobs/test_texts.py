"""Classifiers of texts from end to end: search, files, predictions, exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch

import seam
from seam.cli.main import main
from seam.data.texts import encode, texts_in
from seam.errors import ConfigError, DataError
from seam.jobs.observe import Silent
from seam.jobs.result import Result
from seam.models.base import BaseModel
from seam.search.frontier import Point

PROBLEM = seam.Problem.subset(["animal", "tool"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hf_models.save_text_model(tmp_path_factory.mktemp("hf") / "bert", steps=25)


@pytest.fixture(scope="module")
def base(folder: Path) -> BaseModel:
    return seam.load_base(f"hf:{folder}")


@pytest.fixture(scope="module")
def result(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Result:
    out = tmp_path_factory.mktemp("texts") / "run"
    settings = seam.plan(PROBLEM, epochs=2, keep=0.3, final_density=0.3)
    return seam.reengineer(base, PROBLEM, hf_models.text_data(), out=out, settings=settings)


def asked() -> tuple[list[str], list[str]]:
    """Test texts of the problem, and their labels."""
    test = hf_models.text_data()["test"]
    names = [hf_models.LABELS[number] for number in test["label"]]
    found = [(t, n) for t, n in zip(test["text"], names, strict=True) if n in ("animal", "tool")]
    return [text for text, _ in found], [name for _, name in found]


def right(predictions: list[dict[str, Any]]) -> float:
    return sum(p["label"] == n for p, n in zip(predictions, asked()[1], strict=True)) / 40


def test_the_base_answers_and_the_result_keeps_it(result: Result, base: BaseModel) -> None:
    accuracy = result.report["accuracy"]
    assert accuracy["full"]["value"] > 0.9  # the base was trained: chance is 0.25
    assert accuracy["reengineered"]["value"] > 0.9
    assert result.report["density"] == pytest.approx(0.3, abs=0.01)


def test_saved_and_loaded_it_answers_the_same(result: Result, base: BaseModel) -> None:
    assert result.folder is not None
    texts, _ = asked()
    predictor = seam.load(result.folder)
    assert right(predictor(texts)) == result.report["accuracy"]["reengineered"]["value"]
    applied = seam.apply_adapter(seam.load_adapter(result.folder / "adapter"), base)
    tokens = encode(texts, base.preprocessing)  # type: ignore[arg-type]
    with torch.no_grad():
        assert torch.equal(applied(tokens), predictor.model(tokens))


def test_new_labels_of_texts(base: BaseModel) -> None:
    names = dict(zip(hf_models.LABELS, ["left", "left", "right", "right"], strict=True))
    problem = seam.Problem.new_labels(["left", "right"])
    settings = seam.plan(problem, epochs=2, remove=0.5, rename=names)
    result = seam.transfer(base, hf_models.text_data(), problem=problem, settings=settings)
    assert result.report["density"] <= 0.5001
    whole = seam.plan(problem, epochs=1, remove=0.5)
    found = seam.transfer(base, hf_models.text_data(), settings=whole)
    assert found.report["problem"]["outputs"] == list(hf_models.LABELS)


class KilledError(Exception):
    pass


class Killer(Silent):
    def point(self, point: Point, epochs: int) -> None:
        raise KilledError


def test_a_run_goes_on_where_it_was(result: Result, base: BaseModel, tmp_path: Path) -> None:
    data, out = hf_models.text_data(), tmp_path / "run"
    settings = seam.plan(PROBLEM, epochs=2, keep=0.3, final_density=0.3)
    with pytest.raises(KilledError):
        seam.reengineer(base, PROBLEM, data, out=out, settings=settings, observer=Killer())
    assert not (out / "adapter").exists()
    seam.reengineer(base, PROBLEM, data, out=out, settings=settings)
    assert result.folder is not None
    name = "adapter/adapter.safetensors"
    assert (out / name).read_bytes() == (result.folder / name).read_bytes()


WALK = ["--epochs", 2, "--final-density", 0.3]


def seam_says(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """What a command answers: its exit code, and all that it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["seam", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out + captured.err


def test_the_command_line_takes_texts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = hf_models.write_csv(tmp_path / "data", hf_models.text_data())
    run, (first, *_), (label, *_) = tmp_path / "run", *asked()
    search = ["--data", data, "--labels", "animal,tool", "--out", run]
    code, said = seam_says(capsys, "reengineer", f"hf:{folder}", *search, *WALK)
    assert code == 0, said
    (tmp_path / "asked.txt").write_text(f"{first}\n\n{first}\n")
    code, said = seam_says(capsys, "predict", run, first, tmp_path / "asked.txt", "--json")
    assert code == 0
    assert [(row["text"], row["label"]) for row in json.loads(said)] == [(first, label)] * 3
    for command in (("evaluate", run), ("inspect", run / "adapter"), ("report", run)):
        code, said = seam_says(capsys, *command)
        assert code == 0
        said = " ".join(said.split())
        assert "TEXT" in said or command[0] == "report"
        assert "IMAGE" not in said
    page = (run / "report.html").read_text()
    assert '<span class="word">TEXT</span>' in page
    assert "IMAGE" not in page
    assert "--defects" not in page  # which texts have not
    code, said = seam_says(capsys, "evaluate", run, "--defects")
    assert code == 2
    assert "base model takes texts; leave --defects out" in said


def test_the_command_line_transfers_texts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, run = hf_models.write_csv(tmp_path / "data", hf_models.text_data()), tmp_path / "run"
    options = ["--data", data, "--out", run, "--epochs", 1, "--remove", 0.5]
    code, said = seam_says(capsys, "transfer", f"hf:{folder}", *options)
    assert code == 0, said
    assert json.loads((run / "report.json").read_text())["problem"]["outputs"] == list(
        hf_models.LABELS
    )


def test_exports_take_tokens(result: Result, base: BaseModel) -> None:
    assert result.folder is not None
    [row] = seam.export(result.folder, to=["onnx"], base=base, data=hf_models.text_data())[
        "exports"
    ]
    assert row["comparison"]["agrees"]
    exported = seam.load(result.folder / "export" / "onnx")
    texts, _ = asked()
    ours, theirs = seam.load(result.folder)(texts[:5]), exported(texts[:5])
    assert [row["label"] for row in ours] == [row["label"] for row in theirs]


@pytest.mark.parametrize(
    ("texts", "told"), [([""], "there is an empty text"), (["no.txt"], "'no.txt' cannot be read")]
)
def test_texts_that_cannot_be_used(texts: list[str], told: str) -> None:
    with pytest.raises(DataError, match=told):
        texts_in(texts)


def test_data_that_does_not_fit(base: BaseModel) -> None:
    settings = seam.plan(PROBLEM, epochs=1)
    with pytest.raises(DataError, match=r"no text column \(called text, sentence, content\)"):
        seam.reengineer(base, PROBLEM, "digits", settings=settings)
    empty = hf_models.text_data()
    empty["train"] = empty["train"].map(
        lambda row, i: {"text": row["text"] * (i != 3)}, with_indices=True
    )
    with pytest.raises(
        DataError, match="train split, row 3' is empty; remove it, or pass --skip-bad"
    ):
        seam.reengineer(base, PROBLEM, empty, settings=settings)
    augmented = seam.plan(PROBLEM, epochs=1, augment="crop")
    with pytest.raises(ConfigError, match="augment 'crop' is for images"):
        seam.reengineer(base, PROBLEM, hf_models.text_data(), settings=augmented)


@pytest.fixture(scope="module")
def small(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> Result:
    out = tmp_path_factory.mktemp("small") / "run"
    settings = seam.plan(PROBLEM, granularity="channel", keep_macs=0.6, epochs=3, batch_size=32)
    return seam.reengineer(base, PROBLEM, hf_models.text_data(), out=out, settings=settings)


def test_channels_go_and_the_model_stands_alone(result: Result, small: Result) -> None:
    assert small.folder is not None
    assert small.report["macs"]["executed"] < 0.65 * result.report["macs"]["base"]
    predictor = seam.load(small.folder)  # the folder of the base model is not asked for
    linear = [each for each in predictor.model.modules() if isinstance(each, torch.nn.Linear)]
    assert min(each.out_features for each in linear[:-1]) < hf_models.WIDTH
    texts, _ = asked()
    assert right(predictor(texts)) == small.report["accuracy"]["reengineered"]["value"]
    assert (small.folder / "model" / "tokenizer.json").exists()


def test_what_channels_left_is_exported(small: Result, base: BaseModel) -> None:
    assert small.folder is not None
    rows = seam.export(small.folder, to=["torch"], base=base, data=hf_models.text_data())["exports"]
    assert [row["comparison"]["agrees"] for row in rows] == [True]
