"""Statistics on known numbers, and who has a turn when."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seam.errors import ConfigError
from seam.evaluation.timing import Budget, Comparison, Spread, compare, turns

TIMES = st.lists(st.floats(0.001, 1000), min_size=2, max_size=30)


def test_the_figures_of_known_times() -> None:
    base, result = [10.0, 20.0, 30.0, 40.0, 50.0], [5.0, 5.0, 15.0, 40.0, 45.0]
    assert Comparison(base, result).to_dict() == {
        "base_ms": 30.0,
        "result_ms": 15.0,
        "ratio": 0.5,
        "iqr": [0.5, 0.9],  # of 0.5, 0.25, 0.5, 1.0, 0.9
        "base_iqr_ms": [20.0, 40.0],
        "result_iqr_ms": [5.0, 40.0],
        "rounds": 5,
    }


def test_one_slow_round_does_not_matter() -> None:
    found = Comparison([10.0] * 9 + [500.0], [5.0] * 10).to_dict()
    assert (found["ratio"], found["iqr"]) == (0.5, [0.5, 0.5])


@given(TIMES)
def test_quartiles_are_in_order_and_in_range(times: list[float]) -> None:
    found = Spread.of(times)
    slack = 1e-9 * max(times)
    ordered = [min(times), found.low, found.median, found.high, max(times)]
    assert all(a <= b + slack for a, b in pairwise(ordered))
    assert found.n == len(times)


def test_turns_alternate_and_their_order_swaps() -> None:
    calls: list[str] = []
    budget = Budget(rounds=4, seconds=0.0, turn_ms=0.0, warm_up=0)
    turns([lambda: calls.append("base"), lambda: calls.append("result")], budget)
    order = "".join(name[0] for name in calls[6:])  # the first six say how long a call is
    assert order == "brrbbrrb"


def test_short_calls_are_repeated_after_one_that_is_not_timed() -> None:
    counts = {"long": 0, "short": 0}

    def call(name: str, seconds: float) -> None:
        counts[name] += 1
        time.sleep(seconds)

    budget = Budget(rounds=2, seconds=0.0, turn_ms=8.0, warm_up=1)
    found = turns([lambda: call("long", 0.02), lambda: call("short", 0.001)], budget)
    assert counts["long"] == 1 + 3 + 2
    assert counts["short"] >= 1 + 3 + 2 * (1 + 2)
    assert min(found[0]) > 2 * min(found[1])  # of one call, not of a turn


@pytest.mark.parametrize(
    ("rounds", "seconds", "over"),
    [(19, 5.0, False), (20, 1.0, False), (20, 2.0, True), (4, 99.0, False), (5, 20.0, True)],
)
def test_when_a_budget_is_over(rounds: int, seconds: float, over: bool) -> None:
    assert Budget().is_over(rounds, seconds) is over


def test_what_cannot_be_a_budget() -> None:
    with pytest.raises(ConfigError, match="give at least 2 rounds"):
        Budget(rounds=1)


def test_more_work_takes_longer(brief: Budget, tries: range) -> None:
    def work(n: int) -> int:
        return sum(range(n))

    def ratio() -> float:
        found = compare(lambda: work(40_000), lambda: work(10_000), brief)
        return float(found.to_dict()["ratio"])

    assert any(ratio() < 0.8 for _ in tries)
