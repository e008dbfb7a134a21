"""The documents' tables are those that the committed results give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import channel_tables
import pytest
import search_tables
import tables

SHARE = {"value": 0.95, "low": 0.94, "high": 0.96, "n": 2000}
ENVIRONMENT = {"cpu": "x86_64", "threads": 1, "versions": {"torch": "2.15.0"}}


def share(value: float) -> dict[str, Any]:
    return {**SHARE, "value": value}


def run(problem: str, method: str, seed: int, value: float) -> dict[str, Any]:
    tested = {
        "density": 0.1,
        "accuracy": share(value),
        "restricted": SHARE,
        "against_restricted": {"value": value - 0.95, "low": -0.01, "high": 0.02, "n": 2000},
    }
    last = {"steps": 40, "cpu_seconds": 9.6, "lost": 0}
    return {
        "problem": problem,
        "method": method,
        "seed": seed,
        "samples": {"train": 9000, "validation": 1000, "test": 2000},
        "validation": {"full": 0.9, "restricted": 0.95},
        "points": [
            {"density": 0.2, "validation_accuracy": value - 0.03},
            {"density": 0.05, "validation_accuracy": value - 0.055},
            {**last, "density": 0.1, "validation_accuracy": value - 0.045},
        ],
        "settings": {"search": {"precision": "bfloat16" if method == "paper" else "float32"}},
        "hypervolume": {"density": value / 2, "macs": value / 3},
        "test": [{**tested, "size": None}, {**tested, "size": 0.1}],
        "environment": ENVIRONMENT,
    }


SEARCHES = [
    run("resnet20/airplane", "default", 0, 0.96),
    run("resnet20/airplane", "default", 1, 0.94),
    run("resnet20/ship", "default", 0, 0.97),
    run("resnet20/airplane", "paper", 0, 0.93),
]
del SEARCHES[-1]["test"][1]  # it came to no point so small
RESULTS: dict[str, Any] = {
    "paper_reference.json": {
        "environment": ENVIRONMENT,
        "definition": "epochs 1 and 2",
        "seed": 0,
        "largest_density_difference": 0.0123,
        "mean_accuracy_difference": -0.001,
        "mean_absolute_accuracy_difference": 0.004,
        "rows": [
            {"test_accuracy": share(value), "reference_accuracy": 0.94} for value in (1, 0.93, 0.95)
        ],
    },
    "mobilenet_vehicles.json": {
        "environment": ENVIRONMENT,
        "seed": 3,
        "seconds": 90,
        "peak_memory_bytes": 2.5e9,
        "weights_kept_share": 0.41,
        "config": {"epochs": 6},
        "report": {
            "accuracy": dict.fromkeys(tables.METHODS, SHARE),
            "against_restricted": {"difference": {**SHARE, "value": 0.01, "n": 500}},
            "density": 0.4,
            "macs": {"base": 300, "theoretical": 150, "executed": 300},
        },
    },
    "masked_step.json": {
        "environment": ENVIRONMENT,
        "rows": [
            {"model": "a", "plain_ms": 10, "masked_ms": 11, "ratio": 1.1, "iqr": 0.02, "n": 50},
            {"model": "b", "plain_ms": 10, "masked_ms": 12, "ratio": 1.2, "iqr": [1.1, 1.3]}
            | {"preset": "paper", "batch": 64, "pixels": 32, "memory_ratio": 1.25},
        ],
    },
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository with results and a document for each table."""
    folder = tmp_path / tables.RESULTS
    folder.mkdir(parents=True)
    for name, values in RESULTS.items():
        (folder / name).write_text(json.dumps(values))
    (folder / "search").mkdir()
    for number, values in enumerate(SEARCHES):
        (folder / "search" / f"{number}.json").write_text(json.dumps(values))
    return tmp_path


def rows(name: str, root: Path) -> list[list[str]]:
    lines = tables.render(name, root, root / "README.md").splitlines()
    return [[cell.strip() for cell in row[1:-1].split("|")] for row in lines if row[:1] == "|"]


def test_the_documents_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["--check"]) == 0, capsys.readouterr().out


def test_seeds_are_gathered_and_a_single_one_has_its_interval(root: Path) -> None:
    table = rows("reuse", root)
    assert len({len(row) for row in table}) == 1
    airplane, ship = (dict(zip(table[0], row, strict=True)) for row in table[2:])
    assert airplane["problem"] == "resnet20/airplane"
    assert airplane["accuracy"] == "95.00 (94.00 to 96.00)"  # two seeds: mean, range
    assert airplane["against restricted"] == "0.00 (-1.00 to 1.00)"
    assert airplane["seeds"] == "0, 1"
    assert ship["accuracy"] == "97.00 (94.00 to 96.00)"  # one seed: interval
    assert ship["picked: density"] == "10.00"
    assert ship["no worse than *full*: density"] == "5.00"
    assert airplane["no worse than *full*: density"] == "12.50 (5.00 to 20.00)"
    note = tables.render("reuse", root, root / "README.md").splitlines()[-1]
    for words in ("(n = 2,000)", "search/*.json", "x86_64", "threads: 1", "torch 2.15.0"):
        assert words in note


