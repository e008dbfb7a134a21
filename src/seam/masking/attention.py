"""Self-attention as libraries build it: which layers make the heads, and which one takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from torch import nn

TABLE = "relative_position_bias_table"
WIDTHS = ("attn_dim", "all_head_size")
"""What modules call the channels of all heads together, where they keep the number."""


@dataclass(frozen=True)
class Attention:
    """Names in a module of self-attention; a name with a dot is that of a layer further inside.

    Args:
        inputs: the layers that give queries, keys and values; one layer may give all three.
        output: the layer that takes the heads' channels, one head after another.
        heads: the attribute that counts the heads.
    """

    inputs: tuple[str, ...]
    output: str
    heads: str


KINDS = (
    Attention(("qkv",), "proj", "num_heads"),  # timm
    Attention(  # BERT, RoBERTa
        ("self.query", "self.key", "self.value"), "output.dense", "self.num_attention_heads"
    ),
    Attention(("q_lin", "k_lin", "v_lin"), "out_lin", "n_heads"),  # DistilBERT
    Attention(("q_proj", "k_proj", "v_proj"), "o_proj", "num_attention_heads"),  # ViT, DeiT
)


def attention_of(layer: nn.Module) -> Attention | None:
    """How ``layer`` is self-attention; None where it is no kind that is known.

    >>> attention_of(nn.Linear(4, 2)) is None
    True
    """
    return next((kind for kind in KINDS if _fits(layer, kind)), None)


def head_count(layer: nn.Module, kind: Attention) -> int:
    """Number of heads."""
    return int(attrgetter(kind.heads)(layer))


def bias_heads(layer: nn.Module) -> int:
    """Number of heads that a table of relative positions has a column for; 0 for other layers.

    timm's Swin keeps the table in the attention itself, that of transformers in a layer inside it.
    """
    table = layer._parameters.get(TABLE)
    return 0 if table is None or table.ndim != 2 else table.shape[1]


def heads_changed(layer: nn.Module, kind: Attention, count: int) -> dict[str, int]:
    """The attributes of ``layer``, by name, that say that it has ``count`` heads."""
    before = head_count(layer, kind)
    owner = kind.heads.rpartition(".")[0]
    found = {kind.heads: count}
    for each in WIDTHS:
        name = f"{owner}.{each}" if owner else each
        width = _get(layer, name)
        if isinstance(width, int):
            found[name] = width * count // before
    return found


def _fits(layer: nn.Module, kind: Attention) -> bool:
    given, taking = [_get(layer, name) for name in kind.inputs], _get(layer, kind.output)
    heads = _get(layer, kind.heads)
    if not isinstance(heads, int) or not isinstance(taking, nn.Linear):
        return False
    width = 3 // len(given) * taking.in_features
    return taking.in_features % heads == 0 and all(
        isinstance(each, nn.Linear) and each.out_features == width for each in given
    )


def _get(layer: nn.Module, name: str) -> Any:
    read: Callable[[Any], Any] = attrgetter(name)
    try:
        return read(layer)
    except AttributeError:
        return None
