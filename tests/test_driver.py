"""git's own merge and rebase of the run branch, in a work tree, come to what gxt sync comes to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import gxt.git
from gxt import driver, edits, layout, recorder, sharing, store
from gxt.errors import GxtError
from gxt.git import Repository, Talk
from gxt.model import Run
from helpers import git, record


@pytest.fixture
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Repository, Path]:
    """A clone in which the branch `gxt` and `origin/gxt` have changed the same run, and a work tree of the former."""
    hub, folders = tmp_path / "hub.git", [tmp_path / "one", tmp_path / "two"]
    git("init", "-q", "--bare", str(hub))
    repos = []
    for folder in folders:
        git("clone", "-q", str(hub), str(folder))
        repos.append(gxt.git.find(folder))
    one, two = repos
    run_id = record(one, name="first", tags={"stage": "dev", "old": "yes"}, metrics={"loss": 1.0})
    sharing.sync(one, "origin", Talk())
    sharing.sync(two, "origin", Talk())
    for repo, when, stage in ((one, 3, "prod"), (two, 1, "test")):
        monkeypatch.setattr(gxt.git.commits.time, "time", lambda when=when: 2_000_000_000 + when)
        run = recorder.resume(repo, run_id)
        run.log_metrics({"loss": when / 4, f"m{when}": 0.5}, step=when)
        run.log_param(f"p{when}", when)
        run.set_tags({"stage": stage, f"t{when}": "x"})
        run.log_text(stage, "model.txt")
        run.end()
        record(repo, name=f"new-{when}")
    monkeypatch.undo()
    sharing.sync(one, "origin", Talk(), receive=False)
    git("fetch", "-q", cwd=two.work_tree)
    command = f"{sys.executable} -m gxt"
    assert len(driver.set_up(two, command)) == 1
    assert driver.set_up(two, command) == []
    tree = tmp_path / "join"
    git("worktree", "add", "-q", "--detach", str(tree), "gxt", cwd=two.work_tree)
    return two, tree


def by_gxt(repo: Repository) -> str:
    """The tree that gxt makes of the two."""
    commit = store.join(repo, git("rev-parse", "origin/gxt", cwd=repo.common_dir), "origin/gxt")
    return git("rev-parse", f"{commit}^{{tree}}", cwd=repo.common_dir)


@pytest.mark.parametrize("way", ["merge", "merge the other way", "rebase"])
def test_git_comes_to_what_gxt_comes_to(apart: tuple[Repository, Path], way: str) -> None:
    repo, tree = apart
    if way == "merge":
        git("merge", "--no-edit", "origin/gxt", cwd=tree)
    elif way == "rebase":
        git("rebase", "origin/gxt", cwd=tree)
    else:
        git("checkout", "-q", "origin/gxt", cwd=tree)
        git("merge", "--no-edit", "gxt", cwd=tree)
    assert git("status", "--short", cwd=tree) == ""
    assert git("rev-parse", "HEAD^{tree}", cwd=tree) == by_gxt(repo)
    (run,) = [run for run in read(repo) if run.name == "first"]
    assert run.tags == {"stage": "prod", "old": "yes", "t1": "x", "t3": "x"}
    assert {name: summary.count for name, summary in run.metrics.items()} == {"loss": 3, "m1": 1, "m3": 1}


@pytest.mark.parametrize("edit", ["tag", "param"])
def test_a_new_run_is_not_taken_for_a_purged_one(tmp_path: Path, edit: str) -> None:
    """One side purges a run and records one that is much like it, which git takes for a renaming; the other edits."""
    git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    for name in ("one", "two"):
        git("clone", "-q", str(tmp_path / "hub.git"), str(tmp_path / name))
    one, two = (gxt.git.find(tmp_path / name) for name in ("one", "two"))
    points = {"loss": 0.5}
    old = record(one, name="old", metrics=points)
    sharing.sync(one, "origin", Talk())
    sharing.sync(two, "origin", Talk())
    if edit == "tag":
        edits.tag(two, store.read_run(two, old), {"team": "secret"})
    else:
        run = recorder.amend(two, old)
        run.log_param("late", 7.0)
        run.log_text("late", "late.txt")
        run.end()
    store.mark_deleted(one, old, True)
    store.purge(one, [old])
    new = record(one, name="new", metrics=points)
    sharing.sync(one, "origin", Talk(), receive=False)
    git("fetch", "-q", cwd=two.work_tree)
    driver.set_up(two, f"{sys.executable} -m gxt")
    tree = tmp_path / "join"
    git("worktree", "add", "-q", "--detach", str(tree), "gxt", cwd=two.work_tree)
    command = ["git", "merge", "--no-edit", "origin/gxt"]
    if edit == "tag":  # git does not ask about the other
        done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "takes the files of another run for" in done.stderr
        git("merge", "--abort", cwd=tree)
    done = subprocess.run(
        [*command, "-s", "recursive", "-X", "no-renames"], cwd=tree, capture_output=True, text=True, check=False
    )
    assert "modify/delete" in done.stdout or edit == "param"  # the purged run alone
    assert git("diff", "origin/gxt", "--", f"experiments/taxi/{new}", cwd=tree) == ""
    sharing.sync(two, "origin", Talk())
    assert {run.name: (run.tags, "late" in run.params) for run in read(two)} == {
        "old": ({"team": "secret"} if edit == "tag" else {}, edit == "param"),
        "new": ({}, False),
    }


def read(repo: Repository) -> list[Run]:
    commit = git("rev-parse", "gxt", cwd=repo.common_dir)
    return store.read_runs(repo, store.list_runs(repo, commit), store.read_experiments(repo, commit)[0])[0]


def test_without_its_commits_a_file_is_merged_by_its_three_versions(repo: Repository) -> None:
    path = "experiments/taxi/20261101-000000-00000000/"
    base = b"tags:\n  a: 1\n  b: 1\n"
    ours, theirs = b"tags:\n  a: 2\n  b: 1\n", b"tags:\n  a: 1\n  b: 1\n  c: 3\n"
    merged = driver.merge_file(repo, base, ours, theirs, path + layout.RUN_YAML)
    assert merged == driver.merge_file(repo, base, theirs, ours, path + layout.RUN_YAML)
    assert b"a: 2" in merged and b"c: 3" in merged
    points = [layout.METRICS_HEADER + line for line in (b"", b"0,a,1,5\n", b"0,a,1,4\n")]
    assert driver.merge_file(repo, *points, path + layout.METRICS_CSV).endswith(b"\n0,a,1,4\n0,a,1,5\n")
    with pytest.raises(GxtError, match="cannot be told"):
        driver.merge_file(repo, b"1", b"2", b"3", path + "artifacts/a.txt")


def test_init_sets_git_up_once(tmp_path: Path) -> None:
    hub, folder = tmp_path / "hub.git", tmp_path / "narrow"
    git("init", "-q", "--bare", str(hub))
    git("init", "-q", str(folder))
    git("remote", "add", "-t", "main", "origin", str(hub), cwd=folder)
    (folder / ".git" / "info" / "attributes").write_text("*.bin binary")
    done = [
        subprocess.run([sys.executable, "-m", "gxt", "init"], cwd=folder, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert "merge runs by gxt" in done[0].stdout and "`git fetch origin` brings gxt" in done[0].stdout
    assert done[1].stdout.count("\n") == 1
    assert git("config", "--get-all", "remote.origin.fetch", cwd=folder).splitlines() == [
        "+refs/heads/main:refs/remotes/origin/main",
        "+refs/heads/gxt:refs/remotes/origin/gxt",
    ]
    attributes = (folder / ".git" / "info" / "attributes").read_text()
    assert attributes.startswith("*.bin binary\n") and attributes.count("merge=gxt") == 1
    path = "experiments/taxi/20261101-000000-0000000a/metrics.csv"
    assert git("check-attr", "merge", path, cwd=folder).endswith(": gxt")
    assert git("check-attr", "merge", "experiments/mine/metrics.csv", cwd=folder).endswith(": unspecified")
