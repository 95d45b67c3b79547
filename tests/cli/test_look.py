"""gxt table, show, list, tail: looking at runs. What else `table` does is in test_table.py."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Gxt
from helpers import git


def names(text: str) -> list[str]:
    """The first column of a table, without its title and what stands below it."""
    rows = text.partition("\n\n")[0].splitlines()[1:]
    return [line.removeprefix("└ ").split()[0] for line in rows]


def test_table_shows_the_latest_first(gxt: Gxt, three: dict[str, str]) -> None:
    out = gxt("table").out
    assert out.splitlines()[0].split() == ["name", "id", "status", "acc", "rmse", "started", "duration", "alpha"]
    assert names(out) == ["three", "two", "one"]
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("rmse", ["one", "two", "three"]),
        ("rmse:desc", ["three", "two", "one"]),
        ("metrics.rmse DESC", ["three", "two", "one"]),
        ("params.alpha", ["one", "two", "three"]),
        ("model,rmse", ["one", "two", "three"]),
        ("name", ["one", "three", "two"]),
    ],
)
def test_table_sorts(gxt: Gxt, three: dict[str, str], key: str, order: list[str]) -> None:
    assert names(gxt("table", "taxi", "--sort", key).out) == order


def test_runs_without_the_value_come_last_both_ways(gxt: Gxt, three: dict[str, str]) -> None:
    gxt("log", "-e", "taxi", "-n", "none", "-m", "other=1")
    gxt("log", "-e", "taxi", "-n", "nan", "-m", "rmse=nan")
    for key in ("rmse", "rmse:desc"):
        assert set(names(gxt("table", "--sort", key).out)[-2:]) == {"none", "nan"}


def test_table_limit_says_what_it_left_out(gxt: Gxt, three: dict[str, str]) -> None:
    done = gxt("table", "-n", "2")
    assert names(done.out) == ["three", "two"] and "2 of 3 runs" in done.err
    assert len(names(gxt("table", "-n", "0").out)) == 3


def test_table_columns(gxt: Gxt, three: dict[str, str]) -> None:
    out = gxt("table", "--columns", "name,rmse", "--columns", "params.alpha,tags.x", code=3)
    assert "no run has 'tags.x'" in out.err
    gxt("tag", "one", "x=y")
    out_text = gxt("table", "--columns", "name,rmse", "--columns", "params.alpha,tags.x").out
    assert out_text.splitlines()[0].split() == ["name", "rmse", "alpha", "x"]


def test_a_name_that_no_run_has_suggests_near_ones(gxt: Gxt, three: dict[str, str]) -> None:
    done = gxt("table", "--sort", "rmes", code=3)
    assert "no run has 'rmes'" in done.err and "metrics.rmse" in done.err
    done = gxt("table", "taxy", code=3)
    assert "did you mean taxi" in done.err


def test_an_ambiguous_name_asks_which(gxt: Gxt, work: Path) -> None:
    gxt("log", "-p", "x=1", "-m", "x=2")
    assert "params.x or metrics.x" in gxt("table", "--sort", "x", code=2).err


def test_table_as_json_csv_markdown(gxt: Gxt, three: dict[str, str]) -> None:
    runs = gxt("table", "taxi", "--sort", "rmse", "--json").json
    assert [run["id"] for run in runs] == [three["one"], three["two"], three["three"]]
    assert runs[0]["params"] == {"alpha": 0.1, "model": "lasso"} and runs[0]["metrics"]["rmse"]["last"] == 6.3
    rows = list(csv.DictReader(io.StringIO(gxt("table", "--sort", "rmse", "--format", "csv").out)))
    assert [row["metrics.rmse"] for row in rows] == ["6.3", "7.7", "9.9"]
    markdown = gxt("table", "--columns", "name,rmse", "--format", "markdown").out.splitlines()
    assert markdown[:3] == ["| name | rmse |", "| --- | --: |", "| three | 9.9 |"]


def test_nan_is_valid_json(gxt: Gxt, work: Path) -> None:
    gxt("log", "-m", "a=nan", "-m", "b=inf", "-m", "c=-inf")
    text = gxt("show", "--json").out
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert [content["metrics"][m]["last"] for m in "abc"] == ["nan", "inf", "-inf"]


def test_no_runs_yet(gxt: Gxt, work: Path) -> None:
    done = gxt("table")
    assert done.out == "" and "no runs yet" in done.err
    assert gxt("table", "--json").json == []
    assert gxt("list").out == "" and gxt("list", "--json").json == []
    assert "there are no runs" in gxt("show", code=3).err
    assert "no runs yet" in gxt("status").out


def test_show(gxt: Gxt, three: dict[str, str]) -> None:
    out = gxt("show", "one").out
    for expected in (three["one"], "taxi", "alpha  0.1", "rmse", "6.3", "Ada Lovelace <ada@example.com>", "finished"):
        assert expected in out
    several = gxt("show", three["one"][:9], code=3).err
    assert all(run_id in several for run_id in three.values())
    assert gxt("show", three["one"], "--json").json["files"]["params.yaml"] > 0


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("@last", "three"),
        ("@best:rmse", "one"),
        ("@best:rmse:max", "three"),
        ("@best:acc:max", "one"),
        ("taxi/@last", "three"),
        ("taxi/@best:acc", "one"),
        ("two", "two"),
    ],
)
def test_runs_are_named_in_many_ways(gxt: Gxt, three: dict[str, str], text: str, name: str) -> None:
    assert gxt("show", text, "--json").json["name"] == name
    assert gxt("show", three[name].rsplit("-", 1)[1], "--json").json["name"] == name


def test_list(gxt: Gxt, three: dict[str, str]) -> None:
    gxt("log", "-e", "other")
    rows = gxt("list", "--json").json
    assert [(row["experiment"], row["runs"]) for row in rows] == [("other", 1), ("taxi", 3)]
    assert names(gxt("list").out) == ["other", "taxi"]


def test_tail_of_a_finished_run(gxt: Gxt, work: Path) -> None:
    history = "".join(f'{{"step": {i}, "loss": {i}, "acc": 0.5}}\n' for i in range(20))
    run_id = gxt("log", "--metrics", "-", stdin=history).out.strip()
    assert gxt("tail", run_id, "-n", "2").out.splitlines() == [
        "step 18     loss 18  acc 0.5",
        "step 19     loss 19  acc 0.5",
    ]
    points = [json.loads(line) for line in gxt("tail", run_id, "-n", "1", "--json").out.splitlines()]
    assert [(point["step"], point["metric"]) for point in points] == [(19, "loss"), (19, "acc")]


def test_tail_follows_a_live_run_to_its_end(gxt: Gxt, work: Path) -> None:
    run_id = gxt("start").out.strip()
    gxt("log", "--run", run_id, "-m", "loss=1", "--step", "0")
    tail = subprocess.Popen([sys.executable, "-m", "gxt", "tail", run_id], stdout=subprocess.PIPE, cwd=work, text=True)
    assert tail.stdout
    assert tail.stdout.readline() == "step 0      loss 1\n"
    gxt("log", "--run", run_id, "-m", "loss=0.5", "--step", "1")
    assert tail.stdout.readline() == "step 1      loss 0.5\n"
    gxt("log", "--run", run_id, "-m", "loss=0.25", "--step", "2")
    gxt("finish", run_id)
    rest, _ = tail.communicate(timeout=30)
    assert rest == "step 2      loss 0.25\n" and tail.returncode == 0


def test_tail_of_the_output(gxt: Gxt, work: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "gxt", "run", "--", "sh", "-c", "echo one; echo two"],
        check=True,
        cwd=work,
        capture_output=True,
    )
    assert gxt("tail", "--log", "-n", "1").out == "two\n"


def test_a_clone_reads_the_remote_branch_and_builds_on_it(
    gxt: Gxt, three: dict[str, str], work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", str(work), str(clone))
    monkeypatch.chdir(clone)
    done = gxt("table")
    assert len(names(done.out)) == 3 and "read from origin/gxt" in done.err
    assert gxt("status", "--json").json["read_from"] == "refs/remotes/origin/gxt"
    gxt("log", "-e", "taxi", "-n", "four")
    assert git("rev-parse", "gxt~1", cwd=clone) == git("rev-parse", "origin/gxt", cwd=clone)
    assert len(names(gxt("table").out)) == 4


def test_listings_say_how_many_runs_a_remote_has_more(
    gxt: Gxt, three: dict[str, str], work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    git("clone", "-q", str(work), str(clone))
    git("branch", "gxt", "origin/gxt", cwd=clone)
    gxt("log", "-e", "taxi", "-n", "five")
    git("fetch", "-q", cwd=clone)
    monkeypatch.chdir(clone)
    gxt("log", "-e", "taxi", "-n", "mine")
    assert "origin/gxt has 1 run that the local branch lacks" in gxt("table").err
    (remote,) = gxt("status", "--json").json["remotes"]
    assert (remote["unpushed"], remote["missing"]) == (1, 1)


def test_a_run_that_cannot_be_read_is_named_and_the_others_shown(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    git("worktree", "add", "-q", "../runs", "gxt", cwd=work)
    broken = work.parent / "runs" / "experiments" / "taxi" / three["one"] / "params.yaml"
    broken.write_text("a: [1\n")
    git("commit", "-qam", "break", cwd=work.parent / "runs")
    git("worktree", "remove", "../runs", cwd=work)
    done = gxt("table")
    assert names(done.out) == ["three", "two", "one"]
    assert "problem" in done.out.splitlines()[0] and "params.yaml, line" in done.out.splitlines()[3]
    assert "params.yaml, line" in done.err and three["one"] in done.err
    assert names(gxt("table", "--where", "problem is null", "--columns", "name").out) == ["three", "two"]
    shown = gxt("show", "one", "--json").json
    assert "params.yaml" in shown["problem"] and shown["params"] == {} and shown["metrics"]["rmse"]["last"] == 6.3
    assert "not valid YAML" in gxt("tag", "one", "a=b", code=6).err


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (["rmse < 8"], ["two", "one"]),
        (["rmse < 8 and params.alpha > 0.2"], ["two"]),
        (["rmse < 8", "params.alpha > 0.2"], ["two"]),
        (["name = 'one' or name = 'three'"], ["three", "one"]),
        (["params.model ilike 'LASS%'"], ["three", "two", "one"]),
        (["started > '1 hour ago' and not rmse > 7"], ["one"]),
    ],
)
def test_table_filters(gxt: Gxt, three: dict[str, str], where: list[str], found: list[str]) -> None:
    options = [part for text in where for part in ("--where", text)]
    assert names(gxt("table", *options, "--columns", "name").out) == found


def test_a_mistake_in_a_filter_is_pointed_at(gxt: Gxt, three: dict[str, str]) -> None:
    done = gxt("table", "--where", "rmes < 8", code=3)
    assert done.err.splitlines() == [
        "gxt: no run has 'rmes'",
        "  rmes < 8",
        "  ^^^^",
        "  did you mean metrics.rmse?",
    ]
    assert "text stands in quotes" in gxt("table", "--where", "params.model = lasso", code=2).err
    allowed = gxt("table", "--where", "metrics.rmes < 8", "--allow-unknown", "--sort", "metrics.other")
    assert allowed.out == "" and "holds for none of 3 runs" in allowed.err


def test_a_filter_and_a_limit_say_how_many_there_are(gxt: Gxt, three: dict[str, str]) -> None:
    assert "1 of 2 runs" in gxt("table", "--where", "rmse < 8", "-n", "1").err
    assert "holds for none of 3 runs in taxi" in gxt("table", "taxi", "--where", "rmse < 1").err
    assert gxt("table", "--where", "rmse < 1", "--json").json == []


def test_table_at_an_earlier_commit(gxt: Gxt, three: dict[str, str]) -> None:
    assert names(gxt("table", "--at", "gxt~1", "--columns", "name").out) == ["two", "one"]
    assert names(gxt("table", "--at", "now", "--columns", "name").out) == ["three", "two", "one"]
    assert "neither a commit nor a time" in gxt("table", "--at", "nonsense", code=3).err
    assert "no commit of runs" in gxt("table", "--at", "main", code=2).err
    assert "no commit from" in gxt("table", "--at", "2 weeks ago", code=3).err


def test_closed_pipe_is_no_error(three: dict[str, str], work: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m gxt table --json | head -c 1", shell=True, cwd=work, capture_output=True, check=False
    )
    assert done.stdout == b"[" and done.stderr == b""
