"""Checks of settings: one line that names the setting, its value and the mend.

Settings also come from YAML, where ``3`` may turn out to be ``"3"``, ``3.5`` or ``.nan``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from seam.errors import ConfigError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Settings = TypeVar("_Settings", bound="DataclassInstance")


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with ``message`` where ``condition`` does not hold."""
    if not condition:
        raise ConfigError(message)


def is_number(value: object) -> bool:
    """Whether a value is a finite number.

    >>> is_number(3), is_number("3"), is_number(True), is_number(float("nan"))
    (True, False, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def at_least(name: str, value: Any, least: int, *, whole: bool = False) -> None:
    """Raise ConfigError where a setting is no number, or below ``least``.

    >>> at_least("epochs", 0, 1, whole=True)
    Traceback (most recent call last):
    seam.errors.ConfigError: epochs is 0; give a whole number, at least 1
    """
    fits = is_number(value) and value >= least and (not whole or isinstance(value, int))
    what = "a whole number, " if whole else ""
    bound = f"{least} or more" if least == 0 else f"at least {least}"
    require(fits, f"{name} is {value!r}; give {what}{bound}")


def one_of(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise ConfigError where a setting is none of its ``choices``.

    >>> one_of("tune", "al", ("none", "all"))
    Traceback (most recent call last):
    seam.errors.ConfigError: tune is 'al'; give one of none, all; did you mean 'all'?
    """
    near = nearest(str(value), list(choices))
    require(value in choices, f"{name} is '{value}'; give one of {', '.join(choices)}{near}")


def build(kind: type[_Settings], values: Mapping[str, Any]) -> _Settings:
    """Settings of a ``kind`` from plain values.

    Raises:
        ConfigError: a name is unknown, or the kind refuses a value.
    """
    known = [each.name for each in fields(kind)]
    for name in values:
        require(
            name in known,
            f"setting '{name}' is unknown{nearest(name, known) or '; give ' + ', '.join(known)}",
        )
    return kind(**values)
