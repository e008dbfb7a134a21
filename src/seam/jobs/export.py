"""A finished run as files for other runtimes, each compared with the model before it counts."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seam.artefacts.atomic import write_folder
from seam.artefacts.mirroring import MAKE, mirroring
from seam.artefacts.preprocessing_file import tokenizer_files
from seam.artefacts.run import RunFolder
from seam.core.text import AnyPreprocessing
from seam.data.prepare import DataSource, ProblemData
from seam.evaluation.accuracy import first_images, outputs_of, share_right
from seam.evaluation.runtimes import on_cpu
from seam.exporting.compare import MOST_SAMPLES, compare
from seam.exporting.formats import Format, formats_of, versions
from seam.exporting.quantize import CALIBRATION_SAMPLES
from seam.exporting.session import Session, open_session
from seam.exporting.sidecar import FAILED_FILE, FILE, ExportError, sidecar_bytes
from seam.jobs.observe import Observer, Silent
from seam.jobs.predict import load
from seam.jobs.reopen import base_of, data_of
from seam.models.base import BaseModel


@mirroring("run", MAKE)
def export(
    run: str | Path,
    *,
    to: Sequence[str],
    int8: bool = False,
    base: BaseModel | None = None,
    data: DataSource | None = None,
    device: str = "cpu",
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Write a finished run's model for other runtimes, and prove that it gives the same answers.

    >>> export("runs/seven", to=["onnx"])["exports"][0]["comparison"]["agrees"]  # doctest: +SKIP
    True

    Each format has a folder of its own, ``RUN/export/FORMAT``, with the model file and
    ``model.json``. Each file is opened again in its runtime and compared on test samples, one at a
    time and 16 at a time, before its folder appears; one that disagrees goes, with the comparison,
    to ``RUN/export/FORMAT-failed``.

    Args:
        run: the run folder, or its URL.
        to: ``onnx``, ``openvino``, ``torch``.
        int8: also write the formats that can in 8 bits (``RUN/export/FORMAT-int8``), calibrated on
            training samples, with the accuracy on test data before and after.
        base: the base model, where the run folder does not say how to load it.
        data: other data than the run's own, to calibrate and to compare on.
        device: where to load and measure the model; exported models run on the CPU.
        observer: told how the job gets on.

    Returns:
        ``run``, ``content`` (image or text), and ``exports``: one dictionary each, as in its
        ``model.json``, with ``folder``.

    Raises:
        ConfigError: a format is unknown, or none of them can be quantized.
        MissingExtraError: a runtime is not installed; the message names the extra.
        RunFolderError: the run has not finished, or its data has changed.
        ModelError: the model cannot be written in a format.
        ExportError: an exported model disagrees.
    """
    formats = formats_of(to, int8=int8)
    for each in formats:
        each.require(int8=int8 and each.quantize is not None)
    observer = observer or Silent()
    observer.stage("loading the run")
    job = _Job.of(RunFolder(Path(run)), base, data, device)
    rows = []
    with job.folder.held(), tempfile.TemporaryDirectory() as scratch:
        for each in formats:
            observer.stage(f"exporting to {each.name}")
            file = Path(scratch) / each.name / each.file
            rows.append(job.full(each, file))
            if int8 and each.quantize is not None:
                observer.stage(f"exporting to {each.name} in 8 bits")
                rows.append(job.quantized(each, file))
    return {"run": str(run), "content": job.preprocessing.content, "exports": rows}


