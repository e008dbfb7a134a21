"""Every kind of file that seam reads, each with the real reader behind it."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import typer
from good import GROUPS, digits
from PIL import Image

import seam
from seam.artefacts.adapter import load_adapter
from seam.artefacts.card import model_card
from seam.artefacts.model_folder import load_model
from seam.artefacts.run import RunFolder
from seam.cli.main import UsageError, app
from seam.cli.options import problem_of
from seam.cli.searching import settings_of, spec_of
from seam.cli.sweep import _problems
from seam.core.pick import Pick
from seam.core.preprocessing import Preprocessing
from seam.data.decode import ImageSource, decode
from seam.data.images import prepared_image, read_pixels
from seam.data.texts import texts_in
from seam.defects.backdoor import Trigger
from seam.errors import ConfigError
from seam.exporting.damage import check_program
from seam.exporting.sidecar import read_sidecar
from seam.jobs.observe import Silent
from seam.jobs.plan import plan
from seam.jobs.reopen import base_of, task_of
from seam.jobs.result import adapter_of
from seam.jobs.sweep_parts import parts_of
from seam.jobs.sweep_state import SweepState
from seam.jobs.task import Task
from seam.jobs.walk import Walk
from seam.models.load import labels_in, load_base, read_labels
from seam.models.weights import read_weights
from seam.reporting.page import report
from seam.reporting.terminal import adapter_table, describe_adapter

CORPUS = Path(__file__).parent / "corpus"
Read = Callable[[Path], Any]


def _unsealed(_file: Path) -> None:
    """Nothing: the file has no checksum."""


def _nothing(_data: bytes) -> int:
    """A file that says of itself how large it is, is not believed."""
    return 0


def _pixels(data: bytes) -> int:
    """What an image's own header says, as far as seam lets it: 4 bytes a pixel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                count = image.width * image.height
    except Exception:
        return 0
    return 4 * count if count <= (Image.MAX_IMAGE_PIXELS or 0) else 0


@dataclass(frozen=True)
class Target:
    """A file within a place, what reads it, and ``seal``, which makes its checksums right.

    ``claims`` are the bytes that an honest file of such a header takes.
    """

    name: str
    kind: str
    file: str
    read: Read
    seal: Callable[[Path], None] = _unsealed
    claims: Callable[[bytes], int] = _nothing

    def corpus(self, place: Path) -> list[bytes]:
        """A good file as seam writes it, and those kept in the repository."""
        kept = sorted((CORPUS / self.name).glob("*"))
        return [(place / self.file).read_bytes(), *(file.read_bytes() for file in kept)]


TARGETS: dict[str, Target] = {}


def target(name: str, kind: str, file: str, **more: Any) -> Callable[[Read], Read]:
    """A row of the table."""

    def add(read: Read) -> Read:
        TARGETS[name] = Target(name, kind, file, read, **more)
        return read

    return add


# ----------------------------------------------------------------------------------------- adapters


