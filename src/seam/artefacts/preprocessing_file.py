"""What a model expects of a sample, as files hold it; of texts, the tokenizer's files too.

What is read may be damaged or hostile: whatever is wrong becomes a ValueError, which the reader of
the file around it turns into an error that names the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seam.artefacts.reading import read_regular
from seam.core.checks import is_number
from seam.core.preprocessing import Preprocessing
from seam.core.text import KIND, AnyPreprocessing, TextPreprocessing

MAX_TOKENIZER = 128 * 2**20
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
OF_IMAGES = {"size", "mean", "std", "crop_fraction", "interpolation"}
OF_TEXTS = {"kind", "length", "padding", "vocabulary", "tokenizer"}


def read_preprocessing(values: Any, folder: Path | None = None) -> AnyPreprocessing:
    """Inverse of the ``to_dict`` of either kind; a text's tokenizer is that in ``folder``, if any.

    >>> read_preprocessing(Preprocessing(size=8).to_dict()).size
    8

    Raises:
        ValueError: keys, types or values are wrong, or the tokenizer is another.
        OSError: the tokenizer cannot be read.
    """
    if not isinstance(values, dict):
        raise ValueError("its 'preprocessing' is missing or of the wrong type")
    texts = values.get("kind") == KIND
    wanted = OF_TEXTS if texts else OF_IMAGES
    for name in sorted(wanted - set(values)):
        raise ValueError(f"its '{name}' is missing")
    if set(values) != wanted:
        raise ValueError("'preprocessing' has unknown keys")
    if texts:
        if not isinstance(values["tokenizer"], str):
            raise ValueError("the tokenizer's digest is no string")
        return TextPreprocessing.from_dict(values, _tokenizer(folder) if folder else "")
    for name in ("mean", "std"):
        if not isinstance(values[name], list | tuple) or not all(map(is_number, values[name])):
            raise ValueError(f"'{name}' holds something else than numbers")
    for name in ("size", "crop_fraction"):
        if not is_number(values[name]):
            raise ValueError(f"'{name}' holds something else than numbers")
    return Preprocessing.from_dict(values)


def tokenizer_files(preprocessing: AnyPreprocessing) -> Mapping[str, bytes]:
    """The files by which others than seam prepare a text; none for images.

    >>> tokenizer_files(Preprocessing(size=8))
    {}

    `transformers.AutoTokenizer` and `tokenizers.Tokenizer` read them.
    """
    if not isinstance(preprocessing, TextPreprocessing):
        return {}
    from tokenizers import Tokenizer

    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": preprocessing.length,
        "pad_token": Tokenizer.from_str(preprocessing.tokenizer).id_to_token(preprocessing.padding),
    }
    return {
        TOKENIZER: preprocessing.tokenizer.encode(),
        TOKENIZER_CONFIG: json.dumps(config, indent=1, sort_keys=True).encode(),
    }


def _tokenizer(folder: Path) -> str:
    return read_regular(folder / TOKENIZER, MAX_TOKENIZER).decode()
