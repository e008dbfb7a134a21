"""What a module must be to be a base model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import seam
from seam.errors import LabelError, ModelError

SIZE = seam.Preprocessing(size=4)


class Gives(nn.Module):
    """A classifier whose logits are handed out in another form."""

    def __init__(self, form: Callable[[torch.Tensor], Any], *last: nn.Module) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2), *last)
        self.form = form

    def forward(self, images: torch.Tensor) -> Any:
        return self.form(self.net(images))


def base(form: Callable[[torch.Tensor], Any], *last: nn.Module) -> seam.BaseModel:
    return seam.BaseModel(Gives(form, *last), ("cat", "dog"), SIZE)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (base(lambda x: {"logits": x}), "gives a dict, not one vector of logits a sample"),
        (base(lambda x: [x]), "gives a list, not one vector of logits"),
        (base(lambda x: x[:, :, None, None]), r"a tensor of shape \(1, 2, 1, 1\), not one"),
        (
            base(lambda x: x, nn.Sigmoid()),
            r"\(its last layer is Sigmoid\).*multi-label",
        ),
        (base(lambda x: x, nn.Softmax(dim=1)), "probabilities .its last layer is Softmax"),
    ],
)
def test_other_outputs_than_logits_are_refused(model: seam.BaseModel, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        model.check()


def test_labels_may_be_a_list_and_module_must_be_a_module() -> None:
    module = Gives(lambda x: x)
    found = seam.BaseModel(module, [0, 1], SIZE)  # type: ignore[arg-type]
    assert found.labels == ("0", "1")
    assert found.check().shape == (1, 2)
    with pytest.raises(LabelError, match="labels is 'cat,dog'; give a list of names"):
        seam.BaseModel(module, "cat,dog", SIZE)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"the base model is a dict; give a torch.nn.Module"):
        seam.BaseModel({}, ("cat", "dog"), SIZE)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"preprocessing is \{'size': 8\}; give Preprocessing\("):
        seam.BaseModel(module, ("cat", "dog"), {"size": 8})  # type: ignore[arg-type]


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 2))


def without_data() -> nn.Module:
    with torch.device("meta"):
        return linear()


def quantized() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(linear(), {nn.Linear})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: linear().half(), r"has float16 weights in '1\.\w+'; give module\.float\(\)"),
        (lambda: linear().double(), r"has float64 weights in '1\.\w+'; give module\.float\(\)"),
        (lambda: torch.jit.script(linear()), r"is compiled by torch\.jit; give the module that it"),
        (quantized, "is quantized; give the module of before"),
        (without_data, r"has no data in '1\.\w+'; give a module with its weights loaded"),
    ],
)
def test_modules_whose_weights_no_search_can_move(made: Callable[[], Any], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        seam.BaseModel(made(), ("cat", "dog"), SIZE)


def test_biases_that_a_library_keeps_are_computed_anew() -> None:
    import timm

    torch.manual_seed(0)
    module = timm.create_model("levit_128s", num_classes=2).eval()
    images = torch.randn(1, 3, 224, 224)
    base = seam.BaseModel(module, ("a", "b"), seam.Preprocessing(size=224))
    before = base.module.train().eval()(images)
    before.sum().backward()
    base.module(images).sum().backward()  # a kept bias would still hold the first one's graph
    with torch.no_grad():
        for name, value in base.module.named_parameters():
            if name.endswith("attention_biases"):
                value.add_(torch.randn_like(value))
        assert not torch.allclose(base.module(images), before)
