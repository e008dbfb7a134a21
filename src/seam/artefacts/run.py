"""The run folder: settings, state, points and results, each written whole or not at all."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from seam.artefacts.atomic import write_bytes, write_json, write_text
from seam.errors import RunFolderError

STATE_JSON = "state/json"


@dataclass(frozen=True)
class RunFolder:
    """One problem's folder.

    ``config.yaml`` and ``environment.json`` are written first, ``checkpoint/`` after each epoch,
    ``adapter/``, ``report.json`` and the pictures at the end.
    """

    path: Path

    @classmethod
    def open(cls, path: str | Path, settings: Mapping[str, Any]) -> RunFolder:
        """Make the folder, or continue the one that is there.

        Raises:
            RunFolderError: it cannot be written, or holds a run of other settings; the message
                shows the difference.
        """
        folder = cls(Path(path))
        config = folder.path / "config.yaml"
        if config.exists():
            different = differences(folder.settings(), settings)
            if different:
                raise RunFolderError(
                    f"run folder '{path}' holds a run of other settings ({'; '.join(different)}); "
                    "give those settings, or another --out"
                )
            return folder
        if folder.path.is_dir() and any(folder.path.iterdir()):
            raise RunFolderError(
                f"folder '{path}' is not empty and holds no run; give another --out"
            )
        try:
            (folder.path / "checkpoint" / "points").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"run folder '{path}' cannot be made ({error.strerror}); give another --out"
            ) from error
        write_json(folder.path / "environment.json", environment())
        write_text(config, yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True))
        return folder

    def settings(self) -> dict[str, Any]:
        """The settings of ``config.yaml``.

        Raises:
            RunFolderError: there are none, or they cannot be read.
        """
        try:
            found = yaml.safe_load((self.path / "config.yaml").read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunFolderError(
                f"'{self.path}' is no run folder: it holds no config.yaml"
            ) from error
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RunFolderError(
                f"'{self.path / 'config.yaml'}' cannot be read: {error}"
            ) from error
        if not isinstance(found, dict):
            raise RunFolderError(f"'{self.path / 'config.yaml'}' holds no settings")
        return found

    @property
    def adapter(self) -> Path:
        """The folder that is shared."""
        return self.path / "adapter"

    def save_state(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Write the search's state: one file, so tensors and values always belong together."""
        write_bytes(self._state, _to_bytes(tensors, values))

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The state last saved, or None."""
        return _from_file(self._state) if self._state.exists() else None

    def save_point(self, epoch: int, snapshot: Mapping[str, Tensor]) -> None:
        """Write what a point of the frontier is made of."""
        write_bytes(self._point(epoch), _to_bytes(_packed(snapshot), _shapes(snapshot)))

    def load_point(self, epoch: int) -> dict[str, Tensor]:
        """Inverse of `save_point`."""
        tensors, shapes = _from_file(self._point(epoch))
        return _unpacked(tensors, shapes)

    def keep_points(self, epochs: Sequence[int]) -> None:
        """Delete the points of all other epochs."""
        for file in (self.path / "checkpoint" / "points").glob("*.safetensors"):
            if int(file.stem) not in epochs:
                file.unlink()

    def write_json(self, name: str, values: Any) -> None:
        """Write ``values`` as ``name`` in the run folder."""
        write_json(self.path / name, values)

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
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunFolderError(
                f"run '{self.path}' has no readable {name}; run seam reengineer again to finish it"
            ) from error

    @property
    def _state(self) -> Path:
        return self.path / "checkpoint" / "state.safetensors"

    def _point(self, epoch: int) -> Path:
        return self.path / "checkpoint" / "points" / f"{epoch:04d}.safetensors"


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The settings that differ, as ``name: old there, new asked``.

    >>> differences({"epochs": 20}, {"epochs": 30})
    ['epochs: 20 there, 30 asked']
    """
    found = []
    new = plain(new)
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} there, {after} asked")
    return found


def environment() -> dict[str, Any]:
    """Machine and versions, for provenance."""
    from importlib.metadata import version

    names = ("seam", "torch", "torchvision", "timm", "numpy", "datasets", "safetensors")
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in names},
    }


def plain(values: Any) -> Any:
    """Settings as YAML would give them back: tuples as lists, paths as strings."""
    if isinstance(values, Mapping):
        return {str(key): plain(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [plain(value) for value in values]
    return str(values) if isinstance(values, Path) else values




def _packed(snapshot: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: torch.from_numpy(np.packbits(value.cpu().numpy().reshape(-1)))
        if value.dtype == torch.bool
        else value
        for name, value in snapshot.items()
    }


def _shapes(snapshot: Mapping[str, Tensor]) -> dict[str, Any]:
    return {n: list(value.shape) for n, value in snapshot.items() if value.dtype == torch.bool}


def _unpacked(tensors: Mapping[str, Tensor], shapes: Mapping[str, Any]) -> dict[str, Tensor]:
    from seam.core.masks import unpack

    return {
        name: torch.from_numpy(unpack(value.numpy(), shapes[name])) if name in shapes else value
        for name, value in tensors.items()
    }


def _to_bytes(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values, sort_keys=True).encode()
    packed = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    packed[STATE_JSON] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return save_tensors(packed)


def _from_file(file: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        tensors = load_tensors(file.read_bytes())
        values = json.loads(bytes(tensors.pop(STATE_JSON).numpy()))
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunFolderError(
            f"checkpoint file '{file}' cannot be read ({error}); delete the run folder, start again"
        ) from error
    return tensors, values
