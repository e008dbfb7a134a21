"""Labelled images or texts from wherever `datasets` finds them: folders, parquet files, the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from seam.artefacts.reading import is_there
from seam.artefacts.storage import absent
from seam.core.preprocessing import Content
from seam.core.problem import LabelIndex
from seam.data.decode import ImageSource
from seam.data.folder import survey
from seam.data.table import read_table
from seam.errors import DataError, LabelError, in_line, nearest, some

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


@dataclass(frozen=True)
class LabelledImages:
    """One split as it lies on disk: encoded images or texts, and each one's label as a number.

    ``labels[i]`` indexes ``names``; it is -1 where a sample has no label.
    """

    source: ImageSource
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def select(self, numbers: NDArray[np.int64]) -> LabelledImages:
        """The samples with these numbers, in this order."""
        return LabelledImages(self.source.select(numbers), self.labels[numbers], self.names)


def load_splits(
    data: str | Path | Mapping[str, Any], *, content: Content | None = "image"
) -> dict[str, LabelledImages]:
    """The splits of ``data``: ``train`` always, ``validation`` and ``test`` where it has them.

    ``data`` is an image folder, a folder of parquet or CSV files, a hub name, ``digits``
    (scikit-learn's handwritten digits), a `datasets.DatasetDict`, or PyTorch data sets of images by
    the split's name, as in ``{"train": DATASET, "test": DATASET, "labels": NAMES}`` (see
    `seam.data.own`). ``content`` None takes what the data has, images before texts.

    Raises:
        DataError: nothing is found there, or it holds no such content or no label column.
    """
    if not isinstance(data, str | Path | Mapping):
        raise DataError(
            f"the data is a {type(data).__name__}; give a folder, a hub name, or splits by name "
            "(a DatasetDict, or {'train': DATASET, 'test': DATASET})"
        )
    raw = data if isinstance(data, Mapping) else _load(str(data))
    splits: dict[str, LabelledImages] = {}
    for part, names in SPLITS.items():
        found = next((name for name in names if name in raw), None)
        if found is not None:
            splits[part] = _labelled(raw[found], f"{found} split", content, raw.get("labels"))
    if "train" not in splits:
        found = ", ".join(map(str, raw)) or "nothing"
        raise DataError(f"the data has no train split, only {found}; add one")
    if "test" in splits and (splits["test"].labels < 0).all():
        del splits["test"]  # published without labels: as good as absent
    return splits


def labels_of(
    data: str | Path | Mapping[str, Any],
    *,
    rename: Mapping[str, str] | None = None,
) -> tuple[str, ...]:
    """The labels that the training samples of ``data`` have, in the data's own order.

    >>> labels_of("digits")
    ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')

    Args:
        data: what `load_splits` takes.
        rename: data label to the name it gets; labels of one name become one.

    Raises:
        DataError: there is only one, or none; or the data cannot be loaded.
    """
    train = load_splits(data, content=None)["train"]
    found = [name for i, name in enumerate(train.names) if (train.labels == i).any()]
    names = dict.fromkeys((rename or {}).get(name, name) for name in found)
    if len(names) < 2:
        raise DataError(
            f"the data's train split has {len(names)} class ({', '.join(names)}); give data that "
            "has at least two"
        )
    return tuple(names)


def align(
    images: LabelledImages,
    base_labels: Sequence[str],
    *,
    needed: Sequence[str],
    rename: Mapping[str, str],
    strict: bool,
    where: str = "data",
    rest: str | None = None,
) -> LabelledImages:
    """The same samples with labels counted as the base model counts them; -1 where it has none.

    Args:
        images: samples with the data's own labels.
        base_labels: the base model's labels, in order.
        needed: labels of the problem; each must occur in the data.
        rename: data label to base label, for names that differ.
        strict: every data label must be one of the base's (one-vs-rest needs to know the rest).
        where: what to call these samples in an error.
        rest: the base's label for whatever it has no own label for, if it has such a one: the base
            may be the result of a one-vs-rest problem.

    Raises:
        LabelError: a needed label is absent from the data, or (``strict``) a data label unknown.
    """
    index = LabelIndex(base_labels, owner="the base model")
    renamed = [rename.get(name, name) for name in images.names]
    # The last place is for samples without a label, which have the number -1.
    if rest in base_labels:
        renamed = [name if name in base_labels else str(rest) for name in renamed]
    table = np.array([*(_number(index, name, strict) for name in renamed), -1], dtype=np.int64)
    for label in needed:
        if not (table[images.labels] == index.find(label)).any():
            why = _why_absent(label, images.names, rename)
            raise LabelError(f"label '{label}' of the problem is absent from the {where}{why}")
    unknown = [name for name, known in zip(renamed, table[:-1], strict=True) if known < 0]
    if strict and unknown:
        raise LabelError(
            f"data label '{unknown[0]}' is not among the base model's {len(base_labels)} labels"
            + nearest(unknown[0], list(base_labels), count=2)
            + " (--rename DATA_LABEL=BASE_LABEL maps a differing name)"
        )
    return LabelledImages(images.source, table[images.labels], tuple(base_labels))


def _why_absent(label: str, names: Sequence[str], rename: Mapping[str, str]) -> str:
    """Where a label of the problem may have gone to."""
    if label in rename:
        return f", for it is renamed to '{rename[label]}'; leave that --rename out"
    if label in names:
        return ", which has no samples of it; give data that has"
    near = nearest(label, list(names)) or f"; the data's labels are {some(names)}"
    return f"{near} (--rename DATA_LABEL=LABEL maps a differing name)"


def check_renames(rename: Mapping[str, str], splits: Mapping[str, LabelledImages]) -> None:
    """Refuse to rename a label that none of the ``splits`` has.

    Raises:
        LabelError: there is one; the message names the nearest.
    """
    names = sorted({name for images in splits.values() for name in images.names})
    for name in rename:
        if name not in names:
            raise LabelError(
                f"cannot rename '{name}': it is not among the data's labels{nearest(name, names)}"
            )


def _number(index: LabelIndex, name: str, strict: bool) -> int:
    """The base's number of a data label, -1 if it has none; ambiguity matters where ``strict``."""
    try:
        found = index.get(name)
    except LabelError:
        if strict:
            raise
        found = None
    return -1 if found is None else found


