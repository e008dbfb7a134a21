"""What a user writes for one job with seam and with other tools, counted alike.

    python bench/peers/ux/count.py     # writes bench/results/ux.json

The job: from a trained module of one's own and an image folder (`own.py` makes both) to an ONNX
file for three of its ten labels. Each `with_TOOL.py` is the whole of it and runs as it stands in
the folder that `own.py` was run in. Counted are code lines and AST statements; not counted are
docstrings, comments, blank lines, and the import of the user's own module, which all have alike.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from common import RESULTS, save  # noqa: E402

TOOLS = {
    "seam": ("seam", "channels removed to 30 % of the MACs"),
    "torch-pruning": ("torch_pruning", "channels removed to 30 % of the MACs"),
    "NNCF": ("nncf", "8-bit weights and activations; no channel is removed"),
    "PEFT": ("peft", "low-rank updates, merged; as large as the base"),
}


def counted(source: str) -> dict[str, int]:
    """Code lines and statements of a script.

    >>> counted('"doc"\\nimport own\\n\\nx = (1,\\n  2)  # two\\nif x:\\n    print(x)\\n')
    {'lines': 4, 'statements': 3}
    """
    tree = ast.parse(source)
    left_out = {id(node) for node in ast.walk(tree) if _left_out(node)}
    skipped = [node for node in ast.walk(tree) if id(node) in left_out]
    gone = {n for node in skipped for n in range(node.lineno, node.end_lineno + 1)}  # type: ignore[attr-defined]
    lines = [
        line
        for number, line in enumerate(source.splitlines(), 1)
        if number not in gone and line.strip() and not line.strip().startswith("#")
    ]
    statements = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and id(n) not in left_out]
    return {"lines": len(lines), "statements": len(statements)}


def _left_out(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return [each.name for each in node.names] == ["own"]
    if isinstance(node, ast.ImportFrom):
        return node.module == "own"
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return text and isinstance(node.value.value, str)  # type: ignore[attr-defined]


def rows() -> list[dict[str, Any]]:
    """One row a tool."""
    return [
        {
            "tool": tool,
            "smaller_by": how,
            **counted((HERE / f"with_{name}.py").read_text(encoding="utf-8")),
        }
        for tool, (name, how) in TOOLS.items()
    ]


def main() -> None:
    save(RESULTS / "ux.json", {"rows": rows()})


if __name__ == "__main__":
    main()