def test_the_comparison_has_a_row_for_each_method(root: Path) -> None:
    table = rows("searches", root)
    assert [row[1] for row in table[2:]] == ["default", "paper", "default"]
    paper = dict(zip(table[0], table[3], strict=True))
    assert (paper["hypervolume"], paper["by MACs"], paper["CPU seconds"]) == (
        "46.50",
        "31.00",
        "10",
    )
    assert paper["against restricted at 10 %"] == "no such point"
    text = tables.render("searches", root, root / "README.md")
    assert "Steps in bfloat16: resnet20/airplane with 9,000 images." in text


def test_runs_of_an_older_default_are_marked() -> None:
    former = {
        "preset": "default",
        "norm": "train",
        "precision": "float32",
        "rates": {"bound": None},
    }
    rates = {"bound": 1 / 64, "warmup": 50}
    bitmask = {**former, "preset": "bitmask", "norm": "recalibrate", "corrected": True}
    today = {**bitmask, "preset": "default", "graded": True, "rates": rates}
    settings = {
        "bitmask": bitmask,
        "default": {**today, "corrected": False},
        "default, statistics follow": {**today, "norm": "train"},
        "magnitude": former,
        "paper": {**former, "preset": "paper", "norm": "frozen"},
    }
    runs = [
        {**run("a", name, 0, 0.9), "settings": {"search": values}}
        for name, values in settings.items()
    ]
    table = search_tables.searches(runs)
    names = [row.split("|")[2].strip() for row in table.splitlines()[2:7]]
    assert names == ["bitmask", "default *", "default, statistics follow", "magnitude *", "paper"]
    assert "*: of an older default" in table
    assert "older" not in search_tables.searches([runs[0], *runs[2:3], *runs[4:]])


def test_problems_of_a_kind_have_a_mean() -> None:
    runs = [run(f"resnet20/{n}", "default", 0, 0.94 + i / 100) for i, n in enumerate("abc")]
    lines = search_tables.reuse(runs).splitlines()
    cells = [cell.strip() for cell in lines[5].split("|")[1:-1]]
    assert cells == [
        *("**mean of 3: resnet20, one label against the rest**", "9,000"),
        *("95.00 (95.00 to 95.00)", "11.67 (5.00 to 20.00)"),
        *("10.00 (10.00 to 10.00)", "95.00 (94.00 to 96.00)"),
        *("0.00 (-1.00 to 1.00)", "0.00 (-1.00 to 1.00)", "0"),
    ]
    groups = [{**each, "problem": f"mobilenetv2/{i}"} for i, each in enumerate(runs)]
    assert "mean of" not in search_tables.reuse(groups)  # named by what they hold, not by labels
    del runs[0]["test"][1]
    assert "not all have one" in search_tables.reuse(runs).splitlines()[5]


def test_who_chooses_is_shown_beside_what_it_takes() -> None:
    row = {
        "label": "ship",
        "samples": {"validation": 1000},
        "validation": {"full": 0.98, "restricted": 0.99},
        "picked": 1.0,
        "accuracy": dict.fromkeys(tables.METHODS, SHARE),
        "smallest": {
            "point": {"density": 0.1, "validation_accuracy": 0.94},
            "against_restricted": {"value": -0.01, "low": -0.02, "high": 0.0},
        },
    }
    rows = [{**row, "from": source} for source in ("train", "test")]
    values = {"rows": rows, "epochs": 8, "seed": 0, "precision": "bfloat16"}
    table = search_tables.unseen({**values, "environment": ENVIRONMENT})
    cells = [cell.strip() for cell in table.splitlines()[2].split("|")[1:-1]]
    assert cells == [
        *("the base was trained on them", "1,000", "98.00"),
        *("95.00 (94.00 to 96.00)", "95.00 (94.00 to 96.00)"),
        *("100.00", "10.00", "-5.00", "-1.00 (-2.00 to 0.00)"),
    ]
    assert "ship or not, 8 epochs, seed 0" in table


def test_seconds_are_held_against_the_published_search_on_as_many_images() -> None:
    runs = [{**run("a", name, 0, 0.9), "threads": 2} for name in ("default", "default", "paper")]
    for number, each in enumerate(runs):
        each["points"] = [{"epoch": 3, "steps": 40, "seconds": 10.0 * (number + 1)}]
        each["test"] = [{"epoch": 3}]
    runs[1]["samples"] = {"train": 500}
    table = search_tables.speed(runs).splitlines()[2:5]
    found = [[cell.strip() for cell in row.split("|")[2:8]] for row in table]
    assert found == [
        ["500", "default", "40", "20", "20", ""],
        ["9,000", "default", "40", "10", "10", "0.33"],
        ["9,000", "paper", "40", "30", "30", "1.00"],
    ]


