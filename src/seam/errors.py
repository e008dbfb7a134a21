"""Every error a user can cause. Each is a `SeamError` and also the fitting builtin.

The message is one line: what came, what was expected, and the mend. The command line prints it and
ends with exit code 2.
"""

from __future__ import annotations

from typing import ClassVar


class SeamError(Exception):
    """Base of all errors that a user can mend.

    >>> issubclass(LabelError, SeamError) and issubclass(LabelError, ValueError)
    True

    ``page`` is the page of the documentation that helps with errors of this kind, if there is one;
    the command line names it.
    """

    page: ClassVar[str] = ""

    def __str__(self) -> str:
        """The message, one line whatever names from files are in it."""
        return " ".join(super().__str__().splitlines())


class ConfigError(SeamError, ValueError):
    """A setting is out of range, unknown or contradicts another."""


class LabelError(SeamError, ValueError):
    """A label is unknown, absent from the data, or used twice."""


class DataError(SeamError, ValueError):
    """The data is empty, has a single class, is unreadable or has the wrong form."""


class ModelError(SeamError, ValueError):
    """The base model cannot be built, or its weights or input size do not fit."""


class NumericalError(SeamError, ArithmeticError):
    """The loss stopped being a number."""


class AdapterError(SeamError, ValueError):
    """An adapter file is truncated, damaged, hostile or of another format version."""

    page = "docs/adapter-format.md#what-a-reader-checks"


class BaseMismatchError(AdapterError):
    """An adapter belongs to another base model."""

    page = "docs/adapter-format.md#applying-an-adapter"


class RunFolderError(SeamError, OSError):
    """A run folder cannot be written, is in use, or belongs to another configuration."""

    page = "docs/run-folder.md"


class HubError(SeamError, OSError):
    """A model hub cannot be reached, refuses, or does not hold what was named."""

    page = "docs/hub.md"


class MissingExtraError(SeamError, ImportError):
    """An optional dependency is not installed; the message holds the install command."""


def in_line(error: BaseException, limit: int = 160) -> str:
    r"""Another library's error as part of one line.

    >>> in_line(ValueError("bad\n  thing"))
    'bad thing'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else f"{text[:limit]}..."


def nearest(word: str, choices: list[str], *, count: int = 1) -> str:
    """A hint naming the choices closest to ``word``: ``"; did you mean 'truck'?"`` or ``""``.

    >>> nearest("truk", ["cat", "truck"])
    "; did you mean 'truck'?"
    """
    import difflib

    by_fold = {choice.casefold(): choice for choice in choices}
    close = difflib.get_close_matches(word.casefold(), list(by_fold), n=count, cutoff=0.5)
    if not close:
        return ""
    return "; did you mean " + " or ".join(f"'{by_fold[name]}'" for name in close) + "?"
