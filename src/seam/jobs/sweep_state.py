"""Where a sweep stands, read off its run folders."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from seam.artefacts.mirroring import mirror_of, named
from seam.artefacts.run import RunFolder
from seam.errors import RunFolderError
from seam.jobs.sweep_parts import Part

RUNS = "runs"
LOOKED_AT = ("config.yaml", "history.jsonl", "report.json")
Row = dict[str, Any]


def place_in(folder: Path, part: Part) -> Path:
    """The run folder of a part of the sweep in ``folder``."""
    return folder / RUNS / part.name


class SweepState:
    """What is known of each part: from its folder, and from how its tasks ended."""

    def __init__(self, parts: Sequence[Part], folder: Path) -> None:
        self.parts, self.folder = parts, folder
        self.look()
        self.start = time.time()
        self.errors: dict[str, str] = {}
        self._finished: dict[str, Row] = {}

    def place(self, part: Part) -> Path:
        """The run folder of a part."""
        return place_in(self.folder, part)

    def home(self, part: Part) -> str:
        """The run folder of a part as its worker is told it: a URL where the sweep lies at one."""
        return str(named(str(self.place(part))))

    def look(self, ended: Part | None = None) -> None:
        """See where the runs stand that lie at a URL; the report of one that ``ended`` is new."""
        mirror = mirror_of(self.folder)
        if mirror is not None:
            if ended is not None:
                (self.place(ended) / "report.json").unlink(missing_ok=True)
            mirror.look(*(f"{RUNS}/*/{name}" for name in LOOKED_AT))

    def is_finished(self, part: Part) -> bool:
        """Whether its report and adapter are there, of the point that is wanted now."""
        return bool(self._row(part)["state"] == "finished")

    def rows(self) -> list[Row]:
        """One row a part, in their order."""
        return [self._row(part) for part in self.parts]

    def _row(self, part: Part) -> Row:
        """A part's row; what has finished stays so, and is read once."""
        if part.name in self._finished:
            return self._finished[part.name]
        error, report = self.errors.get(part.name, ""), self._report(part)
        row: Row = {
            "name": part.name,
            "outputs": list(part.problem.outputs),
            "state": "waiting",
            "error": "" if report is not None else error,
            "folder": self.home(part),
            "epoch": self._epoch(part),
            "epochs": part.settings.search.all_epochs,
            **part.varied,
        }
        if report is not None:
            row |= {"state": "finished", **report}
            self._finished[part.name] = row
        elif error:
            row["state"] = "failed"
        elif self._touched(part):
            row["state"] = "running"
        return row

    def _report(self, part: Part) -> Row | None:
        """The figures of a part that has finished; a damaged report is none, and is made anew."""
        folder = RunFolder(self.place(part))
        if not (folder.path / "report.json").exists():
            return None
        try:
            report = folder.report()
            picked, wanted = report.get("picked", {}), part.settings.pick.to_dict()
            same = {name: picked.get(name) for name in wanted} == wanted
            here = mirror_of(self.folder) is None  # at a URL no file is ever half written
            if not same or (here and folder.adapter_bytes != report.get("adapter_bytes")):
                return None
            return figures(report)
        except (RunFolderError, ArithmeticError, AttributeError, LookupError, TypeError):
            return None

    def _epoch(self, part: Part) -> int:
        with suppress(RunFolderError, IndexError):
            return int(RunFolder(self.place(part)).read_history()[-1]["epoch"])
        return 0

    def _touched(self, part: Part) -> bool:
        """Whether somebody works in its folder since the sweep began."""
        for name in ("environment.json", "history.jsonl"):
            with suppress(OSError):
                if (self.place(part) / name).stat().st_mtime >= self.start:
                    return True
        return False


def figures(report: Mapping[str, Any]) -> Row:
    """The main figures of a report, flat."""
    reference = report.get("reference", "restricted")
    gain = report[f"against_{reference}"]["difference"]
    found: Row = {
        "preset": report["preset"],
        "seed": report["seed"],
        "density": report["density"],
        "weights_kept": report["weights"]["kept"] / report["weights"]["base"],
        "macs": report["macs"]["theoretical"] / report["macs"]["base"],
        "reference": reference,
        "samples": gain["n"],
        "seconds": report["seconds"]["total"],
        "adapter_bytes": report.get("adapter_bytes"),
    }
    for name, figure in {
        "reference_accuracy": report["accuracy"][reference],
        "accuracy": report["accuracy"]["reengineered"],
        "against_reference": gain,
    }.items():
        found |= {
            name: figure["value"],
            f"{name}_low": figure["low"],
            f"{name}_high": figure["high"],
        }
    return found