def _load(data: str) -> Mapping[str, Any]:
    if data == "digits":
        from seam.data.digits import load_digits

        digits: Mapping[str, Any] = load_digits()
        return digits
    path = Path(data).expanduser()
    local = is_there(path)
    if not local and (path.is_absolute() or data.startswith(".") or data.count("/") > 1):
        raise DataError(f"data folder '{data}' {absent(data)}")
    if local and not path.is_dir():
        raise DataError(f"data '{data}' is a file; give the folder that holds it")
    if local and not any(path.iterdir()):
        raise DataError(f"data folder '{data}' is empty; add images, or texts")
    if local and set("*?[") & set(str(path.resolve())):
        raise DataError(f"data folder '{data}' has one of * ? [ in its path; rename it")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import datasets

    datasets.disable_progress_bars()
    images = local and survey(path).has_images
    try:
        loaded: Any = (
            datasets.load_dataset("imagefolder", data_dir=str(path))
            if images  # told so, it does not look at what is no image
            else datasets.load_dataset(str(path) if local else data)
        )
    except Exception as error:
        where = f"data folder '{data}'" if local else f"hub data set '{data}'"
        reason = in_line(error.__cause__ or error)
        mend = "check its files" if local else "check the name, or give a local folder"
        raise DataError(f"{where} cannot be loaded: {reason}; {mend}") from error
    return cast("Mapping[str, Any]", loaded)


def _labelled(
    split: Any, where: str, content: Content | None, names: Sequence[str] | None
) -> LabelledImages:
    """A split as bytes and numbers; ``names`` are those of an own data set's labels."""
    import datasets

    from seam.data.own import is_own, read_own

    if isinstance(split, datasets.Dataset):
        source, numbers, known = read_table(split, where, content)
    elif is_own(split) and content != "text":
        source, numbers, known = read_own(split, names, where)
    else:
        own = ", or a PyTorch data set of pairs (image, label)" if content != "text" else ""
        column = " with a text and a label column" if content == "text" else ""
        raise DataError(
            f"the {where} is a {type(split).__name__}; give a datasets.Dataset{column}{own}"
        )
    return LabelledImages(source, np.array(numbers, dtype=np.int64), known)
