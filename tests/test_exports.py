"""Runs as Parquet: what is in the files, what other programs make of them, and what a second export does."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import duckdb
import pandas
import pyarrow.parquet
import pytest

import gxt
from gxt import catalog, edits, exports, recorder
from gxt.errors import GxtError, NotFoundError, UsageError
from gxt.git import Repository
from helpers import Train, git, run_python
from test_examples import EXAMPLES, run
from test_mirrors import cli


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def table(lake: Path, name: str) -> list[dict[str, Any]]:
    """A table by DuckDB, a row a mapping."""
    found = duckdb.sql(f"select * from read_parquet('{lake}/{name}/**/*.parquet', hive_partitioning=true)")
    rows: list[dict[str, Any]] = found.order("run_id" if name != "runs" else "name").to_arrow_table().to_pylist()
    return rows


def files(lake: Path) -> dict[str, tuple[int, int]]:
    """Every file, with what tells whether it was written anew."""
    return {
        str(path.relative_to(lake)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in lake.rglob("*.parquet")
    }


def test_what_is_in_it(repo: Repository, train: Train, lake: Path) -> None:
    first = train("first", {"lr": 0.1, "model": {"depth": 3}}, loss=[3, 2, math.nan])
    edits.tag(repo, catalog.find(repo, first), {"stage": "prod"})
    train("second", {"lr": 1, "note": "x"}, "housing", rmse=[math.inf])
    done = exports.export(repo, lake)
    assert (done.runs, done.points, sorted(done.experiments)) == (2, 4, ["housing", "taxi"])
    one, two = table(lake, "runs")
    assert (one["run_id"], one["name"], one["status"], one["experiment"]) == (first, "first", "finished", "taxi")
    assert (one["params.lr"], one["params.model.depth"], one["tags.stage"]) == (0.1, 3, "prod")
    assert math.isnan(one["metrics.loss"])
    assert (two["params.lr"], two["params.model.depth"], two["metrics.rmse"]) == (1.0, None, math.inf)
    assert one["started"].tzinfo is not None
    assert one["code.commit"] == git("rev-parse", "HEAD", cwd=repo.work_tree)
    points = [(p["metric"], p["step"], p["value"], p["experiment"]) for p in table(lake, "points")]
    assert {("loss", 0, 3.0, "taxi"), ("loss", 1, 2.0, "taxi"), ("rmse", 0, math.inf, "housing")} < set(points)
    assert {(p["param"], p["value"], p["number"]) for p in table(lake, "params")} == {
        ("lr", "0.1", 0.1),
        ("model.depth", "3", 3.0),
        ("lr", "1", 1.0),
        ("note", "x", None),
    }
    assert [(t["tag"], t["value"]) for t in table(lake, "tags")] == [("stage", "prod")]


def test_a_param_of_several_types_is_text(repo: Repository, train: Train, lake: Path) -> None:
    for i, value in enumerate([1, "one", True, [1, 2], None, 2.5]):
        train(f"run-{i}", {"mixed": value, "whole": i, "number": i or 0.5, "flag": bool(i), "huge": 10**30, "no": None})
    exports.export(repo, lake)
    rows = sorted(table(lake, "runs"), key=lambda row: row["name"])
    assert [row["params.mixed"] for row in rows] == ["1", "one", "true", "[1, 2]", None, "2.5"]
    assert [row["params.whole"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert [row["params.number"] for row in rows] == [0.5, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert rows[0]["params.flag"] is False
    assert rows[0]["params.huge"] == 1e30
    assert rows[0]["params.no"] is None


NAMES = ["a/b c", "2024", "größe", "100%", ".hidden", "a=b", "-x"]


def test_names_of_experiments(repo: Repository, train: Train, lake: Path) -> None:
    for name in NAMES:
        train("run", experiment=name, loss=[1])
    exports.export(repo, lake)
    assert {row["experiment"] for row in table(lake, "runs")} == set(NAMES)
    assert set(pandas.read_parquet(lake / "points")["experiment"]) == set(NAMES)


def test_every_file_of_a_table_has_the_same_columns(repo: Repository, train: Train, lake: Path) -> None:
    train("a", {"x": 1}, "one", loss=[1])
    train("b", {"x": "text", "y": 1}, "two")
    exports.export(repo, lake)
    for name in exports.TABLES:
        schemas = {pyarrow.parquet.read_schema(path).to_string() for path in (lake / name).rglob("*.parquet")}
        assert len(schemas) == 1


def test_unusual_names_of_metrics(repo: Repository, lake: Path) -> None:
    names = ["a,b", 'say "so"', "plain", "50%", "é"]
    run_ = recorder.begin(repo, "taxi", name="odd")
    for step, name in enumerate(names):
        run_.log_metric(name, 0.1 + step, step)
    run_.end("finished")
    train_ = recorder.begin(repo, "taxi", name="even")
    train_.log_metric("plain", 1e-300, 2**62)
    train_.end("finished")
    exports.export(repo, lake)
    found = {(row["metric"], row["step"], row["value"]) for row in table(lake, "points")}
    assert found == {*((name, step, 0.1 + step) for step, name in enumerate(names)), ("plain", 2**62, 1e-300)}


def test_live_runs_are_in_it(repo: Repository, train: Train, lake: Path) -> None:
    train("done", loss=[1])
    live = recorder.begin(repo, "taxi", name="live")
    live.log_metric("loss", 5.0, 0)
    assert exports.export(repo, lake).points == 2
    assert {row["status"] for row in table(lake, "runs")} == {"finished", "running"}
    live.log_metric("loss", 4.0, 1)
    assert exports.export(repo, lake).points == 3
    live.end("finished")


def test_filters_and_experiments(repo: Repository, train: Train, lake: Path) -> None:
    train("good", loss=[1])
    train("bad", loss=[9])
    train("else", experiment="other", loss=[1])
    exports.export(repo, lake, where="loss < 5")
    assert {row["name"] for row in table(lake, "runs")} == {"good", "else"}
    exports.export(repo, lake, ["taxi"])
    assert {row["name"] for row in table(lake, "runs")} == {"good", "bad"}
    assert not list(lake.rglob("experiment=other"))
    with pytest.raises(NotFoundError):
        exports.export(repo, lake, ["nowhere"])
    with pytest.raises(NotFoundError):
        exports.export(repo, lake, where="rmze < 5")
    assert {row["name"] for row in table(lake, "runs")} == {"good", "bad"}


def test_what_has_not_changed_stays(repo: Repository, train: Train, lake: Path) -> None:
    train("a", {"x": 1}, "one", loss=[1])
    train("b", {"x": 1}, "two", loss=[1])
    exports.export(repo, lake)
    before = files(lake)
    assert exports.export(repo, lake).kept == ["one", "two"]
    assert files(lake) == before
    train("c", {"x": 2}, "two", loss=[2])
    assert exports.export(repo, lake).kept == ["one"]
    now = files(lake)
    assert {name for name in now if now[name] == before[name]} == {name for name in now if "experiment=one" in name}
    train("d", {"new": 2}, "two", loss=[2])  # a new column
    exports.export(repo, lake)
    assert files(lake)["points/experiment=one/points.parquet"] == before["points/experiment=one/points.parquet"]
    assert {row["params.new"] for row in table(lake, "runs")} == {None, 2}
    (lake / "points" / "experiment=one" / "points.parquet").unlink()
    exports.export(repo, lake)
    assert len(table(lake, "points")) == 4


def test_a_folder_of_something_else_is_left_alone(repo: Repository, train: Train, lake: Path) -> None:
    train("a")
    lake.mkdir()
    (lake / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="of no export"):
        exports.export(repo, lake)
    assert [path.name for path in lake.iterdir()] == ["mine.txt"]
    with pytest.raises(UsageError, match="is a file"):
        exports.export(repo, lake / "mine.txt")


def test_a_manifest_names_only_our_files(repo: Repository, train: Train, lake: Path) -> None:
    train("a")
    exports.export(repo, lake)
    victim = lake.parent / "victim.txt"
    victim.write_text("mine")
    manifest = json.loads((lake / "_export.json").read_text())
    manifest["files"] += ["../victim.txt", "runs/experiment=../../../victim.txt", str(victim)]
    (lake / "_export.json").write_text(json.dumps(manifest))
    exports.export(repo, lake)
    assert victim.exists()


def test_nothing_changes_where_it_fails(repo: Repository, train: Train, lake: Path) -> None:
    train("a", loss=[1])
    exports.export(repo, lake)
    before = files(lake)
    train("b", loss=[1])
    code = """
        import sys, resource, signal
        from pathlib import Path
        from gxt import exports, git
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        repo = git.find(Path(sys.argv[1]))
        from gxt import catalog; catalog.listing(repo)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        exports.export(repo, Path(sys.argv[2]))
    """
    done = run_python(str(repo.work_tree), str(lake), code=code, check=False)
    assert done.returncode == 1
    assert "GxtError" in done.stderr
    assert "cannot be written to" in done.stderr
    assert files(lake) == before
    assert not [path for path in lake.iterdir() if path.name.startswith(".gxt-export")]


def test_of_two_at_once_one_says_so(repo: Repository, train: Train, lake: Path) -> None:
    train("a", loss=[1])
    refused: list[str] = []

    def second(done: int, total: int) -> None:
        with pytest.raises(GxtError, match="another export is writing") as raised:
            exports.export(repo, lake)
        refused.append(raised.value.message)

    exports.export(repo, lake, progress=lambda done, total: second(done, total) if lake.exists() else None)
    assert refused and len(table(lake, "runs")) == 1
    assert not [path for path in lake.iterdir() if path.name.startswith(".gxt-export")]
    exports.export(repo, lake)


def test_what_a_killed_export_left_is_no_hindrance(repo: Repository, train: Train, lake: Path) -> None:
    train("a", loss=[1])
    (lake / ".gxt-export-77").mkdir(parents=True)
    for name in (".gxt-export-lock", ".gxt-export-77.json", ".gxt-export-77/x.parquet"):
        (lake / name).write_bytes(b"")
    exports.export(repo, lake)
    assert sorted(path.name for path in lake.iterdir()) == ["_export.json", "params", "points", "runs", "tags"]


@pytest.mark.parametrize(
    "manifest",
    ['{"files": 5}', '{"gxt": "1", "files": [5], "partitions": {}}', '{"gxt": "1", "files": []}', "[]", "", "{}"],
)
def test_a_manifest_of_something_else(repo: Repository, train: Train, lake: Path, manifest: str) -> None:
    train("a")
    lake.mkdir()
    (lake / "_export.json").write_text(manifest)
    with pytest.raises(UsageError, match="of no export"):
        exports.export(repo, lake)
    assert [path.read_text() for path in lake.iterdir()] == [manifest]


def test_a_link_to_nothing(repo: Repository, train: Train, lake: Path) -> None:
    train("a")
    lake.symlink_to("nothing")
    with pytest.raises(UsageError, match="is a link to nothing, which is not there"):
        exports.export(repo, lake)


def test_columns_that_differ_in_case_alone_are_named(repo: Repository, train: Train, lake: Path) -> None:
    train("a", {"Lr": 1, "depth": 3})
    train("b", {"lr": 2})
    assert exports.export(repo, lake).alike == ["params.Lr", "params.lr"]
    assert "params.Lr, params.lr differ in upper and lower case alone" in run_python("-m", "gxt", "export", "x").stderr
    rows = duckdb.sql(f"select * from read_parquet('{lake}/runs/**/*.parquet') order by name")
    assert [name for name in rows.columns if name.startswith("params.")] == ["params.Lr", "params.depth", "params.lr_1"]


def test_nothing_to_export(repo: Repository, lake: Path) -> None:
    done = exports.export(repo, lake)
    assert (done.runs, done.points) == (0, 0)


def test_commands(repo: Repository, train: Train, lake: Path) -> None:
    train("a", loss=[1, 2])
    assert cli("export", str(lake)).stdout.endswith("1 run with 2 points in 1 experiment\n")
    found = json.loads(cli("export", str(lake), "--json").stdout)
    assert found == {"folder": str(lake), "runs": 1, "points": 2, "experiments": ["taxi"], "unchanged": ["taxi"]}


def test_examples(repo: Repository, train: Train, lake: Path) -> None:
    train("slow", loss=[9, 5, 1])
    train("fast", loss=[1, 1, 2])
    train("else", experiment="other", loss=[4])
    exports.export(repo, lake)
    assert repo.work_tree is not None
    asked = run(sys.executable, str(EXAMPLES / "export" / "ask_duckdb.py"), str(lake), "loss", cwd=repo.work_tree)
    best, points = asked.split("How many")
    assert "fast" not in best.splitlines()[0]
    assert "other" in best
    assert [line.split("│")[2].strip() for line in points.splitlines() if "taxi" in line] == ["fast", "slow"]
    asked = run(sys.executable, str(EXAMPLES / "export" / "ask_dask.py"), str(lake), "loss", cwd=repo.work_tree)
    rows = [line.split()[1:] for line in asked.splitlines()[1:]]
    assert sorted(rows) == [
        ["else", "finished", "4.0", "1"],
        ["fast", "finished", "1.0", "3"],
        ["slow", "finished", "1.0", "3"],
    ]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells how much memory a process took")
def test_a_run_of_many_points_needs_little_memory(repo: Repository, lake: Path) -> None:
    running = recorder.begin(repo, "taxi", name="long")
    path = catalog.folder_of(repo, gxt.get_run(running.run_id))
    assert path is not None
    with open(path / "metrics.csv", "ab") as out:
        for step in range(600_000):
            out.write(b"%d,loss,%d.5,1795439760671\n" % (step, step))
    running.end("finished")
    code = """
        import re, sys
        from pathlib import Path
        import pyarrow.csv, pyarrow.parquet
        from gxt import exports, git
        peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
        before = peak()
        exports.export(git.find(Path(sys.argv[1])), Path(sys.argv[2]))
        print(peak() - before)
    """
    done = run_python(str(repo.work_tree), str(lake), code=code)
    assert int(done.stdout) < 250  # MiB; the file has 19
    file = pyarrow.parquet.ParquetFile(lake / "points" / "experiment=taxi" / "points.parquet")
    assert file.metadata.num_rows == 600_000
    assert file.metadata.num_row_groups >= 3


def test_without_pyarrow(repo: Repository, monkeypatch: pytest.MonkeyPatch, lake: Path) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(GxtError, match="pyarrow"):
        exports.export(repo, lake)
    assert os.listdir(lake.parent) == ["work"]
