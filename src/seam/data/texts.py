"""Labelled texts, split into tokens once and kept as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from seam.artefacts.reading import read_named
from seam.core.text import TextPreprocessing
from seam.data.decode import ImageSource
from seam.errors import DataError, MissingExtraError, ModelError, in_line
from seam.search.samples import Batch

MAX_TEXTS = 64 * 2**20
ORDERED_TOKENS = 2**15  # of one batch without gradients: bounds memory


@dataclass(frozen=True)
class TextSamples:
    """Labelled texts as `seam.search.samples.Samples`; they are shown as they are in every view.

    ``tokens`` are numbers, int64 (n, length), kept on ``device``; ``targets`` (n) on the processor.
    """

    tokens: Tensor
    targets: Tensor
    device: torch.device

    def __len__(self) -> int:
        return len(self.targets)

    def shuffled(self, batch_size: int, *, seed: int, view: int | None = None) -> Iterator[Batch]:
        """All samples once, in an order that depends on ``seed`` alone."""
        del view  # there is only one
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        yield from self._batches(order, batch_size)

    def ordered(self, batch_size: int, *, view: int | None = None) -> Iterator[Batch]:
        """All samples once, in order; in smaller batches where texts are long."""
        del view
        bounded = max(1, min(batch_size, ORDERED_TOKENS // self.tokens.shape[1]))
        yield from self._batches(torch.arange(len(self)), bounded)

    def _batches(self, order: Tensor, batch_size: int) -> Iterator[Batch]:
        for numbers in order.split(batch_size):
            chosen = numbers.to(self.device)
            yield Batch(self.tokens[chosen], self.targets[numbers].to(self.device), numbers)


def read_tokens(
    source: ImageSource,
    preprocessing: TextPreprocessing,
    *,
    skip_bad: bool,
    observe: Callable[[bytes], object] = lambda _data: None,
) -> tuple[Tensor, list[int], list[str]]:
    """All texts of ``source`` as token numbers; also the numbers kept, the names skipped.

    ``observe`` is called with the bytes of all tokens, then with those of every text that is kept.

    Raises:
        DataError: a text is missing or empty and ``skip_bad`` is False, or no text is left.
    """
    texts: list[str] = []
    kept: list[int] = []
    skipped: list[str] = []
    for number in range(source.count):
        data = source.read(number)
        if data.strip():
            kept.append(number)
            texts.append(data.decode())
        elif skip_bad:
            skipped.append(source.name(number))
        else:
            raise DataError(
                f"the text of '{source.name(number)}' is empty; remove it, or pass --skip-bad"
            )
    if not kept:
        raise DataError(f"none of the {source.count} texts has a letter; check the data folder")
    tokens = encode(texts, preprocessing)
    observe(tokens.numpy().tobytes())
    for text in texts:
        observe(text.encode())
    return tokens, kept, skipped


def encode(texts: Sequence[str], preprocessing: TextPreprocessing) -> Tensor:
    """Texts as token numbers, int64 (n, length).

    >>> encode(["a red fox"], preprocessing).shape  # doctest: +SKIP
    torch.Size([1, 128])

    Raises:
        MissingExtraError: tokenizers is not installed.
        ModelError: the tokenizer cannot be read, or gives numbers that the model does not know.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError(
            "tokenizers is needed for texts and is not installed; pip install 'seam[text]'"
        ) from error
    length, padding = preprocessing.length, preprocessing.padding
    try:
        tokenizer = Tokenizer.from_str(preprocessing.tokenizer)
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length, pad_id=padding)
        rows = [each.ids for each in tokenizer.encode_batch(list(texts))]
    except Exception as error:  # it has no errors of its own
        raise ModelError(
            f"the tokenizer cannot be used ({in_line(error)}); save it again with save_pretrained"
        ) from error
    tokens = torch.tensor(rows, dtype=torch.int64)
    highest = int(tokens.max())
    if highest >= preprocessing.vocabulary:
        raise ModelError(
            f"the tokenizer gives token number {highest}, but the model knows "
            f"{preprocessing.vocabulary}; give the tokenizer that the model was trained with"
        )
    return tokens


def texts_in(given: Sequence[str]) -> list[str]:
    """Texts as a user names them: each itself, or a ``.txt`` file that holds one a line.

    >>> texts_in(["a red fox", "a blue bird"])
    ['a red fox', 'a blue bird']

    Raises:
        DataError: a file cannot be read, or a text is empty.
    """
    texts: list[str] = []
    for each in given:
        if not each.endswith(".txt"):
            texts.append(each)
            continue
        try:
            lines = read_named(Path(each), MAX_TEXTS).decode().splitlines()
        except (OSError, ValueError) as error:
            raise DataError(
                f"text file '{each}' cannot be read ({in_line(error)}); write one text a line"
            ) from error
        texts += [line for line in lines if line.strip()]
    if not texts or not all(text.strip() for text in texts):
        raise DataError("there is an empty text, or none; give texts, or files of one text a line")
    return texts
