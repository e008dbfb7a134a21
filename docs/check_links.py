"""Check that every relative link in README.md and the other documents leads somewhere.

Run it from anywhere: ``python docs/check_links.py``. It prints one line for each broken link and
ends with exit code 1 if there is one. Links to other sites are not followed.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent
MARKDOWN = MarkdownIt("commonmark").enable("table")
HTML_LINK = re.compile(r"""(?:href|src)\s*=\s*["']([^"']+)["']""")
HTML_ANCHOR = re.compile(r"""(?:id|name)\s*=\s*["']([^"']+)["']""")


def documents(root: Path = ROOT) -> list[Path]:
    """The Markdown files at the top of the repository, then those under docs/."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]


def broken_links(document: Path) -> list[str]:
    """One message for each link of `document` whose file or heading does not exist."""
    return [
        f"{document.name}: {link!r} leads to no {missing}"
        for link in links(document)
        if (missing := _missing(document, link))
    ]


def links(document: Path) -> Iterator[str]:
    """Every link and image target, in Markdown and in the HTML inside it."""
    for token in _tokens(document):
        if token.type in ("html_block", "html_inline"):
            yield from HTML_LINK.findall(token.content)
        target = token.attrs.get("href") or token.attrs.get("src")
        if target:
            yield str(target)


def anchors(document: Path) -> set[str]:
    """The fragments that can follow `document#`, named as GitHub names them."""
    found: set[str] = set()
    used: Counter[str] = Counter()
    tokens = list(_tokens(document))
    for token, following in pairwise(tokens):
        if token.type in ("html_block", "html_inline"):
            found.update(HTML_ANCHOR.findall(token.content))
        if token.type == "heading_open":
            slug = _slug(following)
            repeats = used[slug]
            used[slug] += 1
            found.add(f"{slug}-{repeats}" if repeats else slug)
    return found


def _missing(document: Path, link: str) -> str | None:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return None
    target = document.parent / unquote(parts.path) if parts.path else document
    if not target.exists():
        return "file"
    if parts.fragment and target.suffix == ".md" and unquote(parts.fragment) not in anchors(target):
        return "heading"
    return None


def _tokens(document: Path) -> Iterator[Token]:
    for token in MARKDOWN.parse(document.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def _slug(heading: Token) -> str:
    text = "".join(t.content for t in heading.children or () if t.type in ("text", "code_inline"))
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def main() -> int:
    problems = [problem for document in documents() for problem in broken_links(document)]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(documents())} documents, {len(problems)} broken links")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
