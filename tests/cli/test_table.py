"""gxt table's columns, goals, groups, pivots, formats and watching; gxt best and gxt goal."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from conftest import Gxt
from gxt import catalog
from gxt.git import Repository
from helpers import git, run_python


@pytest.fixture
def sweep(gxt: Gxt, work: Path) -> None:
    """Two models with two seeds each, one of them diverged; and a run of another experiment."""
    for model, seed, rmse in (("ridge", 1, 6.0), ("ridge", 2, 7.0), ("xgb", 1, 5.0), ("xgb", 2, float("nan"))):
        params = ["-p", f"model.kind={model}", "-p", f"seed={seed}", "-p", "data=v2", "-t", f"who=a{seed}"]
        gxt("log", "-e", "sweep", "-n", f"{model}-{seed}", *params, "-m", f"rmse={rmse}", "-m", "acc=0.5")
    gxt("log", "-e", "other", "-n", "else", "-p", "seed=3", "-m", "loss=1")


def header(text: str) -> list[str]:
    return text.splitlines()[0].split()


# --- columns ------------------------------------------------------------------------------------------------------


def test_only_what_differs_is_shown_and_the_rest_said_in_a_line(gxt: Gxt, sweep: None) -> None:
    out = gxt("table", "sweep").out
    assert header(out) == "name id status rmse started duration model.kind seed who".split()
    assert out.splitlines()[-1] == "same in all: metrics.acc=0.5, params.data=v2"
    everything = gxt("table", "sweep", "--all-columns").out
    assert header(everything) == "name id status acc rmse started duration model.kind seed data who".split()
    assert "same in all" not in everything


def test_experiments_together_have_a_column(gxt: Gxt, sweep: None) -> None:
    assert "experiment" in header(gxt("table").out)
    assert (
        gxt("table", "-e", "sweep", "--columns", "name,rmse").out == gxt("table", "sweep", "--columns", "name,rmse").out
    )
    assert len(gxt("table", "sweep", "-e", "other", "--json").json) == 5


def test_columns_by_pattern_and_all_but_some(gxt: Gxt, sweep: None) -> None:
    out = gxt("table", "--columns", "name,metrics.*,params.mod*").out
    assert header(out) == ["name", "acc", "loss", "rmse", "model.kind"]
    # Of what a pattern matches, only what the runs shown have.
    assert header(gxt("table", "sweep", "--columns", "name,metrics.*,-acc").out) == ["name", "rmse"]
    assert header(gxt("table", "--where", "rmse < 9", "--columns", "name,metrics.*,loss").out) == [
        "name",
        "acc",
        "loss",
        "rmse",
    ]
    out = gxt("table", "sweep", "--columns", "-params.seed,-id,-tags.*").out
    assert header(out) == ["name", "status", "rmse", "started", "duration", "model.kind"]
    assert "anything like 'metics.*'" in gxt("table", "--columns", "metics.*", code=3).err


def test_programs_get_all_columns_under_full_names(gxt: Gxt, sweep: None) -> None:
    rows = list(csv.DictReader(io.StringIO(gxt("table", "sweep", "--format", "csv").out)))
    assert {"run_id", "name", "metrics.rmse", "metrics.acc", "params.data", "tags.who", "author"} <= rows[0].keys()
    assert rows[0]["metrics.rmse"] == "nan"
    tsv = gxt("table", "sweep", "--format", "tsv", "--columns", "name,rmse").out.splitlines()
    assert tsv[:2] == ["name\tmetrics.rmse", "xgb-2\tnan"]


def test_json_has_runs_whole_or_the_columns_asked_for(gxt: Gxt, sweep: None) -> None:
    assert gxt("table", "sweep", "--json").json[0]["metrics"]["rmse"]["last"] == "nan"
    chosen = gxt("table", "sweep", "--sort", "rmse", "--json", "--columns", "name,rmse,data").json
    assert chosen[0] == {"name": "xgb-1", "metrics.rmse": 5.0, "params.data": "v2"}
    lines = gxt("table", "sweep", "--sort", "rmse", "--format", "jsonl").out.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["xgb-1", "ridge-1", "ridge-2", "xgb-2"]


# --- goals --------------------------------------------------------------------------------------------------------


def test_goals_are_kept_with_the_experiment_and_mark_the_best(
    gxt: Gxt, sweep: None, repo: Repository, work: Path
) -> None:
    assert "5*" in gxt("table", "sweep").out, "the name says that less is better"
    assert "*" not in gxt("table", "sweep", "--columns", "name,seed").out
    gxt("goal", "sweep", "rmse:min", "acc:max")
    assert git("log", "-1", "--format=%s", "gxt", cwd=work) == "sweep: goals rmse:min, acc:max"
    assert catalog.find_experiment(repo, "sweep").goals == {"rmse": "min", "acc": "max"}
    assert gxt("goal", "sweep").out == "acc:max\nrmse:min\n" and gxt("goal", "sweep", "--json").json["acc"] == "max"
    assert "5*" in gxt("table", "sweep", "--sort", "rmse", "--columns", "name,rmse").out.splitlines()[1]
    assert "7*" in gxt("table", "sweep", "--goal", "rmse:max").out
    assert "| **5** |" in gxt("table", "sweep", "--format", "markdown", "--columns", "name,rmse").out
    gxt("goal", "sweep", "-d", "acc")
    assert gxt("goal", "sweep").out == "rmse:min\n"


def test_goals_that_make_no_sense(gxt: Gxt, sweep: None) -> None:
    assert "no experiment 'swep'" in gxt("goal", "swep", "rmse:min", code=3).err
    assert "say rmse:min or rmse:max" in gxt("goal", "sweep", "rmse", code=2).err
    assert "no goal for 'x'" in gxt("goal", "sweep", "-d", "x", code=3).err
    assert "no run of sweep has a metric 'rmes' yet" in gxt("goal", "sweep", "rmes:min").err
    assert "did you mean metrics.rmse" in gxt("table", "--goal", "rmes:min", code=3).err
    assert "seed is no metric" in gxt("table", "--goal", "seed:min", code=2).err


def test_experiments_that_differ_about_a_goal_have_none_together(gxt: Gxt, sweep: None) -> None:
    gxt("log", "-e", "other", "-n", "more", "-m", "rmse=1")
    gxt("goal", "sweep", "rmse:min")
    assert "1*" in gxt("table", "--columns", "name,rmse").out
    gxt("goal", "other", "rmse:max")
    assert "*" not in gxt("table", "--columns", "name,rmse").out


def test_best(gxt: Gxt, sweep: None) -> None:
    done = gxt("best", "rmse", "-e", "sweep")
    assert "xgb-1  finished" in done.out and "rmse        5, the least of 4 runs" in done.out
    assert "model.kind  xgb" in done.out
    assert done.err == "", "the metric's name says it"
    gxt("log", "-e", "other", "-m", "heat=1")
    assert "nobody said which heat is better" in gxt("best", "heat", "-e", "other").err
    gxt("goal", "sweep", "rmse:max")
    done = gxt("best", "rmse", "-e", "sweep")
    assert "ridge-2" in done.out and done.err == ""
    found = gxt("best", "rmse:min", "--where", "model.kind = 'ridge'", "--json").json
    assert (found["name"], found["metric"], found["goal"], found["value"]) == ("ridge-1", "rmse", "min", 6.0)
    assert gxt("best", "rmse.count:max", "--json").json["value"] == 1
    assert "did you mean metrics.rmse" in gxt("best", "rmes", code=3).err
    assert "seed is no metric" in gxt("best", "seed", code=2).err
    assert "no run has a value" in gxt("best", "rmse", "--where", "name = 'xgb-2'", code=3).err


# --- groups -------------------------------------------------------------------------------------------------------


def test_groups(gxt: Gxt, sweep: None) -> None:
    assert gxt("table", "sweep", "--group-by", "model.kind", "--columns", "rmse", "--goal", "rmse:min").out == (
        "model.kind  runs          rmse  count(rmse)\n"
        "ridge          2  6.50 ± 0.71             2\n"
        "xgb            2            5*            1\n"
        "\n"
        "± is the sample standard deviation (n - 1)\n"
        "left out: rmse (1 NaN)\n"
    )
    rows = gxt("table", "sweep", "--group-by", "model.kind", "--agg", "min,median", "--columns", "rmse", "--json").json
    assert rows[0] == {"params.model.kind": "ridge", "runs": 2, "min(metrics.rmse)": 6.0, "median(metrics.rmse)": 6.5}


def test_a_limit_counts_groups(gxt: Gxt, sweep: None) -> None:
    done = gxt("table", "sweep", "--group-by", "model.kind,seed", "-n", "3", "--sort", "rmse", "--columns", "rmse")
    assert [line.split()[:3] for line in done.out.splitlines()[1:4]] == [
        ["xgb", "1", "1"],
        ["ridge", "1", "1"],
        ["ridge", "2", "1"],
    ]
    assert "3 of 4 groups" in done.err


def test_a_pivot(gxt: Gxt, sweep: None) -> None:
    out = gxt("table", "--pivot", "model.kind", "seed", "rmse").out
    assert out.splitlines() == [
        "model.kind  seed=1  seed=2",
        "ridge           6        7",
        "xgb             5*     nan",
        "",
        "mean of metrics.rmse by params.model.kind and params.seed",
        "left out: rmse (1 NaN, 1 missing)",
    ]
    rows = gxt("table", "--pivot", "model.kind", "seed", "rmse", "--agg", "count", "--json").json
    assert rows[0] == {"params.model.kind": "ridge", "params.seed=1": 1, "params.seed=2": 1}


def test_options_that_do_not_go_together(gxt: Gxt, sweep: None) -> None:
    assert "for groups" in gxt("table", "--agg", "mean", code=2).err
    assert "no aggregate 'avg'" in gxt("table", "--group-by", "seed", "--agg", "avg", code=2).err
    assert "goes without" in gxt("table", "--pivot", "seed", "model.kind", "rmse", "--sort", "rmse", code=2).err
    assert "needs a goal" in gxt("table", "--group-by", "seed", "--agg", "best", "--columns", "duration", code=2).err
    assert "one of them" in gxt("table", "--json", "--format", "csv", code=2).err


# --- nested and live runs -----------------------------------------------------------------------------------------


def test_children_are_below_their_parent_unless_sorted(gxt: Gxt, work: Path) -> None:
    parent = gxt("log", "-n", "search", "-m", "x=2").out.strip()
    gxt("log", "-n", "trial-1", "--parent", parent, "-m", "x=1")
    gxt("log", "-n", "later", "-m", "x=3")
    gxt("log", "-n", "trial-2", "--parent", parent, "-m", "x=0")
    shown = [line.rsplit(maxsplit=1)[0] for line in gxt("table", "--columns", "name,x").out.splitlines()[1:]]
    assert shown == ["later", "search", "└ trial-2", "└ trial-1"]
    sort = gxt("table", "--columns", "name,x", "--sort", "x").out
    assert [line.split()[0] for line in sort.splitlines()[1:]] == ["trial-2", "trial-1", "search", "later"]


def test_live_and_crashed_runs_show_their_last_step_and_for_how_long(gxt: Gxt, work: Path) -> None:
    run_id = gxt("start", "-n", "training").out.strip()
    gxt("log", "--run", run_id, "-m", "loss=0.5", "--step", "7")
    code = """
        import os, gxt
        gxt.start_run(run_name="crashing")
        gxt.log_metric("loss", 1, step=3)
        os.kill(os.getpid(), 9)
    """
    run_python(code=code, check=False)
    lines = gxt("table", "--sort", "name", "--columns", "name,status,duration").out.splitlines()
    assert lines[1].startswith("crashing  crashed, step 3") and lines[1].split()[-1] in ("ms", "s")
    assert lines[2].startswith("training  running, step 7") and lines[2].split()[-1] in ("ms", "s")
    assert gxt("table", "--sort", "name", "--json").json[1]["status"] == "running"
    assert (
        gxt("table", "--sort", "name", "--format", "csv", "--columns", "status,duration").out.splitlines()[2]
        == "running,"
    )


# --- files and watching -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("r.md", b"| name |"),
        ("r.csv", b"run_id,name,"),
        ("r.tsv", b"run_id\tname\t"),
        ("r.json", b"[\n  {"),
        ("r.jsonl", b'{"id": '),
        ("r.html", b"<!doctype html>"),
        ("r.tex", b"% \\usepackage{booktabs}"),
        ("r.parquet", b"PAR1"),
        ("R.TXT", b"name "),
    ],
)
def test_a_file_has_the_format_of_its_ending(
    gxt: Gxt, three: dict[str, str], work: Path, name: str, start: bytes
) -> None:
    assert gxt("table", "-o", name).out == ""
    assert (work / name).read_bytes().startswith(start)


def test_files_are_replaced_whole_and_keep_their_mode(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    target, link = work / "real.md", work / "link.md"
    target.write_text("old")
    target.chmod(0o640)
    link.symlink_to(target)
    gxt("table", "-o", "link.md")
    assert link.is_symlink() and target.read_text().startswith("| name")
    assert target.stat().st_mode & 0o777 == 0o640
    assert not list(work.glob(".*.tmp"))
    assert "no format has the ending '.xyz'" in gxt("table", "-o", "r.xyz", code=2).err
    assert "cannot be written" in gxt("table", "-o", "no/such/r.md", code=2).err
    assert gxt("table", "-o", "r.xyz", "--format", "csv").out == "" and (work / "r.xyz").exists()
    assert "-o FILE.parquet" in gxt("table", "--format", "parquet", code=2).err


def test_watch_needs_a_terminal(gxt: Gxt, three: dict[str, str]) -> None:
    assert gxt("table", "--watch", code=2).err.splitlines()[0] == "gxt: --watch draws on a terminal only"
    assert "say --watch last" in gxt("table", "--watch", "taxi", code=2).err


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_watch_draws_until_it_is_interrupted(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "gxt", "table", "--watch", "0.1", "--columns", "name,rmse"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "20"}
    with subprocess.Popen(
        command, cwd=work, stdin=follower, stdout=follower, stderr=follower, env=environment
    ) as watch:
        os.close(follower)
        seen = b""
        deadline = time.monotonic() + 60
        while seen.count(b"Ctrl-C ends") < 3 and time.monotonic() < deadline:
            seen += os.read(leader, 65536)
        watch.send_signal(signal.SIGINT)
        while True:
            try:
                seen += os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
        assert watch.wait(30) == 0
    os.close(leader)
    screen, _, after = seen.partition(b"\x1b[?1049l")
    assert b"\x1b[?1049h" in screen and b"\x1b[2J" not in screen.partition(b"Ctrl-C")[2]  # never blank in between
    assert b"three" in after and b"Traceback" not in after


def test_colour_and_no_colour_on_a_terminal(gxt: Gxt, three: dict[str, str], work: Path) -> None:
    def shown(**variables: str) -> str:
        leader, follower = pty.openpty()
        command = [sys.executable, "-m", "gxt", "table", "--goal", "rmse:min", "--columns", "name,rmse"]
        environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "50"} | variables
        subprocess.run(command, cwd=work, stdout=follower, stderr=follower, env=environment, check=True)
        os.close(follower)
        text = os.read(leader, 65536).decode()
        os.close(leader)
        return text

    assert "\x1b[1;32m6.3\x1b[0m" in shown()
    plain = shown(NO_COLOR="1")
    assert "\x1b" not in plain and "6.3*" in plain
