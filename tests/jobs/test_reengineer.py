"""Direct reuse from Python: report, result, base, seeds, and what the search cannot see."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import seam
from seam.core.preprocessing import Preprocessing
from seam.evaluation.accuracy import outputs_of, share_right
from seam.jobs import result as results
from seam.jobs import walk as walks
from seam.jobs.result import Result
from seam.jobs.task import Task
from seam.models.base import BaseModel
from seam.search import loop
from seam.search.samples import Batch

PROMISED = {
    *("problem", "preset", "accuracy", "density", "weights", "macs", "frontier", "seconds"),
    *("seed", "split_hash", "adapter_bytes"),
}
ADDED = {
    *(
        "processes",
        "per_label",
        "reference",
        "against_restricted",
        "removal",
        "size_bytes",
        "samples",
        "skipped",
    ),
    *("base", "device"),
    *("threads", "versions", "picked", "validation", "model"),
}
FIGURE = ["high", "low", "n", "value"]
PROBLEMS = {
    "subset": seam.Problem.subset(["3", "5", "8"]),
    "one-vs-rest": seam.Problem.one_vs_rest("7"),
    "groups": seam.Problem.groups({"round": ["0", "6", "8"], "straight": ["1", "4"], "7": "7"}),
}


@pytest.fixture(scope="module")
def base() -> BaseModel:
    return seam.load_base("zoo:digits")


def search(base: BaseModel, problem: seam.Problem, **settings: Any) -> Result:
    out = settings.pop("out", None)
    settings = {"epochs": 2, "preset_name": "default", **settings}
    return seam.reengineer(
        base, problem, "digits", out=out, settings=seam.plan(problem, **settings)
    )


@pytest.mark.parametrize("kind", PROBLEMS)
@pytest.mark.parametrize("preset", ["default", "bitmask", "paper"])
def test_report(kind: str, preset: str, base: BaseModel, tmp_path: Path) -> None:
    result = search(base, PROBLEMS[kind], preset_name=preset, out=tmp_path / "run")
    report = result.report
    assert set(report) == PROMISED | ADDED
    assert report["problem"] == PROBLEMS[kind].to_dict()
    assert report["problem"]["kind"] == kind
    assert report["preset"] == preset
    assert list(report["accuracy"]) == ["full", "restricted", "head_only", "reengineered"]
    for figure in (*report["accuracy"].values(), report["against_restricted"]["difference"]):
        assert sorted(figure) == FIGURE
        assert figure["low"] <= figure["value"] <= figure["high"]
        assert figure["n"] == report["samples"]["test"] == len(result.data.test)
    assert set(report["weights"]) >= {"base", "kept"}
    assert set(report["macs"]) >= {"base", "executed", "theoretical"}
    assert report["macs"]["theoretical"] <= report["macs"]["executed"]
    assert sorted(report["seconds"]) == ["search", "total"]
    for point in report["frontier"]:
        assert {"density", "validation_accuracy", "epoch"} <= set(point)
    sizes = [file.stat().st_size for file in (tmp_path / "run" / "adapter").iterdir()]
    assert report["adapter_bytes"] == sum(sizes)
    assert preset == "default" or sum(sizes) < 50_000  # what adapted travels with its masks
    assert sum(row["n"] for row in report["per_label"]) == report["samples"]["test"]
    assert report["density"] == result.adapter.density


@pytest.mark.parametrize(
    ("head", "tune", "kind"),
    [
        ("slice", "none", "subset"),
        ("slice", "norm", "one-vs-rest"),
        ("slice", "all", "groups"),
        ("append", "none", "one-vs-rest"),
        ("append", "norm", "groups"),
        ("append", "all", "subset"),
        ("replace", "none", "groups"),
        ("replace", "norm", "subset"),
        ("replace", "all", "one-vs-rest"),
    ],
)
def test_result_is_plain_and_the_base_is_untouched(head: str, tune: str, kind: str) -> None:
    base = seam.load_base("zoo:digits")
    base.module.train()
    base.module.bn2.eval()
    base.module.conv1.weight.requires_grad_(False)
    before = copy.deepcopy(base.module.state_dict())
    flags = [parameter.requires_grad for parameter in base.module.parameters()]
    modes = [each.training for each in base.module.modules()]

    result = search(base, PROBLEMS[kind], head=head, tune=tune, final_density=0.3, keep=0.5)

    assert [parameter.requires_grad for parameter in base.module.parameters()] == flags
    assert [each.training for each in base.module.modules()] == modes
    assert not any(map(parametrize.is_parametrized, base.module.modules()))
    for name, value in base.module.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.data_ptr() not in {p.data_ptr() for p in result.model.parameters()}

    assert isinstance(result.model, nn.Module)
    assert not any(map(parametrize.is_parametrized, result.model.modules()))
    assert not any(each.training for each in result.model.modules())
    parameters = dict(result.model.backbone.named_parameters())
    assert result.adapter.density < 0.5
    for name, mask in result.adapter.masks.items():
        assert parameters[name][~mask].eq(0).all()
    kept = sum(int(value.count_nonzero()) for value in result.model.parameters())
    assert kept <= result.report["weights"]["kept"]


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_recorded_figures_are_the_adapters(preset: str, base: BaseModel, tmp_path: Path) -> None:
    result = search(base, PROBLEMS["subset"], preset_name=preset, epochs=3, out=tmp_path)
    model = seam.apply_adapter(seam.load_adapter(tmp_path / "adapter"), base)
    validation = result.data.search.validation
    found = share_right(outputs_of(model, validation).argmax(1), validation.targets)
    assert found.value == result.report["validation"]["reengineered"]
    epoch = result.report["picked"]["epoch"]
    point = next(point for point in result.frontier if point.epoch == epoch)
    assert found.value == point.validation_accuracy
    assert point.density == result.adapter.density
    right = outputs_of(model, result.data.test).argmax(1) == result.data.test.targets
    assert int(right.sum()) / len(right) == result.report["accuracy"]["reengineered"]["value"]
    again = seam.evaluate(tmp_path, base=base)
    assert {name: again[name] for name in again if name != "seconds"} == {
        name: result.report[name] for name in again if name != "seconds"
    }


class Untouchable:
    """Test samples that nobody may look at."""

    def __len__(self) -> int:
        raise AssertionError("the search asked how many test samples there are")

    @property
    def targets(self) -> Tensor:
        raise AssertionError("the search looked at the test labels")

    def shuffled(self, batch_size: int, *, seed: int, view: int | None = None) -> Iterator[Batch]:
        raise AssertionError("the search looked at test images")

    def ordered(self, batch_size: int, *, view: int | None = None) -> Iterator[Batch]:
        raise AssertionError("the search looked at test images")


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_a_result_has_a_threshold_of_its_own(granularity: str, base: BaseModel) -> None:
    problem = PROBLEMS["one-vs-rest"]
    settings = seam.plan(problem, granularity=granularity, epochs=1, validation=0.3, head_lr=0.0)
    task = Task(base, problem, "digits", settings)
    walk = walks.Walk(task, None, walks_observer())
    with torch.no_grad():
        walk.state.model.head.bias[0] += 9  # nearly nothing is a 7 now
    walk.run()
    validation, last = task.data.search.validation, walk.points[-1]
    outputs = outputs_of(walk.state.model, validation)
    cuts = torch.cat([outputs[:, 1] - outputs[:, 0] - 1e-4, torch.zeros(1)])
    right = [((outputs[:, 1] - outputs[:, 0] > cut) == validation.targets).sum() for cut in cuts]
    assert last.validation_accuracy == pytest.approx(int(max(right)) / len(validation))
    assert last.validation_accuracy > share_right(outputs.argmax(1), validation.targets).value
    own = walk.snapshot(last)["head/bias"] - walk.state.model.head.bias.detach()
    moved = (outputs + own).argmax(1)
    assert share_right(moved, validation.targets).value == last.validation_accuracy


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_precision_is_of_the_steps_alone(granularity: str, base: BaseModel) -> None:
    problem, found = PROBLEMS["one-vs-rest"], {}
    for precision in ("float32", "bfloat16"):
        settings = seam.plan(problem, granularity=granularity, epochs=4, precision=precision)
        walk = walks.Walk(Task(base, problem, "digits", settings), None, walks_observer())
        walk.run()
        kept = walk.state.tensors()
        floats = {value.dtype for value in kept.values() if value.is_floating_point()}
        assert floats == {torch.float32}
        found[precision] = kept
    assert any(not found["float32"][name].equal(found["bfloat16"][name]) for name in kept)


def test_the_base_teaches_views_in_the_precision_of_the_search(base: BaseModel) -> None:
    problem, found = PROBLEMS["one-vs-rest"], {}
    for precision in ("float32", "bfloat16"):
        settings = seam.plan(problem, granularity="channel", views=1, precision=precision)
        task = Task(base, problem, "digits", settings)
        teacher = task.objective().teacher
        assert teacher is not None
        found[precision] = teacher.answers(0)
        assert teacher.answers(None).equal(task.baselines.outputs(task.compared.train))
    assert found["bfloat16"].dtype == torch.float32
    torch.testing.assert_close(found["bfloat16"], found["float32"], atol=0.2, rtol=0.02)
    assert not found["bfloat16"].equal(found["float32"])


def test_a_graded_teacher_counts_by_how_often_it_is_right(base: BaseModel) -> None:
    problem, counted = PROBLEMS["one-vs-rest"], []
    settings = seam.plan(problem, graded=True, distill=0.9)
    for noise in (0.0, 0.15, 1e6):
        worse = replace(base, module=copy.deepcopy(base.module))
        torch.manual_seed(0)
        with torch.no_grad():
            for value in worse.module.parameters():
                value.add_(torch.randn_like(value), alpha=noise)
        task = Task(worse, problem, "digits", settings)
        objective = task.objective()
        right = task.compared.bars.accuracies["restricted"]
        assert objective.distill == pytest.approx(0.9 * max(0, 2 * right - 1) ** 2)
        counted.append(objective.distill)
    assert counted[0] > 0.8
    assert 0 < counted[1] < 0.8
    assert counted[2] == 0


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_test_data_is_out_of_reach(
    preset: str, base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = PROBLEMS["one-vs-rest"]
    settings = seam.plan(problem, preset_name=preset, epochs=2, distill=0.5)
    task = Task(base, problem, "digits", settings)
    assert set(vars(task.data.search)) == {"train", "validation"}
    monkeypatch.setattr(task, "data", replace(task.data, test=Untouchable()))
    walk = walks.Walk(task, None, walks_observer())
    walk.run()
    assert results.pick(walk.frontier, settings.pick, task.compared.bars).density <= 1
    with pytest.raises(AssertionError, match="the search"):
        results.finish(task, walk, None, 0.0)


def walks_observer() -> Any:
    from seam.jobs.observe import Silent

    return Silent()


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / "adapter").iterdir())}


def test_seeds(base: BaseModel, tmp_path: Path) -> None:
    runs = [
        search(base, PROBLEMS["one-vs-rest"], seed=seed, out=tmp_path / str(number))
        for number, seed in enumerate((3, 3, 4))
    ]
    assert bytes_of(tmp_path / "0") == bytes_of(tmp_path / "1")
    assert runs[0].report["split_hash"] == runs[1].report["split_hash"]
    assert runs[0].history == runs[1].history
    assert runs[0].report["split_hash"] != runs[2].report["split_hash"]
    assert runs[0].report["base"] == runs[2].report["base"]


def test_the_global_random_state_is_left_alone(base: BaseModel) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    search(base, PROBLEMS["subset"])
    assert torch.equal(torch.random.get_rng_state(), before)


def forbid(*_: object, **__: object) -> Any:
    raise AssertionError("a search was started")


def test_pick_again_needs_no_search(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = PROBLEMS["subset"]
    first = search(base, problem, epochs=6, final_density=0.02, levels=3, out=tmp_path)
    assert len(first.frontier) > 1
    monkeypatch.setattr(walks, "search", forbid)
    for point in first.frontier:
        rule = seam.Pick(rule="epoch", value=point.epoch)
        again = seam.pick_again(tmp_path, rule, base=base)
        assert again.report["picked"] == {
            "rule": "epoch",
            "value": point.epoch,
            "epoch": point.epoch,
        }
        assert again.report["density"] == point.density
        assert again.report["validation"]["reengineered"] == point.validation_accuracy
        assert again.report["frontier"] == first.report["frontier"]
        assert seam.load_adapter(tmp_path / "adapter").density == point.density
    smallest = first.frontier[-1]
    keep = seam.pick_again(tmp_path, seam.Pick(rule="keep", value=smallest.density), base=base)
    assert keep.report["density"] == smallest.density
    macs = seam.pick_again(tmp_path, seam.Pick(rule="keep_macs", value=smallest.macs), base=base)
    assert macs.report["density"] == smallest.density
    with pytest.raises(seam.SeamError, match="the smallest keeps"):
        seam.pick_again(tmp_path, seam.Pick(rule="keep", value=0.001), base=base)


def test_another_pick_of_the_same_call_needs_no_search(
    base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = PROBLEMS["subset"]
    first = search(base, problem, out=tmp_path, tolerance=0.5)
    monkeypatch.setattr(loop, "start", forbid)
    monkeypatch.setattr(loop, "batches_of", forbid)
    second = search(base, problem, out=tmp_path, epoch=first.frontier[-1].epoch)
    assert second.report["picked"]["epoch"] == first.frontier[-1].epoch
    assert second.history == first.history


def test_pick_again_refuses_another_base(base: BaseModel, tmp_path: Path) -> None:
    search(base, PROBLEMS["subset"], out=tmp_path)
    other = copy.deepcopy(base.module)
    other.fc.bias.data += 1
    changed = BaseModel(other, base.labels, base.preprocessing, base.source)
    with pytest.raises(seam.SeamError, match="give the weights it was made from"):
        seam.pick_again(tmp_path, seam.Pick(), base=changed)


def test_own_module_and_own_data(tmp_path: Path) -> None:
    """Neither has a name: the run folder cannot load them, and says so."""
    from seam.data.digits import load_digits

    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    base = BaseModel(module, tuple("0123456789"), Preprocessing(size=8, mean=(0.3,), std=(0.4,)))
    problem, data = PROBLEMS["subset"], load_digits()
    settings = seam.plan(problem, epochs=2, augment="none")
    result = seam.reengineer(base, problem, data, out=tmp_path, settings=settings)
    assert module.training
    with pytest.raises(seam.SeamError, match="pass it from Python as base="):
        seam.evaluate(tmp_path)
    with pytest.raises(seam.SeamError, match="own data, which its folder cannot load"):
        seam.evaluate(tmp_path, base=base)
    again = seam.evaluate(tmp_path, base=base, data=data)
    assert again["accuracy"] == result.report["accuracy"]
    assert again["validation"] == result.report["validation"]
    halved = data["test"].train_test_split(test_size=0.5, seed=0)
    other = seam.evaluate(tmp_path, base=base, data={"train": data["train"], **halved})
    assert other["samples"]["test"] < again["samples"]["test"]
    assert "validation" not in other, "it would be read as of the other data"
    predictor = seam.load(tmp_path, base=base)
    picture = load_digits()["test"][0]["image"]
    found = predictor([picture, picture])
    assert found[0] == found[1]
    assert set(found[0]["probabilities"]) == {"3", "5", "8"}
    assert sum(found[0]["probabilities"].values()) == pytest.approx(1)


def test_an_adapter_holds_nothing_that_is_the_bases_own(base: BaseModel, tmp_path: Path) -> None:
    """The point before the first step has the base's values: they are not copied."""
    problem = PROBLEMS["subset"]
    settings = seam.plan(problem, epochs=1, shots=20, epoch=0)
    result = seam.reengineer(base, problem, "digits", out=tmp_path, settings=settings)
    assert result.report["density"] == 1
    assert result.adapter.delta == {}
    images = torch.randn(4, *base.example().shape[1:])
    assert seam.load(tmp_path, base=base).model(images).equal(result.model(images))
    searched = seam.plan(problem, epochs=1, shots=20, epoch=1)
    assert seam.reengineer(base, problem, "digits", settings=searched).adapter.delta


