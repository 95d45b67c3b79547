"""gxt history: the points of metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Gxt


@pytest.fixture
def two(gxt: Gxt, work: Path) -> dict[str, str]:
    """Two runs with histories, by name to id."""
    histories = {"one": "step,loss,val_loss\n0,9,8\n1,4,5\n2,2,\n", "two": "step,loss\n1,3\n2,1.123456789\n"}
    return {name: gxt("log", "-n", name, "--metrics", "-", stdin=text).out.strip() for name, text in histories.items()}


def test_one_metric_of_one_run(gxt: Gxt, two: dict[str, str]) -> None:
    lines = [line.split() for line in gxt("history", "loss", "one").out.splitlines()]
    assert lines[0] == ["step", "loss", "time"]
    assert [line[:2] for line in lines[1:]] == [["0", "9"], ["1", "4"], ["2", "2"]]
    assert lines[1][2].endswith("Z")
    assert gxt("history", "loss").out == gxt("history", "loss", "two").out, "the latest run, where none is named"


def test_several_runs_side_by_side(gxt: Gxt, two: dict[str, str]) -> None:
    done = gxt("history", "loss", "one", "two", "one", "--format", "csv")
    assert done.out == "step,one,two\n0,9.0,\n1,4.0,3.0\n2,2.0,1.123456789\n"
    assert gxt("history", "loss", "one", "two", "-n", "1", "--format", "markdown").out.splitlines() == [
        "| step | one | two |",
        "| --: | --: | --: |",
        "| 2 | 2 | 1.12346 |",
    ]


def test_several_metrics(gxt: Gxt, two: dict[str, str]) -> None:
    assert gxt("history", "*loss", "one", "--format", "csv").out.splitlines()[0] == "step,loss,val_loss"
    assert gxt("history", "val_loss,loss", "one", "two", "--format", "csv").out.splitlines()[:2] == [
        "step,one loss,one val_loss,two loss",
        "0,9.0,8.0,",
    ]


def test_json(gxt: Gxt, two: dict[str, str]) -> None:
    points = gxt("history", "loss", "one", "two", "-n", "1", "--json").json
    assert [(point["run"], point["step"], point["value"]) for point in points] == [
        (two["one"], 2, 2.0),
        (two["two"], 2, 1.123456789),
    ]
    assert points[0]["name"] == "one" and points[0]["metric"] == "loss" and points[0]["time"].endswith("Z")


def test_runs_of_one_name_are_told_apart(gxt: Gxt, two: dict[str, str]) -> None:
    again = gxt("log", "-n", "one", "-m", "loss=1").out.strip()
    header = gxt("history", "loss", two["one"], again, "two", "--format", "csv").out.splitlines()[0]
    assert header == f"step,one {two['one'][-8:]},one {again[-8:]},two"


def test_mistakes(gxt: Gxt, two: dict[str, str]) -> None:
    assert "did you mean loss" in gxt("history", "lss", "one", "two", code=3).err
    assert "no run 'nobody'" in gxt("history", "loss", "nobody", code=3).err
    gxt("log", "-n", "none")
    assert "run none has no metric 'loss'" in gxt("history", "loss", code=3).err
