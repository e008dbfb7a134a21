"""What the user needs from a base model: which labels, told apart how."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from seam.errors import ConfigError, LabelError, nearest, some

Kind = Literal["subset", "one-vs-rest", "groups", "new-labels"]
# Control, line-separating and direction-changing characters; surrogates have no UTF-8.
UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """A target problem: over a base model's labels, or over new ones.

    >>> Problem.subset(["airplane", "ship"]).outputs
    ('airplane', 'ship')
    >>> Problem.one_vs_rest("airplane").outputs
    ('not airplane', 'airplane')
    >>> Problem.groups({"vehicle": ["airplane", "ship"], "animal": ["cat"]}).kind
    'groups'
    >>> Problem.new_labels(["rose", "tulip"]).labels
    ((), ())

    ``labels[i]`` holds the base labels that output ``i`` stands for; the first output of a
    one-vs-rest problem holds none, and stands for every label that is not named. New labels hold
    none at all: they are the data's own, and the base's play no part.

    Raises:
        LabelError: fewer than two outputs, an empty group, a label named twice, or a name that
            holds a control character.
        ConfigError: the kind is unknown, or does not fit the labels.
    """

    kind: Kind
    outputs: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(
                f"problem kind is '{self.kind}'; give one of {', '.join(get_args(Kind))}"
            )
        if len(self.outputs) != len(self.labels):
            raise ConfigError(
                f"the problem has {len(self.outputs)} outputs but labels for {len(self.labels)}; "
                "give labels for each"
            )
        for name in (*self.outputs, *(name for members in self.labels for name in members)):
            if UNSAFE.search(name):
                raise LabelError(
                    f"label {ascii(name)[:80]} holds a control character; give it another name"
                )
        if len(self.outputs) < 2:
            alone = self.kind != "new-labels"
            raise LabelError(
                f"the problem has {len(self.outputs)} class ({', '.join(self.outputs)}); "
                "name at least two" + ", or one label alone to tell it from the rest" * alone
            )
        self._check_sizes()
        counts = Counter(map(canonical, self.named))
        twice = [name for name, count in counts.items() if count > 1]
        if twice:
            raise LabelError(f"label '{twice[0]}' is named twice; name every label once")
        if len(set(self.outputs)) < len(self.outputs):
            raise LabelError("two groups have the same name; give every group its own")

    def _check_sizes(self) -> None:
        """That each output stands for as many labels as its kind of problem wants."""
        sizes = [len(members) for members in self.labels]
        if self.kind == "one-vs-rest":
            if sizes != [0, 1]:
                raise ConfigError(
                    f"one label against the rest has outputs of {sizes} labels; expected [0, 1]"
                )
        elif self.kind == "new-labels":
            if any(sizes):
                raise ConfigError(f"new labels stand for {sizes} base labels; expected none")
        elif 0 in sizes:
            empty = self.outputs[sizes.index(0)]
            raise LabelError(f"group '{empty}' holds no labels; name at least one")

    @classmethod
    def subset(cls, labels: Sequence[str]) -> Problem:
        """Tell the named labels apart; inputs are known to have one of them."""
        return cls("subset", tuple(labels), tuple((label,) for label in labels))

    @classmethod
    def one_vs_rest(cls, label: str) -> Problem:
        """Tell one label from all others: output 1 is the label, output 0 the rest."""
        return cls("one-vs-rest", (f"not {label}", label), ((), (label,)))

    @classmethod
    def groups(cls, groups: Mapping[str, Iterable[str] | str]) -> Problem:
        """Tell groups of labels apart; labels of one group are merged into one output.

        A group of one label may be that label alone: ``{"animal": "cat"}``.
        """
        members = ((each,) if isinstance(each, str) else tuple(each) for each in groups.values())
        return cls("groups", tuple(groups), tuple(members))

    @classmethod
    def new_labels(cls, labels: Sequence[str]) -> Problem:
        """Tell labels of new data apart, which the base model need not know."""
        return cls("new-labels", tuple(labels), tuple(() for _ in labels))

    @classmethod
    def of(cls, labels: Sequence[str]) -> Problem:
        """One label means one-vs-rest, several mean a subset."""
        if isinstance(labels, str):
            raise LabelError(f"the labels are a text, '{labels}'; give a list: ['{labels}']")
        if not labels:
            raise LabelError("no labels were named; give one (one-vs-rest) or several (a subset)")
        return cls.one_vs_rest(labels[0]) if len(labels) == 1 else cls.subset(labels)

    @property
    def named(self) -> tuple[str, ...]:
        """Every label that is named, output by output: samples of each are needed."""
        if self.kind == "new-labels":
            return self.outputs
        return tuple(label for members in self.labels for label in members)

    def to_dict(self) -> dict[str, Any]:
        """The problem as plain values, for YAML and JSON."""
        return {
            "kind": self.kind,
            "outputs": list(self.outputs),
            "labels": [list(members) for members in self.labels],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Problem:
        """Inverse of :meth:`to_dict`."""
        return cls(
            values["kind"],
            tuple(values["outputs"]),
            tuple(tuple(members) for members in values["labels"]),
        )

    def counted(
        self, base_labels: Sequence[str]
    ) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        """The labels that samples are counted in, and the numbers of those each output stands for.

        >>> Problem.subset(["c", "a"]).counted(["a", "b", "c"])
        (('a', 'b', 'c'), ((2,), (0,)))
        >>> Problem.new_labels(["x", "y"]).counted(["a", "b", "c"])
        (('x', 'y'), ((0,), (1,)))

        Raises:
            LabelError: as `members`, where it is the base's labels that are counted in.
        """
        if self.kind == "new-labels":
            return self.outputs, tuple((i,) for i in range(len(self.outputs)))
        return tuple(base_labels), self.members(base_labels)

    def members(self, base_labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """The indices into ``base_labels`` that each output stands for.

        >>> Problem.one_vs_rest("b").members(["a", "b", "c"])
        ((0, 2), (1,))

        Raises:
            LabelError: a label is not among ``base_labels`` (the message names the nearest), or
                two of the problem's are the same one there; or they are new labels.
        """
        if self.kind == "new-labels":
            raise LabelError("new labels stand for none of the base model's; use seam.transfer")
        named = list(self.references(base_labels))
        if self.kind == "one-vs-rest":
            rest = tuple(i for i in range(len(base_labels)) if i not in named[1])
            if not rest:
                raise LabelError(f"'{self.outputs[1]}' is the base model's only label")
            named[0] = rest
        return tuple(named)

    def references(self, base_labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """The indices into ``base_labels`` that each output names: none for a rest or a new label.

        >>> Problem.one_vs_rest("b").references(["a", "b", "c"])
        ((), (1,))

        Raises:
            LabelError: as `members`.
        """
        index = LabelIndex(base_labels, owner="the base model")
        named = [tuple(index.find(label) for label in members) for members in self.labels]
        by_number: dict[int, str] = {}
        for label in (label for members in self.labels for label in members):
            first = by_number.setdefault(index.find(label), label)
            if first != label:
                raise LabelError(
                    f"'{first}' and '{label}' are the same label of the base model, "
                    f"'{base_labels[index.find(label)]}'; name it once"
                )
        return tuple(named)


def canonical(label: str) -> str:
    """The form in which labels are compared: case, underscores and outer spaces do not count.

    >>> canonical(" School_bus")
    'school bus'
    """
    return " ".join(label.replace("_", " ").casefold().split())


class LabelIndex:
    """Finds labels by name, forgiving case and underscores; 'tench' finds 'tench, Tinca tinca'.

    >>> LabelIndex(["cat", "School bus"], owner="the data").find("school_bus")
    1
    """

    def __init__(self, labels: Sequence[str], *, owner: str) -> None:
        self.labels = list(labels)
        self.owner = owner
        self._whole: dict[str, list[int]] = {}
        self._synonyms: dict[str, list[int]] = {}
        for i, label in enumerate(labels):
            self._whole.setdefault(canonical(label), []).append(i)
            for synonym in {canonical(part) for part in label.split(",")}:
                self._synonyms.setdefault(synonym, []).append(i)

    def get(self, label: str) -> int | None:
        """The index of ``label``, or None where it is unknown; ambiguity is an error."""
        for part in (label, label.partition(",")[0]):
            for table in (self._whole, self._synonyms):
                found = table.get(canonical(part), [])
                if len(found) > 1:
                    raise LabelError(
                        f"label '{label}' stands for {len(found)} of {self.owner}'s labels "
                        f"(numbers {', '.join(map(str, found))}); "
                        "give a labels file with unique names"
                    )
                if found:
                    return found[0]
        return None

    def find(self, label: str) -> int:
        """The index of ``label``.

        Raises:
            LabelError: it is unknown; the message names the nearest.
        """
        found = self.get(label)
        if found is None:
            raise LabelError(
                f"label '{label}' is not among {self.owner}'s {len(self.labels)} labels"
                + (nearest(label, self.labels, count=2) or f" ({some(self.labels, limit=10)})")
            )
        return found
