"""Figures as people read them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seam.artefacts.mirroring import named
from seam.core.figures import Share


def predict_command(place: str | Path, content: str) -> str:
    """How to name samples, images or texts, with what is in a folder.

    >>> predict_command("my runs/cards", "text")
    "seam predict 'my runs/cards' TEXT"
    """
    return f"seam predict {shlex.quote(named(str(place)))} {content.upper()}"


def percent(share: float, digits: int = 2) -> str:
    """A share as a percentage.

    >>> percent(0.1234)
    '12.34 %'
    """
    return f"{100 * share:.{digits}f} %"


def interval(figure: Mapping[str, Any]) -> str:
    """The 95 % interval of a share, in per cent.

    >>> interval({"low": 0.25, "high": 0.75})
    '25.00 to 75.00'
    """
    return f"{100 * figure['low']:.2f} to {100 * figure['high']:.2f}"


def signed(share: float) -> str:
    """A difference of shares in points, with its sign.

    >>> signed(-0.0123), signed(0.0)
    ('−1.23', '0.00')
    """
    text = f"{100 * share:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def points_of(share: float) -> str:
    """A difference of shares.

    >>> points_of(0.005)
    '+0.50 points'
    """
    return f"{signed(share)} points"


def count(number: int) -> str:
    """A whole number with its thousands apart.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,}"


def size(number: int) -> str:
    """Bytes in the unit that suits them.

    >>> size(1_234_000), size(25_300), size(900)
    ('1.23 MB', '25.3 kB', '900 B')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number} B"


def milliseconds(value: float) -> str:
    """A time with four significant digits.

    >>> milliseconds(1.23456)
    '1.235'
    """
    return f"{value:.4g}"


def seconds(value: float) -> str:
    """A duration.

    >>> seconds(12.3), seconds(754), seconds(7260)
    ('12.3 s', '12 min 34 s', '2 h 1 min')
    >>> seconds(119.7)
    '2 min 0 s'
    """
    whole = round(value)
    if whole < 60:
        return f"{value:.3g} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def remarks(report: Mapping[str, Any]) -> str:
    """What a reader should know of how the point was chosen, and what to do about it.

    Where the report is on other data than chose the point, nothing.

    >>> report = {"picked": {"rule": "tolerance", "value": 0.005}, "validation": {"full": 0.995}}
    >>> few = {"samples": {"validation": 24}, "density": 1.0, "accuracy": {}}
    >>> remarks({**report, **few})[:46]
    ' Nothing was removed: 24 validation samples do'
    >>> test = {"value": 0.96, "low": 0.95, "high": 0.97, "n": 1000}
    >>> seen = {"samples": {"validation": 1000}, "density": 0.2, "accuracy": {"full": test}}
    >>> remarks({**report, **seen})[:57]
    ' The base is right about 99.50 % of the validation sample'
    """
    if "validation" not in report:
        return ""
    return f"{_nothing_removed(report)}{_seen(report)}"


def _nothing_removed(report: Mapping[str, Any]) -> str:
    """Why a rule by tolerance has chosen the base itself; else nothing."""
    if report["picked"]["rule"] != "tolerance" or report["density"] < 1:
        return ""
    return (
        f" Nothing was removed: {report['samples']['validation']} validation samples do not show "
        "that a smaller point is no worse; give more of them, or choose the size (--keep)."
    )


def _seen(report: Mapping[str, Any]) -> str:
    """That the base does better on validation than on test samples, beyond chance; else nothing."""
    test = report["accuracy"].get("full")  # nothing was fitted for it
    if test is None or report["picked"]["rule"] != "tolerance":
        return ""
    right, n = report["validation"]["full"], report["samples"]["validation"]
    if Share.of(round(right * n), n).low <= test["high"]:
        return ""
    return (
        f" The base is right about {percent(right)} of the validation samples and "
        f"{percent(test['value'])} of the test samples, as if it had been trained on the former: "
        "that makes small points look worse than they are. Let samples that it has not seen "
        "choose: --validation-from test, or a validation split."
    )
