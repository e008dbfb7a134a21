"""What a `transformers` model expects, from the image processor or tokenizer saved beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from seam.core.preprocessing import Preprocessing
from seam.core.text import TextPreprocessing
from seam.errors import ModelError, in_line

VOCABULARIES = ("tokenizer.json", "vocab.*", "spiece.model", "sentencepiece*.model")
USUAL_LENGTH = 128
"""Tokens of a text where nothing else is asked: most sentences are far shorter."""
CROPPED_BELOW = 384
"""ConvNeXt's processor crops images that are resized to less than this."""
NAMES = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers for ways to resize."""


def image_preprocessing(folder: Path, config: Any) -> Preprocessing:
    """The image processor's settings in seam's words.

    Where the processor squeezes an image to a square, seam crops: the two are the same for images
    that are square already.

    Raises:
        ModelError: there is no processor, or it does what seam cannot.
    """
    from transformers import AutoImageProcessor

    processors: Any = AutoImageProcessor  # its methods have no types
    try:
        found = processors.from_pretrained(folder, local_files_only=True).to_dict()
    except Exception as error:  # it reads files of others
        raise ModelError(
            f"hf:{folder} has no image processor that can be read ({in_line(error, 100)}); save "
            "it beside the model with its save_pretrained"
        ) from error
    size, resized = _sizes(found, config)
    factor = 255 * float(found["rescale_factor"]) if found.get("do_rescale") else 255.0
    offset = 1.0 if found.get("rescale_offset") else 0.0
    channels = int(getattr(config, "num_channels", 3))
    mean, std = (0.0,) * channels, (1.0,) * channels
    if found.get("do_normalize"):
        mean, std = (
            _channels(found["image_mean"], channels),
            _channels(found["image_std"], channels),
        )
    return Preprocessing(
        size=size,
        mean=tuple((value + offset) / factor for value in mean),
        std=tuple(value / factor for value in std),
        crop_fraction=min(1.0, size / resized),
        interpolation=NAMES.get(int(found.get("resample") or 3), "bicubic"),
    )


def _sizes(found: dict[str, Any], config: Any) -> tuple[int, int]:
    """Side in pixels of the model's input, and that to which an image is resized before."""
    resized = _side(found.get("size")) if found.get("do_resize") else None
    if resized is None:
        size = getattr(config, "image_size", None)
        if not isinstance(size, int):
            raise ModelError(
                "the image processor does not say what size the model takes; give --input-size, "
                "and save a processor that resizes"
            )
        return size, size
    if found.get("do_center_crop") and found.get("crop_size"):
        return min(_side(found["crop_size"]) or resized, resized), resized
    if found.get("crop_pct") and resized < CROPPED_BELOW:
        return resized, int(resized / float(found["crop_pct"]))
    return resized, resized


def _side(size: Any) -> int | None:
    """The side of a square from ``{"height", "width"}``, ``{"shortest_edge"}`` or a number."""
    if isinstance(size, int):
        return size
    sides = [int(value) for value in dict(size or {}).values() if value]
    return min(sides) if sides else None


def _channels(values: float | Sequence[float], count: int) -> tuple[float, ...]:
    return tuple(values) if isinstance(values, Sequence) else (float(values),) * count


def text_preprocessing(folder: Path, model: Any) -> TextPreprocessing:
    """The tokenizer and the model's vocabulary; texts have at most `USUAL_LENGTH` tokens.

    The model is told which token fills texts up.

    Raises:
        ModelError: there is no tokenizer, none of the fast kind, or it does not fit the model.
    """
    from transformers import AutoTokenizer

    try:
        if not any(file for pattern in VOCABULARIES for file in folder.glob(pattern)):
            raise OSError("no vocabulary")  # transformers makes up an empty one
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # it reads files of others
        raise ModelError(
            f"hf:{folder} has no tokenizer that can be read ({in_line(error, 100)}); save it "
            "beside the model with tokenizer.save_pretrained"
        ) from error
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(
            f"the tokenizer of hf:{folder} has no tokenizer.json; save a fast tokenizer beside "
            "the model"
        )
    known = model.get_input_embeddings().num_embeddings
    highest = max(backend.get_vocab(with_added_tokens=True).values())
    if highest >= known:
        raise ModelError(
            f"the tokenizer of hf:{folder} has {highest + 1} tokens, the model knows {known}; "
            "give the tokenizer that the model was trained with"
        )
    if tokenizer.pad_token_id is None:
        raise ModelError(
            f"the tokenizer of hf:{folder} has no padding token; set tokenizer.pad_token, and "
            "save it again"
        )
    return TextPreprocessing(
        length=_length(tokenizer.model_max_length, model),
        padding=tokenizer.pad_token_id,
        vocabulary=known,
        tokenizer=_plain(backend),
    )


def _plain(backend: Any) -> str:
    """The content of ``tokenizer.json`` without the state that texts are cut and filled up by."""
    from tokenizers import Tokenizer

    copied = Tokenizer.from_str(backend.to_str())
    copied.no_truncation()
    copied.no_padding()
    text: str = copied.to_str(pretty=False)
    return text


def _length(wanted: float, model: nn.Module) -> int:
    """Tokens that the model takes, at most the usual number."""
    most = [USUAL_LENGTH, wanted]
    for name, layer in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(layer, nn.Embedding):
            before = 0 if layer.padding_idx is None else layer.padding_idx + 1  # as RoBERTa counts
            most.append(layer.num_embeddings - before)
    return int(min(most))
