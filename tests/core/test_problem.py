"""Problems: which labels are found, and what is refused with which words."""

from __future__ import annotations

import json

import pytest

from seam.core.problem import LabelIndex, Problem, canonical
from seam.errors import ConfigError, LabelError

LABELS = ("airplane", "ship", "truck", "School_bus", "tench, Tinca tinca", "crane", "crane")


def test_outputs_and_members_of_each_kind() -> None:
    assert Problem.subset(["ship", "airplane"]).members(LABELS) == ((1,), (0,))
    assert Problem.one_vs_rest("ship").members(LABELS) == ((0, 2, 3, 4, 5, 6), (1,))
    groups = Problem.groups({"road": ["truck", "School_bus"], "air": "airplane"})
    assert groups.outputs == ("road", "air")
    assert groups.members(LABELS) == ((2, 3), (0,))


def test_new_labels_are_counted_among_themselves() -> None:
    roses = Problem.new_labels(["rose", "Tulip", "oak"])
    assert roses.outputs == roses.named == ("rose", "Tulip", "oak")
    assert roses.counted(LABELS) == (roses.outputs, ((0,), (1,), (2,)))
    assert roses.references(LABELS) == ((), (), ())
    with pytest.raises(LabelError, match=r"none of the base model's; use seam\.transfer"):
        roses.members(LABELS)
    with pytest.raises(LabelError, match="label 'rose' is named twice"):
        Problem.new_labels(["rose", "tulip", "ROSE"])
    with pytest.raises(LabelError, match="control character"):
        Problem.new_labels(["rose", "tu\nlip"])
    with pytest.raises(ConfigError, match="new labels stand for"):
        Problem("new-labels", ("rose", "tulip"), (("rose",), ("tulip",)))


def test_one_label_means_against_the_rest_and_several_a_subset() -> None:
    assert Problem.of(["ship"]) == Problem.one_vs_rest("ship")
    assert Problem.of(["ship", "truck"]) == Problem.subset(["ship", "truck"])


@pytest.mark.parametrize(
    "problem",
    [
        Problem.one_vs_rest("ship"),
        Problem.subset(["ship", "truck"]),
        Problem.groups({"a": ["ship", "truck"], "b": ["airplane"]}),
        Problem.new_labels(["rose", "tulip"]),
    ],
    ids=lambda problem: problem.kind,
)
def test_problem_survives_json(problem: Problem) -> None:
    assert Problem.from_dict(json.loads(json.dumps(problem.to_dict()))) == problem


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("truck", 2),
        (" TRUCK ", 2),
        ("school bus", 3),
        ("School_Bus", 3),
        ("tench", 4),
        ("tinca tinca", 4),
        ("Tench, Tinca tinca", 4),
        ("tench, a fish", 4),
    ],
)
def test_labels_match_but_for_case_underscores_and_synonyms(name: str, number: int) -> None:
    assert LabelIndex(LABELS, owner="the base model").find(name) == number


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("truk", "'truk' is not among the base model's 7 labels; did you mean 'truck'?"),
        ("AIRPLAN", "did you mean 'airplane'?"),
        ("zzz", r"7 labels \(airplane, ship, truck, "),
        ("crane", r"stands for 2 of the base model's labels \(numbers 5, 6\)"),
        ("", "is not among"),
    ],
)
def test_unknown_and_ambiguous_labels_are_refused(name: str, words: str) -> None:
    with pytest.raises(LabelError, match=words) as caught:
        Problem.one_vs_rest(name).members(LABELS)
    assert "\n" not in str(caught.value)


def test_an_exact_name_wins_over_a_synonym() -> None:
    index = LabelIndex(["sunglasses, shades", "shades"], owner="the data")
    assert index.find("shades") == 1
    assert index.get("hat") is None


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([], "no labels were named"),
        (["ship", "truck", "Ship"], "named twice"),
        (["school_bus", "School Bus"], "named twice"),
    ],
)
def test_wrong_lists_of_labels_are_refused(labels: list[str], words: str) -> None:
    with pytest.raises(LabelError, match=words):
        Problem.of(labels)


def test_two_names_of_one_base_label_are_refused() -> None:
    problem = Problem.groups({"a": ["tench", "ship"], "b": ["Tinca tinca"]})
    with pytest.raises(LabelError, match="'tench' and 'Tinca tinca' are the same label"):
        problem.members(LABELS)


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"a": ["ship", "truck"]}, r"has 1 class \(a\); name at least two"),
        ({}, "has 0 class"),
        ({"a": ["ship"], "b": []}, "group 'b' holds no labels"),
        ({"a": ["ship"], "b": ["truck", "SHIP"]}, "label 'ship' is named twice"),
    ],
)
def test_wrong_groups_are_refused(groups: dict[str, list[str]], words: str) -> None:
    with pytest.raises(LabelError, match=words):
        Problem.groups(groups)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "a\u202eb", "\x85", "\ud800"], ids=ascii)
def test_names_that_could_break_a_terminal_are_refused(name: str) -> None:
    builders = (
        lambda: Problem.one_vs_rest(name),
        lambda: Problem.subset(["ship", name]),
        lambda: Problem.groups({name: ["ship"], "b": ["truck"]}),
        lambda: Problem.groups({"a": ["ship", name], "b": ["truck"]}),
    )
    for build in builders:
        with pytest.raises(LabelError, match="control character") as caught:
            build()
        assert str(caught.value).isprintable()


def test_the_only_label_has_no_rest() -> None:
    with pytest.raises(LabelError, match="'ship' is the base model's only label"):
        Problem.one_vs_rest("ship").members(["ship"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "groupz"}, "problem kind is 'groupz'; give one of subset, one-vs-rest, groups"),
        ({"labels": [["ship"]]}, "2 outputs but labels for 1"),
        ({"kind": "one-vs-rest"}, r"outputs of \[1, 1\] labels; expected \[0, 1\]"),
    ],
)
def test_values_that_contradict_each_other_are_refused(
    change: dict[str, object], words: str
) -> None:
    values = Problem.subset(["ship", "truck"]).to_dict()
    with pytest.raises(ConfigError, match=words):
        Problem.from_dict({**values, **change})


def test_outputs_need_names_of_their_own() -> None:
    with pytest.raises(LabelError, match="two groups have the same name"):
        Problem("groups", ("a", "a"), (("ship",), ("truck",)))


def test_canonical_form_is_stable() -> None:
    assert canonical(canonical(" A_b  C ")) == canonical(" A_b  C ") == "a b c"
