"""Adapters: round trips bit for bit, deterministic bytes, and every damaged or hostile file."""

from __future__ import annotations

import copy
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from seam.artefacts.adapter import (
    Adapter,
    BaseReference,
    apply_adapter,
    load_adapter,
    save_adapter,
)
from seam.artefacts.card import model_card
from seam.core.config import Head, SearchConfig, Tune
from seam.core.preprocessing import Preprocessing
from seam.core.problem import Problem
from seam.errors import AdapterError, BaseMismatchError, ModelError, RunFolderError
from seam.masking.head import attach_head
from seam.models.base import BaseModel
from seam.models.zoo import ZOO
from seam.search.loop import SearchState, begin

FILES = ["README.md", "adapter.json", "adapter.safetensors"]
SHARE = {"value": 0.951, "low": 0.94, "high": 0.96, "n": 2000}
METRICS = {
    "accuracy": dict.fromkeys(("full", "restricted", "head_only", "reengineered"), SHARE),
    "density": 0.5,
    "weights": {"base": 272474, "kept": 140000},
    "macs": {"base": 40551168, "theoretical": 20000000, "executed": 40551168},
    "split_hash": "0" * 64,
    "seed": 0,
}
PROBLEMS = {
    "one-vs-rest": lambda labels: Problem.one_vs_rest(labels[1]),
    "subset": lambda labels: Problem.subset(labels[:3]),
    "groups": lambda labels: Problem.groups({"a": labels[:2], "b": labels[2:4]}),
}


class Attention(nn.Module):
    """Patches, one attention layer, mean, classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 2, stride=2)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.classifier = nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.norm(self.patches(images).flatten(2).mT)
        mixed, _ = self.attention(tokens, tokens, tokens)
        return self.classifier((tokens + mixed).mean(1))


class Tied(nn.Module):
    """Two linear layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.out = nn.Linear(4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.out(self.second(self.first(images.flatten(1)).relu()).relu())


def make_base(name: str) -> BaseModel:
    torch.manual_seed(0)
    if name in ZOO:
        module, pixels, labels = ZOO[name].build(), ZOO[name].preprocessing, ZOO[name].labels
    else:
        module = {"attention": Attention, "tied": Tied}[name]()
        side = {"attention": 8, "tied": 2}[name]
        pixels = Preprocessing(size=side, mean=(0.5,), std=(0.5,))
        labels = ("ant", "bee", "cat", "dog")
    with torch.no_grad():
        for buffer in module.buffers():  # statistics as after training
            if buffer.is_floating_point():
                buffer.add_(torch.rand_like(buffer))
    return BaseModel(module.eval(), labels, pixels, f"zoo:{name}")


def searched(
    base: BaseModel, problem: Problem, head: Head, tune: Tune, density: float = 0.5
) -> SearchState:
    """A search's state with random masks, head and tuned values."""
    members = problem.members(base.labels)
    module = copy.deepcopy(base.module)
    model = attach_head(module, head, members, example=base.example(), seed=0)
    state = begin(model, SearchConfig(head=head, tune=tune))
    torch.manual_seed(1)
    with torch.no_grad():
        for mask in state.masks.values():
            mask.score.copy_(torch.rand_like(mask.score) + density - 1)
        for value in [*model.head.parameters(), *state.tuned.values()]:
            value.add_(torch.randn_like(value) / 10)
    return state


def adapter_of(
    state: SearchState, base: BaseModel, problem: Problem, head: Head, tune: Tune
) -> Adapter:
    return Adapter.from_snapshot(
        state.snapshot(),
        head_kind=head,
        problem=problem,
        preprocessing=base.preprocessing,
        base=BaseReference.of(base, problem),
        config=SearchConfig(head=head, tune=tune).to_dict(),
        metrics=METRICS,
    )


def images_of(base: BaseModel, count: int = 4) -> Tensor:
    return torch.randn(count, *base.example().shape[1:])


def same_bits(one: Tensor, other: Tensor) -> bool:
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(
            one.contiguous().reshape(-1).view(torch.uint8),
            other.contiguous().reshape(-1).view(torch.uint8),
        )
    )


def assert_same(one: Adapter, other: Adapter) -> None:
    for name in ("masks", "head", "delta"):
        first, second = getattr(one, name), getattr(other, name)
        assert list(first) == list(second)
        assert all(same_bits(value, second[key]) for key, value in first.items())
    for name in ("head_kind", "problem", "preprocessing", "base", "config", "metrics", "seam"):
        assert getattr(one, name) == getattr(other, name)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


# ---------------------------------------------------------------------------------- round trips

