"""What a base model expects of a text: its tokenizer, and how many tokens."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

from seam.core.preprocessing import Content, Preprocessing
from seam.errors import ConfigError

MAX_LENGTH, MAX_VOCABULARY = 65_536, 10**7
KIND = "text"
"""What ``kind`` is in the plain values; those of images have none."""


@dataclass(frozen=True, kw_only=True)
class TextPreprocessing:
    """How a text becomes the token numbers a base model was trained on.

    >>> TextPreprocessing(length=8, padding=0, vocabulary=100, tokenizer="{}").digest[:8]
    '44136fa3'

    ``tokenizer`` splits a text; the result is cut to ``length`` tokens, those that the tokenizer
    adds included, and filled up at its end with the token of number ``padding``.

    Args:
        length: number of tokens.
        padding: number of the token that the model does not look at.
        vocabulary: how many token numbers the model knows.
        tokenizer: content of a ``tokenizer.json``; empty where only its digest is known.
        digest: SHA-256 of that content.

    Raises:
        ConfigError: a value is out of range, or the digest is not the tokenizer's.
    """

    content: ClassVar[Content] = "text"

    length: int
    padding: int
    vocabulary: int
    tokenizer: str = field(default="", repr=False)
    digest: str = ""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("length", 1, MAX_LENGTH),
            ("vocabulary", 2, MAX_VOCABULARY),
            ("padding", 0, self.vocabulary - 1),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ConfigError(
                    f"the {name} of texts is {value}; give a whole number from {least} to {most}"
                )
        if self.tokenizer:
            digest = hashlib.sha256(self.tokenizer.encode()).hexdigest()
            if self.digest not in ("", digest):
                raise ConfigError(
                    f"the tokenizer has SHA-256 {digest[:12]}, not {self.digest[:12]}; "
                    "give the one that the model was trained with"
                )
            object.__setattr__(self, "digest", digest)

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for YAML and JSON; of the tokenizer only its digest."""
        return {
            "kind": KIND,
            "length": self.length,
            "padding": self.padding,
            "vocabulary": self.vocabulary,
            "tokenizer": self.digest,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], tokenizer: str = "") -> TextPreprocessing:
        """Inverse of :meth:`to_dict`, with the tokenizer's content where it is at hand."""
        return cls(
            length=values["length"],
            padding=values["padding"],
            vocabulary=values["vocabulary"],
            tokenizer=tokenizer,
            digest=values["tokenizer"],
        )


AnyPreprocessing = Preprocessing | TextPreprocessing
