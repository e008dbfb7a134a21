"""Model cards: the README.md of an adapter, for people and model hubs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from seam.core.text import TextPreprocessing

if TYPE_CHECKING:
    from seam.artefacts.adapter_value import Adapter

TAGS = ["pruning", "seam"]
SHOWN_OUTPUTS = 10
SHOWN_LABELS = 5
SHOWN_LETTERS = 60
ROWS = {
    "full": "base, all labels",
    "restricted": "base, restricted to the problem",
    "head_only": "base with a trained head",
    "reengineered": "**this model**",
}
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
COMMIT = re.compile("[0-9a-f]{40}")

USE = """\
## Use

The base model is not in this folder. With it:

```bash
seam inspect adapter        # needs no base model
seam predict RUN image.png  # RUN is the run folder around this one
```

```python
import seam

predict = seam.load("adapter", base=base)
model = predict.model  # a plain torch.nn.Module
```
"""

USE_FROM_HUB = """\
## Use

```bash
seam pull {name}               # or use it at once:
seam predict {name} image.png
```

```python
import seam

predict = seam.load("{name}")  # fetches the base model, and checks that it is the one
model = predict.model  # a plain torch.nn.Module
```
"""


def model_card(
    adapter: Adapter, *, license: str | Mapping[str, str] = "other", repository: str = ""
) -> str:
    """The card: YAML front matter, problem, base, measured figures, and how to load it.

    >>> print(model_card(adapter)[:20])  # doctest: +SKIP
    ---
    library_name: se

    The same adapter gives the same text. Labels and names are escaped: they show as they are and
    cannot add links, columns or front matter. ``license`` is a licence's identifier on a hub, or
    all that a hub's card says of one; ``repository`` the hub repository that the card is for.
    """
    parts = [
        _front_matter(adapter, license),
        f"# {_title(adapter)}\n",
        "Masks, a head and small deltas that turn a base model into a smaller one. Made by seam.\n",
        _problem(adapter),
        _base(adapter),
        _accuracy(adapter.metrics),
        _size(adapter),
        USE_FROM_HUB.format(name=repository) if repository else USE,
    ]
    return "\n".join(part for part in parts if part)


def _front_matter(adapter: Adapter, license: str | Mapping[str, str]) -> str:
    texts = isinstance(adapter.preprocessing, TextPreprocessing)
    task = "text-classification" if texts else "image-classification"
    values: dict[str, Any] = {
        "library_name": "seam",
        **({"license": license} if isinstance(license, str) else license),
        "pipeline_tag": task,
        "tags": [task, *TAGS],
    }
    hub = _hub(adapter).get("repository", "")
    if HUB_NAME.fullmatch(hub):
        values |= {"base_model": hub, "base_model_relation": "adapter"}
    return f"---\n{yaml.safe_dump(values)}---\n"


def _title(adapter: Adapter) -> str:
    outputs = adapter.problem.outputs
    if adapter.problem.kind == "one-vs-rest":
        return f"Is it {escape(outputs[1])}?"
    return _some(outputs, SHOWN_LABELS)


def _problem(adapter: Adapter) -> str:
    problem = adapter.problem
    if not any(problem.labels):
        outputs = _some(problem.outputs, SHOWN_OUTPUTS)
        return f"## Problem ({problem.kind})\n\nLabels the base was not trained on: {outputs}\n"
    rows = ["| output | stands for the base's labels |", "| --- | --- |"]
    for output, labels in list(zip(problem.outputs, problem.labels, strict=True))[:SHOWN_OUTPUTS]:
        named = _some(labels, SHOWN_LABELS) if labels else "all others"
        rows.append(f"| {escape(output)} | {named} |")
    more = len(problem.outputs) - SHOWN_OUTPUTS
    if more > 0:
        rows.append(f"| ... | and {more} more outputs |")
    return f"## Problem ({problem.kind})\n\n" + "\n".join(rows) + "\n"


def _hub(adapter: Adapter) -> dict[str, str]:
    """Where on a hub the base came from, as far as the adapter says."""
    found = adapter.base.details.get("hub")
    if isinstance(found, Mapping):
        return {key: value for key, value in found.items() if isinstance(value, str)}
    place, _, name = adapter.base.source.partition(":")
    return {
        "repository": {"hf": name, "timm": f"timm/{name}" if "." in name else ""}.get(place, "")
    }


def _base(adapter: Adapter) -> str:
    base, hub, expected = adapter.base, _hub(adapter), adapter.preprocessing
    pinned = f"revision `{hub['revision']}`" if COMMIT.fullmatch(hub.get("revision", "")) else ""
    origin = f"From {escape(hub.get('repository', ''))}, {pinned}.\n" if pinned else ""
    if isinstance(expected, TextPreprocessing):
        size = f"{expected.length} tokens, tokenizer `{expected.digest[:12]}`"
    else:
        size = f"{expected.size} x {expected.size} pixels"
    return (
        f"## Base model\n\n{escape(base.source)}, {base.label_count} labels, "
        f"input {size}.\n{origin}"
        f"Fingerprint (SHA-256): `{base.fingerprint}`\n"
    )


def _accuracy(metrics: Mapping[str, Any]) -> str:
    accuracy = metrics.get("accuracy")
    measured = accuracy if isinstance(accuracy, Mapping) else {}
    rows = []
    for key, words in ROWS.items():
        share = _numbers(measured.get(key), "value", "low", "high", "n")
        if share:
            value, low, high = (f"{100 * each:.2f}" for each in share[:3])
            rows.append(f"| {words} | {value} % | {low} to {high} % | {share[3]:.0f} |")
    if not rows:
        return ""
    head = ["| model | accuracy | 95 % interval | n |", "| --- | --- | --- | --- |"]
    return "## Accuracy on test data\n\n" + "\n".join([*head, *rows]) + "\n"


def _size(adapter: Adapter) -> str:
    lines = [
        f"- density {adapter.density:.4f}: {adapter.kept} of {adapter.maskable} maskable elements"
    ]
    weights = _numbers(adapter.metrics.get("weights"), "kept", "base")
    if weights:
        lines.append("- weights, head and norm layers too: {:.0f} of {:.0f}".format(*weights))
    macs = _numbers(adapter.metrics.get("macs"), "theoretical", "base")
    if macs:
        lines.append("- multiply-accumulates, non-zero: {:.0f} of {:.0f}".format(*macs))
    return "## What is kept\n\n" + "\n".join(lines) + "\n"


def escape(text: str) -> str:
    r"""Text as Markdown shows it letter by letter, on one line; long text is cut.

    >>> print(escape("a|b <i>"))
    a\|b \<i\>
    """
    line = " ".join(text.split())
    line = line if len(line) <= SHOWN_LETTERS else line[:SHOWN_LETTERS] + "..."
    return re.sub(r"([!-&(-+./:-@\[-`{-~])", r"\\\1", line)


def _some(names: Sequence[str], limit: int) -> str:
    more = len(names) - limit
    return ", ".join(map(escape, names[:limit])) + (f" and {more} more" if more > 0 else "")


def _numbers(values: object, *keys: str) -> list[float]:
    """The numbers that ``values`` holds under ``keys``; none if any is missing or absurd."""
    found = [values.get(key) for key in keys] if isinstance(values, Mapping) else [None]
    numbers = [
        float(each)
        for each in found
        if isinstance(each, int | float) and not isinstance(each, bool) and abs(each) < 1e18
    ]
    return numbers if len(numbers) == len(keys) else []
