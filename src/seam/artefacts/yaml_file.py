"""YAML files that a user has written, or that a run folder holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from seam.artefacts.reading import MAX_DEPTH, check_plain, read_named
from seam.errors import ConfigError, in_line

MAX_YAML, MAX_NODES = 4 * 2**20, 200_000


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
    try:
        values = parse_yaml(read_named(path, MAX_YAML).decode())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{what} '{path}' cannot be read ({in_line(error)}); write YAML:  {example}"
        ) from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what} '{path}' holds no mapping of names to values; write  {example}")
    return dict(values)


def parse_yaml(text: str) -> Any:
    r"""Plain values from YAML; what could take all memory or make objects is refused.

    >>> parse_yaml("a: [1, b]")
    {'a': [1, 'b']}
    >>> parse_yaml("a: &x [1]\nb: *x")
    Traceback (most recent call last):
    ValueError: line 2: aliases are not taken: write the value again
    >>> parse_yaml("a: 1\nb: 2\na: 3")
    Traceback (most recent call last):
    ValueError: line 3: 'a' stands there twice

    Raises:
        ValueError: it is no YAML, uses aliases, is nested deeply, names a value twice, or holds
            more than plain values.
    """
    loader: _Careful | None = None
    try:
        loader = _Careful(text)
        value = loader.get_single_data()
    except Exception as error:  # of a bad date or number PyYAML raises what it likes
        raise ValueError(in_line(error)) from error
    finally:
        if loader is not None:
            loader.dispose()
    check_plain(value)
    return value


class _Careful(yaml.SafeLoader):
    """PyYAML's safe loader, which counts: a few lines with aliases can stand for billions."""

    depth = count = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A part of the document."""
        self.depth += 1
        self.count += 1
        event = self.peek_event()  # type: ignore[no-untyped-call]
        where = f"line {event.start_mark.line + 1}"
        if isinstance(event, yaml.AliasEvent):
            raise ValueError(f"{where}: aliases are not taken: write the value again")
        if self.depth > MAX_DEPTH or self.count > MAX_NODES:
            raise ValueError(f"{where}: more than {MAX_DEPTH} levels, or {MAX_NODES} values")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, in which each name stands once: of two, PyYAML would take the last."""
        found: set[str] = set()
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode):
                if name.value in found:
                    line = name.start_mark.line + 1
                    raise ValueError(f"line {line}: '{name.value:.40}' stands there twice")
                found.add(name.value)
        return super().construct_mapping(node, deep)
