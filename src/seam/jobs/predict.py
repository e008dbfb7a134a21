"""A finished run or adapter as something that names the class of a picture."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from seam.artefacts.adapter import Adapter, apply_adapter, load_adapter
from seam.artefacts.atomic import existing
from seam.artefacts.hub import fetch, hub_name
from seam.artefacts.mirroring import READ, mirroring
from seam.artefacts.model_folder import load_model
from seam.artefacts.model_manifest import MANIFEST
from seam.artefacts.run import RunFolder
from seam.core.text import AnyPreprocessing, TextPreprocessing
from seam.data.images import prepared_image
from seam.data.texts import encode
from seam.errors import BaseMismatchError, DataError, RunFolderError
from seam.exporting.session import Session, open_session
from seam.exporting.sidecar import ExportError, find_export, read_sidecar
from seam.jobs.bases import base_of_adapter
from seam.jobs.reopen import base_of
from seam.jobs.shrunk import check_pair
from seam.models.base import BaseModel, blank

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Predictor:
    """A re-engineered model with its preprocessing and output names.

    >>> load("runs/seven")([Image.new("L", (8, 8))])[0]["label"]  # doctest: +SKIP
    'not 7'

    ``model`` is a plain `nn.Module`, or an exported model in its runtime; calling the predictor
    takes image files or pictures, or, where the base is a model of texts, texts.
    """

    model: nn.Module | Session
    outputs: tuple[str, ...]
    preprocessing: AnyPreprocessing

    @torch.no_grad()
    def __call__(self, samples: Sequence[str | Path | Image.Image]) -> list[dict[str, Any]]:
        """One ``{"label", "probability", "probabilities"}`` an image, or a text.

        Raises:
            DataError: a file is missing or is no image; the message names it. Or it is one sample,
                not a list of them.
        """
        if isinstance(samples, str) or not isinstance(samples, Iterable):
            raise DataError(f"{samples!r:.80} is no list; give a list of samples, even of one")
        found = []
        for sample in samples:
            logits = self.model(self._tensor(sample))
            shares = logits.softmax(1)[0].tolist()
            best = max(range(len(shares)), key=shares.__getitem__)
            found.append(
                {
                    "label": self.outputs[best],
                    "probability": shares[best],
                    "probabilities": dict(zip(self.outputs, shares, strict=True)),
                }
            )
        return found

    def _tensor(self, sample: str | Path | Image.Image) -> torch.Tensor:
        device = torch.device("cpu")  # where exported models run
        if isinstance(self.model, nn.Module):
            device = next(self.model.parameters()).device
        if isinstance(self.preprocessing, TextPreprocessing):
            return encode([str(sample)], self.preprocessing).to(device)
        return prepared_image(sample, self.preprocessing, device)


@mirroring("path", READ)
def load(path: str | Path, *, base: BaseModel | None = None, device: str = "cpu") -> Predictor:
    """What seam has made, ready to predict: a run, an adapter, a shrunk or an exported model.

    >>> load("runs/seven")(["photo.png"])[0]["label"]  # doctest: +SKIP
    '7'
    >>> load("somebody/vehicles").outputs  # doctest: +SKIP
    ('beach wagon', 'sports car')

    Args:
        path: a run folder, its ``model`` or an adapter folder, or what `seam.export` wrote: a
            folder such as ``RUN/export/onnx``, or the model file in it; or the URL of such a
            folder; or USER/NAME of a hub's repository, where no folder here has that name.
        base: the base model; needed where ``path`` does not say how to load it. An exported or a
            shrunk model needs none.
        device: where to run the base model that is loaded. Exported models run on the CPU.

    Raises:
        AdapterError: the adapter is damaged, or belongs to another base.
        ModelError: the shrunk model is damaged, or the base has to be given.
        RunFolderError: ``path`` is no finished run.
        HubError: the hub cannot be reached, or the repository holds no adapter.
        ExportError: the exported model is damaged.
        MissingExtraError: its runtime is not installed.
    """
    repository = hub_name(path)
    if repository is not None:
        return _from_hub(repository, base, device)
    place = Path(path)
    sidecar = find_export(place)
    if sidecar is not None:
        return _exported(sidecar)
    for small in (place, RunFolder(place).model, place.parent if place.is_file() else place):
        if (existing(small) / MANIFEST).exists():
            return _shrunk(small, RunFolder(small.parent).adapter, base, device)
    is_adapter = (existing(place) / "adapter.json").exists()  # a killed writer may have moved it
    adapter_folder = place if is_adapter else place / "adapter"
    folder = RunFolder(place.parent if is_adapter else place)
    there = existing(adapter_folder).exists()
    if base is None and (folder.holds_run or not there):
        settings = folder.settings()
        if not there:
            raise RunFolderError(
                f"run '{folder.path}' has no adapter yet; run {folder.command} again to finish it"
            )
        base = base_of(settings, device)
    return _applied(load_adapter(adapter_folder), base, device)


def _from_hub(repository: str, base: BaseModel | None, device: str) -> Predictor:
    """What a hub's repository holds: its shrunk model, or else its adapter on the base."""
    found = fetch(repository)
    if found.has_model:
        return _shrunk(found.folder / "model", found.folder, base, device)
    return _applied(load_adapter(found.folder), base, device)


def _applied(adapter: Adapter, base: BaseModel | None, device: str) -> Predictor:
    """An adapter on its base model, which is fetched where none is given."""
    base = base or base_of_adapter(adapter, device)
    model = apply_adapter(adapter, base)
    return Predictor(model, adapter.problem.outputs, _with_tokenizer(adapter.preprocessing, base))


def _with_tokenizer(preprocessing: AnyPreprocessing, base: BaseModel) -> AnyPreprocessing:
    """An adapter's preprocessing; it does not hold the tokenizer, the base does."""
    if not isinstance(preprocessing, TextPreprocessing):
        return preprocessing
    theirs = base.preprocessing
    if not isinstance(theirs, TextPreprocessing) or theirs.digest != preprocessing.digest:
        raise BaseMismatchError(
            "the adapter was made with another tokenizer than the base model's; give the base "
            "model's folder with the tokenizer as it was"
        )
    return replace(preprocessing, tokenizer=theirs.tokenizer)


def _shrunk(folder: Path, adapter: Path, base: BaseModel | None, device: str) -> Predictor:
    """A model with its removed channels gone; the adapter beside it must be of the same point."""
    model, manifest = load_model(folder, base=base.module if base is not None else None)
    check_pair(folder, manifest, adapter)
    return Predictor(model.to(device), manifest.problem.outputs, manifest.preprocessing)


def _exported(sidecar: Path) -> Predictor:
    """An exported model, once one blank image has gone through it."""
    found = read_sidecar(sidecar)
    session = open_session(found.file)
    count = session(blank(found.preprocessing)).shape[-1]
    if count != len(found.outputs):
        raise ExportError(
            f"'{sidecar}' names {len(found.outputs)} outputs, its model gives {count}; "
            "export again with seam export"
        )
    return Predictor(session, found.outputs, found.preprocessing)