@pytest.mark.parametrize("exclude", ["conv1", [1]])
def test_layers_to_exclude_are_a_list_of_names(exclude: Any) -> None:
    with pytest.raises(seam.SeamError, match=r"exclude is .*1.*; give a list of names of layers"):
        seam.plan(PROBLEMS["subset"], exclude=exclude)


@pytest.mark.parametrize(
    ("problem", "given", "told"),
    [
        ("3", {}, r"the problem is '3'; give a Problem"),
        (PROBLEMS["subset"], {"rename": [("3", "5")]}, r"rename is .*; give a dictionary"),
        (PROBLEMS["subset"], {"skip_bad": "yes"}, "skip_bad is 'yes'; give true or false"),
        (PROBLEMS["subset"], {"epochs": "3"}, "epochs is '3'; give a whole number"),
    ],
)
def test_settings_of_a_wrong_kind_are_one_line(problem: Any, given: Any, told: str) -> None:
    with pytest.raises(seam.SeamError, match=told):
        seam.plan(problem, **given)


@pytest.mark.parametrize("given", ["3.png", 5, [5]])
def test_what_is_no_list_of_images_is_not_predicted(
    given: Any, base: BaseModel, tmp_path: Path
) -> None:
    search(base, PROBLEMS["groups"], out=tmp_path)
    with pytest.raises(seam.SeamError, match=r"is no list; give a list|is no image; give a file's"):
        seam.load(tmp_path, base=base)(given)


def test_predictions_equal_the_measured_ones(base: BaseModel, tmp_path: Path) -> None:
    from seam.data.digits import load_digits

    result = search(base, PROBLEMS["groups"], out=tmp_path)
    pictures = load_digits()["test"]
    members = {"0": 0, "6": 0, "8": 0, "1": 1, "4": 1, "7": 2}
    chosen = [row["image"] for row in pictures if str(row["label"]) in members][:30]
    found = seam.load(tmp_path, base=base)(chosen)
    outputs = result.adapter.problem.outputs
    expected = [outputs[i] for i in result.predictions["reengineered"][:30]]
    assert [row["label"] for row in found] == expected
