"""Heads: what turns a base model's logits or features into a problem's outputs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seam.core.config import Head
from seam.errors import ModelError, in_line, nearest

Members = Sequence[Sequence[int]]
NAME_IT = "name the layer to replace with --head-layer"


class SliceHead(nn.Module):
    """The base's own logits, restricted: one output a group, its members' logits log-sum-exped.

    >>> SliceHead([[0], [1, 2]])(torch.tensor([[1.0, 2.0, 2.0]])).shape
    torch.Size([1, 2])

    Input (batch, N) base logits, result (batch, K). For one label against the rest the difference
    of the two outputs is the base's log odds of the label. A learnable ``bias`` (K), zero at first,
    moves the thresholds between the outputs.
    """

    def __init__(self, members: Members) -> None:
        super().__init__()
        self.members = [list(group) for group in members]
        self.bias = nn.Parameter(torch.zeros(len(members)))

    def forward(self, logits: Tensor) -> Tensor:
        """Restricted logits: (batch, N) to (batch, K)."""
        return restrict(logits, self.members) + self.bias


class AppendHead(nn.Module):
    """The paper's head behind the base's logits: ReLU, then Linear(N, K).

    >>> AppendHead(10, 2)(torch.zeros(3, 10)).shape
    torch.Size([3, 2])

    Source: SeaM, section 3.1.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, logits: Tensor) -> Tensor:
        """(batch, N) base logits to (batch, K) outputs."""
        result: Tensor = self.linear(self.relu(logits))
        return result