def _seal_adapter(file: Path) -> None:
    """Right checksums, as docs/adapter-format.md says; what is no JSON object stays as it is."""
    document = _object(file.parent / "adapter.json")
    if document is None:
        return
    data = (file.parent / "adapter.safetensors").read_bytes()
    document["tensors"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    document["checksum"] = "0" * 64
    text = json.dumps(document)
    document["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (file.parent / "adapter.json").write_text(json.dumps(document))


def _object(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _seal_model(file: Path) -> None:
    document = _object(file.parent / "model.json")
    assert document is not None
    data = file.read_bytes()
    document["tensors"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (file.parent / "model.json").write_text(json.dumps(document))


@target("adapter-json", "json", "run/adapter/adapter.json", seal=_seal_adapter)
@target("adapter-tensors", "tensors", "run/adapter/adapter.safetensors", seal=_seal_adapter)
def _(place: Path) -> Any:
    adapter = load_adapter(place / "run/adapter")
    assert model_card(adapter)
    assert adapter_table(describe_adapter(adapter))
    return [adapter.masks, adapter.head, adapter.delta]


@target("model-json", "json", "run/model/model.json")
@target("model-tensors", "tensors", "run/model/model.safetensors", seal=_seal_model)
def _(place: Path) -> Any:
    return load_model(place / "run/model")[0].state_dict()


@target("sidecar", "json", "export/model.json")
def _(place: Path) -> Any:
    return read_sidecar(place / "export/model.json").outputs


@target("program", "zip", "run/model/model.pt2")
def _(place: Path) -> Any:
    return check_program(place / "run/model/model.pt2")


# -------------------------------------------------------------------------------------- run folders


@target("report-json", "json", "run/report.json")
@target("frontier", "json", "run/frontier.json")
@target("environment", "json", "run/environment.json")
@target("history", "lines", "run/history.jsonl")
@target("defects", "tensors", "run/measured/defects.safetensors")
@target("predictions", "tensors", "run/measured/predictions.safetensors")
def _(place: Path) -> Any:
    return report(place / "run", data=digits())


@target("config", "yaml", "run/config.yaml")
def _(place: Path) -> Any:
    folder = RunFolder(place / "run")
    report(folder.path)
    settings = folder.settings()
    task_of(settings, base_of(settings), digits(), "cpu")
    return folder.check(settings)


@target("reopened-report", "json", "run/report.json")
def _(place: Path) -> Any:
    return RunFolder(place / "run").report()


@target("sweep-report", "json", "sweep/runs/even/report.json")
@target("sweep-history", "lines", "sweep/runs/even/history.jsonl")
def _(place: Path) -> Any:
    parts = parts_of({"even": seam.Problem.groups(GROUPS)}, granularity="channel", keep_macs=0.4)
    return SweepState(parts, place / "sweep").rows()


@cache
def _task(place: Path) -> Task:
    folder = RunFolder(place / "walk")
    base = load_base("zoo:digits")
    return task_of(folder.settings(), base, digits(), "cpu", Pick(rule="epoch", value=1))


@target("state", "tensors", "walk/checkpoint/state.safetensors")
def _(place: Path) -> Any:
    folder = RunFolder(place / "walk")
    walk = Walk(_task(place), folder, Silent())
    files = {each: each.read_bytes() for each in folder.path.glob("checkpoint/points/*")}
    try:
        walk.resume()
    finally:
        for file, data in files.items():
            file.write_bytes(data)
    return walk.state.tensors()


@target("point", "tensors", "walk/checkpoint/points/0001.safetensors")
def _(place: Path) -> Any:
    snapshot = RunFolder(place / "walk").load_point(1)
    adapter = adapter_of(_task(place), snapshot)
    return [snapshot, seam.apply_adapter(adapter, _task(place).base).state_dict()]


# -------------------------------------------------------------------------------- what users write


@target("run-yaml", "yaml", "run.yaml")
def _(place: Path) -> Any:
    command = typer.main.get_command(app).commands["reengineer"]  # type: ignore[attr-defined]
    try:
        ctx = command.make_context("seam", ["--config", str(place / "run.yaml")])
    except UsageError as error:  # one line, and exit code 2
        raise ConfigError(error.format_message()) from error
    problem = problem_of(ctx.params["labels"], None)
    if ctx.params["model"] is None:  # which means another search's points
        return None
    return plan(problem, **settings_of(ctx.params, spec_of(ctx.params))).to_dict()


@target("groups", "yaml", "groups.yaml")
def _(place: Path) -> Any:
    return problem_of(None, place / "groups.yaml").members(tuple("0123456789"))


@target("problems", "yaml", "problems.yaml")
def _(place: Path) -> Any:
    options = {"each_label": False, "problems": place / "problems.yaml", "rename": None}
    parts = parts_of(_problems("digits", options))
    state = SweepState(parts, place / "sweep")
    for part in parts:
        assert state.place(part).resolve().parent == (place / "sweep/runs").resolve()
    return state.rows()


@target("trigger", "yaml", "trigger.yaml")
def _(place: Path) -> Any:
    return Trigger.from_file(place / "trigger.yaml").apply(torch.zeros(1, 1, 8, 8))


@target("patch", "image", "patch.png")
def _(place: Path) -> Any:
    return Trigger.from_file(place / "patch.yaml").apply(torch.zeros(1, 3, 64, 64))


@target("labels", "text", "labels.txt")
def _(place: Path) -> Any:
    return read_labels(str(place / "labels.txt"))


@target("metadata-labels", "json", "metadata.json")
def _(place: Path) -> Any:
    text = (place / "metadata.json").read_bytes().decode("utf-8", "replace")
    return labels_in({"labels": text})


@target("texts", "text", "texts.txt")
def _(place: Path) -> Any:
    return texts_in([str(place / "texts.txt")])


@target("weights", "tensors", "weights.safetensors")
def _(place: Path) -> Any:
    return read_weights(str(place / "weights.safetensors"))[0]


@target("weights-pth", "zip", "weights.pth")
def _(place: Path) -> Any:
    return read_weights(str(place / "weights.pth"))[0]


@target("image", "image", "image.png", claims=_pixels)
def _(place: Path) -> Any:
    file, grey = place / "image.png", Preprocessing(size=8, mean=(0.5,), std=(0.5,))
    prepared_image(file, Preprocessing(size=8), torch.device("cpu"))
    source = ImageSource(lambda _i: file.read_bytes(), lambda _i: str(file), 1)
    read_pixels(source, grey, skip_bad=False)
    return decode(file.read_bytes(), str(file), 3)