SMALL = [
    (name, problem, head, tune)
    for name, problem in [
        ("cifar_resnet20", "subset"),
        ("wrn16_1", "one-vs-rest"),
        ("digits", "groups"),
        ("attention", "one-vs-rest"),
        ("tied", "subset"),
    ]
    for head in get_args(Head)
    for tune in get_args(Tune)
]
LARGE = [("cifar_vgg16", "groups", "replace", "norm")]


@pytest.mark.parametrize(("name", "problem_kind", "head", "tune"), SMALL + LARGE)
def test_save_load_apply_gives_the_searched_models_logits(
    tmp_path: Path, name: str, problem_kind: str, head: Head, tune: Tune
) -> None:
    base = make_base(name)
    before = copy.deepcopy(base.module.state_dict())
    problem = PROBLEMS[problem_kind](base.labels)
    state = searched(base, problem, head, tune)
    adapter = adapter_of(state, base, problem, head, tune)
    size = save_adapter(adapter, tmp_path / "adapter")
    assert sorted(contents(tmp_path / "adapter")) == FILES
    assert size == sum(map(len, contents(tmp_path / "adapter").values()))
    found = load_adapter(tmp_path / "adapter")
    assert_same(adapter, found)

    model = apply_adapter(found, base)
    images = images_of(base)
    with torch.no_grad():
        assert same_bits(model(images), state.model(images))
        state.masks.bake()
        assert same_bits(model(images), state.model(images))

    assert not any(layer.training for layer in model.modules())
    assert not any(hasattr(layer, "parametrizations") for layer in model.modules())
    values = model.backbone.state_dict()
    for key, mask in found.masks.items():
        assert not values[key][~mask].any()
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, state.model.backbone.state_dict()[key])
    after = base.module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


def test_new_labels_have_a_head_of_their_own(tmp_path: Path) -> None:
    base, problem = make_base("digits"), Problem.new_labels(["rose", "tulip", "oak"])
    parts: dict[str, Any] = {
        "masks": {"conv2.weight": torch.rand(64, 32, 3, 3) > 0.5},
        "head": {"weight": torch.randn(3, 96), "bias": torch.randn(3)},
        "delta": {"conv2.weight": torch.randn(64, 32, 3, 3)},
        "head_kind": "replace",
        "problem": problem,
        "preprocessing": base.preprocessing,
        "base": BaseReference.of(replace(base, head_layer="fc"), problem),
    }
    save_adapter(Adapter(**parts), tmp_path / "adapter")
    found = load_adapter(tmp_path / "adapter")
    assert_same(Adapter(**parts), found)
    assert found.base.members == ((), (), ())
    assert found.base.head_layer == "fc"
    model = apply_adapter(found, base)
    assert model(images_of(base)).shape == (4, 3)
    assert not model.backbone.get_parameter("conv2.weight")[~parts["masks"]["conv2.weight"]].any()
    with pytest.raises(AdapterError, match="need the head that replaces"):
        Adapter(**{**parts, "head_kind": "slice", "head": {"bias": torch.zeros(3)}})
    for change, message in (
        ({"members": ((0,), (1,), (2,))}, "do not fit the problem"),
        ({"head_layer": "x" * 600}, "longer than 512"),
        ({"head_layer": "a\nb"}, "control character"),
    ):
        with pytest.raises(AdapterError, match=message):
            Adapter(**{**parts, "base": replace(parts["base"], **change)})
    lost = Adapter(**{**parts, "base": replace(parts["base"], head_layer="lost")})
    with pytest.raises(ModelError, match="no layer 'lost'"):
        apply_adapter(lost, base)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_deltas_keep_their_type(tmp_path: Path, kind: torch.dtype) -> None:
    delta = {"0.weight": torch.randn(4, 3).to(kind), "0.bias": -torch.zeros(4, dtype=kind)}
    adapter = replace(tiny(), delta=delta)
    save_adapter(adapter, tmp_path / "adapter")
    assert_same(adapter, load_adapter(tmp_path / "adapter"))


def test_masks_that_keep_all_or_nothing(tmp_path: Path) -> None:
    for fill in (True, False):
        masks = {"0.weight": torch.full((4, 3), fill), "scalar": torch.tensor(fill)}
        adapter = replace(tiny(), masks=masks, delta={"0.weight": torch.ones(4, 3)})
        save_adapter(adapter, tmp_path / "adapter")
        found = load_adapter(tmp_path / "adapter")
        assert_same(adapter, found)
        assert (found.kept, found.maskable, found.density) == (13 * fill, 13, float(fill))


