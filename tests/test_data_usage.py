"""`gxt data`, and what `gxt diff` says of data."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

from gxt import catalog, comparison, recorder
from gxt.datasets import usage
from gxt.git import Repository
from gxt.model import Run
from helpers import run_python

Saw = Callable[..., str]


@pytest.fixture
def saw(repo: Repository) -> Saw:
    """`saw("a", "data.csv", trips="b.csv")`: record a run that saw datasets, some under names of its own; its id."""

    def record(name: str, *inputs: Any, experiment: str = "taxi", **named: Any) -> str:
        run = recorder.begin(repo, experiment, name=name)
        for dataset in inputs:
            run.log_input(dataset, context="train")
        for called, dataset in named.items():
            run.log_input(dataset, name=called)
        run.end()
        return run.run_id

    return record


def here(repo: Repository, run_id: str) -> dict[str, str]:
    return {one.name: one.here for one in usage.inputs(repo, catalog.find(repo, run_id))}


def test_whether_data_is_still_here(repo: Repository, work: Path, saw: Saw, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "data").mkdir()
    for name in ("a.csv", "b.csv", "other.txt"):
        (work / "data" / name).write_text(f"x\n{name}\n")
    url = "https://example.com/c.csv"
    run_id = saw("a", "data", "data/*.csv", "data/other.txt", numpy.zeros(2), url)
    expected = {"data": "same", "*.csv": "same", "other.txt": "same", "array": "in memory", "c.csv": "elsewhere"}
    assert here(repo, run_id) == expected
    monkeypatch.chdir(work / "data")  # from wherever one asks
    (work / "data" / "other.txt").write_text("x\nother.tXt\n")
    assert here(repo, run_id) == expected | {"data": "changed", "other.txt": "changed"}
    (work / "data" / "other.txt").unlink()
    (work / "data" / "b.csv").unlink()
    assert here(repo, run_id) == expected | {"data": "changed", "*.csv": "changed", "other.txt": "gone"}


def test_a_folder_with_a_link_that_may_not_be_followed(
    repo: Repository, work: Path, tmp_path: Path, saw: Saw, powerless: list[str]
) -> None:
    (work / "data").mkdir()
    (work / "data" / "a.csv").write_text("x\n")
    saw("a", "data")
    (tmp_path / "theirs").mkdir()
    (work / "data" / "b.csv").symlink_to(tmp_path / "theirs" / "b.csv")
    (tmp_path / "theirs").chmod(0)
    command = [*powerless, sys.executable, "-m", "gxt"]
    shown = subprocess.run([*command, "data", "@last", "--json"], capture_output=True, text=True, check=True)
    logged = subprocess.run([*command, "log", "--input", "data"], capture_output=True, text=True, check=False)
    (tmp_path / "theirs").chmod(0o700)
    assert json.loads(shown.stdout)["inputs"][0]["here"] == "unreadable"
    assert logged.returncode == 2 and "b.csv' cannot be read: Permission denied" in logged.stderr


def test_which_runs_saw_the_same_data(repo: Repository, work: Path, saw: Saw) -> None:
    (work / "one.csv").write_text("x\n1\n")
    (work / "copy.csv").write_text("x\n1\n")
    (work / "two.csv").write_text("x\n2\n")
    first = saw("first", "one.csv")
    saw("second", "copy.csv", experiment="bikes")
    saw("third", "two.csv", experiment="bikes")
    (one,) = usage.inputs(repo, catalog.find(repo, first))
    assert [run.name for run in one.others] == ["second"]
    by_name = {found.names: [run.name for run in found.runs] for found in usage.known(repo)}
    assert by_name == {("two.csv",): ["third"], ("copy.csv", "one.csv"): ["second", "first"]}
    assert [found.names for found in usage.known(repo, ["bikes"])] == [("two.csv",), ("copy.csv",)]


def test_the_command(repo: Repository, work: Path, saw: Saw) -> None:
    assert "no run has recorded an input" in run_python("-m", "gxt", "data").stderr
    (work / "one.csv").write_text("x\n1\n")
    first, second = saw("first", "one.csv"), saw("second", "one.csv")
    shown = run_python("-m", "gxt", "data", "first").stdout
    assert "same" in shown and "second" in shown
    found = json.loads(run_python("-m", "gxt", "data", "first", "--json").stdout)
    assert found["run"] == first
    (one,) = found["inputs"]
    assert (one["name"], one["here"], [run["id"] for run in one["others"]]) == ("one.csv", "same", [second])
    (known,) = json.loads(run_python("-m", "gxt", "data", "--json").stdout)
    assert known["digest"] == one["about"]["digest"] and [run["id"] for run in known["runs"]] == [second, first]
    assert run_python("-m", "gxt", "data", "first", "--exit-code").returncode == 0
    (work / "one.csv").unlink()
    assert run_python("-m", "gxt", "data", "first", "--exit-code", check=False).returncode == 1
    assert "-e and --where" in run_python("-m", "gxt", "data", "first", "-e", "taxi", check=False).stderr


def test_who_saw_the_same_is_shown_on_a_narrow_terminal_too(repo: Repository, work: Path, saw: Saw) -> None:
    (work / "green_trips_of_2021.csv").write_text("x\n1\n")
    saw("first", "green_trips_of_2021.csv"), saw("second", "green_trips_of_2021.csv")
    for command in ["data", "first"], ["data"]:
        lines = run_python(code=NARROW.format(command=command)).stdout.splitlines()
        assert "second" in lines[1] and max(map(len, lines)) <= 60


NARROW = """
import sys
from gxt.cli import main, output
output.width = lambda: 60
sys.argv = ["gxt", *{command}]
main()
"""


def test_several_datasets_are_one_account(repo: Repository, work: Path, saw: Saw) -> None:
    (work / "one.csv").write_text("x\n1\n")
    (work / "two.csv").write_text("x\n22\n")
    run = catalog.find(repo, saw("both", one="one.csv", two="two.csv"))
    told: list[tuple[int, int]] = []
    usage.inputs(repo, run, lambda moved, total: told.append((moved, total)))
    assert sum(moved for moved, _ in told) == told[-1][1] == 9


def test_diff_says_which_runs_saw_the_same_data(repo: Repository, work: Path, saw: Saw) -> None:
    (work / "one.csv").write_text("x\n1\n")
    (work / "two.csv").write_text("x\n2\n")
    runs = [
        catalog.find(repo, saw(name, trips=path))
        for name, path in (("a", "one.csv"), ("b", "two.csv"), ("c", "one.csv"))
    ]

    def compared(which: list[Run]) -> comparison.Comparison:
        return comparison.of(repo, which, {}, False)

    assert "a and c saw the same trips" in compared(runs).to_markdown()
    assert "1 row" in compared(runs).to_markdown() and "1 rows" not in compared(runs).to_markdown()
    renamed = catalog.find(repo, saw("d", rides="one.csv"))
    assert "a and d saw the same data: trips in a, rides in d" in compared([runs[0], renamed]).to_markdown()
    assert "saw the same" not in compared([runs[0], runs[2]]).to_markdown()
