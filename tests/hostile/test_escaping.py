"""Names of labels, folders and data are shown letter by letter: they make no element of a page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from good import GOOD, digits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from safetensors.torch import load as load_tensors
from targets import TARGETS

from seam.artefacts.adapter import load_adapter
from seam.artefacts.card import model_card
from seam.artefacts.checkpoint import to_bytes
from seam.core.problem import UNSAFE, canonical
from seam.reporting.page import report

HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "' onmouseover=alert(1) x='",
    "</title></style></script><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "a | b",
    "javascript:alert(1)",
    "[x](javascript:alert(1)) ![](http://a/b) `a` **b** # c",
    "<!-- -->",
    "&lt;b&gt; &#60;b&#62;",
]
PLAIN = ("even", "odd", "0", "1", "2", "3")
"""The labels in the good files."""


class Skeleton(HTMLParser):
    """Elements and the names of their attributes, in order; and what is shown."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.parts: list[Any] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.parts.append("comment")

    def handle_data(self, data: str) -> None:
        self.text += data


def renamed(tree: Any, names: dict[str, str]) -> Any:
    """A tree of plain values with every label called by another name."""
    if isinstance(tree, dict):
        return {renamed(key, names): renamed(value, names) for key, value in tree.items()}
    if isinstance(tree, list):
        return [renamed(each, names) for each in tree]
    return names.get(tree, tree) if isinstance(tree, str) else tree


def rename(run: Path, names: dict[str, str], source: str) -> None:
    """Give a run's labels other names in all of its files; and its base and data."""
    config = renamed(yaml.safe_load((run / "config.yaml").read_text()), names)
    config["base"]["source"] = config["data_source"] = source
    (run / "config.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    for name in ("report.json", "adapter/adapter.json"):
        document = renamed(json.loads((run / name).read_text(encoding="utf-8")), names)
        document["base"]["source"] = source
        (run / name).write_text(json.dumps(document))
    for name in ("predictions", "defects"):
        file = run / f"measured/{name}.safetensors"
        tensors = load_tensors(file.read_bytes())
        values = json.loads(bytes(tensors.pop("state/json").numpy()))
        file.write_bytes(to_bytes(tensors, renamed(values, names)))
    TARGETS["adapter-json"].seal(run / "adapter/adapter.json")


def page_of(tmp: Path, names: dict[str, str], source: str) -> tuple[str, str]:
    """The page and the model card of the good run with other names."""
    shutil.rmtree(tmp / "run", ignore_errors=True)
    run = shutil.copytree(GOOD / "run", tmp / "run")
    rename(run, names, source)
    digest = json.loads((run / "adapter/adapter.json").read_text())["tensors"]["sha256"]
    for name in ("predictions", "defects"):
        file = run / f"measured/{name}.safetensors"
        tensors = load_tensors(file.read_bytes())
        values = json.loads(bytes(tensors.pop("state/json").numpy()))
        file.write_bytes(to_bytes(tensors, {**values, "adapter": digest}))
    report(run, data=digits())
    page = (run / "report.html").read_text(encoding="utf-8")
    return page, model_card(load_adapter(run / "adapter"))


def tags(card: str) -> list[Any]:
    return Skeleton(MarkdownIt().enable("table").render(card.split("---\n", 2)[2])).parts


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The page and the card with harmless names."""
    names = {name: f"label {name}" for name in PLAIN}
    return page_of(tmp_path_factory.mktemp("plain"), names, "own")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("named")


def check(names: list[str], place: Path, plain: tuple[str, str]) -> None:
    page, card = page_of(place, dict(zip(PLAIN, names, strict=True)), names[0])
    found = Skeleton(page)
    assert found.parts == Skeleton(plain[0]).parts
    assert tags(card) == tags(plain[1])
    assert names[0].strip() in found.text


@pytest.mark.parametrize("first", range(len(HOSTILE)))
def test_hostile_labels_make_no_element(first: int, place: Path, plain: tuple[str, str]) -> None:
    check([HOSTILE[(first + i) % len(HOSTILE)] for i in range(len(PLAIN))], place, plain)


LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda name: not UNSAFE.search(name) and canonical(name) != "" and name == name.strip()
)


@given(names=st.lists(LABELS, min_size=6, max_size=6, unique_by=canonical))
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_label_makes_an_element(names: list[str], place: Path, plain: tuple[str, str]) -> None:
    check(names, place, plain)


@pytest.mark.parametrize(
    "name", [*(each.replace("/", "_") for each in HOSTILE), "a\u202eb", "a\nb", "a\x1b[2Jb"]
)
def test_a_folders_name_makes_no_element(name: str, tmp_path: Path, plain: tuple[str, str]) -> None:
    run = shutil.copytree(GOOD / "run", tmp_path / name)
    report(run, data=digits())
    page = (run / "report.html").read_text(encoding="utf-8")
    assert Skeleton(page).parts == Skeleton(page_of_plain(tmp_path, name)).parts
    assert not set(page) & set("\u202e\x1b")


def page_of_plain(tmp: Path, name: str) -> str:
    """The page of a folder with as many words in its name, which a command is broken at."""
    words = ["x" * max(2, len(word)) for word in name.split(" ")]
    run = shutil.copytree(GOOD / "run", tmp / " ".join(words))
    report(run, data=digits())
    return (run / "report.html").read_text(encoding="utf-8")


def test_a_folders_name_that_is_no_text_is_shown(tmp_path: Path) -> None:
    run = tmp_path / b"a\xff".decode("utf-8", "surrogateescape")
    try:
        shutil.copytree(GOOD / "run", run)
    except OSError:
        pytest.skip("this file system takes text alone")
    report(run, data=digits())
    assert "a\\udcff" in (run / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config.yaml", lambda text: text.replace("even", '"a\\u202eb"')),
        ("config.yaml", lambda text: text.replace("even", '"a\\nb"')),
    ],
)
def test_names_that_turn_text_around_are_refused(
    name: str, change: Callable[[str], str], tmp_path: Path
) -> None:
    from seam.errors import RunFolderError

    run = shutil.copytree(GOOD / "run", tmp_path / "run")
    (run / name).write_text(change((run / name).read_text()))
    with pytest.raises(RunFolderError, match="control character"):
        report(run)
