"""What was measured of a run's chosen point, beside its report: ``RUN/measured/``.

Each file names the adapter it was measured with. After another choice it is out of date, and is
refused instead of shown beside the figures of another point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from seam.artefacts.adapter_file import recorded_digest
from seam.artefacts.atomic import write_bytes
from seam.artefacts.checkpoint import from_file, to_bytes
from seam.artefacts.reading import MAX_JSON, parse_json, read_regular
from seam.artefacts.run import RunFolder
from seam.errors import RunFolderError, in_line

FOLDER = "measured"
PREDICTIONS = "predictions.safetensors"


def record(
    folder: RunFolder,
    name: str,
    figures: Mapping[str, Any],
    tensors: Mapping[str, Tensor] | None = None,
) -> None:
    """Write ``RUN/measured/NAME``: a JSON file, or one of tensors that holds the figures too.

    Raises:
        RunFolderError: it cannot be written.
    """
    folder.refuse_links()
    values = {"adapter": recorded_digest(folder.adapter), **figures}
    if name.endswith(".json"):
        folder.write_json(f"{FOLDER}/{name}", values)
    else:
        write_bytes(folder.path / FOLDER / name, to_bytes(tensors or {}, values))


def recorded(folder: RunFolder, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Inverse of `record`: the figures and the tensors.

    Raises:
        RunFolderError: it was not measured, or of another point, or the file is damaged.
    """
    file = folder.path / FOLDER / name
    if not file.exists():
        raise RunFolderError("not measured yet")
    tensors: dict[str, Tensor] = {}
    try:
        if name.endswith(".json"):
            values = parse_json(read_regular(file, MAX_JSON))
        else:
            tensors, values = from_file(file)
        digest = values.pop("adapter")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunFolderError(f"'{file}' is damaged ({in_line(error, 60)})") from error
    if digest != recorded_digest(folder.adapter):
        raise RunFolderError("measured of another point than the one that is chosen now")
    return values, tensors


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What each method predicted of each test sample, and where in the data the samples are.

    >>> found = Predictions(
    ...     outputs=["a", "b"],
    ...     targets=torch.tensor([0, 1]),
    ...     methods={"full": torch.tensor([0, -1])},
    ... )
    >>> found.confusion("full")
    [[1, 0], [0, 0]]

    Args:
        outputs: the problem's outputs.
        targets: the right output of each sample, (n).
        methods: predicted outputs, (n), by method; -1 is none of them.
        numbers: each sample's number in the data's test split (in its train split, where it has no
            test split), (n); empty where the samples are not such.
        digests: the first 8 bytes of the SHA-256 of each sample's bytes, (n); empty likewise.

    Raises:
        RunFolderError: the parts do not fit one another.
    """

    outputs: Sequence[str]
    targets: Tensor
    methods: Mapping[str, Tensor]
    numbers: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    digests: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))

    def __post_init__(self) -> None:
        n, count = len(self.targets), len(self.outputs)
        places = (self.numbers, self.digests)
        fits = all(each.shape == (n,) for each in (self.targets, *self.methods.values()))
        known = all(
            not n or (int(each.min()) >= -1 and int(each.max()) < count)
            for each in (self.targets, *self.methods.values())
        )
        if not (fits and known and all(each.shape in ((0,), (n,)) for each in places)):
            raise RunFolderError("the recorded predictions do not fit one another")

    def save(self, folder: RunFolder) -> None:
        """Write ``RUN/measured/predictions.safetensors``."""
        methods = {f"predicted/{name}": each.short() for name, each in self.methods.items()}
        tensors = {"targets": self.targets.short(), **methods}
        if len(self.outputs) > torch.iinfo(torch.short).max:
            tensors = {name: each.int() for name, each in tensors.items()}
        record(
            folder,
            PREDICTIONS,
            {"outputs": list(self.outputs)},
            {**tensors, "numbers": self.numbers, "digests": self.digests},
        )

    @classmethod
    def load(cls, folder: RunFolder) -> Predictions:
        """Inverse of `save`; errors as `recorded`'s."""
        values, tensors = recorded(folder, PREDICTIONS)
        try:
            return cls(
                outputs=[str(name) for name in values["outputs"]],
                targets=tensors["targets"].long(),
                methods={
                    name.removeprefix("predicted/"): each.long()
                    for name, each in tensors.items()
                    if name.startswith("predicted/")
                },
                numbers=tensors["numbers"].long(),
                digests=tensors["digests"].long(),
            )
        except (KeyError, TypeError) as error:
            file = Path(FOLDER) / PREDICTIONS
            raise RunFolderError(f"'{folder.path / file}' is damaged ({error})") from error

    def confusion(self, method: str) -> list[list[int]]:
        """How often each output (rows) was predicted as each (columns); none is left out."""
        count, predicted = len(self.outputs), self.methods[method]
        some = predicted >= 0
        cells = self.targets[some] * count + predicted[some]
        return cells.bincount(minlength=count * count).view(count, count).tolist()
