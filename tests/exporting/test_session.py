"""Model files in their runtimes: shapes they were not made for, damage, somebody's code."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seam.errors import ConfigError, DataError, ModelError
from seam.exporting.onnx import to_onnx
from seam.exporting.openvino import to_openvino
from seam.exporting.program import to_program
from seam.exporting.session import open_session

WRITERS = {"model.onnx": to_onnx, "model.xml": to_openvino, "model.pt2": to_program}


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)]
    return nn.Sequential(*layers).eval()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network in each format; its file in training mode, laid out for speed, and untouched."""
    folder = tmp_path_factory.mktemp("models")
    model = network().to(memory_format=torch.channels_last).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name, write in WRITERS.items():
        write(model, torch.zeros(1, 1, 8, 8), folder / name)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_any_batch_size(name: str, models: Path) -> None:
    session = open_session(models / name, threads=1)
    for count in (1, 2, 16, 17):
        images = torch.randn(count, 1, 8, 8)
        torch.testing.assert_close(session(images), network()(images), atol=1e-5, rtol=1e-5)
    strided = torch.randn(8, 8, 1, 3, dtype=torch.float64, requires_grad=True).permute(3, 2, 1, 0)
    torch.testing.assert_close(
        session(strided), network()(strided.detach().float()), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", WRITERS)
def test_a_batch_size_that_is_promised(name: str, models: Path) -> None:
    session = open_session(models / name, threads=1, batch=2)
    images = torch.randn(2, 1, 8, 8)
    torch.testing.assert_close(session(images), network()(images), atol=1e-5, rtol=1e-5)
    with pytest.raises(DataError, match="for batches of 2, not of 3"):
        session(torch.zeros(3, 1, 8, 8))


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((2, 1, 9, 9), "takes images of shape b x 1 x 8 x 8, not 2 x 1 x 9 x 9"),
        ((2, 3, 8, 8), "takes images of shape b x 1 x 8 x 8, not 2 x 3 x 8 x 8"),
        ((1, 8, 8), "takes images of shape b x 1 x 8 x 8, not 1 x 8 x 8"),
        ((0, 1, 8, 8), "a batch of no images"),
    ],
)
def test_wrong_shapes(name: str, shape: tuple[int, ...], says: str, models: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_session(models / name)(torch.zeros(shape))
    assert says in str(caught.value)


def fixed_onnx(file: Path) -> None:
    images = torch.zeros(4, 1, 8, 8)
    written = torch.onnx.export(network(), (images,), dynamo=True, verbose=False)
    assert written is not None
    written.save(file)


def fixed_openvino(file: Path) -> None:
    import openvino

    to_openvino(network(), torch.zeros(1, 1, 8, 8), file.with_name("any.xml"))
    model = openvino.Core().read_model(file.with_name("any.xml"))
    model.reshape([4, 1, 8, 8])
    openvino.save_model(model, file)


def fixed_torch(file: Path) -> None:
    torch.export.save(torch.export.export(network(), (torch.zeros(4, 1, 8, 8),)), file)


@pytest.mark.parametrize(
    ("name", "write"),
    [("model.onnx", fixed_onnx), ("model.xml", fixed_openvino), ("model.pt2", fixed_torch)],
)
def test_a_fixed_batch_size_is_named(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / name)
    session = open_session(tmp_path / name)
    assert session(torch.zeros(4, 1, 8, 8)).shape == (4, 3)
    with pytest.raises(DataError, match="was exported for batches of 4, not of 1; give 4 images"):
        session(torch.zeros(1, 1, 8, 8))


def test_models_for_one_batch_size_only_are_refused(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.reshape(2, 64)[:, :2]

    with pytest.raises(ModelError, match="cannot be traced for batches of any size") as caught:
        to_program(Fixed(), torch.zeros(1, 1, 8, 8), tmp_path / "model.pt2")
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------ damaged files


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("data", [b"", b"rubbish", b"<?xml version='1.0'?><net/>", b"PK\x03\x04"])
def test_damaged_files(
    name: str, data: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(data)
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match="export again") as caught:
        open_session(tmp_path / name)
    assert "\n" not in str(caught.value)
    if not data.startswith(b"<?xml"):
        assert capfd.readouterr().err == ""


def test_cut_files(models: Path, tmp_path: Path) -> None:
    for name in WRITERS:
        data = (models / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        with pytest.raises(ModelError, match=name):
            open_session(tmp_path / name)


def test_weights_are_missing(models: Path, tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes((models / "model.xml").read_bytes())
    with pytest.raises(ModelError, match=r"'model.bin' is not beside it; copy the whole folder"):
        open_session(tmp_path / "model.xml")


def test_what_cannot_be_opened(models: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no runtime is known for .*\.pth'; give a file ending"):
        open_session(tmp_path / "model.pth")
    with pytest.raises(ModelError, match=r"model file .* is missing"):
        open_session(tmp_path / "model.onnx")
    with pytest.raises(ConfigError, match="threads is 0"):
        open_session(models / "model.onnx", threads=0)


class Opened:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("entry", ["data/sample_inputs/model.pt", "data/aotinductor/model/a.so"])
def test_other_entries_are_never_opened(models: Path, tmp_path: Path, entry: str) -> None:
    """PyTorch also unpickles a program's sample inputs, and loads compiled code from archives."""
    trace, payload = tmp_path / "trace", io.BytesIO()
    torch.save(Opened(trace), payload, pickle_module=pickle)
    file = tmp_path / "model.pt2"
    with zipfile.ZipFile(models / "model.pt2") as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            if not name.endswith(entry):
                new.writestr(name, old.read(name))
        new.writestr(f"{old.namelist()[0].partition('/')[0]}/{entry}", payload.getvalue())
    with pytest.raises(ModelError, match="may hold pickled values"):
        open_session(file)
    assert not trace.exists()


def test_pickled_values_are_never_opened(models: Path, tmp_path: Path) -> None:
    """`torch.export.load` unpickles what an archive's tables tell it to."""
    trace, file = tmp_path / "trace", tmp_path / "model.pt2"
    payload = io.BytesIO()
    torch.save(Opened(trace), payload, pickle_module=pickle)
    with zipfile.ZipFile(models / "model.pt2") as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name.endswith("model_weights_config.json"):
                table = json.loads(data)
                next(iter(table["config"].values()))["use_pickle"] = True
                data = json.dumps(table).encode()
            new.writestr(name, payload.getvalue() if name.endswith("/weight_0") else data)
    with pytest.raises(ModelError, match="may hold pickled values"):
        open_session(file)
    assert not trace.exists()


def test_the_trap_would_have_worked(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Opened(tmp_path / "trace")))
    assert (tmp_path / "trace").exists()
