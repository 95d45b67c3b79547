"""gxt list: which experiments, params, metrics and tags there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import Gxt


@pytest.fixture
def more(gxt: Gxt, three: dict[str, str]) -> dict[str, str]:
    """Beside the three, a run of another experiment and one that still records."""
    gxt("log", "-e", "other", "-n", "four", "-p", "alpha=auto", "-p", "layers=[64, 32]", "-m", "rmse=nan", "-t", "a=b")
    live = gxt("start", "-e", "taxi", "-n", "live", "-p", "alpha=0.1", "-p", "limit=null").out.strip()
    gxt("log", "--run", live, "-m", "rmse=12.5", "-m", "only=1", "-t", "a=c")
    return three


def by_name(rows: list[dict[str, object]], key: str) -> dict[object, dict[str, object]]:
    return {row[key]: row for row in rows}


def test_params(gxt: Gxt, more: dict[str, str]) -> None:
    params = by_name(gxt("list", "params", "--json").json, "param")
    assert list(params) == ["alpha", "layers", "limit", "model"]
    # Live runs count too; the most frequent value comes first.
    assert params["alpha"] == {"param": "alpha", "runs": 5, "values": 4, "examples": [0.1, 0.5, 1, "auto"]}
    assert params["layers"]["examples"] == [[64, 32]] and params["limit"]["examples"] == [None]
    lines = gxt("list", "params").out.splitlines()
    assert lines[0].split() == ["param", "runs", "values", "examples"]
    assert lines[1].split() == ["alpha", "5", "4", "0.1,", "0.5,", "1,", "auto"]
    assert "null" in lines[3]


def test_metrics(gxt: Gxt, more: dict[str, str]) -> None:
    metrics = by_name(gxt("list", "metrics", "--json").json, "metric")
    assert metrics["rmse"] == {"metric": "rmse", "runs": 5, "lowest": 6.3, "highest": 12.5}
    assert metrics["only"] == {"metric": "only", "runs": 1, "lowest": 1.0, "highest": 1.0}
    (nan,) = gxt("list", "metrics", "-e", "other", "--json").json
    assert nan == {"metric": "rmse", "runs": 1, "lowest": None, "highest": None}


def test_tags(gxt: Gxt, more: dict[str, str]) -> None:
    assert gxt("list", "tags", "--json").json == [{"tag": "a", "runs": 2, "values": 2, "examples": ["b", "c"]}]


def test_only_of_some_runs(gxt: Gxt, more: dict[str, str]) -> None:
    (alpha, _) = gxt("list", "params", "-e", "taxi", "--where", "rmse < 8", "--json").json
    assert alpha == {"param": "alpha", "runs": 2, "values": 2, "examples": [0.1, 0.5]}
    assert [row["experiment"] for row in gxt("list", "-e", "other", "--json").json] == ["other"]
    rows = gxt("list", "experiments", "--where", "rmse < 8", "--json").json
    assert [(row["experiment"], row["runs"], row["live"]) for row in rows] == [("taxi", 2, 0)]
    assert "no experiment 'othr'" in gxt("list", "params", "-e", "othr", code=3).err
    assert "no run has 'rmes'" in gxt("list", "tags", "--where", "rmes < 1", code=3).err


def test_deleted_runs_are_apart(gxt: Gxt, more: dict[str, str]) -> None:
    gxt("rm", "four")
    assert [row["param"] for row in gxt("list", "params", "--json").json] == ["alpha", "limit", "model"]
    assert [row["param"] for row in gxt("list", "params", "--deleted", "--json").json] == ["alpha", "layers"]


def test_nothing_yet(gxt: Gxt, work: Path) -> None:
    for what in ("experiments", "params", "metrics", "tags"):
        done = gxt("list", what)
        assert done.out == "" and f"no {what} yet" in done.err
        assert gxt("list", what, "--json").json == []


def test_many_values_are_not_all_shown(gxt: Gxt, work: Path) -> None:
    for seed in range(7):
        gxt("log", "-p", f"seed={seed}", "-p", f"text=a rather long text that ends in {seed}")
    lines = gxt("list", "params").out.splitlines()
    assert lines[1].split()[:3] == ["seed", "7", "7"] and lines[1].endswith("0, 1, 2, 3, 4, …")
    assert lines[2].endswith("a rather long text that ends in 0, …")
    assert len(gxt("list", "params", "--json").json[0]["examples"]) == 5
