"""Everything that a run's page shows, gathered from its folder as plain values."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from seam.artefacts.adapter import load_adapter
from seam.artefacts.measured import FOLDER, Predictions, recorded
from seam.artefacts.mirroring import named
from seam.artefacts.run import RunFolder
from seam.core.config import SearchConfig
from seam.core.problem import Problem
from seam.data.prepare import DataSource
from seam.errors import RunFolderError, SeamError, in_line
from seam.jobs.record import DEFECTS, LATENCY, LATENCY_INT8
from seam.jobs.shown_samples import attacked, disagreements

COMMANDS = {
    "result": "{command} --out {run} --pick {epoch}",
    "layers": "{command} --out {run} --pick {epoch}",
    "predictions": "seam evaluate {run}",
    "pictures": "seam report {run} --data DATA",
    "latency": "seam evaluate {run} --latency",
    "defects": "seam evaluate {run} --defects",
}
"""How to make what a page misses."""
PARTS = ("layers", "confusion", "pictures", "latency", "latency_int8", "defects")


def gather(run: str | Path, data: DataSource | None = None) -> dict[str, Any]:
    """The content of a run's page; a part that is missing is None, and in ``missing``.

    >>> gather("runs/seven")["missing"][0]["command"]  # doctest: +SKIP
    'seam evaluate runs/seven --latency'

    Args:
        run: the run folder, finished or not.
        data: where its data is; by default where the folder says.

    Raises:
        RunFolderError: that is no run folder, or its settings are damaged.
    """
    folder = RunFolder(Path(run))
    settings = folder.settings()
    try:
        problem = Problem.from_dict(settings["problem"])
        epochs = SearchConfig.from_dict(settings["search"]).all_epochs
    except (KeyError, TypeError, AttributeError, SeamError) as error:
        raise RunFolderError(
            f"config.yaml of run '{run}' is damaged ({type(error).__name__}: {in_line(error)}); "
            "restore it, or start again with another --out"
        ) from error
    found: dict[str, Any] = {
        "run": named(str(run)),
        "name": folder.path.resolve().name,
        "command": folder.command,
        "problem": problem.to_dict(),
        "settings": settings,
        "epochs": epochs,
        "environment": _read(folder, "environment.json", {}),
        "frontier": _read(folder, "frontier.json", []),
        "history": folder.read_history(),
        "report": folder.report() if _is_finished(folder) else None,
        "content": "image",
        **dict.fromkeys(PARTS),
    }
    parts = _Parts(folder, found, data if data is not None else settings.get("data_source"))
    return {**found, **parts.gathered(), "missing": parts.missing}


class _Parts:
    """The parts of a page that may be missing."""

    def __init__(self, folder: RunFolder, found: Mapping[str, Any], data: DataSource | None):
        self.folder, self.found, self.data = folder, found, data
        self.missing: list[dict[str, str]] = []

    def gathered(self) -> dict[str, Any]:
        """All that there are."""
        report = self.found["report"]
        if report is None:
            return self._unfinished()
        channels = self.found["settings"]["search"].get("granularity") == "channel"
        adapter = self._or_missing("layers", lambda: load_adapter(self.folder.adapter))
        content = adapter.preprocessing.content if adapter else self.found["content"]
        int8 = (self.folder.path / FOLDER / LATENCY_INT8).exists()
        return {
            "content": content,
            "layers": adapter and kept_by_layer(adapter.masks, channels),
            **self._predicted(report.get("reference", "restricted")),
            "latency": self._or_missing("latency", lambda: self._recorded(LATENCY)),
            "latency_int8": self._or_missing("latency", lambda: self._recorded(LATENCY_INT8))
            if int8
            else None,
            "defects": self._or_missing("defects", self._defects)
            if content == "image"  # attacks change pixels
            else None,
        }

    def _unfinished(self) -> dict[str, Any]:
        rows, epochs = self.found["history"], self.found["epochs"]
        done = max((row["epoch"] for row in rows), default=0)
        why = f"the run has not finished ({done} of {epochs} epochs); the same command continues it"
        if any(row["epoch"] for row in self.found["frontier"]):
            self._lack("result", f"{why}, this one chooses among the points so far")
        else:
            self._lack("result", why, command="")
        return {}

    def _predicted(self, reference: str) -> dict[str, Any]:
        """Confusions, and images that base and result disagree about."""
        found = self._or_missing("predictions", self._predictions)
        if found is None:
            return {}
        methods = (reference, "reengineered")
        return {
            "confusion": {
                "outputs": found.outputs,
                "methods": {name: found.confusion(name) for name in methods},
            },
            "pictures": self._or_missing(
                "pictures", lambda: disagreements(found, reference, self.data)
            ),
        }

    def _predictions(self) -> Predictions:
        found = Predictions.load(self.folder)
        if list(found.outputs) != self.found["problem"]["outputs"]:  # their square is counted in
            raise RunFolderError("the recorded predictions are of another problem")
        return found

    def _recorded(self, name: str) -> dict[str, Any]:
        return recorded(self.folder, name)[0]

    def _defects(self) -> dict[str, Any]:
        values, tensors = recorded(self.folder, DEFECTS)
        try:
            return {**values, "examples": attacked(values.pop("examples"), tensors)}
        except (AttributeError, LookupError, TypeError) as error:
            raise RunFolderError(f"the recorded attacks are damaged ({error!r:.60})") from error

    def _or_missing(self, what: str, get: Callable[[], Any]) -> Any:
        """What ``get`` gives; or None, and why in ``missing``."""
        try:
            return get()
        except SeamError as error:
            self._lack(what, named(in_line(error)))
            return None

    def _lack(self, what: str, why: str, command: str | None = None) -> None:
        if command is None:
            report = self.found["report"] or {}
            last = max((row["epoch"] for row in self.found["frontier"]), default="EPOCH")
            command = COMMANDS[what].format(
                command=self.found["command"],
                run=shlex.quote(self.found["run"]),
                epoch=report.get("picked", {"epoch": last})["epoch"],
            )
        self.missing.append({"what": what, "why": why, "command": command})


def kept_by_layer(masks: Mapping[str, Tensor], channels: bool) -> list[dict[str, Any]]:
    """What is kept of each layer: ``layer``, ``kept`` of ``of`` elements of its parameters.

    >>> import torch
    >>> kept_by_layer({"a.weight": torch.tensor([[True, False], [False, False]])}, True)
    [{'layer': 'a', 'kept': 1, 'of': 4, 'channels': 1, 'channels_of': 2}]

    With ``channels`` also how many of the outputs of its weights are not removed whole.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, mask in masks.items():
        layer, _, parameter = name.rpartition(".")
        row = rows.setdefault(layer or name, {"layer": layer or name, "kept": 0, "of": 0})
        row["kept"] += int(mask.sum())
        row["of"] += mask.numel()
        if channels and parameter == "weight" and mask.dim() > 1:
            row["channels"] = int(mask.flatten(1).any(1).sum())
            row["channels_of"] = len(mask)
    return [rows[layer] for layer in sorted(rows, key=_natural)]


def _natural(name: str) -> list[Any]:
    """A key that sorts layer2 before layer10: digits and what is between them take turns."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def _is_finished(folder: RunFolder) -> bool:
    return (folder.path / "report.json").exists()


def _read(folder: RunFolder, name: str, otherwise: Any) -> Any:
    """A JSON file of a run that may not have got so far."""
    return folder.read_json(name) if (folder.path / name).exists() else otherwise
