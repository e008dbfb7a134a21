"""The run folder: settings, state, points and results, each written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from seam.artefacts.atomic import (
    delete_file,
    is_temporary,
    make_folder,
    shown,
    write_bytes,
    write_json,
    write_text,
)
from seam.artefacts.checkpoint import check_whole, from_file, packed, to_bytes, unpacked
from seam.artefacts.environment import environment
from seam.artefacts.lock import held
from seam.artefacts.reading import MAX_JSON, parse_json, read_regular
from seam.artefacts.run_settings import complete, differences, plain
from seam.artefacts.state_file import State, load_state, save_state
from seam.artefacts.yaml_file import MAX_YAML, parse_yaml
from seam.errors import RunFolderError, in_line
from seam.search.parallel import ALONE, Ranks

REPORTED = {"split_hash": str, "problem": dict, "removal": str, "seed": int, "model": dict}
"""What others than a page need of a report."""


@dataclass(frozen=True)
class RunFolder:
    """One problem's folder.

    ``config.yaml`` and ``environment.json`` are written first, ``checkpoint/`` after each epoch,
    ``adapter/``, ``report.json`` and the pictures at the end.
    """

    path: Path

    def check(self, settings: Mapping[str, Any]) -> None:
        """That a run of ``settings`` can begin or go on here; writes nothing.

        Raises:
            RunFolderError: it holds a run of other settings (the message shows the difference), or
                something else.
        """
        if self.holds_run:
            different = differences(complete(self.settings()), complete(settings))
            if different:
                raise RunFolderError(
                    f"run folder '{self.path}' holds a run of other settings "
                    f"({'; '.join(different)}); give those settings, or another --out"
                )
        elif self.path.exists() and not self.path.is_dir():
            raise RunFolderError(f"'{self.path}' is a file; give another --out, a folder")
        elif self.path.is_dir() and not all(map(is_temporary, self.path.iterdir())):
            raise RunFolderError(
                f"folder '{self.path}' is not empty and holds no run; give another --out"
            )

    @contextmanager
    def begun(self, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[None]:
        """Begin a run, or go on with it, and keep other processes out meanwhile.

        ``facts`` (seed, split hash, device, ...) go into ``environment.json`` with the versions.

        Raises:
            RunFolderError: as `check`; or the folder cannot be written, or is in use, or the data
                is not what it was when the run began.
        """
        self.check(settings)
        make_folder(self.path)
        with self.held():
            self.check(settings)  # another process may have begun in the meantime
            if not self.holds_run:
                text = yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True)
                write_text(self._config, text)
            for folder in (self.path, self.path / "checkpoint", self.path / "checkpoint/points"):
                for file in filter(is_temporary, folder.glob(".*")):
                    delete_file(file)
            if (self.path / "environment.json").exists():
                self._check_data(facts)
            else:
                self.write_json("environment.json", {**facts, **environment()})
            yield

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out; a killed process lets go by itself.

        Raises:
            RunFolderError: another process works in this folder.
        """
        self.refuse_links()
        with held(self.path, what=f"run folder '{self.path}'"):
            yield

    def refuse_links(self) -> None:
        """That what is written in this folder stays in it: a folder of others may hold links.

        Raises:
            RunFolderError: a link in it leads out of it.
        """
        home = self.path.resolve()
        for place, folders, files in os.walk(self.path):
            for each in (Path(place) / name for name in (*folders, *files)):
                if each.is_symlink() and not each.resolve().is_relative_to(home):
                    raise RunFolderError(
                        f"run folder '{self.path}' holds a link that leads out of it, "
                        f"{shown(each.relative_to(self.path))}, so nothing is written there; put "
                        "what it leads to in its place"
                    )

    def _check_data(self, facts: Mapping[str, Any]) -> None:
        file, now = self.path / "environment.json", facts["split_hash"]
        try:
            found = parse_json(read_regular(file, MAX_JSON))
            there = found.get("split_hash") if isinstance(found, dict) else "none"
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"'{file}' is damaged ({in_line(error, 60)}), so it does not say what data the run "
                "began with; restore it, or, if the data is the same, delete the file: the same "
                "command writes it anew"
            ) from error
        if there not in (None, now):
            raise RunFolderError(
                f"the data is not what run '{self.path}' began with (split hash {str(there)[:12]} "
                f"there, {now[:12]} now); restore it, or give another --out"
            )

    def settings(self) -> dict[str, Any]:
        """The settings of ``config.yaml``.

        Raises:
            RunFolderError: there are none, or they cannot be read.
        """
        try:
            found = parse_yaml(read_regular(self._config, MAX_YAML).decode())
        except FileNotFoundError as error:
            raise RunFolderError(
                f"'{self.path}' is no run folder: it holds no config.yaml; "
                "give the folder that --out named"
            ) from error
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"'{self._config}' cannot be read: {in_line(error)}; restore it, or start again "
                "elsewhere"
            ) from error
        if not isinstance(found, dict):
            raise RunFolderError(
                f"'{self._config}' holds no settings; restore it, or start again elsewhere"
            )
        return found

    @property
    def command(self) -> str:
        """The command that made the run, as far as its settings can be read."""
        try:
            kind = self.settings()["problem"]["kind"]
        except (RunFolderError, KeyError, TypeError):
            kind = None
        return "seam transfer" if kind == "new-labels" else "seam reengineer"

    @property
    def holds_run(self) -> bool:
        """Whether a run was begun here; an adapter that was pulled lies in a folder without."""
        return self._config.exists()

    @property
    def adapter(self) -> Path:
        """The folder that is shared."""
        return self.path / "adapter"

    @property
    def adapter_bytes(self) -> int:
        """The size of the adapter that is there: another than the report's is a damaged one."""
        return sum(file.stat().st_size for file in self.adapter.glob("*"))

    @property
    def model(self) -> Path:
        """The folder of the shrunk model, where there is one."""
        return self.path / "model"

    def save_state(
        self, tensors: Mapping[str, Tensor], values: Mapping[str, Any], ranks: Ranks = ALONE
    ) -> None:
        """Write the search's state, each rank its share; tensors and values belong together."""
        save_state(self.path / "checkpoint", tensors, values, ranks)

    def load_state(self) -> State | None:
        """The state last saved, or None."""
        return load_state(self.path / "checkpoint")

    def save_point(self, epoch: int, snapshot: Mapping[str, Tensor]) -> None:
        """Write what a point of the frontier is made of."""
        write_bytes(self._point(epoch), to_bytes(*packed(snapshot)))

    def load_point(self, epoch: int) -> dict[str, Tensor]:
        """Inverse of `save_point`."""
        file = self._point(epoch)
        return unpacked(*from_file(file), file)

    def check_points(self, epochs: Collection[int]) -> None:
        """That the points of these epochs are there, whole.

        Raises:
            RunFolderError: one is not; a search that went on would not find it again.
        """
        for epoch in epochs:
            check_whole(self._point(epoch))

    def keep_points(self, epochs: Collection[int]) -> None:
        """Delete the points of all other epochs."""
        for file in (self.path / "checkpoint" / "points").glob("*.safetensors"):
            if int(file.stem) not in epochs:
                delete_file(file)

    def write_json(self, name: str, values: Any) -> None:
        """Write ``values`` as ``name`` in the run folder."""
        write_json(self.path / name, values)

    def forget_report(self) -> None:
        """Delete ``report.json``: until there is another, the run has not finished."""
        delete_file(self.path / "report.json")

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``history.jsonl``, one row an epoch."""
        lines = [f"{json.dumps(row, sort_keys=True)}\n" for row in rows]
        write_text(self.path / "history.jsonl", "".join(lines))

    def read_json(self, name: str) -> Any:
        """A JSON file of the run folder.

        Raises:
            RunFolderError: it is not there, as in a run that has not finished.
        """
        try:
            return parse_json(read_regular(self.path / name, MAX_JSON))
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"run '{self.path}' has no readable {name}; run {self.command} again to finish it"
            ) from error

    def report(self) -> dict[str, Any]:
        """What ``report.json`` holds, once that is known to be a report.

        Raises:
            RunFolderError: the run has not finished, or the file is damaged.
        """
        found = self.read_json("report.json")
        known: dict[str, Any] = {"model": {}, **found} if isinstance(found, dict) else {}
        for name, kind in REPORTED.items():
            if not isinstance(known.get(name), kind):
                raise RunFolderError(
                    f"report.json of run '{self.path}' is damaged (its '{name}' is missing or of "
                    f"the wrong type); choose a point again: {self.command} --out RUN --pick EPOCH"
                )
        return known

    def read_history(self) -> list[dict[str, Any]]:
        """Inverse of `write_history`; nothing before the first epoch.

        Raises:
            RunFolderError: the file is damaged.
        """
        file = self.path / "history.jsonl"
        try:
            lines = read_regular(file, MAX_JSON).splitlines() if file.exists() else []
            return [_row(parse_json(line, finite=False)) for line in lines]
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"'{file}' is damaged ({in_line(error, 60)}); restore it, or delete the file: "
                f"{self.command} writes it anew"
            ) from error

    @property
    def _config(self) -> Path:
        return self.path / "config.yaml"

    def _point(self, epoch: int) -> Path:
        return self.path / "checkpoint" / "points" / f"{epoch:04d}.safetensors"


def _row(found: Any) -> dict[str, Any]:
    """A row of the history, which has an epoch."""
    if not isinstance(found, dict) or type(found.get("epoch")) is not int:
        raise ValueError("a line has no epoch")
    return found
