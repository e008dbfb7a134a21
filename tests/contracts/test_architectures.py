"""The product from end to end, one row an architecture, by its public functions alone.

Each row is searched twice, for two steps: weights for one kind of problem, channels for the next
kind. Either is saved, loaded again and compared; what channels left is shrunk, exported in one
format, opened in its runtime and compared. `bench/results/architectures.json` says what each row
gives, and is the source of the table in docs/architectures.md; a row that gives anything else
fails. Where a kind is refused the next one is tried, and the reason stands in the file. All rows
take a quarter of an hour; a plain run takes some of each source. SEAM_ARCHITECTURES=all runs all;
SEAM_ARCHITECTURES=write measures all and writes the file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from catalogue import ROWS, Row
from common import RESULTS, save

import seam
from seam.errors import SeamError
from seam.jobs.result import Result
from seam.masking.channels import find_axes
from seam.models.base import BaseModel

FILE = RESULTS / "architectures.json"
ASKED = os.environ.get("SEAM_ARCHITECTURES", "")
USUAL = (
    *("zoo:cifar_resnet20", "zoo:wrn16_1", "timm:mobilenetv3_small_100", "timm:regnetx_002"),
    *("timm:vit_tiny_patch16_224", "timm:lcnet_050", "torchvision:mnasnet0_5"),
    *("torchvision:squeezenet1_1", "torchvision:shufflenet_v2_x0_5", "transformers:roberta"),
    *("transformers:deit", "transformers:swin", "transformers:convnext", "transformers:resnet"),
    *("own module:plain CNN", "own module:residual CNN", "own module:nn.TransformerEncoder"),
)
KINDS = ("subset", "one-vs-rest", "new-labels")
FORMATS = ("onnx", "openvino", "torch")
KNOWN = {row["id"]: row for row in json.loads(FILE.read_text())["rows"]} if FILE.exists() else {}
SAME = 1e-5
"""Largest difference of outputs, of the largest output, after saving and loading."""
MACHINES = 0.02
"""How far shares may be from the file's: other processors round otherwise, and a bit can tip."""
SETTINGS: dict[str, dict[str, Any]] = {
    "weight": {"final_density": 0.5, "keep": 0.5},
    "channel": {"final_macs": 0.7, "keep_macs": 0.7, "levels": 1, "round_to": 1, "views": 0},
}


def problem_of(kind: str, labels: tuple[str, ...]) -> tuple[seam.Problem, dict[str, str]]:
    """A problem of a kind over a base's labels, and how its data's labels are renamed."""
    if kind == "subset":
        return seam.Problem.subset(labels[:3]), {}
    if kind == "one-vs-rest":
        return seam.Problem.one_vs_rest(labels[1]), {}
    names = {label: f"new {i % 2}" for i, label in enumerate(labels)}
    return seam.Problem.new_labels(["new 0", "new 1"]), names


def searched(
    row: Row, base: BaseModel, kind: str, granularity: str, run: Path
) -> tuple[Result, dict[str, Any]]:
    """A search of two steps, its result saved, loaded and compared; and its shares of the base."""
    problem, rename = problem_of(kind, base.labels)
    changes = {"granularity": granularity, "rename": rename, **SETTINGS[granularity]}
    settings = seam.plan(problem, epochs=1, batch_size=4, validation=0.5, **changes)
    data = row.data()
    if kind == "new-labels":
        result = seam.transfer(base, data, problem=problem, out=run, settings=settings)
    else:
        result = seam.reengineer(base, problem, data, out=run, settings=settings)
    images = next(iter(result.data.test.ordered(3))).images
    with torch.no_grad():
        expected, loaded = result.model(images), seam.load(run, base=base).model(images)
    assert torch.allclose(loaded, expected, rtol=0, atol=SAME * float(expected.abs().max()))
    report = result.report
    shares = {
        "macs": round(report["macs"]["theoretical"] / report["macs"]["base"], 4),
        "weights": round(report["weights"]["kept"] / report["weights"]["base"], 4),
    }
    return result, {"problem": kind, **shares}


def tried(
    row: Row, base: BaseModel, first: int, granularity: str, folder: Path
) -> tuple[Result | None, dict[str, Any]]:
    """A search for the first kind of problem that is not refused; the reasons of those that are."""
    refused: dict[str, str] = {}
    for i in range(len(KINDS)):
        kind = KINDS[(first + i) % len(KINDS)]
        try:
            result, found = searched(row, base, kind, granularity, folder / kind)
        except SeamError as error:
            refused[kind] = str(error).replace(f"{folder}/", "")
        else:
            return result, {**found, "refused": refused} if refused else found
    return None, {"refused": refused}


def measured(row: Row, number: int, folder: Path) -> dict[str, Any]:
    """What a row gives at either granularity."""
    base = row.base(folder)
    size = sum(each.numel() for each in base.module.parameters())
    _, weight = tried(row, base, number, "weight", folder / "weight")
    result, channel = tried(row, base, number + 1, "channel", folder / "channel")
    if result is not None:
        kind = FORMATS[number % len(FORMATS)]
        assert result.folder is not None
        (export,) = seam.export(result.folder, to=kind, base=base, data=row.data())["exports"]
        compared, model = export["comparison"], result.report["model"]
        assert compared["agrees"]  # else an error was raised
        channel |= {
            "axes": len(find_axes(base.module, base.example())),
            "whole": sorted(model["left_whole"]),
            "format": kind,
            "shrunk_difference": model["difference"],
            "export_difference": compared["largest_relative_difference"],
        }
    return {"id": row.id, "size": size, "weight": weight, "channel": channel}


def agrees(found: Any, known: Any) -> bool:
    """Whether a row gives what the file says; differences of outputs have bounds of their own."""
    if isinstance(found, dict):
        names = {name for name in {*found, *known} if not name.endswith("_difference")}
        return all(name in found and name in known for name in names) and all(
            agrees(found[name], known[name]) for name in names
        )
    if isinstance(found, float):
        return abs(found - known) <= MACHINES
    return bool(found == known)


@pytest.mark.parametrize("name", ROWS if ASKED else USUAL)
def test_a_row_from_end_to_end(name: str, tmp_path: Path) -> None:
    found = measured(ROWS[name], [*ROWS].index(name), tmp_path)
    if ASKED == "write":
        KNOWN[name] = found
        save(FILE, {"rows": [KNOWN[each] for each in ROWS if each in KNOWN]})
    assert agrees(found, KNOWN[name]), (found, KNOWN[name])


def test_the_file_has_the_rows() -> None:
    assert list(KNOWN) == list(ROWS)
