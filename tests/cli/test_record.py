"""gxt log, start, finish: recording from scripts in any language."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from conftest import Gxt
from gxt import catalog
from gxt.git import Repository
from gxt.live import live_runs
from gxt.store import root
from helpers import git


def run_of(repo: Repository, run_id: str) -> catalog.Run:
    return catalog.find(repo, run_id)


def test_log_records_a_whole_run(gxt: Gxt, work: Path, repo: Repository) -> None:
    (work / "model.bin").write_bytes(b"\0" * 100)
    done = gxt(
        *("log", "-e", "nyc-taxi", "-n", "baseline", "-p", "alpha=0.1", "-p", "model=lasso", "-m", "rmse=6.30"),
        *("-t", "developer=cristian", "-a", "model.bin", "-a", "model.bin:models/best", "--note", "first try"),
    )
    run = run_of(repo, done.out.strip())
    assert (run.experiment, run.name, run.status, run.note) == ("nyc-taxi", "baseline", "finished", "first try")
    assert run.params == {"alpha": 0.1, "model": "lasso"}
    assert run.tags == {"developer": "cristian"}
    assert run.metrics["rmse"].last == 6.3
    assert {"artifacts/model.bin", "artifacts/models/best/model.bin"} <= set(catalog.files(repo, run))
    assert run.source["command"].startswith("gxt log -e nyc-taxi")
    assert run.place == "branch"


def test_a_pipe_gets_the_id_alone(gxt: Gxt, work: Path) -> None:
    done = gxt("log", "-m", "a=1")
    assert done.out.count("\n") == 1 and len(done.out.strip()) == 24
    assert done.err == ""


def test_a_terminal_gets_a_friendly_line(work: Path) -> None:
    script = f"exec {sys.executable} -m gxt log -e taxi -n calm-otter -m a=1"
    done = subprocess.run(["script", "-qec", script, "/dev/null"], capture_output=True, text=True, check=True, cwd=work)
    assert "recorded" in done.stdout and "calm-otter" in done.stdout and "in taxi" in done.stdout


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x=1e-3", 0.001),
        ("x=7", 7),
        ("x=true", True),
        ("x=no", "no"),
        ("x=null", None),
        ("x=", None),
        ("x=[64, 32]", [64, 32]),
        ("x={a: 1}", {"a": 1}),
        ("x='1'", "1"),
        ("x:=1.0", "1.0"),
        ("x:=true", "true"),
        ("x=a=b", "a=b"),
        ("x=2026-01-01", "2026-01-01"),
    ],
)
def test_params_are_typed_as_yaml_types_them(gxt: Gxt, repo: Repository, text: str, value: object) -> None:
    run = run_of(repo, gxt("log", "-p", text).out.strip())
    assert run.params == {"x": value} and type(run.params["x"]) is type(value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("params.yaml", "lr: 1e-3\nmodel:\n  depth: 3\n"),
        ("params.json", '{"lr": 0.001, "model": {"depth": 3}}'),
        ("params.toml", "lr = 1e-3\n[model]\ndepth = 3\n"),
    ],
)
def test_params_from_a_file(gxt: Gxt, work: Path, repo: Repository, name: str, content: str) -> None:
    (work / name).write_text(content)
    run = run_of(repo, gxt("log", "--params", name, "-p", "seed=1").out.strip())
    assert run.params == {"lr": 0.001, "model": {"depth": 3}, "seed": 1}


def test_an_option_wins_over_a_params_file(gxt: Gxt, work: Path, repo: Repository) -> None:
    (work / "p.yaml").write_text("lr: 1\nseed: 2\n")
    run = run_of(repo, gxt("log", "--params", "p.yaml", "-p", "lr=5").out.strip())
    assert run.params == {"lr": 5, "seed": 2}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("wide.csv", "step,loss,acc\n0,1.5,0.2\n5,1.25,\n"),
        ("long.csv", "step,metric,value\n0,loss,1.5\n0,acc,0.2\n5,loss,1.25\n"),
        ("lines.jsonl", '{"step": 0, "loss": 1.5, "acc": 0.2}\n{"step": 5, "loss": 1.25}\n'),
    ],
)
def test_history_from_a_file(gxt: Gxt, work: Path, repo: Repository, name: str, content: str) -> None:
    (work / name).write_text(content)
    run = run_of(repo, gxt("log", "--metrics", name).out.strip())
    points = [(point.step, point.metric, point.value) for point in catalog.points(repo, run)]
    assert points == [(0, "loss", 1.5), (0, "acc", 0.2), (5, "loss", 1.25)]


def test_history_from_standard_input_with_times(gxt: Gxt, repo: Repository, work: Path) -> None:
    text = "step,loss,time\n1,0.5,2026-11-23T08:30:00.123Z\n2,0.25,1763886601123\n"
    run = run_of(repo, gxt("log", "--metrics", "-", stdin=text).out.strip())
    assert [point.time for point in catalog.points(repo, run)] == [1795422600123, 1763886601123]


def test_start_log_finish(gxt: Gxt, work: Path, repo: Repository) -> None:
    run_id = gxt("start", "-e", "taxi", "-p", "lr=0.1").out.strip()
    assert run_of(repo, run_id).status == "running"
    gxt("log", "--run", run_id, "-m", "loss=0.5", "--step", "3")
    gxt("log", "--run", run_id, "-m", "loss=0.25", "--step", "4", "-t", "stage=late")
    gxt("finish", run_id)
    run = run_of(repo, run_id)
    assert (run.status, run.params, run.tags) == ("finished", {"lr": 0.1}, {"stage": "late"})
    assert (run.metrics["loss"].last, run.metrics["loss"].step, run.metrics["loss"].count) == (0.25, 4, 2)
    assert run.place == "branch" and not live_runs(root(repo))


def test_finish_with_a_status(gxt: Gxt, repo: Repository) -> None:
    run_id = gxt("start").out.strip()
    gxt("finish", run_id, "--status", "failed")
    assert run_of(repo, run_id).status == "failed"
    assert "is not recording" in gxt("finish", run_id, code=3).err


def test_log_adds_to_a_finished_run_and_leaves_its_end(gxt: Gxt, work: Path, repo: Repository) -> None:
    run_id = gxt("log", "-m", "loss=1", "--status", "failed").out.strip()
    before = run_of(repo, run_id)
    (work / "late.txt").write_text("late")
    gxt("log", "--run", run_id, "-m", "test=9", "-a", "late.txt")
    after = run_of(repo, run_id)
    assert (after.status, after.ended, after.started) == (before.status, before.ended, before.started)
    assert sorted(after.metrics) == ["loss", "test"]
    assert "artifacts/late.txt" in catalog.files(repo, after)


def test_a_stream_is_recorded_a_point_a_line(gxt: Gxt, repo: Repository, work: Path) -> None:
    stream = '{"loss": 0.5}\nstep=7 loss=0.25 acc=0.9\nEpoch done\n\n{"loss": NaN, "step": 8}\n'
    done = gxt("log", "-e", "taxi", "-p", "lr=0.1", "-", stdin=stream)
    run = run_of(repo, done.out.strip())
    points = [(point.step, point.metric, repr(point.value)) for point in catalog.points(repo, run)]
    assert points == [(0, "loss", "0.5"), (7, "loss", "0.25"), (7, "acc", "0.9"), (8, "loss", "nan")]
    assert "line 3" in done.err
    assert run.params == {"lr": 0.1} and run.status == "finished"


def test_a_stream_is_recorded_live(work: Path, repo: Repository) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gxt", "log", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=work
    )
    assert process.stdin and process.stdout
    run_id = process.stdout.readline().decode().strip()
    process.stdin.write(b"loss=0.5\n")
    process.stdin.flush()
    deadline = time.monotonic() + 20
    while "loss" not in run_of(repo, run_id).metrics:
        assert time.monotonic() < deadline
    assert run_of(repo, run_id).status == "running"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130
    assert run_of(repo, run_id).status == "killed"


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ["-m", "loss=high"], "'high' is not a number"),
        (2, ["-m", "loss"], "should be name=number"),
        (2, ["-p", "=1"], "should be name=value"),
        (2, ["-t", "x"], "should be name=text"),
        (2, ["-a", "nothing.bin"], "does not exist"),
        (2, ["--params", "p.txt"], "params come from .yaml"),
        (6, ["--params", "broken.yaml"], "broken.yaml, line 2"),
        (6, ["--params", "list.yaml"], "expected `key: value`"),
        (6, ["--metrics", "broken.csv"], "broken.csv, line 3"),
        (6, ["--metrics", "headless.csv"], "should name the columns"),
        (3, ["--run", "nobody"], "no run 'nobody'"),
        (2, ["-p", "a=1", "-p", "a\nb=1"], "unprintable"),
    ],
)
def test_bad_input_is_one_line_and_records_nothing(
    gxt: Gxt, work: Path, repo: Repository, code: int, arguments: list[str], message: str
) -> None:
    (work / "p.txt").write_text("a")
    (work / "broken.yaml").write_text("a: [1\n")
    (work / "list.yaml").write_text("- 1\n")
    (work / "broken.csv").write_text("step,loss\n1,2\n2,high\n")
    (work / "headless.csv").write_text("1,2\n3,4\n")
    refs = git("for-each-ref", cwd=work)
    err = gxt("log", *arguments, code=code).err
    assert message in err and len(err.splitlines()) <= 2
    assert git("for-each-ref", cwd=work) == refs
    assert not live_runs(root(repo))


def test_param_twice_with_another_value_is_refused(gxt: Gxt, work: Path, repo: Repository) -> None:
    run_id = gxt("start", "-p", "lr=0.1").out.strip()
    assert "is 0.1 already" in gxt("log", "--run", run_id, "-p", "lr=0.2", code=2).err
    gxt("log", "--run", run_id, "-p", "lr=0.1")
    gxt("finish", run_id)
    assert run_of(repo, run_id).params == {"lr": 0.1}


def test_secrets_are_masked(gxt: Gxt, work: Path, repo: Repository) -> None:
    run_id = gxt("log", "-p", "api_key=sesame", "-p", "url=https://me:sesame@host/x").out.strip()
    content = git("show", f"gxt:experiments/default/{run_id}/run.yaml", cwd=work)
    content += git("show", f"gxt:experiments/default/{run_id}/params.yaml", cwd=work)
    assert "sesame" not in content
    assert run_of(repo, run_id).params["api_key"] == "***"


def test_outside_a_repository_it_says_how_to_go_on(gxt: Gxt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare").mkdir()
    monkeypatch.chdir(tmp_path / "bare")
    for command in ("log", "table", "status", "init"):
        done = gxt(command, code=4)
        assert "not in a git repository" in done.err and "git init" in done.err


def test_repo_option_and_experiment_defaults(
    gxt: Gxt, work: Path, repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_of(repo, gxt("-C", str(work), "log").out.strip()).experiment == "default"
    git("config", "gxt.experiment", "configured", cwd=work)
    assert run_of(repo, gxt("-C", str(work), "log").out.strip()).experiment == "configured"
    monkeypatch.setenv("GXT_EXPERIMENT_NAME", "variable")
    assert run_of(repo, gxt("-C", str(work), "log").out.strip()).experiment == "variable"


def test_parent_and_gxt_run_id(gxt: Gxt, work: Path, repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = gxt("log", "-n", "parent").out.strip()
    assert run_of(repo, gxt("log", "--parent", "parent").out.strip()).parent == parent
    child = subprocess.run(
        [sys.executable, "-m", "gxt", "log"],
        env=os.environ | {"GXT_RUN_ID": parent},
        capture_output=True,
        text=True,
        check=True,
        cwd=work,
    )
    assert run_of(repo, child.stdout.strip()).parent == parent


def test_files_on_the_branch_are_yaml_that_anybody_reads(gxt: Gxt, work: Path) -> None:
    run_id = gxt("log", "-e", "a b", "-p", "lr=1e-5", "-p", "name:=1e-5", "-m", "x=1e-7").out.strip()
    folder = f"gxt:experiments/a%20b/{run_id}"
    assert yaml.safe_load(git("show", f"{folder}/params.yaml", cwd=work)) == {"lr": 1e-5, "name": "1e-5"}
    assert yaml.safe_load(git("show", f"{folder}/metrics.yaml", cwd=work))["x"]["last"] == 1e-7


def test_a_command_inside_a_run_adds_to_it_and_children_go_to_its_experiment(work: Path, repo: Repository) -> None:
    """docs/guides/shell.md: what `gxt run` starts knows the run, its repository and its experiment."""
    script = f'"{sys.executable}" -m gxt log --run "$GXT_RUN_ID" -m acc=0.9 && "{sys.executable}" -m gxt log -n child'
    subprocess.run(
        [sys.executable, "-m", "gxt", "run", "-e", "jobs", "-n", "job", "--", "sh", "-c", script], check=True
    )
    job, child = catalog.listing(repo, ["jobs"]).runs
    assert (job.name, job.metrics["acc"].last) == ("job", 0.9)
    assert (child.name, child.parent) == ("child", job.id)
