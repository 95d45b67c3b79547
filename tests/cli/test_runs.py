"""gxt runs: what is shown of runs along the history of the code."""

from __future__ import annotations

from pathlib import Path

from cli.conftest import Gxt
from gxt.git import Repository
from helpers import git, record


def some_history(repo: Repository) -> list[str]:
    """Four commits, the middle ones without runs; the last was amended after its run. Their ids, oldest first."""
    record(repo, name="a", metrics={"rmse": 7.0, "seconds": 3})
    for number in (1, 2, 3):
        Path("train.py").write_text(f"{number}\n")
        git("commit", "-q", "-am", f"change {number}")
    record(repo, name="b", metrics={"rmse": 6.5})
    record(repo, "other", name="c", status="failed")
    git("commit", "-q", "--amend", "-m", "better words")
    Path("train.py").write_text("4\n")
    record(repo, name="d")
    return git("rev-list", "--reverse", "HEAD").split()


def test_commits_with_their_runs(gxt: Gxt, repo: Repository) -> None:
    ids = some_history(repo)
    lost = git("rev-parse", "HEAD@{1}")
    done = gxt("runs")
    assert done.out.splitlines() == [
        f"{ids[3][:9]} better words",
        f"    taxi/b   finished  rmse 6.5  (same tree as {lost[:9]})",
        f"    other/c  failed    (same tree as {lost[:9]})",
        "    taxi/d   finished  (with uncommitted changes)",
        "⋮ 2 commits without runs",
        f"{ids[0][:9]} first",
        "    taxi/a   finished  rmse 7",
    ]
    assert done.err == ""
    limited = gxt("runs", "-n", "1", "-e", "taxi", "--runs", "1")
    assert limited.out.splitlines() == [
        f"{ids[3][:9]} better words",
        "    … 1 earlier run",
        "    d  finished  (with uncommitted changes)",
    ]
    assert "only the latest 1 commit" in limited.err and "1 run of other code" in limited.err


def test_for_programs(gxt: Gxt, repo: Repository) -> None:
    ids = some_history(repo)
    found = gxt("runs", "main", "--json").json
    assert [row["commit"] for row in found] == ids[::-1]
    assert [[run["name"] for run in row["runs"]] for row in found] == [["b", "c", "d"], [], [], ["a"]]
    first = found[-1]["runs"][0]
    assert first["metrics"] == {"rmse": 7.0, "seconds": 3.0}
    assert (first["matched"], first["code"], first["uncommitted"]) == ("commit", ids[0], False)
    assert found[0]["runs"][2]["uncommitted"] is True
    assert found[0]["subject"] == "better words" and found[0]["time"].endswith("Z")


def test_nothing_found(gxt: Gxt, repo: Repository) -> None:
    assert gxt("runs").err == "no runs of the code in 1 commit\n"
    assert gxt("runs", "--json").json[0]["runs"] == []
    assert "no commit 'nope'" in gxt("runs", "nope", code=3).err