@dataclass(frozen=True)
class _Job:
    """The model of a run, its data, and what is the same in every export's ``model.json``."""

    folder: RunFolder
    model: nn.Module
    preprocessing: AnyPreprocessing
    data: ProblemData
    facts: Mapping[str, Any]

    @classmethod
    def of(
        cls, folder: RunFolder, base: BaseModel | None, data: DataSource | None, device: str
    ) -> _Job:
        settings, report = folder.settings(), folder.report()
        base = base or base_of(settings, device)
        predictor = load(folder.path, base=base)
        assert isinstance(predictor.model, nn.Module)
        found = data_of(settings, base, data, split_hash=report["split_hash"])
        facts = {
            "outputs": list(predictor.outputs),
            "preprocessing": predictor.preprocessing.to_dict(),
            "problem": report["problem"],
            "base": {"source": base.source, "fingerprint": base.fingerprint},
            "model": report["removal"].partition(":")[0],
            "seed": report["seed"],
            "split_hash": found.split_hash,
            "threads": torch.get_num_threads(),
        }
        return cls(folder, predictor.model, predictor.preprocessing, found, facts)

    @cached_property
    def on_cpu(self) -> nn.Module:
        """What exported models are compared with."""
        return on_cpu(self.model)

    @cached_property
    def images(self) -> Tensor:
        """Test samples to compare on, (n, C, H, W) or (n, length)."""
        return first_images(self.data.test, MOST_SAMPLES).cpu()

    @cached_property
    def before(self) -> dict[str, Any]:
        """Accuracy on all test samples before quantization."""
        return self._accuracy(self.model)

    def full(self, kind: Format, file: Path) -> dict[str, Any]:
        """Write a format in float32 and compare it."""
        file.parent.mkdir(parents=True)
        inside = {
            "labels": json.dumps(self.facts["outputs"]),
            "preprocessing": json.dumps(self.facts["preprocessing"]),
        }
        kind.write(self.on_cpu, self.images[:1], file, info=inside)
        session = open_session(file)
        compared = compare(session, self.on_cpu, self.images, tolerance=kind.tolerance)
        row = {"quantized": False, "comparison": compared, "accuracy": None}
        return self._kept(kind, kind.name, file, session, row)

    def quantized(self, kind: Format, source: Path) -> dict[str, Any]:
        """Write a format in 8 bits, from its float32 file, and measure it."""
        assert kind.quantize is not None
        file = source.parent / "int8" / source.name
        file.parent.mkdir()
        training = first_images(self.data.search.train, CALIBRATION_SAMPLES).cpu()
        kind.quantize(source, file, list(training))
        session = open_session(file)
        row = {
            "quantized": True,
            "calibration": {"part": "train", "n": len(training)},
            "comparison": compare(session, self.on_cpu, self.images, tolerance=None),
            "accuracy": {"before": self.before, "after": self._accuracy(session)},
        }
        return self._kept(kind, f"{kind.name}-int8", file, session, row)

    def _accuracy(self, model: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """The share of all test samples that ``model`` is right on."""
        test = self.data.test
        return share_right(outputs_of(model, test).argmax(1), test.targets).to_dict()

    def _kept(
        self, kind: Format, name: str, file: Path, session: Session, row: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Put a compared export into the run folder; raises ExportError where it disagrees."""
        files = {f.name: f.read_bytes() for f in sorted(file.parent.iterdir()) if f.is_file()}
        files |= tokenizer_files(self.preprocessing)
        document = {
            **self.facts,
            **row,
            "name": name,
            "runtime": session.runtime,
            "versions": versions(kind, int8=row["quantized"]),
        }
        agrees = row["comparison"]["agrees"]
        place = self.folder.path / "export" / (name if agrees else f"{name}-failed")
        sidecar = sidecar_bytes(document, files)
        write_folder(place, {**files, (FILE if agrees else FAILED_FILE): sidecar})
        if not agrees:
            raise ExportError(_disagreement(name, row["comparison"], place))
        shutil.rmtree(place.with_name(f"{name}-failed"), ignore_errors=True)
        return {"folder": str(place), **json.loads(sidecar)}


def _disagreement(name: str, compared: Mapping[str, Any], place: Path) -> str:
    worst = compared["largest_relative_difference"]
    if compared["error"]:
        how = compared["error"].partition(";")[0]
    elif worst is None:
        how = "its logits are not all numbers, or not as many"
    else:
        how = (
            f"its logits differ by {worst:.1e} of the largest, more than {compared['tolerance']:g}"
        )
    return (
        f"the {name} export disagrees with the model: {how}, on {compared['n']} test samples; the "
        f"files and the comparison are kept in '{place}': use another format of --to"
    )
