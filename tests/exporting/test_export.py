"""A run exported: what is written, that it agrees, and what happens where it does not."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import seam
from seam.errors import ConfigError, DataError, MissingExtraError, RunFolderError
from seam.exporting import formats
from seam.exporting.compare import compare
from seam.exporting.program import to_program
from seam.exporting.session import OnnxSession, OpenVinoSession, open_session
from seam.exporting.sidecar import ExportError
from seam.jobs import predict
from seam.jobs.reopen import data_of

NAMES = ["onnx", "onnx-int8", "openvino", "openvino-int8", "torch"]
SHARE = ["high", "low", "n", "value"]


def test_every_format_is_written_whole(exports: Any) -> None:
    assert sorted(p.name for p in (exports.run / "export").iterdir()) == NAMES
    assert list(exports.rows) == NAMES
    for name in NAMES:
        folder = exports.folder(name)
        row = json.loads((folder / "model.json").read_text())
        assert exports.rows[name] == {"folder": str(folder), **row}
        assert row["outputs"] == ["3", "5"]
        assert row["model"] == "masked"
        assert row["quantized"] == name.endswith("int8")
        assert row["base"]["fingerprint"] == seam.load_base("zoo:digits").fingerprint
        assert set(row["versions"]) >= {"seam", "torch"}
        files = {f.name: f.read_bytes() for f in folder.iterdir() if f.name != "model.json"}
        sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        assert {name: entry["sha256"] for name, entry in row["files"].items()} == sums


@pytest.mark.parametrize("name", ["onnx", "openvino", "torch"])
def test_float32_agrees(name: str, exports: Any) -> None:
    found = exports.rows[name]["comparison"]
    assert found["batch_sizes"] == [1, 16]
    assert found["agrees"]
    assert found["top1_agreement"]["value"] == 1
    assert found["top1_agreement"]["n"] == found["n"] > 100
    assert found["largest_relative_difference"] <= found["tolerance"] <= 1e-4


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_8_bits_are_smaller_and_measured(name: str, exports: Any) -> None:
    full, small = exports.rows[name], exports.rows[f"{name}-int8"]
    before, after = small["accuracy"]["before"], small["accuracy"]["after"]
    assert sorted(before) == sorted(after) == SHARE
    assert before["n"] == after["n"] == full["comparison"]["n"]
    assert after["value"] > before["value"] - 0.05
    assert small["calibration"] == {"part": "train", "n": 220}
    size = {row["name"]: sum(f["bytes"] for f in row["files"].values()) for row in (full, small)}
    assert size[small["name"]] < size[full["name"]] / 2


def test_labels_and_preprocessing_are_inside_the_files(exports: Any) -> None:
    import onnx
    import openvino

    inside = [
        {each.key: each.value for each in onnx.load(exports.file(name)).metadata_props}
        for name in ("onnx", "onnx-int8")
    ]
    for name in ("openvino", "openvino-int8"):
        model = openvino.Core().read_model(exports.file(name))
        keys = ("labels", "preprocessing")
        inside.append({key: model.get_rt_info(["seam", key]).astype(str) for key in keys})
    extra = {"labels": "", "preprocessing": ""}
    torch.export.load(exports.file("torch"), extra_files=extra)
    for found in [*inside, extra]:
        assert json.loads(found["labels"]) == ["3", "5"]
        assert json.loads(found["preprocessing"])["size"] == 8


def test_removed_weights_are_zero_in_the_files(exports: Any) -> None:
    import onnx
    from onnx import numpy_helper

    masks = seam.load_adapter(exports.run / "adapter").masks
    program = torch.export.load(exports.file("torch")).state_dict
    graph = onnx.load(exports.file("onnx")).graph.initializer
    initial = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph}
    for name, mask in masks.items():
        assert not program[f"backbone.{name}"][~mask].any()
        assert not initial[f"backbone.{name}"][~mask].any()


def test_a_shrunk_result_is_exported_shrunk(exports: Any, tmp_path: Path) -> None:
    problem, base = seam.Problem.subset(["3", "5"]), seam.load_base("zoo:digits")
    plan = seam.plan(problem, epochs=2, granularity="channel")
    seam.reengineer(base, problem, "digits", out=tmp_path / "run", settings=plan)
    rows = seam.export(tmp_path / "run", to=["onnx", "openvino"])["exports"]
    for row in rows:
        assert row["model"] == "shrunk"
        assert row["comparison"]["agrees"]
        size = sum(each["bytes"] for each in row["files"].values())
        full = sum(each["bytes"] for each in exports.rows[row["name"]]["files"].values())
        assert size < full / 2


def test_the_program_runs_without_seam(exports: Any) -> None:
    code = (
        "import sys, torch; model = torch.export.load(sys.argv[1]).module();"
        "print(tuple(model(torch.zeros(3, 1, 8, 8)).shape), 'seam' in sys.modules)"
    )
    call = [sys.executable, "-c", code, str(exports.file("torch"))]
    done = subprocess.run(call, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "(3, 2) False"


def test_programs_hold_no_path_of_this_machine(exports: Any) -> None:
    files = [Path(each) for each in exports.run.rglob("*.pt2")]
    assert files
    homes = {str(Path(module.__file__ or "").parent) for module in (seam, torch)}
    for file in files:
        with zipfile.ZipFile(file) as archive:
            content = b"".join(archive.read(name) for name in archive.namelist())
        assert not [home for home in homes if home.encode() in content]


def test_nobody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO and NNCF give a machine a number, in ~/intel, before they send statistics."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    code = "from seam.exporting.extras import needs; needs('openvino', 'nncf', extra='openvino')"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert not (tmp_path / "intel").exists()


def test_calibration_sees_training_samples_only(
    copied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Tensor] = []

    def spy(source: Path, path: Path, images: Sequence[Tensor]) -> None:
        seen.extend(images)
        path.write_bytes(source.read_bytes())

    kind = replace(formats.FORMATS["torch"], quantize=spy, quantizer=())
    monkeypatch.setitem(formats.FORMATS, "torch", kind)
    seam.export(copied.run, to=["torch"], int8=True)
    settings = predict.RunFolder(copied.run).settings()
    data = data_of(settings, seam.load_base("zoo:digits"), None)
    training = torch.cat([batch.images for batch in data.search.train.ordered(256)])
    assert torch.equal(torch.stack(seen), training[:300])


# ------------------------------------------------------------------------------------ disagreement


def broken(value: float) -> Any:
    """A writer that puts another model into the file."""

    def write(module: nn.Module, example: Tensor, path: Path, **rest: Any) -> None:
        class Wrong(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = module

            def forward(self, images: Tensor) -> Tensor:
                return self.inner(images) + value

        to_program(Wrong(), example, path, **rest)

    return write


@pytest.mark.parametrize(
    ("value", "says"),
    [(0.01, "differ by .*e-0. of the largest, more than 0.0001"), (float("nan"), "not all")],
)
def test_an_export_that_disagrees_fails_and_is_kept(
    value: float, says: str, copied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = copied.file("torch").read_bytes()
    with monkeypatch.context() as patch:
        kind = replace(formats.FORMATS["torch"], write=broken(value))
        patch.setitem(formats.FORMATS, "torch", kind)
        with pytest.raises(ExportError, match=says) as caught:
            seam.export(copied.run, to=["torch"])
    failed = copied.folder("torch-failed")
    assert str(failed) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(f.name for f in failed.iterdir()) == ["failed.json", "model.pt2"]
    assert json.loads((failed / "failed.json").read_text())["comparison"]["agrees"] is False
    for place in (failed, failed / "model.pt2"):
        with pytest.raises(ExportError, match="disagrees with its model"):
            seam.load(place)
    assert copied.file("torch").read_bytes() == old
    seam.export(copied.run, to=["torch"])
    assert not failed.exists()


def test_tolerance_of_zero_is_too_strict(copied: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = replace(formats.FORMATS["openvino"], tolerance=0.0)
    monkeypatch.setitem(formats.FORMATS, "openvino", kind)
    with pytest.raises(ExportError, match="the openvino export disagrees"):
        seam.export(copied.run, to=["openvino"])


def test_compare_counts_and_measures() -> None:
    images = torch.eye(20)[:, :2].contiguous()

    def off(batch: Tensor) -> Tensor:  # wrong in large batches only, as a fixed reshape would be
        return batch + (0.5 if len(batch) > 1 else 0)

    found = compare(off, lambda batch: batch, images, tolerance=1e-4)
    assert (found["n"], found["largest_difference"], found["agrees"]) == (20, 0.5, False)
    found = compare(lambda batch: batch.flip(1), lambda batch: batch, images, tolerance=1e-4)
    assert found["top1_agreement"]["value"] == 0.9


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda batch: batch[:1], None),
        (lambda batch: batch / 0, None),
        (lambda batch: _refuse(), "batches of 4"),
    ],
)
def test_what_cannot_be_compared_disagrees(answer: Any, error: str | None) -> None:
    images = torch.eye(20)[:, :2].contiguous()
    found = compare(answer, lambda batch: batch, images, tolerance=None)
    assert not found["agrees"]
    assert found["largest_difference"] is found["largest_relative_difference"] is None
    assert found["error"] == error


def _refuse() -> Tensor:
    raise DataError("batches of 4")


# --------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("to", "int8", "says"),
    [
        (["onxx"], False, "'onxx' is unknown; did you mean 'onnx'?"),
        ([], False, "no export format is named"),
        (["torch"], True, "--int8 is for onnx and openvino"),
    ],
)
def test_formats(to: list[str], int8: bool, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        seam.export(tmp_path, to=to, int8=int8)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("module", "to", "int8", "extra"),
    [
        ("onnxruntime", "onnx", False, "onnx"),
        ("onnxscript", "onnx", False, "onnx"),
        ("openvino", "openvino", False, "openvino"),
        ("nncf", "openvino", True, "openvino"),
    ],
)
def test_a_missing_runtime_names_its_extra(
    module: str, to: str, int8: bool, extra: str, copied: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        seam.export(copied.run, to=["torch", to], int8=int8)
    assert f"{module} is needed" in str(caught.value)
    assert f"pip install 'seam[{extra}]'" in str(caught.value)


def test_changed_data_and_unfinished_runs_are_refused(copied: Any) -> None:
    report = copied.run / "report.json"
    values = json.loads(report.read_text())
    report.write_text(json.dumps({**values, "split_hash": "0" * 64}))
    with pytest.raises(RunFolderError, match="data has changed"):
        seam.export(copied.run, to=["torch"])
    report.unlink()
    with pytest.raises(RunFolderError, match=r"no readable report.json"):
        seam.export(copied.run, to=["torch"])


# ----------------------------------------------------------------------------------------- predict


@pytest.mark.parametrize("name", NAMES)
def test_predicts_without_the_base_model(
    name: str, exports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from seam.data.digits import load_digits

    pictures = [row["image"] for row in load_digits()["test"].select(range(12))]
    wanted = seam.load(exports.run)(pictures)
    monkeypatch.setattr(predict, "base_of", None)
    for place in (exports.folder(name), exports.file(name)):
        found = seam.load(place)(pictures)
        if name.endswith("int8"):
            same = [a["label"] == b["label"] for a, b in zip(found, wanted, strict=True)]
            assert sum(same) >= 9
            continue
        assert [row["label"] for row in found] == [row["label"] for row in wanted]
        for mine, theirs in zip(found, wanted, strict=True):
            assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-4)


def threads_of(session: Any) -> int:
    """How many the runtime itself says that it computes with."""
    if isinstance(session, OnnxSession):
        return int(session._session.get_session_options().intra_op_num_threads)
    if isinstance(session, OpenVinoSession):
        model = session._request.get_compiled_model()
        return int(model.get_property("INFERENCE_NUM_THREADS"))
    used: list[int] = []
    session._module.register_forward_pre_hook(lambda *_: used.append(torch.get_num_threads()))
    session(torch.randn(2, 1, 8, 8))
    return used[0]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_sessions_take_a_number_of_threads(name: str, threads: int, exports: Any) -> None:
    before = torch.get_num_threads()
    session = open_session(exports.file(name), threads=threads)
    assert threads_of(session) == threads
    assert session(torch.randn(2, 1, 8, 8)).shape == (2, 2)
    assert torch.get_num_threads() == before
