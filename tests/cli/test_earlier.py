"""`--at` of commands that look at runs: the branch as it was."""

from __future__ import annotations

import json
from pathlib import Path

import gxt
from gxt import catalog, edits, recorder
from gxt.git import Repository
from helpers import Train, git
from test_mirrors import cli


def test_list_show_and_history(repo: Repository, train: Train, work: Path) -> None:
    first = train("first", {"lr": 0.1}, loss=[3, 2])
    then = git("rev-parse", "gxt", cwd=work)
    edits.tag(repo, catalog.find(repo, first), {"stage": "prod"})
    again = recorder.resume(repo, first)
    again.log_metric("loss", 1.0, 2)
    again.log_text("late", "late.txt")
    again.end("finished")
    train("second", {"depth": 3}, "housing", loss=[9])

    assert [row["experiment"] for row in json.loads(cli("list", "--at", then, "--json").stdout)] == ["taxi"]
    assert [row["param"] for row in json.loads(cli("list", "params", "--at", then, "--json").stdout)] == ["lr"]
    assert json.loads(cli("list", "metrics", "--at", then, "--json").stdout)[0]["lowest"] == 2
    shown = json.loads(cli("show", "--at", then, "--json").stdout)
    assert (shown["name"], shown["tags"], shown["metrics"]["loss"]["count"]) == ("first", {}, 2)
    assert "artifacts/late.txt" not in shown["files"]
    assert "artifacts/late.txt" in json.loads(cli("show", "first", "--json").stdout)["files"]
    assert cli("history", "loss", "--at", then, "--format", "csv").stdout.count("\n") == 3
    assert cli("history", "loss", "first", "--format", "csv").stdout.count("\n") == 4
    missing = cli("show", "second", "--at", then)
    assert missing.returncode == 3
    assert f"no run 'second' at {then}" in missing.stderr
    assert gxt.get_run("first").tags == {"stage": "prod"}


def test_while_it_records(repo: Repository, train: Train, work: Path) -> None:
    train("first", loss=[3])
    live = train("live", end=False, loss=[1])
    assert json.loads(cli("show", "--at", "gxt", "--json").stdout)["name"] == "first"
    assert live not in cli("list", "--at", "gxt").stdout
    assert json.loads(cli("list", "--at", "gxt", "--json").stdout)[0]["live"] == 0
