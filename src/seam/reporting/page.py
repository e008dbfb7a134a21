"""A run as one page of HTML that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seam.artefacts.atomic import shown, write_bytes
from seam.artefacts.mirroring import NOTE, READ, mirroring
from seam.artefacts.run import RunFolder
from seam.artefacts.storage import is_url
from seam.core.problem import UNSAFE
from seam.data.prepare import DataSource
from seam.errors import ConfigError, RunFolderError, SeamError, in_line
from seam.jobs.report import gather
from seam.reporting import words
from seam.reporting.frontier_picture import frontier_picture
from seam.reporting.run_view import compared_rows, run_view

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

FILE = "report.html"
_CONTROL = re.compile(rf"(?![\n\t]){UNSAFE.pattern}")
DAMAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@mirroring("run", NOTE)
def report(run: str | Path, *, data: DataSource | None = None) -> dict[str, Any]:
    """Write a run as one page, ``RUN/report.html``, that works without a network.

    >>> report("runs/seven")["path"]  # doctest: +SKIP
    'runs/seven/report.html'

    It shows what there is, of an unfinished run too, and says what is missing.

    Args:
        run: the run folder, or its URL.
        data: where its data is now, for the images; by default where its folder says.

    Returns:
        ``path``; ``bytes``; ``content`` of a sample (image or text); ``missing``: a list of what is
        missing (``what``, ``why``, and the ``command`` that makes it).

    Raises:
        RunFolderError: ``run`` is no run folder, is damaged, or cannot be written.
    """
    with _explained([run]):
        RunFolder(Path(run)).refuse_links()
        document = gather(run, data)
        html = _rendered("run.html.j2", [document])
    return {**_written(html, Path(run) / FILE, [document]), "content": document["content"]}


@mirroring("runs", READ)
def compare(runs: Sequence[str | Path], *, out: str | Path = "compare.html") -> dict[str, Any]:
    """Write several runs side by side as one page that works without a network.

    >>> compare(["runs/seven", "runs/three"], out="both.html")["path"]  # doctest: +SKIP
    'both.html'

    Args:
        runs: their folders or URLs, at least two.
        out: the file to write.

    Returns:
        As `report`, without ``content``; each line of ``missing`` names its ``run``, too.

    Raises:
        ConfigError: fewer than two runs are given.
        RunFolderError: one is no run folder or is damaged, or ``out`` cannot be written.
    """
    if is_url(out):
        raise ConfigError(
            f"the page is written on this machine, not to {shown(out)}; give another --out"
        )
    if isinstance(runs, str):
        raise ConfigError(f"'{runs}' is no list of runs; give two or more to compare")
    if len(runs) < 2:
        raise ConfigError(f"{len(runs)} run is given; give two or more to compare")
    with _explained(runs):
        documents = [gather(run) for run in runs]
        html = _rendered("compare.html.j2", documents)
    return _written(html, Path(out), documents)


def _rendered(template: str, documents: Sequence[Mapping[str, Any]]) -> str:
    runs = [{**each, **run_view(each)} for each in documents]
    splits = {each["report"]["split_hash"] for each in documents if each["report"]}
    return (
        environment()
        .get_template(template)
        .render(
            runs=runs,
            rows=compared_rows(runs),
            splits=len(splits),
            frontier=frontier_picture(documents),
            missing=_missing(documents),
        )
    )


@contextmanager
def _explained(runs: Sequence[str | Path]) -> Iterator[None]:
    """Turn whatever damaged files lead to into one line; a file may hold anything."""
    from jinja2 import TemplateError

    try:
        yield
    except SeamError:
        raise
    except (*DAMAGE, TemplateError) as error:
        command = RunFolder(Path(runs[0])).command
        raise RunFolderError(
            f"the figures of run {', '.join(map(shown, runs))} cannot be shown "
            f"({type(error).__name__}: {in_line(error, 80)}); a file is damaged or of another "
            f"version: choose a point again with {command} --out RUN --pick EPOCH"
        ) from error


def _written(html: str, path: Path, documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    data = html.encode(errors="backslashreplace")  # a path may hold bytes that are no text
    write_bytes(path, data)
    return {"path": str(path), "bytes": len(data), "missing": _missing(documents)}


def _missing(documents: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What is missing of each; of several, with the name of its run."""
    several = len(documents) > 1
    return [
        {**({"run": each["run"]} if several else {}), **line}
        for each in documents
        for line in each["missing"]
    ]


@cache
def environment() -> Environment:
    """Templates in which all values are escaped, and unknown names are errors."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    found = Environment(
        loader=PackageLoader("seam.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("percent", "interval", "signed", "points_of", "count", "size", "seconds")
    found.filters |= {name: getattr(words, name) for name in filters}
    found.filters["command"] = _command
    style, script = (_text(name) for name in ("page.css", "page.js"))
    found.globals |= {
        "style": Markup(style),
        "script": Markup(script),
        "script_hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    }
    return found


def _visible(value: Any) -> Any:
    r"""A value in which no character can turn the text around it; they are shown by their numbers.

    >>> _visible("a\u202eb")
    'a\\u202eb'
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], value)


def _command(text: str) -> Markup:
    """A command that breaks between its words only: a browser would break after a hyphen."""
    from markupsafe import Markup

    word = Markup('<span class="word">{}</span>')
    return Markup(" ").join(word.format(each) for each in _visible(text).split(" "))


def _text(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
