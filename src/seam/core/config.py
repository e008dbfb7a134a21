"""The settings of a search: frozen, checked when built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from seam.core.checks import at_least, build, is_number, one_of, require
from seam.core.pressure import Budget, Penalty

Tune = Literal["none", "norm", "all"]
Head = Literal["slice", "append", "replace"]
Precision = Literal["float32", "bfloat16"]
Granularity = Literal["weight", "channel"]
Norm = Literal["frozen", "train", "recalibrate"]
Cost = Literal["macs", "latency", "weights"]
Start = Literal["ones", "saliency", "magnitude-saliency"]
Weakness = Literal["attacks", "triggers"]


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Learning rates: of the scores, of the head, of what else is tuned.

    ``method`` moves the scores: ``adam`` (the paper's), or ``normalized`` (one step size for all,
    see `seam.search.optimizer`). Head and tuned parameters are moved by Adam, by about their rate a
    step. ``bound`` limits that for weights (tensors of two dimensions and more): a tensor's rate is
    halved until it is at most this share of the root mean square of what is kept of it. Rates of
    head and tuned parameters grow over the first ``warmup`` steps, or a fifth of all where less.
    """

    score: float = 0.05
    head: float = 0.1
    tune: float = 0.002
    method: Literal["adam", "normalized"] = "adam"
    bound: float | None = None
    warmup: int = 0

    def __post_init__(self) -> None:
        require(
            self.bound is None or (is_number(self.bound) and self.bound > 0),
            f"the most that a step moves weights is {self.bound}; give a share above 0, or none",
        )
        for name in ("score", "head", "tune"):
            at_least(f"learning rate '{name}'", getattr(self, name), 0)
        at_least("warm-up of the rates", self.warmup, 0, whole=True)
        one_of("score method", self.method, ("adam", "normalized"))

    def warmed(self, step: int, steps: int) -> float:
        """The share of its rate that a head or tuned parameter has at a step, the first being 1.

        >>> rates = Rates(warmup=50)
        >>> rates.warmed(1, 1000), rates.warmed(50, 1000), rates.warmed(2, 20)
        (0.02, 1.0, 0.5)
        """
        last = min(self.warmup, steps // 5)
        return min(1.0, step / last) if last else 1.0


@dataclass(frozen=True, kw_only=True)
class Channels:
    """How channels compete for the budget.

    A layer keeps a multiple of ``round_to`` channels. Scores are divided by what a channel costs,
    to the power ``price``: 0 is by score alone, 1 by score for what is paid. No layer keeps less
    than the share ``floor`` of what uniform narrowing to the same cost would leave it. The budget's
    ``cost`` is in multiply-accumulates; in weights, which is density; or in time: that of
    ``runtime`` for ``batch`` images.
    """

    round_to: int = 8
    price: float = 0.5
    floor: float = 0.0
    cost: Cost = "macs"
    runtime: str = "openvino"
    batch: int = 1

    def __post_init__(self) -> None:
        one_of("cost", self.cost, get_args(Cost))
        at_least("batch", self.batch, 1, whole=True)
        at_least("round", self.round_to, 1, whole=True)
        at_least("price", self.price, 0)
        require(
            is_number(self.floor) and 0 <= self.floor <= 1,
            f"floor is {self.floor}; give a share in [0, 1]",
        )


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Epochs behind the search: masks stay as they are, and all that is kept adapts.

    Plain momentum descent (0.9) with norm statistics of the data: ``rate`` is that of the base's
    own parameters, ``head_rate`` that of the head. What is removed stays removed.
    """

    epochs: int = 30
    rate: float = 0.005
    head_rate: float = 0.05
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        at_least("fine-tuning epochs", self.epochs, 1, whole=True)
        for name in ("rate", "head_rate", "weight_decay"):
            at_least(f"fine-tuning {name.replace('_', ' ')}", getattr(self, name), 0)


@dataclass(frozen=True, kw_only=True)
class Safer:
    """Show a ``share`` of each batch as a weakness of the base changes it, rightly labelled.

    ``attacks``: moved by at most ``epsilon`` (/255) a pixel, in ``steps``, so that what the base
    says of it changes most. ``epsilon`` is reached after ``warmup`` steps, or half of the search
    where that is sooner, and the look before the first step is at clean samples; a warm-up of 0 is
    none. Only points of the later half of what is left then are candidates. ``triggers``: with a
    small patch on it that makes the base give one output for any image.
    """

    against: Weakness = "attacks"
    share: float = 0.5
    epsilon: float = 8.0
    steps: int = 2
    warmup: int = 50

    def __post_init__(self) -> None:
        one_of("safer", self.against, get_args(Weakness))
        at_least("attack steps", self.steps, 1, whole=True)
        require(
            is_number(self.share) and 0 < self.share <= 1,
            f"attacked share is {self.share}; give a share in (0, 1]",
        )
        require(
            is_number(self.epsilon) and 0 < self.epsilon <= 255,
            f"epsilon is {self.epsilon}; give a number of pixel values (of 255), above 0",
        )
        at_least("warmup", self.warmup, 0, whole=True)


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Everything that decides a search, but the data.

    With ``views``, epochs show that many augmented views of the training samples in turn, and
    distillation takes the base's answers to the view that is shown; with none, each epoch's view is
    new, and the answers are those to the samples as they are. ``precision`` is that of the large
    products in the steps, and in the base's answers to views; all values that are kept, and every
    figure, are of float32 in any case. Each batch is computed in ``accumulate`` parts, whose
    gradients are added up: less memory for the same step, but that norm statistics are those of
    the parts.

    Where ``corrected``, what the base is wrong about is put right before it is distilled. Where
    ``graded``, ``distill`` is multiplied by the square of how much more often the base is right
    than wrong on validation samples.

    The running statistics of batch norms stay as they are (``norm`` is ``frozen``), follow the
    batches of the steps (``train``), or are measured anew before each point, too
    (``recalibrate``).

    >>> SearchConfig(epochs=3).batch_size
    64

    Raises:
        ConfigError: a value is out of range.
    """

    preset: str = "default"
    granularity: Granularity = "weight"
    epochs: int = 20
    batch_size: int = 64
    start: Start = "ones"
    pressure: Penalty | Budget = field(default_factory=Penalty)
    rates: Rates = field(default_factory=Rates)
    head: Head = "append"
    tune: Tune = "none"
    norm: Norm = "frozen"
    channels: Channels = field(default_factory=Channels)
    head_epochs: int = 0
    distill: float = 0.0
    corrected: bool = False
    graded: bool = False
    temperature: float = 1.0
    views: int = 0
    finetune: Finetune | None = None
    precision: Precision = "float32"
    accumulate: int = 1
    safer: Safer | None = None

    @property
    def all_epochs(self) -> int:
        """Epochs of search and fine-tuning together, where the search does not stop early."""
        return self.epochs + (self.finetune.epochs if self.finetune is not None else 0)

    @property
    def attacked(self) -> bool:
        """Whether attacks are shown that grow; under a penalty, which may end at any step, not."""
        against = self.safer.against if self.safer is not None else ""
        return against == "attacks" and isinstance(self.pressure, Budget)

    def ramp(self, samples: int) -> float:
        """The share of the epochs over which attacks that are shown grow; ``samples`` an epoch.

        >>> SearchConfig(epochs=10, pressure=Budget(), safer=Safer(warmup=10)).ramp(samples=640)
        0.1
        """
        if self.safer is None or not self.attacked:
            return 0.0
        return min(0.5, self.safer.warmup / (self.epochs * math.ceil(samples / self.batch_size)))

    def first_candidate(self, samples: int) -> float:
        """The epoch from which on points can be chosen: attacks were whole for long enough then.

        >>> SearchConfig(epochs=10, pressure=Budget(), safer=Safer(warmup=0)).first_candidate(640)
        5.0
        """
        return self.epochs * (1 + self.ramp(samples)) / 2 if self.attacked else 0.0

    def __post_init__(self) -> None:
        at_least("epochs", self.epochs, 1, whole=True)
        at_least("batch size", self.batch_size, 1, whole=True)
        at_least("head epochs", self.head_epochs, 0, whole=True)
        require(
            self.head_epochs != 1,
            "head epochs is 1, and then every epoch trains the head alone; give 0, or 2 or more",
        )
        at_least("views", self.views, 0, whole=True)
        at_least("parts of a batch", self.accumulate, 1, whole=True)
        require(
            is_number(self.temperature) and self.temperature > 0,
            f"temperature is {self.temperature}; give a value above 0",
        )
        require(
            is_number(self.distill) and 0 <= self.distill <= 1,
            f"distill is {self.distill}; give a share in [0, 1]",
        )
        for name in ("corrected", "graded"):
            value = getattr(self, name)
            require(isinstance(value, bool), f"{name} is {value}; give true or false")
        require(
            isinstance(self.pressure, Penalty | Budget),
            f"pressure is {self.pressure}; give a Penalty or a Budget",
        )
        nested: dict[str, type] = {"rates": Rates, "channels": Channels}
        optional: dict[str, type] = {"finetune": Finetune, "safer": Safer}
        for name, kind in (nested | optional).items():
            value = getattr(self, name)
            fits = isinstance(value, kind) or (value is None and name in optional)
            require(fits, f"{name} is {value}; give {kind.__name__}(...)")
        one_of("start", self.start, get_args(Start))
        require(
            self.start == "ones" or isinstance(self.pressure, Budget),
            "a penalty presses on scores that start at one; give start 'ones', or a budget",
        )
        one_of("granularity", self.granularity, get_args(Granularity))
        one_of("head", self.head, get_args(Head))
        one_of("tune", self.tune, get_args(Tune))
        one_of("norm", self.norm, get_args(Norm))
        one_of("precision", self.precision, get_args(Precision))
        require(
            (self.norm == "frozen" and self.finetune is None) or self.batch_size > 1,
            "a batch of one has no statistics to adapt to; give a batch size of 2 or more",
        )
        require(
            self.norm == "frozen" or self.tune != "none",
            "norm statistics can adapt only where norm layers are tuned; give tune 'norm' or 'all'",
        )
        require(
            self.granularity == "weight" or isinstance(self.pressure, Budget),
            "channels are searched under a budget; give preset 'default', or granularity 'weight'",
        )
        require(
            self.granularity == "weight" or self.start != "magnitude-saliency",
            "a channel has no magnitude to start from; give start 'saliency'",
        )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain values, for YAML and JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SearchConfig:
        """Inverse of :meth:`to_dict`; settings that are not given take their defaults.

        Raises:
            ConfigError: a value is out of range, or a name unknown.
        """
        given = dict(values)
        if "pressure" in given:
            kind = Penalty if "alpha" in given["pressure"] else Budget
            given["pressure"] = build(kind, given["pressure"])
        if "rates" in given:
            given["rates"] = build(Rates, given["rates"])
        if given.get("finetune") is not None:
            given["finetune"] = build(Finetune, given["finetune"])
        if given.get("safer") is not None:
            given["safer"] = build(Safer, given["safer"])
        if "channels" in given:
            given["channels"] = build(Channels, given["channels"])
        return build(cls, given)