def test_norm_statistics_can_be_deltas() -> None:
    base = make_base("digits")
    problem = Problem.one_vs_rest("7")
    adapter = Adapter(
        masks={},
        head={"bias": torch.zeros(2)},
        delta={"bn1.running_mean": torch.ones(32)},
        head_kind="slice",
        problem=problem,
        preprocessing=base.preprocessing,
        base=BaseReference.of(base, problem),
    )
    model = apply_adapter(adapter, base)
    assert model.backbone.get_buffer("bn1.running_mean").eq(1).all()


def test_the_adapter_does_not_follow_the_search_that_goes_on() -> None:
    base = make_base("digits")
    problem = Problem.one_vs_rest("7")
    state = searched(base, problem, "append", "norm")
    adapter = adapter_of(state, base, problem, "append", "norm")
    before = {key: value.clone() for key, value in adapter.delta.items()}
    with torch.no_grad():
        for value in state.tuned.values():
            value.zero_()
    assert all(torch.equal(value, adapter.delta[key]) for key, value in before.items())


def test_resnet20_with_tuned_norms_takes_less_than_50_kb(tmp_path: Path) -> None:
    base = make_base("cifar_resnet20")
    problem = Problem.subset(base.labels)  # the largest head there is
    state = searched(base, problem, "append", "norm")
    adapter = adapter_of(state, base, problem, "append", "norm")
    size = save_adapter(adapter, tmp_path / "adapter")
    parts = {name: len(data) for name, data in contents(tmp_path / "adapter").items()}
    assert size < 50_000, parts
    assert parts["README.md"] < 3_000, parts


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    adapter = tiny()
    backwards: dict[str, Any] = {
        name: dict(reversed(getattr(adapter, name).items()))
        for name in ("masks", "head", "delta", "config", "metrics")
    }
    for folder, each in {"a": adapter, "b": replace(adapter, **backwards)}.items():
        save_adapter(each, tmp_path / folder)
    save_adapter(load_adapter(tmp_path / "a"), tmp_path / "c")
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")


# ------------------------------------------------------------------------------------ wrong base


def test_another_base_is_refused_naming_both_fingerprints() -> None:
    base, problem = make_base("digits"), Problem.one_vs_rest("7")
    state = searched(base, problem, "slice", "none")
    adapter = adapter_of(state, base, problem, "slice", "none")
    other = make_base("digits")
    with torch.no_grad():
        next(other.module.parameters())[0, 0, 0, 0] += 1e-6
    with pytest.raises(BaseMismatchError) as caught:
        apply_adapter(adapter, other)
    assert base.fingerprint[:12] in str(caught.value)
    assert other.fingerprint[:12] in str(caught.value)
    assert base.fingerprint not in str(caught.value)
    with pytest.raises(AdapterError, match="10 base labels, the base model has 9"):
        apply_adapter(adapter, replace(base, labels=base.labels[:9]))


@pytest.mark.parametrize(
    "change",
    [
        {"masks": {"nowhere": torch.ones(2, dtype=torch.bool)}},
        {"masks": {"fc.weight": torch.ones(960, dtype=torch.bool)}},
        {"masks": {"bn1.num_batches_tracked": torch.tensor(True)}},
        {"delta": {"fc.bias": torch.ones(10, dtype=torch.float64)}},
        {"delta": {"fc.bias": torch.ones(1)}},
        {"delta": {"module.__class__": torch.ones(1)}},
        {"head_kind": "replace", "head": {"weight": torch.ones(2, 7), "bias": torch.ones(2)}},
    ],
    ids=str,
)
def test_parts_that_do_not_fit_the_base_are_refused(change: dict[str, Any]) -> None:
    base, problem = make_base("digits"), Problem.one_vs_rest("7")
    parts = {
        "masks": {},
        "head": {"bias": torch.zeros(2)},
        "delta": {},
        "head_kind": "slice",
        "problem": problem,
        "preprocessing": base.preprocessing,
        "base": BaseReference.of(base, problem),
    }
    with pytest.raises(AdapterError, match="the base model"):
        apply_adapter(Adapter(**{**parts, **change}), base)


def test_members_decide_not_label_names() -> None:
    base, problem = make_base("digits"), Problem.subset(["3", "5", "8"])
    state = searched(base, problem, "slice", "none")
    adapter = adapter_of(state, base, problem, "slice", "none")
    renamed = replace(base, labels=tuple("abcdefghij"))
    images = images_of(base)
    with torch.no_grad():
        assert torch.equal(apply_adapter(adapter, renamed)(images), state.model(images))


# --------------------------------------------------------------------- damaged and hostile files


