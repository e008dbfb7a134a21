"""User effort is counted alike for all tools, and the committed counts are those of the scripts."""

from __future__ import annotations

import ast
import json

import pytest
from common import RESULTS
from peers.ux import count


def test_the_committed_counts_are_those_of_the_scripts() -> None:
    saved = json.loads((RESULTS / "ux.json").read_text(encoding="utf-8"))
    assert saved["rows"] == count.rows()


def test_prose_and_the_users_own_module_do_not_count() -> None:
    source = (
        '"""Doc.\n\nMore."""\n\n# why\nfrom own import net\nx = 1  # one\n\n\n'
        'def f():\n    "doc"\n    return x\n'
    )
    assert count.counted(source) == {"lines": 3, "statements": 3}


@pytest.mark.parametrize("tool", count.TOOLS)
def test_a_script_starts_from_the_same_module(tool: str) -> None:
    source = (count.HERE / f"with_{count.TOOLS[tool][0]}.py").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(source).body if isinstance(node, ast.ImportFrom)]
    (own,) = [node for node in imports if node.module == "own"]
    assert "net" in [each.name for each in own.names]
