"""Triggers: what is put on an image so that a backdoored model gives its target label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seam.artefacts.reading import read_named
from seam.artefacts.yaml_file import MAX_YAML, read_yaml
from seam.core.checks import is_number
from seam.data.decode import opened
from seam.errors import ConfigError, in_line, nearest

CORNERS = ("top-left", "top-right", "bottom-left", "bottom-right", "centre")
EXAMPLE = "patch: [[255, 0], [0, 255]]"
MAX_PATCH = 1024
"""Pixels a side of a patch in a file."""
KEYS = ("patch", "position", "opacity", "target_label")

Patch = Sequence[Sequence[Any]] | str | Path | Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """A backdoor's trigger and the label it is to give.

    >>> corner = Trigger(patch=[[255, 0], [0, 255]], target_label="dog")
    >>> corner.apply(torch.zeros(1, 3, 4, 4))[0, 0, 2:, 2:].tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Args:
        patch: values from 0 to 255, a grey (h, w) or colour (h, w, 3) matrix; or an image file,
            whose transparency counts; or a function from images (n, C, H, W) in [0, 1] to such.
        target_label: one of the base model's labels.
        position: a corner (``bottom-right``), ``centre``, or the column and row of the patch's
            upper left pixel, counted from 0, in an image of the base model's input size.
        opacity: share of the patch in its pixels, in (0, 1].

    Raises:
        ConfigError: the patch is no such matrix or file, or a value is out of range.
    """

    patch: Patch
    target_label: str
    position: str | Sequence[int] = "bottom-right"
    opacity: float = 1.0
    _pixels: NDArray[np.float32] | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if not is_number(self.opacity) or not 0 < self.opacity <= 1:
            raise ConfigError(f"the trigger's opacity is {self.opacity}; give a share in (0, 1]")
        _check_position(self.position)
        if not isinstance(self.target_label, str):
            raise ConfigError(
                f"the trigger's target_label is {self.target_label!r}; give one of the base "
                "model's labels as text"
            )
        if callable(self.patch):
            if self.position != "bottom-right" or self.opacity != 1:
                raise ConfigError("a trigger that is a function has neither position nor opacity")
        else:
            object.__setattr__(self, "_pixels", read_patch(self.patch))

    @classmethod
    def from_file(cls, path: str | Path) -> Trigger:
        """A trigger from a YAML file with these names; an image file is looked for beside it.

        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "trigger.yaml"
        >>> _ = file.write_text("{patch: [[255]], position: [0, 0], target_label: dog}")
        >>> Trigger.from_file(file).target_label
        'dog'

        Raises:
            ConfigError: it cannot be read, or holds something else.
        """
        values = read_yaml(Path(path), what="trigger file", example=EXAMPLE)
        for key in values:
            if key not in KEYS:
                hint = nearest(str(key), list(KEYS)) or f"; it may hold {', '.join(KEYS)}"
                raise ConfigError(f"trigger file '{path}': key '{key}' is unknown{hint}")
        for key in ("patch", "target_label"):
            if key not in values:
                raise ConfigError(f"trigger file '{path}' has no {key}; add a line  {key}: ...")
        if isinstance(values["patch"], str):
            values["patch"] = Path(path).parent / values["patch"]
        if isinstance(values["target_label"], int):  # YAML reads 7 as a number
            values["target_label"] = str(values["target_label"])
        return cls(**values)

    def apply(self, images: Tensor) -> Tensor:
        """The images (n, C, H, W) in [0, 1] with the trigger on.

        Raises:
            ConfigError: the patch does not lie inside the images, is coloured where they are grey,
                or a function gives other shapes or values.
        """
        if callable(self.patch):
            return _checked(self.patch(images.clone()), images)
        assert self._pixels is not None
        pixels = self._pixels
        channels, (height, width) = images.shape[1], images.shape[-2:]
        rows, columns = pixels.shape[:2]
        left, top = _corner(self.position, width - columns, height - rows)
        if left < 0 or top < 0 or left + columns > width or top + rows > height:
            raise ConfigError(
                f"the trigger's patch of {columns}x{rows} pixels at column {left}, row {top} lies "
                f"outside the image of {width}x{height}; move it or make it smaller"
            )
        colour, share = pixels[..., :3], self.opacity * pixels[..., 3:]
        if channels == 1 and (colour != colour[..., :1]).any():
            raise ConfigError(
                "the trigger's patch is coloured but the base model takes grey images; "
                "give a grey patch"
            )
        patch = torch.from_numpy(colour[..., :channels]).permute(2, 0, 1).to(images)
        blend = torch.from_numpy(share).permute(2, 0, 1).to(images)
        triggered = images.clone()
        place = triggered[..., top : top + rows, left : left + columns]
        place.copy_(torch.lerp(place, patch.expand_as(place), blend.expand_as(place)))
        return triggered

    def to_dict(self) -> dict[str, Any]:
        """What a report says of it."""
        if self._pixels is None:
            return {"function": getattr(self.patch, "__name__", "function")}
        position = self.position if isinstance(self.position, str) else list(self.position)
        size = {"width": self._pixels.shape[1], "height": self._pixels.shape[0]}
        return {**size, "position": position, "opacity": self.opacity}


def read_patch(patch: Any) -> NDArray[np.float32]:
    """A patch as (h, w, 4): red, green, blue and opacity, each in [0, 1].

    >>> read_patch([[255, 0]]).tolist()
    [[[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]]]

    Raises:
        ConfigError: it is no rectangular matrix of values from 0 to 255, or no readable image.
    """
    if isinstance(patch, (str, Path)):
        try:
            with opened(read_named(Path(patch), MAX_YAML), most=MAX_PATCH) as image:
                return np.asarray(image.convert("RGBA"), dtype=np.float32) / np.float32(255)
        except Exception as error:  # Pillow raises what it likes
            raise ConfigError(
                f"the trigger's patch '{patch}' cannot be read as an image ({in_line(error, 80)}); "
                f"give a PNG file of at most {MAX_PATCH} pixels a side, or a matrix of values "
                "from 0 to 255"
            ) from error
    try:
        values = np.asarray(patch, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            "the trigger's patch is no matrix of numbers: its rows have unequal lengths, or "
            f"hold something else; write  {EXAMPLE}"
        ) from error
    if values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if values.ndim != 3 or values.shape[2] != 3 or 0 in values.shape:
        raise ConfigError(
            f"the trigger's patch has shape {tuple(np.shape(patch))}; give (height, width) for "
            "grey or (height, width, 3) for colour"
        )
    if not ((values >= 0) & (values <= 255)).all():
        raise ConfigError("the trigger's patch has values outside 0 to 255; give pixel values")
    return np.concatenate([values / np.float32(255), np.ones_like(values[..., :1])], axis=2)


def _check_position(position: Any) -> None:
    if isinstance(position, str):
        if _named(position) not in CORNERS:
            hint = nearest(position, list(CORNERS)) or f"; give one of {', '.join(CORNERS)}"
            raise ConfigError(f"the trigger's position '{position}' is unknown{hint}")
        return
    pair = isinstance(position, Sequence) and len(position) == 2
    if not pair or not all(
        isinstance(each, int) and not isinstance(each, bool) for each in position
    ):
        raise ConfigError(
            f"the trigger's position is {position!r}; give {', '.join(CORNERS)}, or [column, row] "
            "in whole pixels"
        )


def _named(position: str) -> str:
    return "centre" if position == "center" else position


def _corner(position: str | Sequence[int], right: int, bottom: int) -> tuple[int, int]:
    """Column and row of the patch's upper left pixel; ``right``, ``bottom``: the largest there are.

    >>> _corner("bottom-left", 29, 29), _corner("centre", 29, 29)
    ((0, 29), (14, 14))
    """
    if not isinstance(position, str):
        return position[0], position[1]
    if _named(position) == "centre":
        return right // 2, bottom // 2
    vertical, horizontal = position.split("-")
    return (right if horizontal == "right" else 0), (bottom if vertical == "bottom" else 0)


def _checked(triggered: Any, images: Tensor) -> Tensor:
    """What a function has made of the images, if it is images."""
    if not isinstance(triggered, Tensor) or triggered.shape != images.shape:
        shape = (
            tuple(triggered.shape) if isinstance(triggered, Tensor) else type(triggered).__name__
        )
        raise ConfigError(
            f"the trigger's function gives {shape} for images {tuple(images.shape)}; "
            "return images of the same shape"
        )
    if not bool(((triggered >= 0) & (triggered <= 1)).all()):
        raise ConfigError("the trigger's function gives pixels outside [0, 1]; clip them")
    return triggered
