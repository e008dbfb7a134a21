"""From a base model, a problem and data to the samples of a search and of the final test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seam.core.preprocessing import Content, Preprocessing
from seam.core.problem import Problem
from seam.core.text import AnyPreprocessing, TextPreprocessing
from seam.data.config import DataConfig
from seam.data.decode import ImageSource
from seam.data.folder import stray_files
from seam.data.images import ImageSamples, read_pixels
from seam.data.load import LabelledImages, align, check_renames, load_splits
from seam.data.split import Numbers, Split, balance, divide, targets_of
from seam.data.texts import TextSamples, read_tokens
from seam.errors import ConfigError, DataError
from seam.search.samples import SearchData

DataSource = str | Path | Mapping[str, Any]
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Places:
    """Where samples are: numbers in a split of the data, and the first 8 bytes of their SHA-256."""

    numbers: NDArray[np.int64]
    digests: NDArray[np.int64]


@dataclass(frozen=True)
class ProblemData:
    """The three parts of a problem's data; only ``search`` is handed to the search.

    ``split_hash`` is a SHA-256 over the sample numbers of the three parts and the bytes of their
    content: it changes with the seed, the settings and the data. ``test_places`` says where in the
    data the test images are, where that can be said.
    """

    search: SearchData
    test: ImageSamples | TextSamples
    test_labels: NDArray[np.int64]
    split_hash: str
    skipped: tuple[str, ...]
    stray: tuple[str, ...] = ()
    test_places: Places | None = None

    def sizes(self) -> dict[str, int]:
        """Number of samples of each part; of those left out, and of files that are no images."""
        return {
            "train": len(self.search.train),
            "validation": len(self.search.validation),
            "test": len(self.test),
            "skipped": len(self.skipped),
            **({"stray": len(self.stray)} if self.stray else {}),
        }


def prepare(
    data: DataSource,
    problem: Problem,
    *,
    base_labels: Sequence[str],
    preprocessing: AnyPreprocessing,
    config: DataConfig,
    seed: int,
    device: torch.device,
) -> ProblemData:
    """Load, split and decode the samples that a problem needs.

    A test split of the data is kept for the end, or what validation leaves of it; without one, a
    tenth of the samples is set aside. One-vs-rest draws negatives within each part.

    Raises:
        LabelError: the problem's labels are unknown to the base or absent from the data.
        DataError: the data is empty, has one class only, or an image cannot be read.
    """
    labels_used, members = problem.counted(base_labels)
    parts, split = choose(
        data,
        problem,
        members,
        base_labels=labels_used,
        config=config,
        seed=seed,
        content=preprocessing.content,
    )
    samples: dict[str, ImageSamples | TextSamples] = {}
    labels: dict[str, NDArray[np.int64]] = {}
    skipped: list[str] = []
    content = hashlib.sha256()
    digests: list[bytes] = []

    def observe(data: bytes) -> None:
        digests.append(hashlib.sha256(data).digest())
        content.update(digests[-1])

    read = partial(
        _read_texts if isinstance(preprocessing, TextPreprocessing) else _read_images,
        config=config,
        device=device,
        observe=observe,
    )
    for name, part in parts.items():
        kept, bad, with_targets = read(part.source, preprocessing)
        skipped += bad
        labels[name] = part.labels[kept]
        targets = targets_of(labels[name], members)
        _check_classes(targets, problem, name)
        samples[name] = with_targets(torch.from_numpy(targets))
        split = _without(split, name, kept)
    places = None
    if preprocessing.content == "image":  # its digests are the last, one a sample
        places = Places(split.test, short_digests(digests[-len(split.test) :]))
    return ProblemData(
        SearchData(samples["train"], samples["validation"]),
        samples["test"],
        labels["test"],
        hashlib.sha256(f"{split.hash()} {content.hexdigest()}".encode()).hexdigest(),
        tuple(skipped),
        stray_files(data),
        places,
    )


def short_digests(digests: Sequence[bytes]) -> NDArray[np.int64]:
    """The first 8 bytes of each SHA-256 digest, as numbers.

    >>> short_digests([bytes(32)]).tolist()
    [0]
    """
    return np.frombuffer(b"".join(each[:8] for each in digests), dtype="<i8").astype(np.int64)


Read = tuple[list[int], list[str], Callable[[torch.Tensor], ImageSamples | TextSamples]]
"""Numbers of the samples kept, names of those skipped, and samples from their targets."""


def _read_images(
    source: ImageSource,
    preprocessing: Preprocessing,
    *,
    config: DataConfig,
    device: torch.device,
    observe: Callable[[bytes], object],
) -> Read:
    pixels, kept, bad = read_pixels(
        source, preprocessing, skip_bad=config.skip_bad, observe=observe
    )
    placed = pixels.to(device) if isinstance(pixels, torch.Tensor) else pixels
    augment = config.augment or "crop+flip"
    return kept, bad, lambda targets: ImageSamples(placed, targets, preprocessing, device, augment)


def _read_texts(
    source: ImageSource,
    preprocessing: TextPreprocessing,
    *,
    config: DataConfig,
    device: torch.device,
    observe: Callable[[bytes], object],
) -> Read:
    if config.augment not in (None, "none"):
        raise ConfigError(f"augment '{config.augment}' is for images, not for texts; leave it out")
    tokens, kept, bad = read_tokens(
        source, preprocessing, skip_bad=config.skip_bad, observe=observe
    )
    return kept, bad, lambda targets: TextSamples(tokens.to(device), targets, device)


def choose(
    data: DataSource,
    problem: Problem,
    members: Sequence[Sequence[int]],
    *,
    base_labels: Sequence[str],
    config: DataConfig,
    seed: int,
    content: Content = "image",
) -> tuple[dict[str, LabelledImages], Split]:
    """The samples of each part, not yet decoded, and their numbers.

    ``base_labels`` and ``members`` are what `Problem.counted` gives.
    """
    rng = np.random.default_rng(seed)
    strict = problem.kind == "one-vs-rest"
    loaded = load_splits(data, content=content)
    check_renames(config.rename, loaded)
    splits = {
        name: align(
            images,
            base_labels,
            needed=problem.named,
            rename=config.rename,
            strict=strict,
            rest=problem.outputs[0] if strict else None,
            where=f"data's {name} split",
        )
        for name, images in loaded.items()
    }
    numbers = {
        name: np.flatnonzero(targets_of(images.labels, members) >= 0)
        for name, images in splits.items()
    }
    one = members[1][0] if strict else None
    divide(numbers, {name: images.labels for name, images in splits.items()}, config, rng, one)
    own = {**splits, "validation": splits.get("validation", splits[config.validation_from])}
    splits = {part: own.get(part, own["train"]) for part in PARTS}
    if strict:
        # Choices and figures are balanced in any case: among a thousand labels, a model that always
        # answers "not" would be right 999 times.
        for part in PARTS[config.negatives == "all" :]:
            part_labels = splits[part].labels[numbers[part]]
            numbers[part] = numbers[part][balance(part_labels, members[1][0], rng)]
    parts = {part: splits[part].select(numbers[part]) for part in PARTS}
    return parts, Split(numbers["train"], numbers["validation"], numbers["test"])


def _without(split: Split, part: str, kept: list[int]) -> Split:
    """The split after unreadable images of ``part`` were left out."""
    numbers: dict[str, Numbers] = {
        "train": split.train,
        "validation": split.validation,
        "test": split.test,
    }
    numbers[part] = numbers[part][kept]
    return Split(**numbers)


def _check_classes(targets: NDArray[np.int64], problem: Problem, part: str) -> None:
    missing = [name for i, name in enumerate(problem.outputs) if not (targets == i).any()]
    if missing:
        raise DataError(
            f"the {part} data has no sample of '{missing[0]}'; "
            "give data that covers every class of the problem"
        )