def tiny() -> Adapter:
    problem = Problem.groups({"pets": ["cat", "dog"], "rest": ["ship"]})
    return Adapter(
        masks={
            "0.weight": torch.arange(12).reshape(4, 3) % 3 > 0,
            "0.bias": torch.tensor([True, False, True, True]),
        },
        head={"linear.weight": torch.ones(2, 3), "linear.bias": torch.zeros(2)},
        delta={"0.bias": torch.arange(4.0), "1.weight": torch.ones(4)},
        head_kind="append",
        problem=problem,
        preprocessing=Preprocessing(size=8),
        base=BaseReference("own", "ab" * 32, 3, ((0, 1), (2,))),
        config=SearchConfig().to_dict(),
        metrics={"accuracy": {"full": SHARE}, "density": 0.5},
    )


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of `tiny`: written once, as flushing to the disk takes time."""
    folder = tmp_path_factory.mktemp("saved") / "adapter"
    save_adapter(tiny(), folder)
    return contents(folder)


@pytest.fixture
def folder(tmp_path: Path, saved: dict[str, bytes]) -> Path:
    return filled(tmp_path / "adapter", saved)


def filled(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def seal(folder: Path, document: Any) -> None:
    """Write adapter.json with the right checksums, as docs/adapter-format.md says."""
    data = (folder / "adapter.safetensors").read_bytes()
    document["tensors"] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    document["checksum"] = "0" * 64
    text = json.dumps(document)
    document["checksum"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "adapter.json").write_text(json.dumps(document))


def document_of(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "adapter.json").read_text())
    assert isinstance(found, dict)
    return found


def edited(*path: str | int, to: Any) -> Callable[[Path], None]:
    """Change one value of adapter.json; the checksums are right."""

    def change(folder: Path) -> None:
        document = document_of(folder)
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        if to is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = to
        seal(folder, document)

    return change


def retensored(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    """Change the tensors; the checksums are right."""

    def apply(folder: Path) -> None:
        tensors = load_tensors((folder / "adapter.safetensors").read_bytes())
        change(tensors)
        (folder / "adapter.safetensors").write_bytes(save_tensors(tensors))
        seal(folder, document_of(folder))

    return apply


def rebytes(
    file: str, change: Callable[[bytes], bytes], *, sealed: bool = False
) -> Callable[[Path], None]:
    """Change a file's bytes."""

    def apply(folder: Path) -> None:
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(change(data))
        if sealed:
            seal(folder, document_of(folder))

    return apply


