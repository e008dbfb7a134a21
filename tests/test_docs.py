"""The documentation is true: its links lead somewhere and its Python snippets run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from check_links import ROOT, anchors, broken_links, documents
from sybil.document import Document
from sybil.example import Example
from sybil.parsers.markdown import PythonCodeBlockParser

NO_RUN = re.compile(r"<!--\s*no-run:\s*(?P<reason>\S.*?)\s*-->\s*\Z", re.DOTALL)
DOCUMENTS = [pytest.param(d, id=str(d.relative_to(ROOT))) for d in documents()]


def run_snippets(document: Path) -> tuple[int, int]:
    """Run the Python blocks in order, in one namespace; return how many ran and how many not."""
    parsed = Document.parse(str(document), PythonCodeBlockParser())
    ran = skipped = 0
    for example in parsed.examples():
        if is_no_run(example):
            compile(example.parsed, f"{document.name}:{example.line}", "exec")
            skipped += 1
        else:
            example.evaluate()
            ran += 1
    return ran, skipped


def is_no_run(example: Example) -> bool:
    """Whether the block directly follows an HTML comment ``<!-- no-run: reason -->``."""
    return NO_RUN.search(example.document.text[: example.start]) is not None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_resolve(document: Path) -> None:
    assert broken_links(document) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_snippets_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_snippets(document)


def test_a_broken_link_and_a_broken_heading_are_found(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "# The `seam` way\n\n[here](#the-seam-way) [gone](gone.md) [no](#nowhere)\n"
        "<img src='gone.png'>\n\n[web](https://example.org/x) `[code](not-a-link.md)`\n"
    )
    assert broken_links(document) == [
        "page.md: 'gone.md' leads to no file",
        "page.md: '#nowhere' leads to no heading",
        "page.md: 'gone.png' leads to no file",
    ]


def test_repeated_headings_are_numbered(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("# Use\n\n## Use\n\n## Use\n")
    assert anchors(document) == {"use", "use-1", "use-2"}


def test_snippets_share_a_namespace_and_no_run_is_only_compiled(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text(
        "```python\nn = 1\n```\n\n```bash\nexit 1\n```\n\n"
        "<!-- no-run: needs a camera -->\n```python\nimport nothing_of_that_name\n```\n\n"
        "```python\nassert n == 1\n```\n"
    )
    assert run_snippets(document) == (2, 1)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\n1 / 0\n```\n", ZeroDivisionError),
        ("<!-- no-run: slow -->\n```python\nx = = 1\n```\n", SyntaxError),
        ("<!-- no-run: -->\n```python\n1 / 0\n```\n", ZeroDivisionError),
        ("<!-- no-run: slow -->\n\nWords between.\n\n```python\n1 / 0\n```\n", ZeroDivisionError),
    ],
)
def test_a_wrong_snippet_fails(tmp_path: Path, text: str, error: type[Exception]) -> None:
    document = tmp_path / "page.md"
    document.write_text(text)
    with pytest.raises(error):
        run_snippets(document)
