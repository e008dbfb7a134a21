"""Real handwritten digits that need no download."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from seam.errors import MissingExtraError

if TYPE_CHECKING:
    import datasets

TRAIN_COUNT = 1200
"""Images in the training split; the remaining 597 are the test split."""


def load_digits() -> datasets.DatasetDict:
    """The handwritten digits of scikit-learn, as a dataset of images and labels.

    >>> load_digits()["test"].features["label"].names[:3]
    ['0', '1', '2']

    Columns are ``image`` (grey, 8 x 8 pixels, 0 to 255) and ``label`` (``"0"`` to ``"9"``). The
    splits keep the original order, which is not random: ``train`` is the first 1,200 images and
    ``test`` the last 597, which are harder than 597 chosen at random. Everything stays in memory.

    Raises:
        MissingExtraError: scikit-learn is not installed.

    Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI repository;
    the test file of that set, as scikit-learn ships it.
    """
    import datasets

    try:
        from sklearn.datasets import load_digits as sklearn_digits
    except ImportError as error:
        raise MissingExtraError(
            "the handwritten digits need scikit-learn, which is not installed; "
            "run pip install 'seam[demo]'"
        ) from error

    raw = sklearn_digits()
    images = [{"bytes": _png(image), "path": None} for image in raw.images]
    labels = [int(label) for label in raw.target]
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list("0123456789"))}
    )

    def split(part: slice) -> datasets.Dataset:
        columns = {"image": images[part], "label": labels[part]}
        return datasets.Dataset.from_dict(columns, features=features)

    return datasets.DatasetDict(
        {"train": split(slice(TRAIN_COUNT)), "test": split(slice(TRAIN_COUNT, None))}
    )


def _png(image: Any) -> bytes:
    """PNG bytes of an 8 x 8 array with values 0 to 16."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((image * (255 / 16)).round().astype("uint8")).save(buffer, format="PNG")
    return buffer.getvalue()
