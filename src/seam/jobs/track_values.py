"""What trackers record, as flat names and plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

EPOCH = {
    "density": "density",
    "macs": "macs",
    "validation_accuracy": "validation/accuracy",
    "loss": "loss",
    "latency": "latency",
}
"""An epoch's figures: as a point names them, and as trackers do."""


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as ``search.epochs`` and so on, for people.

    >>> flat({"search": {"epochs": 3}, "seed": None})
    {'search.epochs': '3', 'seed': 'None'}
    """
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = str(value)
    return found


def epoch_figures(point: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """A point's figures by their names in trackers."""
    for key, name in EPOCH.items():
        if isinstance(point.get(key), int | float):
            yield name, float(point[key])


def test_figures(report: Mapping[str, Any]) -> dict[str, float]:
    """The figures on test data of a report, by their names in trackers."""
    found = {f"test/{name}": share["value"] for name, share in report["accuracy"].items()}
    found["test/density"] = report["density"]
    found["test/weights_kept"] = report["weights"]["kept"] / report["weights"]["base"]
    found["test/macs"] = report["macs"]["theoretical"] / report["macs"]["base"]
    return {name: float(value) for name, value in found.items()}


def missing(points: Sequence[Mapping[str, Any]], seen: set[int]) -> list[Mapping[str, Any]]:
    """The points of epochs that were not recorded yet."""
    return [each for each in points if each["epoch"] not in seen]
