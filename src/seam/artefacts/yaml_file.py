"""YAML files that a user has written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seam.errors import ConfigError, in_line


def read_yaml(path: Path, *, what: str, example: str = "name: value") -> dict[str, Any]:
    """A YAML mapping from a file.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "run.yaml"
    >>> _ = file.write_text("epochs: 3")
    >>> read_yaml(file, what="config file")
    {'epochs': 3}

    ``what`` the file is, and an ``example`` of a line in it, are for the messages.

    Raises:
        ConfigError: it cannot be read or is no mapping.
    """
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{what} '{path}' cannot be read ({in_line(error)}); write YAML:  {example}"
        ) from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what} '{path}' holds no mapping of names to values; write  {example}")
    return dict(values)
