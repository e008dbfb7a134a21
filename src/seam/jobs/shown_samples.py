"""Test samples that a page shows: those that base and result disagree about, and attacked ones.

The one place that knows samples to be images: what is none has no pictures here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seam.artefacts.measured import Predictions
from seam.data.decode import open_image
from seam.data.load import LabelledImages, load_splits
from seam.data.prepare import DataSource, short_digests
from seam.data.thumbnail import data_uri, data_uri_of
from seam.defects.subjects import spread
from seam.errors import DataError, RunFolderError, SeamError, in_line

SHOWN = 12
TIMES = 10
"""How much larger the change of an attacked image is shown than it is."""


def disagreements(
    found: Predictions, reference: str, data: DataSource | None
) -> dict[str, Any] | None:
    """Images that only the result gets right (``gained``), and only the reference (``lost``).

    Each has ``all``, how many there are, and ``shown``: some, evenly spread over the test samples,
    as ``image`` (a data URI), ``truth``, ``base`` and ``result``. None for samples that are no
    images.

    Args:
        found: what was predicted, and where the samples are.
        reference: the method that the result is held against.
        data: where to read them.

    Raises:
        DataError: the data is not to be had, or is not what was tested.
    """
    if not len(found.numbers):
        return None
    base, ours, truth = found.methods[reference], found.methods["reengineered"], found.targets
    sides = {
        "gained": ((ours == truth) & (base != truth)).nonzero().flatten(),
        "lost": ((ours != truth) & (base == truth)).nonzero().flatten(),
    }
    chosen = {name: places[spread(len(places), SHOWN)] for name, places in sides.items()}
    pictures = _pictures(data, found, torch.cat([*chosen.values()]))
    names = [*found.outputs, "none of these"]
    return {
        name: {
            "all": len(places),
            "shown": [
                {
                    "image": pictures[i],
                    "truth": names[truth[i]],
                    "base": names[base[i]],
                    "result": names[ours[i]],
                }
                for i in chosen[name].tolist()
            ],
        }
        for name, places in sides.items()
    }


def _pictures(data: DataSource | None, found: Predictions, places: Tensor) -> dict[int, str]:
    """Thumbnails of some test samples by their place among them, read from the data."""
    if not len(places):
        return {}
    if data is None:
        raise DataError("the run was made on own data, which its folder cannot load")
    split = _test_split(data)
    shown = {}
    for place in places.tolist():
        number = int(found.numbers[place])
        if not 0 <= number < split.source.count:
            raise DataError("the data has fewer samples than were tested")
        try:
            content = split.source.read(number)
            digest = hashlib.sha256(content).digest()
            if int(short_digests([digest])[0]) != int(found.digests[place]):
                raise DataError("the data has changed since it was tested")
            shown[place] = data_uri(open_image(content, 3))
        except (OSError, ValueError) as error:
            if isinstance(error, SeamError):
                raise
            raise DataError(f"an image cannot be read ({in_line(error, 60)})") from error
    return shown


def _test_split(data: DataSource) -> LabelledImages:
    splits = load_splits(data)
    return splits.get("test", splits["train"])


def _is_pictures(images: Tensor) -> bool:
    """Whether a tensor read from a file holds pixels, (n, 1 or 3, H, W)."""
    return images.dtype == torch.uint8 and images.dim() == 4 and images.shape[1] in (1, 3)


def attacked(examples: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Attacked images as a page shows them: ``clean``, ``changed`` and ``difference`` of each.

    Args:
        examples: texts by name, as `seam.jobs.record.record_defects` keeps them.
        tensors: their images, uint8 (n, C, H, W).

    Raises:
        RunFolderError: they are no images.
    """
    groups = []
    for name, texts in examples.items():
        clean, changed = tensors[f"{name}/clean"], tensors[f"{name}/changed"]
        if not (_is_pictures(clean) and _is_pictures(changed) and clean.shape == changed.shape):
            raise RunFolderError("the recorded attacks hold something else than images")
        difference = (128 + TIMES * (changed.int() - clean.int())).clamp(0, 255).byte()
        samples = [
            {
                "clean": data_uri_of(clean[i].numpy()),
                "changed": data_uri_of(changed[i].numpy()),
                "difference": data_uri_of(difference[i].numpy()),
                "truth": texts["truth"][i],
                "base": [each[i] for each in texts["base"]],
                "result": [each[i] for each in texts["result"]],
            }
            for i in range(len(clean))
        ]
        groups.append({"name": name, "title": texts["title"], "samples": samples, "times": TIMES})
    return groups
