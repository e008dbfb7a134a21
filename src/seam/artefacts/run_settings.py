"""A run's settings as plain values, and how two runs' differ."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seam.core.config import SearchConfig
from seam.errors import ConfigError


def complete(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings of a run that may be older, with today's defaults for what it did not know."""
    try:
        search = plain(SearchConfig.from_dict(settings["search"]).to_dict())
    except (KeyError, TypeError, ConfigError):
        return settings
    return {**settings, "search": search}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The settings that differ, as ``name: old there, new asked``.

    >>> differences({"epochs": 20}, {"epochs": 30})
    ['epochs: 20 there, 30 asked']
    """
    found = []
    new = plain(new)
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found.append(f"{prefix}{key}: {before} there, {after} asked")
    return found


def plain(values: Any) -> Any:
    """Settings as YAML would give them back: tuples as lists, paths as strings."""
    if isinstance(values, Mapping):
        return {str(key): plain(value) for key, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [plain(value) for value in values]
    return str(values) if isinstance(values, Path) else values