def with_header(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Change the header of a safetensors file."""

    def apply(data: bytes) -> bytes:
        length = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + length])
        change(header)
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    return apply


def flipped(data: bytes, bit: int) -> bytes:
    return bytes([*data[: bit // 8], data[bit // 8] ^ 1 << bit % 8, *data[bit // 8 + 1 :]])


def pickled(folder: Path) -> None:
    torch.save({"mask/0.weight": torch.ones(2)}, folder / "adapter.safetensors")
    seal(folder, document_of(folder))


def sparse(file: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / file, size)


def replaced_by_pipe(folder: Path) -> None:
    (folder / "adapter.safetensors").unlink()
    os.mkfifo(folder / "adapter.safetensors")


def replaced_by_folder(folder: Path) -> None:
    (folder / "adapter.json").unlink()
    (folder / "adapter.json").mkdir()


J, T = "adapter.json", "adapter.safetensors"
MASK = "mask/0.weight"
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    # the tensor file's bytes
    "truncated": (rebytes(T, lambda d: d[:-1]), "bytes, expected"),
    "truncated, sealed": (rebytes(T, lambda d: d[:-1], sealed=True), "damaged"),
    "empty": (rebytes(T, lambda d: b""), "has 0 bytes"),
    "empty, sealed": (rebytes(T, lambda d: b"", sealed=True), "header"),
    "bit flipped": (rebytes(T, lambda d: flipped(d, len(d) * 8 - 1)), "changed after"),
    "10 GB header": (
        rebytes(T, lambda d: (10 * 2**30).to_bytes(8, "little") + d[8:], sealed=True),
        "claims 10737418240 bytes",
    ),
    "header of 2^64 - 1": (rebytes(T, lambda d: b"\xff" * 8 + d[8:], sealed=True), "claims"),
    "10 GB file": (sparse(T, 10 * 2**30), "at most"),
    "header is no JSON": (rebytes(T, lambda d: d[:9] + b"[" + d[10:], sealed=True), "damaged"),
    "header nested": (
        rebytes(T, lambda d: (60000).to_bytes(8, "little") + b"[" * 60000, sealed=True),
        "damaged",
    ),
    "offsets out of range": (
        rebytes(T, with_header(lambda h: h[MASK].update(data_offsets=[0, 10**9])), sealed=True),
        "damaged",
    ),
    "offsets overlap": (
        rebytes(T, with_header(lambda h: h[MASK].update(data_offsets=[0, 2])), sealed=True),
        "damaged",
    ),
    "offsets backwards": (
        rebytes(T, with_header(lambda h: h[MASK].update(data_offsets=[5, 3])), sealed=True),
        "damaged",
    ),
    "shape overflows": (
        rebytes(T, with_header(lambda h: h[MASK].update(shape=[2**62, 2**62])), sealed=True),
        "damaged",
    ),
    "unknown type": (
        rebytes(T, with_header(lambda h: h[MASK].update(dtype="U9")), sealed=True),
        "damaged",
    ),
    "pickle": (pickled, "damaged"),
    "pipe": (replaced_by_pipe, "not a regular file"),
    "missing tensor file": (lambda f: (f / T).unlink(), "cannot be read"),
    # tensors
    "mask of floats": (retensored(lambda t: t.update({MASK: torch.ones(2)})), "has type"),
    "mask with two axes": (
        retensored(lambda t: t.update({MASK: t[MASK][None]})),
        "cannot hold a mask",
    ),
    "mask too long": (
        retensored(lambda t: t.update({MASK: torch.zeros(3, dtype=torch.uint8)})),
        "cannot hold a mask",
    ),
    "filling bits": (
        retensored(lambda t: t.update({MASK: torch.full((2,), 255, dtype=torch.uint8)})),
        "filling bits",
    ),
    "mask missing": (retensored(lambda t: t.pop(MASK)), "in adapter.json only"),
    "mask unexpected": (
        retensored(lambda t: t.update({"mask/x": torch.ones(1, dtype=torch.uint8)})),
        "in adapter.safetensors only",
    ),
    "group unexpected": (retensored(lambda t: t.update(code=torch.ones(1))), "unexpected"),
    "head of integers": (
        retensored(lambda t: t.update({"head/linear.bias": torch.zeros(2, dtype=torch.int64)})),
        "has type",
    ),
    "head missing": (retensored(lambda t: t.pop("head/linear.bias")), "head has tensors"),
    "head unexpected": (retensored(lambda t: t.update({"head/x": torch.ones(1)})), "head has"),
    "head of another shape": (
        retensored(lambda t: t.update({"head/linear.bias": torch.zeros(3)})),
        "head has tensors",
    ),
    "NaN in head": (
        retensored(lambda t: t["head/linear.bias"].fill_(float("nan"))),
        "NaN or infinity",
    ),
    "infinity in delta": (
        retensored(lambda t: t["delta/1.weight"].fill_(float("inf"))),
        "NaN or infinity",
    ),
    "delta too long": (
        retensored(lambda t: t.update({"delta/0.bias": torch.ones(4)})),
        "its mask keeps 3",
    ),
    "delta nameless": (retensored(lambda t: t.update({"delta/": torch.ones(1)})), "name is empty"),
    "delta with a long name": (
        retensored(lambda t: t.update({"delta/" + "a" * 600: torch.ones(1)})),
        "longer than",
    ),
    "delta with an escape in its name": (
        retensored(lambda t: t.update({"delta/\x1b[2J": torch.ones(1)})),
        "control character",
    ),
    # the document's bytes
    "JSON truncated": (rebytes(J, lambda d: d[:-3]), "damaged"),
    "JSON empty": (rebytes(J, lambda d: b""), "damaged"),
    "JSON bit flipped": (rebytes(J, lambda d: d.replace(b'"size": 8', b'"size": 9')), "checksum"),
    "JSON blank changed": (rebytes(J, lambda d: d + b"\n"), "checksum"),
    "JSON not UTF-8": (rebytes(J, lambda d: b"\xff" + d), "damaged"),
    "JSON a list": (rebytes(J, lambda d: b"[]"), "not a JSON object"),
    "JSON nested": (rebytes(J, lambda d: b"[" * 10**6), "damaged"),
    "JSON objects nested": (rebytes(J, lambda d: b'{"a":' * 10**5), "damaged"),
    "JSON of 17 MB": (sparse(J, 17 * 2**20), "at most"),
    "JSON a folder": (replaced_by_folder, "not a regular file"),
    "key twice": (rebytes(J, lambda d: d.replace(b"{", b'{"head": 1,', 1)), "key twice"),
    "no constant of JSON": (edited("metrics", "density", to=float("nan")), "NaN or Infinity"),
    "beyond float": (rebytes(J, lambda d: d.replace(b": 0.5", b": 1e999")), "NaN or Infinity"),
    "number of 5000 digits": (rebytes(J, lambda d: d.replace(b": 0.5", b"9" * 5000)), "damaged"),
    "another format": (edited("format", to="other"), "its 'format'"),
    "another JSON file": (rebytes(J, lambda d: b'{"model": "x"}'), "its 'format'"),
    "newer version": (edited("version", to=2), "version 2, newer than 1.*upgrade seam"),
    "much newer version": (edited("version", to=10**400), "upgrade seam"),
    "version 0": (edited("version", to=0), "version is not 1"),
    "version true": (edited("version", to=True), "'version'"),
    "version text": (edited("version", to="1"), "'version'"),
    "checksum empty": (
        rebytes(J, lambda d: re.sub(rb'"checksum": "\w+"', b'"checksum": ""', d)),
        "no checksum",
    ),
    "checksum of zeros": (
        rebytes(J, lambda d: re.sub(rb'"checksum": "\w+"', b'"checksum": "%s"' % (b"0" * 64), d)),
        "checksum",
    ),
    # the document's content
    "shape overflows, JSON": (edited("masks", "0.weight", to=[2**62, 2**62]), "cannot hold a mask"),
    "shape negative": (edited("masks", "0.weight", to=[-4, -3]), "positive integers"),
    "shape zero": (edited("masks", "0.weight", to=[0, 2**70]), "positive integers"),
    "shape of text": (edited("masks", "0.weight", to="43"), "positive integers"),
    "shape of truths": (edited("masks", "0.weight", to=[True]), "positive integers"),
    "shape too deep": (edited("masks", "0.weight", to=[1] * 100 + [12]), "damaged"),
    "masks a list": (edited("masks", to=[]), "'masks'"),
    "mask with a line break": (edited("masks", "a\nb", to=[1]), "mask 'a b' is in"),
    "head unknown": (edited("head", to="eval"), "none of slice, append, replace"),
    "head a list": (edited("head", to=["append"]), "none of slice, append, replace"),
    "head missing in JSON": (edited("head", to=...), "none of slice, append, replace"),
    "fingerprint short": (edited("base", "fingerprint", to="ab"), "64 hex digits"),
    "fingerprint a number": (edited("base", "fingerprint", to=1), "'fingerprint'"),
    "members out of range": (edited("base", "members", 1, to=[3]), "out of range"),
    "members negative": (edited("base", "members", 1, to=[-1]), "out of range"),
    "members twice": (edited("base", "members", 1, to=[1]), "named twice"),
    "members missing": (edited("base", "members", to=[[0, 1]]), "do not fit"),
    "members empty": (edited("base", "members", to=[[0, 1], []]), "do not fit"),
    "members text": (edited("base", "members", to=["ab", "c"]), "lists of numbers"),
    "labels without end": (edited("base", "label_count", to=10**12), "out of range"),
    "details a list": (edited("base", "details", to=[]), "'details'"),
    "problem kind": (edited("problem", "kind", to="other"), "problem kind is 'other'"),
    "one output": (edited("problem", "outputs", to=["pets"]), "damaged"),
    "outputs a text": (edited("problem", "outputs", to="ab"), "'outputs'"),
    "label a number": (edited("problem", "labels", 1, to=[1]), "no string"),
    "label with an escape": (edited("problem", "labels", 1, to=["\x1b[2J"]), "control character"),
    "label with half a pair": (edited("problem", "labels", 1, to=["\ud800"]), "half a character"),
    "label twice": (edited("problem", "labels", 1, to=["cat"]), "named twice"),
    "size a text": (edited("preprocessing", "size", to="8"), "'size'"),
    "size huge": (edited("preprocessing", "size", to=10**9), "from 1 to 4096"),
    "crop tiny": (edited("preprocessing", "crop_fraction", to=1e-9), "crop"),
    "mean of text": (edited("preprocessing", "mean", to=["0", "0", "0"]), "than numbers"),
    "mean missing": (edited("preprocessing", "mean", to=...), "'mean'"),
    "preprocessing key": (edited("preprocessing", "code", to="import os"), "unknown keys"),
    "interpolation": (edited("preprocessing", "interpolation", to="other"), "interpolation"),
    "density wrong": (edited("density", "kept", to=1), "'density' does not fit"),
    "config a list": (edited("config", to=[]), "'config'"),
    "tensors missing": (rebytes(J, lambda d: d.replace(b'"tensors"', b'"tensorz"')), "checksum"),
}


@pytest.mark.parametrize(("damage", "match"), HOSTILE.values(), ids=HOSTILE)
def test_damaged_and_hostile_files_are_refused(
    folder: Path, damage: Callable[[Path], object], match: str
) -> None:
    damage(folder)
    with pytest.raises(AdapterError, match=match) as caught:
        load_adapter(folder)
    message = str(caught.value)
    assert message.isprintable()  # one line, nothing that a terminal obeys
    assert len(message) < 600
    assert f"{folder}/adapter." in message  # which file
    assert "; " in message  # and what to do


def test_a_folder_that_is_no_adapter_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"holds no adapter\.json; give .*/adapter$"):
        load_adapter(tmp_path)
    for place in (tmp_path / "nowhere", folder / "README.md"):
        with pytest.raises(AdapterError, match="is not an adapter folder"):
            load_adapter(place)


def test_an_unknown_key_and_a_missing_card_do_no_harm(folder: Path) -> None:
    edited("later", to={"new": 1})(folder)
    (folder / "README.md").unlink()
    assert_same(load_adapter(folder), tiny())


def test_the_seal_of_these_tests_is_the_one_of_the_package(folder: Path) -> None:
    seal(folder, document_of(folder))
    assert_same(load_adapter(folder), tiny())


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_changed_byte_goes_unnoticed(
    tmp_path_factory: pytest.TempPathFactory, saved: dict[str, bytes], data: st.DataObject
) -> None:
    folder = filled(tmp_path_factory.getbasetemp() / "fuzzed", saved)
    file = folder / data.draw(st.sampled_from([J, T]))
    old = file.read_bytes()
    at = data.draw(st.integers(0, len(old) - 1))
    new = data.draw(
        st.one_of(
            st.just(old[:at]),
            st.integers(1, 255).map(lambda x: old[:at] + bytes([old[at] ^ x]) + old[at + 1 :]),
            st.binary(min_size=1, max_size=4).map(lambda more: old[:at] + more + old[at:]),
        )
    )
    file.write_bytes(new)
    with pytest.raises(AdapterError):
        load_adapter(folder)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_forged_documents_give_an_adapter_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, saved: dict[str, bytes], data: st.DataObject
) -> None:
    folder = filled(tmp_path_factory.getbasetemp() / "fuzzed", saved)
    document = document_of(folder)
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            place[key] = data.draw(VALUES)
            break
        place = inner
    seal(folder, document)
    load_or_refuse(folder)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_forged_tensors_give_an_adapter_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, saved: dict[str, bytes], data: st.DataObject
) -> None:
    folder = filled(tmp_path_factory.getbasetemp() / "fuzzed", saved)
    file = folder / T
    old = file.read_bytes()
    at = data.draw(st.integers(0, len(old) - 1))
    more = data.draw(st.binary(max_size=8))
    file.write_bytes(old[:at] + more + old[at + len(more) :])
    seal(folder, document_of(folder))
    load_or_refuse(folder)


def load_or_refuse(folder: Path) -> None:
    with suppress(AdapterError):
        model_card(load_adapter(folder))


# ---------------------------------------------------------------------------- what is not saved


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"metrics": {"loss": float("nan")}}, "JSON"),
        ({"config": {"path": Path("x")}}, "JSON serializable"),
        ({"head": {"linear.bias": torch.zeros(2)}}, "head has tensors"),
        ({"masks": {"w": torch.ones(2)}}, "not of type bool"),
        ({"delta": {"0.bias": torch.ones(9)}}, "another shape than its mask"),
        ({"delta": {"w": torch.tensor([float("nan")])}}, "NaN"),
        ({"seam": "0.1\n"}, "control character"),
    ],
    ids=str,
)
def test_an_adapter_is_checked_when_built(change: dict[str, Any], match: str) -> None:
    with pytest.raises(AdapterError, match=match):
        replace(tiny(), **change)


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failed_write_leaves_the_old_adapter(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    before = contents(folder)
    newer = replace(tiny(), metrics={"density": 0.25})
    real = getattr(os, call)
    for failing in range(1, 5):
        calls = 0

        def fail(*args: Any, _failing: int = failing, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == _failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(*args, **named)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fail)
            if failing > 2 and call == "rename":
                break  # a replacement takes two renames
            with pytest.raises(RunFolderError, match=r"adapter' cannot be written.*disk space"):
                save_adapter(newer, folder)
        assert contents(folder) == before
        assert [entry.name for entry in folder.parent.iterdir()] == ["adapter"]
    save_adapter(newer, folder)
    assert_same(load_adapter(folder), newer)


def test_a_killed_replacement_leaves_the_old_adapter_readable(folder: Path) -> None:
    folder.rename(folder.parent / ".adapter.old")  # killed between the two renames
    assert_same(load_adapter(folder), tiny())
    save_adapter(tiny(), folder)
    assert [entry.name for entry in folder.parent.iterdir()] == ["adapter"]


# ------------------------------------------------------------------------------------------ card


def front_matter(card: str) -> Mapping[str, Any]:
    _, text, _ = card.split("---\n", 2)
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def test_card_states_problem_base_and_figures() -> None:
    base = BaseReference("hf:org/model-1", "ab" * 32, 3, ((0, 1), (2,)))
    card = model_card(replace(tiny(), base=base, metrics=METRICS), license="apache-2.0")
    assert front_matter(card) == {
        "base_model": "org/model-1",
        "base_model_relation": "adapter",
        "library_name": "seam",
        "license": "apache-2.0",
        "pipeline_tag": "image-classification",
        "tags": ["image-classification", "pruning", "seam"],
    }
    for words in ("pets", "cat, dog", "ab" * 32, "95.10 %", "94.00 to 96.00 %", "2000", "140000"):
        assert words in card
    assert len(card) < 3_000


def test_card_without_figures_has_no_table_of_them() -> None:
    for metrics in ({}, {"accuracy": 3}, {"accuracy": {"full": {"value": "x"}}, "macs": [1]}):
        card = model_card(replace(tiny(), metrics=metrics))
        assert "Accuracy" not in card
        assert "license: other" in card
        assert "base_model" not in card
    huge = {"weights": {"base": 10**400, "kept": True}}
    assert "weights" not in model_card(replace(tiny(), metrics=huge))


HOSTILE_LABELS = [
    "a|b|c",
    "---",
    "<script>alert(1)</script>",
    "![x](https://example.org/x.png)",
    "https://example.org www.example.org me@example.org",
    "`code`",
    "`|`",
    "\\",
    "**bold** _x_ ~~y~~",
    "# title",
    "&lt;b&gt;",
    "long " * 50,
    "'\"",
    "$x$",
    "ὅρος, школа, 山",
]


@pytest.mark.parametrize("label", HOSTILE_LABELS)
def test_labels_cannot_break_the_card(label: str) -> None:
    problem = Problem.groups({label: ["cat", "dog"], "rest": [label]})
    source = f"hf:{label}"
    base = BaseReference(source, "ab" * 32, 3, ((0, 1), (2,)))
    card = model_card(replace(tiny(), problem=problem, base=base, metrics={}))
    assert "base_model" not in front_matter(card)

    tokens = MarkdownIt("commonmark", {"linkify": False}).enable(["table", "strikethrough"])
    found = tokens.parse(card.split("---\n", 2)[2])
    inline = [child for token in found for child in token.children or ()]
    assert {child.type for child in inline} <= {"text", "code_inline", "softbreak", "text_special"}
    assert not any(token.type == "html_block" for token in found)
    assert sum(token.type == "tr_open" for token in found) == 3
    assert sum(token.type == "td_open" for token in found) == 4
    shown = " ".join(label.split())
    cells = [token.content for token in found if token.type == "inline"]
    rendered = [
        "".join(child.content for child in token.children or ())
        for token in found
        if token.type == "inline"
    ]
    assert cells
    assert any(text == (shown if len(shown) <= 60 else shown[:60] + "...") for text in rendered)


def test_card_of_a_thousand_outputs_stays_short() -> None:
    labels = [f"label number {i}" for i in range(1000)]
    members = tuple((i,) for i in range(1000))
    adapter = replace(
        tiny(),
        problem=Problem.subset(labels),
        base=BaseReference("timm:mobilenetv2_100.ra_in1k", "ab" * 32, 1000, members),
        head_kind="slice",
        head={"bias": torch.zeros(1000)},
    )
    card = model_card(adapter)
    assert len(card) < 3_000
    assert front_matter(card)["base_model"] == "timm/mobilenetv2_100.ra_in1k"


def test_points_that_were_stored_whole_are_still_read(tmp_path: Path) -> None:
    """Until channels came, tuned values were stored in full, removed ones too."""
    from seam.artefacts.checkpoint import packed, unpacked

    mask = torch.tensor([[False, True], [False, True]])
    snapshot = {"mask/fc.weight": mask, "delta/fc.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]])}
    tensors, shapes = packed(snapshot)
    assert tensors["delta/fc.weight"].tolist() == [2.0, 4.0]
    tensors["delta/fc.weight"] = snapshot["delta/fc.weight"]
    found = unpacked(tensors, shapes, tmp_path)
    assert torch.equal(found["delta/fc.weight"], snapshot["delta/fc.weight"])