class Headed(nn.Module):
    """A base model with a problem's head behind it.

    >>> Headed(nn.Linear(4, 10), AppendHead(10, 2))(torch.zeros(3, 4)).shape
    torch.Size([3, 2])

    ``replaced`` is the classifier that the head stands for, and its name in the base (empty where
    it was the whole base); it is no part of the module, and only `detach_head` needs it.
    """

    def __init__(
        self, backbone: nn.Module, head: nn.Module, *, replaced: tuple[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.replaced = replaced

    def forward(self, images: Tensor) -> Tensor:
        """Outputs (batch, K) of the problem."""
        result: Tensor = self.head(self.backbone(images))
        return result


def restrict(logits: Tensor, members: Members) -> Tensor:
    """Log-sum-exp of each group's logits: (batch, N) to (batch, K).

    >>> restrict(torch.tensor([[0.0, 3.0, 1.0]]), [[2], [0]]).tolist()
    [[1.0, 0.0]]
    """
    if all(len(group) == 1 for group in members):
        return logits[:, [group[0] for group in members]]
    return torch.stack([logits[:, list(group)].logsumexp(1) for group in members], dim=1)


def attach_head(
    backbone: nn.Module,
    kind: Head,
    members: Members,
    *,
    example: Tensor,
    seed: int,
    layer: str = "",
) -> Headed:
    """Put a head of ``kind`` on ``backbone``; its first weights depend on ``seed`` alone.

    ``replace`` swaps the base's classifier for a new one that starts as the mean of the rows of
    each output's members, or, where no output has any, at random; `detach_head` undoes it.

    Args:
        backbone: the base module, giving (batch, N) logits.
        kind: ``slice``, ``append`` or ``replace``.
        members: the base labels of each of the K outputs; none at all where they are new labels.
        example: one preprocessed batch, for a trial run.
        seed: of the head's first weights.
        layer: name of the layer that ``replace`` takes out; by default the one that gives the
            logits.

    Raises:
        ModelError: ``replace`` found no linear layer that gives the logits, or what is left without
            ``layer`` gives no features.
    """
    like = example if example.is_floating_point() else example.float()  # texts are whole numbers
    if kind == "slice":
        return Headed(backbone, SliceHead(members).to(like))
    if kind == "append":
        logits = _trial(backbone, example)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = AppendHead(logits.shape[1], len(members))
        return Headed(backbone, head.to(logits))
    name = layer or find_classifier(backbone, example)
    if not any(members):
        features, old = without_classifier(backbone, name, example=example)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = nn.Linear(_trial(features, example).shape[1], len(members))
        return Headed(features, fresh.to(like), replaced=(name, old))
    old = _layer(backbone, name)
    if not isinstance(old, nn.Linear):
        raise ModelError(f"layer '{name}' is no linear layer; choose --head slice or --head append")
    return Headed(_taken_out(backbone, name), _merged(old, members), replaced=(name, old))


def without_classifier(
    module: nn.Module, name: str, *, example: Tensor
) -> tuple[nn.Module, nn.Module]:
    """The module up to its penultimate features, (batch, F), and the classifier taken out of it.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Linear(3, 2))
    >>> features, classifier = without_classifier(net, "2", example=torch.zeros(1, 4))
    >>> features(torch.zeros(5, 4)).shape, classifier
    (torch.Size([5, 3]), Linear(in_features=3, out_features=2, bias=True))

    Args:
        module: changed in place: the layer called ``name`` becomes the identity.
        name: as `find_classifier` gives it, or another whose input is what a head can work on.
        example: one batch of preprocessed images, for a trial run.

    Raises:
        ModelError: there is no such layer, or no vector of features is left without it.
    """
    old = _layer(module, name)
    features = _taken_out(module, name)
    try:
        found = _trial(features, example)
    except Exception as error:  # what follows the layer may fail as it likes
        raise ModelError(
            f"the base model does not run without layer '{name}' ({in_line(error, 100)}); {NAME_IT}"
        ) from error
    if found.ndim != 2:
        raise ModelError(
            f"without layer '{name}' the base model gives no vector of features an image, but "
            f"{tuple(found.shape)}; {NAME_IT}"
        )
    return features, old


def _layer(module: nn.Module, name: str) -> nn.Module:
    try:
        return module.get_submodule(name)
    except AttributeError as error:
        names = [each for each, _ in module.named_modules() if each]
        raise ModelError(
            f"the base model has no layer '{name}'{nearest(name, names, count=2)}; {NAME_IT}"
        ) from error


def _taken_out(module: nn.Module, name: str) -> nn.Module:
    """The module with the identity in a layer's place; the whole module's name is empty."""
    if not name:
        return nn.Identity()
    module.set_submodule(name, nn.Identity())
    return module


def _merged(old: nn.Linear, members: Members) -> nn.Linear:
    """A classifier whose rows are the means of ``old``'s rows, group by group."""
    new = nn.utils.skip_init(  # draws no random numbers
        nn.Linear, old.in_features, len(members), device=old.weight.device, dtype=old.weight.dtype
    )
    assert isinstance(new, nn.Linear)
    with torch.no_grad():
        for row, group in enumerate(members):
            new.weight[row] = old.weight[list(group)].mean(0)
            new.bias[row] = old.bias[list(group)].mean() if old.bias is not None else 0.0
            new.bias[row] += math.log(len(group))
    return new


def detach_head(headed: Headed) -> nn.Module:
    """Undo `attach_head`: the base module as it was."""
    if headed.replaced is None:
        return headed.backbone
    name, old = headed.replaced
    old.to(next(headed.head.parameters()).device)  # the model may have moved meanwhile
    if not name:
        return old
    headed.backbone.set_submodule(name, old)
    return headed.backbone


@torch.no_grad()
def _trial(module: nn.Module, example: Tensor) -> Tensor:
    """The module's output in evaluation mode; no norm statistics or modes change."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        output: Tensor = module(example)
    finally:
        for each, training in modes:
            each.training = training
    return output


def find_classifier(module: nn.Module, example: Tensor) -> str:
    """Name of the linear layer whose output is the module's output.

    >>> find_classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), torch.zeros(1, 4))
    '1'

    Raises:
        ModelError: there is none; the message lists the last linear layers there are.
    """
    seen: dict[str, Tensor] = {}
    hooks = [
        layer.register_forward_hook(
            lambda _layer, _inputs, output, name=name: seen.__setitem__(name, output)
        )
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        output = _trial(module, example)
    finally:
        for hook in hooks:
            hook.remove()
    for name, value in seen.items():
        same = value.shape == output.shape and value.data_ptr() == output.data_ptr()
        if value is output or same:
            return name
    last = ", ".join(f"'{name}'" for name in list(seen)[-3:]) or "none"
    raise ModelError(
        "the base model's head cannot be told apart: no linear layer gives its logits (the last "
        f"linear layers that ran: {last}); {NAME_IT}, or, for labels of its own, choose "
        "--head slice or --head append"
    )