def test_marks_are_counted_run_by_run() -> None:
    def run(gain: float, ratio: float | None) -> dict[str, Any]:
        cell = {"1": {"ratio": ratio}, "16": {"ratio": ratio}}
        return {
            "base": "zoo:cifar_resnet20",
            "against_restricted": {"difference": {"value": gain}},
            "macs": {"base": 100, "executed": 24},
            **({} if ratio is None else {"latency": {"openvino": cell}}),
        }

    table = channel_tables.marks([run(-0.001, 0.6), run(-0.009, None), run(0.003, 0.4)])
    found = [[cell.strip() for cell in row.split("|")[2:-1]] for row in table.splitlines()[2:6]]
    assert found == [
        ["points against restricted", "-0.50", "-0.23 (-0.90 to 0.30)", "2 of 3 runs"],
        ["macs", "25.00", "24.00 (24.00 to 24.00)", "3 of 3 runs"],
        ["time, openvino, batch 1", "65.00", "50.00 (40.00 to 60.00)", "2 of 2 networks"],
        ["time, openvino, batch 16", "50.00", "50.00 (40.00 to 60.00)", "1 of 2 networks"],
    ]


def test_the_reference_counts_from_its_second_row(root: Path) -> None:
    values = [row[1] for row in rows("paper-reference", root)[2:]]
    assert values == ["0.0123", "-0.10 (-1.00 to 1.00)", "0.40"]
    assert "2 epochs, seed 0" in tables.render("paper-reference", root, root / "README.md")


def test_the_large_model_and_the_step(root: Path) -> None:
    large = dict(rows("mobilenet-vehicles", root)[2:])
    assert large["restricted, test accuracy"] == "95.00 (94.00 to 96.00)"
    assert (large["weights kept"], large["peak memory, GB"]) == ("41.00", "2.50")
    assert rows("masked-step", root)[2:] == [
        ["a", "", "", "10.0", "11.0", "1.100 (0.020)", "not measured", "50"],
        ["b", "paper", "64 x 32 px", "10.0", "12.0", "1.200 (1.100 to 1.300)", "1.250", ""],
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("reuse", "searches"),
        *("paper-reference", "mobilenet-vehicles", "masked-step"),
    ],
)
def test_what_is_not_measured_says_so(name: str, tmp_path: Path) -> None:
    found = rows(name, tmp_path)
    assert found[2][0] == "not measured"
    assert len({len(row) for row in found}) == 1


def test_the_settings_come_from_the_code(tmp_path: Path) -> None:
    table = rows("presets", tmp_path)
    names = ["default", "bitmask", "paper, one-vs-rest", "paper, others", "default, channels"]
    assert table[0] == ["setting", *names]
    paper = {row[0]: row[3] for row in table}
    assert (paper["`pressure.alpha`"], paper["`rates.score`"]) == ("1", "0.05")


def test_the_picture_is_linked_where_there_is_one(tmp_path: Path) -> None:
    document = tmp_path / "docs" / "page.md"
    assert "not measured" in tables.render("picture", tmp_path, document)
    (tmp_path / tables.PICTURE).parent.mkdir(parents=True)
    (tmp_path / tables.PICTURE).touch()
    assert "(images/frontier.png)" in tables.render("picture", tmp_path, document)


def test_tables_are_written_and_a_stale_one_is_found(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = root / "README.md"
    document.write_text("# A\n\n<!-- table:masked-step -->\nold\n<!-- /table -->\n\nend\n")
    assert tables.main(["--root", str(root), "--check"]) == 1
    assert "README.md: out of date" in capsys.readouterr().out
    assert tables.main(["--root", str(root)]) == 0
    text = document.read_text()
    assert "| a |  |  | 10.0 | 11.0 |" in text
    assert text.startswith("# A\n")
    assert text.endswith("\nend\n")
    assert tables.main(["--root", str(root), "--check"]) == 0
    (root / tables.RESULTS / "masked_step.json").unlink()
    assert tables.main(["--root", str(root), "--check"]) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<!-- table:dominanze -->\n<!-- /table -->\n", "no table 'dominanze'"),
        ("<!-- table:masked-step -->\n", "no partner"),
        ("<!-- /table -->\n", "no partner"),
        ("<!-- table:reuse -->\n<!-- table:reuse -->\n<!-- /table -->\n", "no partner"),
    ],
)
def test_wrong_markers_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "README.md").write_text(text)
    with pytest.raises(ValueError, match=words):
        tables.main(["--root", str(tmp_path), "--check"])
