"""gxt runs: what is shown of runs along the history of the code."""

from __future__ import annotations

from pathlib import Path

from cli.conftest import Gxt
from gxt import store
from gxt.git import Repository
from helpers import git, make_hub, record, run_python


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


def test_code_of_colleagues_is_named_listed_and_brought(gxt: Gxt, repo: Repository, work: Path, tmp_path: Path) -> None:
    make_hub(repo, tmp_path)
    lost = []
    for number in (1, 2):
        Path("train.py").write_text(f"print({number})\n")
        git("commit", "-q", "-am", f"change {number}")
        record(repo, name=f"r{number}")
        lost.append(git("rev-parse", "HEAD"))
        git("reset", "-q", "--hard", "HEAD~1")
    gxt("push")
    git("clone", "-q", f"file://{tmp_path}/hub.git", str(tmp_path / "fresh"))
    fresh = str(tmp_path / "fresh")
    way = "2 runs of other code: --other lists them, --fetch brings the code of 2 that this clone lacks"
    assert gxt("--repo", fresh, "runs").err.splitlines()[-1] == way
    listed = gxt("--repo", fresh, "runs", "--other")
    assert listed.out.splitlines()[-3:] == [
        "runs of other code",
        f"    r1  finished  ({lost[0][:9]}, on main, not here)",
        f"    r2  finished  ({lost[1][:9]}, on main, not here)",
    ]
    assert "other code" not in listed.err
    (_, other) = gxt("--repo", fresh, "runs", "--other", "--json").json
    assert other["commit"] is None and [run["code"] for run in other["runs"]] == lost
    assert "not here" not in gxt("--repo", fresh, "runs", "--fetch", "--other").out
    assert git("cat-file", "-t", lost[0], cwd=tmp_path / "fresh") == "commit"
    assert gxt("--repo", fresh, "runs").err.splitlines()[-1] == "2 runs of other code: --other lists them"


def test_fetching_code_that_no_remote_keeps(gxt: Gxt, repo: Repository, tmp_path: Path) -> None:
    hub = make_hub(repo, tmp_path)
    Path("train.py").write_text("changed\n")
    record(repo, name="dirty")
    git("push", "-q", "origin", "gxt")
    git("clone", "-q", f"file://{hub}", str(tmp_path / "fresh"))
    done = gxt("--repo", str(tmp_path / "fresh"), "runs", "--fetch")
    assert "no remote keeps 1 commit of the code of runs, such as " in done.err


def test_pulling_with_the_code(gxt: Gxt, repo: Repository, tmp_path: Path) -> None:
    hub = make_hub(repo, tmp_path)
    git("clone", "-q", f"file://{hub}", str(tmp_path / "fresh"))
    Path("train.py").write_text("changed\n")
    snapshot = store.read_run(repo, record(repo, name="dirty")).source["snapshot"]
    gxt("push")
    fresh = str(tmp_path / "fresh")
    gxt("--repo", fresh, "pull", "-q")
    assert git("for-each-ref", "refs/gxt/code", cwd=tmp_path / "fresh") == ""
    gxt("--repo", fresh, "pull", "-q", "--code")
    assert git("for-each-ref", "--format=%(objectname)", "refs/gxt/code", cwd=tmp_path / "fresh") == snapshot


def test_remarks_are_the_last_lines_in_a_pager_too(gxt: Gxt, repo: Repository) -> None:
    some_history(repo)
    code = "import pty, sys; pty.spawn([sys.executable, '-m', 'gxt', 'runs', '-n', '1'])"
    shown = run_python(code=code, LINES="2", COLUMNS="200", PAGER="cat", NO_COLOR="1").stdout.split("\n")
    assert shown[0].rstrip().endswith("better words")
    said = [line.strip() for line in shown if line.strip()][-2:]
    assert said[0].startswith("only the latest 1 commit") and said[1] == "1 run of other code: --other lists it"
