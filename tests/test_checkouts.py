"""Checkouts in every state: a run with an artifact is recorded from inside, and nothing of the user's own is touched.

`test_store.py` has the plain ones; here are those that are in the middle of something, or laid out in another way.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import gxt.git
from gxt import catalog
from gxt.model import Run
from helpers import checkout_state, git
from soundness import check_sound
from test_store import CHECKOUTS as PLAIN_CHECKOUTS

GXT = [sys.executable, "-m", "gxt"]
COMMAND = f"'{sys.executable}' -m gxt"


def fails(*args: str, cwd: Path) -> None:
    """A git command that stops on its way, with a conflict or the like."""
    assert subprocess.run(["git", *args], cwd=cwd, capture_output=True, check=False).returncode != 0


def commit(folder: Path, message: str, **files: str) -> str:
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    git("add", ".", cwd=folder)
    git("commit", "-q", "--allow-empty", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder)


def history(tmp_path: Path) -> Path:
    """Two branches, main and topic, that are in conflict; main is checked out."""
    folder = tmp_path / "history"
    git("init", "-q", str(folder))
    commit(folder, "first", code="first\n", data="data\n")
    git("checkout", "-q", "-b", "topic", cwd=folder)
    commit(folder, "topic", code="topic\n")
    commit(folder, "more", more="more\n")
    git("checkout", "-q", "main", cwd=folder)
    commit(folder, "main", code="main\n")
    return folder


def cherry_picking(tmp_path: Path) -> Path:
    fails("cherry-pick", "topic~1", "topic", cwd=(folder := history(tmp_path)))
    return folder


def merging(tmp_path: Path) -> Path:
    fails("merge", "topic", cwd=(folder := history(tmp_path)))
    return folder


def reverting(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    commit(folder, "after", code="after\n")
    fails("revert", "HEAD~1", cwd=folder)
    return folder


def applying(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    patch = git("format-patch", "--stdout", "main..topic", cwd=folder)
    (tmp_path / "patch").write_text(patch + "\n")
    fails("am", "-3", str(tmp_path / "patch"), cwd=folder)
    return folder


def bisecting(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    git("bisect", "start", "topic", "main~1", cwd=folder)
    return folder


def rebase_stopped_by_exec(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    git("checkout", "-q", "topic", cwd=folder)
    fails("rebase", "-x", "false", "HEAD~2", cwd=folder)
    return folder


def rebase_by_apply(tmp_path: Path) -> Path:
    fails("rebase", "--apply", "topic", cwd=(folder := history(tmp_path)))
    return folder


def stash_in_conflict(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    (folder / "code.txt").write_text("stashed\n")
    git("stash", cwd=folder)
    commit(folder, "after", code="after\n")
    fails("stash", "pop", cwd=folder)
    assert git("stash", "list", cwd=folder)
    return folder


def own_experiments(tmp_path: Path) -> Path:
    """A project whose tracked files have the very names that are ours on the run branch; staged, changed, untracked."""
    folder = history(tmp_path)
    (folder / "experiments" / "taxi").mkdir(parents=True)
    (folder / "experiments" / "taxi" / "experiment.yaml").write_text("mine: 1\n")
    (folder / "gxt.yaml").write_text("mine: 1\n")
    (folder / ".gitattributes").write_text("*.txt text eol=crlf\nexperiments/** filter=mine\n")
    git("config", "filter.mine.clean", "tr a-z A-Z", cwd=folder)
    commit(folder, "experiments")
    (folder / "experiments" / "taxi" / "experiment.yaml").write_text("mine: 2\n")
    (folder / "experiments" / "staged.csv").write_text("1\n")
    git("add", "experiments/staged.csv", cwd=folder)
    (folder / "experiments" / "staged.csv").write_text("2\n")
    (folder / "experiments" / "untracked.csv").write_text("3\n")
    return folder


def sparse(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    (folder / "kept").mkdir()
    (folder / "kept" / "a.py").write_text("a\n")
    (folder / "left out").mkdir()
    (folder / "left out" / "b.py").write_text("b\n")
    commit(folder, "folders")
    git("sparse-checkout", "set", "--cone", "--sparse-index", "kept", cwd=folder)
    assert not (folder / "left out").exists()
    return folder


def sparse_by_pattern(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    git("sparse-checkout", "set", "--no-cone", "/code.txt", cwd=folder)
    assert not (folder / "data.txt").exists()
    return folder


def index_locked(tmp_path: Path) -> Path:
    """Another git command is at work, or was killed."""
    folder = history(tmp_path)
    (folder / ".git" / "index.lock").touch()
    return folder


def index_with_extensions(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    git("config", "core.splitIndex", "true", cwd=folder)
    git("config", "core.untrackedCache", "true", cwd=folder)
    git("update-index", "--split-index", "--untracked-cache", cwd=folder)
    git("status", cwd=folder)
    os.utime(folder / "code.txt", (1, 1))  # git would write the index to say that the content is the same, if it might
    (folder / "new.txt").write_text("new\n")
    return folder


def no_index(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    (folder / ".git" / "index").unlink()
    return folder


def separate_git_dir(tmp_path: Path) -> Path:
    git("init", "-q", "--separate-git-dir", str(tmp_path / "git dir"), str(tmp_path / "work"))
    commit(tmp_path / "work", "first", code="code\n")
    return tmp_path / "work"


def work_tree_elsewhere(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    git("config", "core.worktree", str(tmp_path / "elsewhere"), cwd=folder)
    (tmp_path / "elsewhere" / "code.txt").write_text("changed\n")
    return folder


def in_the_work_tree_elsewhere(tmp_path: Path) -> Path:
    """As a submodule has it: a file .git that leads to a directory whose core.worktree leads back."""
    folder = work_tree_elsewhere(tmp_path)
    (tmp_path / "elsewhere" / ".git").write_text(f"gitdir: {folder / '.git'}\n")
    return tmp_path / "elsewhere"


def linked_to_bare(tmp_path: Path) -> Path:
    git("clone", "-q", "--bare", str(history(tmp_path)), str(tmp_path / "bare.git"))
    git("worktree", "add", "-q", str(tmp_path / "linked"), "topic", cwd=tmp_path / "bare.git")
    return tmp_path / "linked"


def linked_with_own_config(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    git("config", "extensions.worktreeConfig", "true", cwd=folder)
    git("worktree", "add", "-q", "--detach", str(tmp_path / "linked"), cwd=folder)
    git("config", "--worktree", "user.name", "Grace", cwd=tmp_path / "linked")
    fails("cherry-pick", "topic~1", cwd=tmp_path / "linked")
    return tmp_path / "linked"


def submodule_in_a_submodule(tmp_path: Path) -> Path:
    def add(inner: Path, outer: Path) -> None:
        git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "inner", cwd=outer)
        git("commit", "-q", "-m", "with a submodule", cwd=outer)

    folder = history(tmp_path)
    for name in ("middle", "outer"):
        git("init", "-q", str(tmp_path / name))
    add(folder, tmp_path / "middle")
    add(tmp_path / "middle", tmp_path / "outer")
    nested = ("submodule", "--quiet", "update", "--init", "--recursive")
    git("-c", "protocol.file.allow=always", *nested, cwd=tmp_path / "outer")
    return tmp_path / "outer" / "inner" / "inner"


def shared_objects(tmp_path: Path) -> Path:
    git("clone", "-q", "--shared", str(history(tmp_path)), str(tmp_path / "shared"))
    return tmp_path / "shared"


def partial(tmp_path: Path) -> Path:
    """A clone without blobs, whose remote is gone."""
    folder = history(tmp_path)
    git("config", "uploadpack.allowFilter", "true", cwd=folder)
    git("clone", "-q", "--filter=blob:none", folder.as_uri(), str(tmp_path / "partial"))
    folder.rename(tmp_path / "gone")
    return tmp_path / "partial"


def mirror(tmp_path: Path) -> Path:
    git("clone", "-q", "--mirror", str(history(tmp_path)), str(tmp_path / "mirror.git"))
    return tmp_path / "mirror.git"


def inside_git_dir(tmp_path: Path) -> Path:
    return history(tmp_path) / ".git"


def below_an_ignored_folder(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    (folder / ".gitignore").write_text("out/\n")
    commit(folder, "ignores")
    (folder / "out" / "deep").mkdir(parents=True)
    return folder / "out" / "deep"


def replaced_and_grafted(tmp_path: Path) -> Path:
    folder = history(tmp_path)
    git("replace", "--graft", "HEAD", cwd=folder)
    git("notes", "add", "-m", "a note", cwd=folder)
    return folder


def without_reflogs(tmp_path: Path) -> Path:
    git("config", "core.logAllRefUpdates", "false", cwd=(folder := history(tmp_path)))
    return folder


CHECKOUTS = [
    *PLAIN_CHECKOUTS,
    *(cherry_picking, merging, reverting, applying, bisecting, rebase_stopped_by_exec, rebase_by_apply),
    *(stash_in_conflict, own_experiments, sparse, sparse_by_pattern, index_locked, index_with_extensions, no_index),
    *(separate_git_dir, work_tree_elsewhere, in_the_work_tree_elsewhere, linked_to_bare, linked_with_own_config),
    *(submodule_in_a_submodule, shared_objects, partial, mirror, inside_git_dir, below_an_ignored_folder),
    *(replaced_and_grafted, without_reflogs),
]


def state(folder: Path, everything: Path) -> dict[str, object]:
    """What `checkout_state` has, and every file that is not in the git directory, wherever the work tree may be."""
    common = Path(git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=folder))
    found = checkout_state(folder)
    for path in sorted(everything.rglob("*")):
        if path.is_symlink() or path.is_file():
            about = path.lstat()
            if not path.is_relative_to(common):
                found[str(path)] = (path.read_bytes(), about.st_mode, about.st_mtime_ns)
            elif path.name.startswith("sharedindex."):
                del found[str(path)]  # git itself marks a split index as used, by its time, even when it only reads
    return found


@pytest.mark.parametrize("make", CHECKOUTS, ids=lambda make: make.__name__)
def test_a_run_with_an_artifact_is_recorded_from_inside(
    make: Callable[[Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path)
    model = tmp_path / "model.bin"
    model.write_bytes(bytes(range(256)) + b"\r\n")
    monkeypatch.chdir(folder)
    before = state(folder, tmp_path)
    done = subprocess.run(
        [*GXT, "log", "-e", "taxi", "-n", "inside", "-p", "alpha=0.1", "-m", "rmse=6.3", "-a", str(model)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert state(folder, tmp_path) == before
    repo = gxt.git.find(folder)
    run = catalog.find(repo, "inside")
    assert (run.place, run.status, run.params, run.metrics["rmse"].last) == ("branch", "finished", {"alpha": 0.1}, 6.3)
    head = gxt.git.checked_out(repo)
    assert (run.source.get("commit"), run.source.get("branch"), run.source.get("problem")) == (
        head.commit,
        head.branch,
        None,
    )
    assert head.commit == (None if make.__name__ == "unborn" else git("rev-parse", "HEAD", cwd=folder))
    assert catalog.read_file(repo, run, "artifacts/model.bin") == model.read_bytes()
    assert state(folder, tmp_path) == before
    check_sound(repo)
    git("clone", "-q", "--bare", str(repo.common_dir), str(tmp_path / "copy.git"))
    path = f"gxt:experiments/taxi/{run.id}/artifacts/model.bin"
    assert git("rev-parse", path, cwd=tmp_path / "copy.git") == git("rev-parse", path, cwd=folder)


# --- while git is at work -----------------------------------------------------------------------------------------


def install_hook(folder: Path, name: str, script: str) -> None:
    hook = Path(git("rev-parse", "--path-format=absolute", "--git-path", f"hooks/{name}", cwd=folder))
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nset -e\n{script}\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)


def runs_of(folder: Path) -> list[Run]:
    """Its runs, all of them on the branch; and the repository is sound."""
    repo = gxt.git.find(folder)
    check_sound(repo)
    listing = catalog.listing(repo)
    assert listing.problems == [] and {run.place for run in listing.runs} <= {"branch"}
    return listing.runs


@pytest.mark.parametrize("make", [history, linked_to_bare], ids=lambda make: make.__name__)
@pytest.mark.parametrize("arguments", [[], ["-a"], ["code.txt"], ["--amend"]], ids=" ".join)
def test_a_pre_commit_hook_that_records(tmp_path: Path, make: Callable[[Path], Path], arguments: list[str]) -> None:
    """It logs an artifact and records a command, with git's own variables all around it; the commit is as without."""

    def commit_something(place: Path, hook: str) -> Path:
        place.mkdir()
        folder = make(place)
        install_hook(folder, "pre-commit", hook)
        (folder / "code.txt").write_text("changed\n")
        (folder / "data.txt").write_text("changed\n")
        (folder / "untracked").write_text("untracked\n")
        git("add", "data.txt", cwd=folder)
        git("commit", "-q", "-m", "by way of the hook", *arguments, cwd=folder)
        return folder

    def outcome(folder: Path) -> list[str]:
        asked = (["rev-parse", "HEAD^{tree}", "HEAD~1^{tree}"], ["status", "--porcelain"], ["ls-files", "-s"])
        return [git(*arguments, cwd=folder) for arguments in asked]

    hook = f"{COMMAND} log -n logged -m rmse=6.3 -a code.txt\n{COMMAND} run -n ran -- git diff --cached --stat"
    recorded = commit_something(tmp_path / "with", f"({hook}\n) >&2")
    assert outcome(recorded) == outcome(commit_something(tmp_path / "without", "true"))
    assert [run.name for run in runs_of(recorded)] == ["logged", "ran"]


@pytest.mark.parametrize("hook", ["pre-receive", "update", "post-receive"])
def test_a_server_s_hook_that_records(tmp_path: Path, hook: str) -> None:
    """git gives it a quarantine for objects, in which no ref may be changed, and its own directory by variables."""
    folder = history(tmp_path)
    git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    install_hook(tmp_path / "hub.git", hook, f"{COMMAND} log -n received -m size=1 >&2")
    git("push", "-q", str(tmp_path / "hub.git"), "main", cwd=folder)
    assert git("rev-parse", "main", cwd=tmp_path / "hub.git") == git("rev-parse", "main", cwd=folder)
    assert [run.name for run in runs_of(tmp_path / "hub.git")] == ["received"]


def test_rebase_exec_logs_each_commit(tmp_path: Path) -> None:
    folder = history(tmp_path)
    git("checkout", "-q", "topic", cwd=folder)
    git(
        "rebase",
        "-q",
        "--force-rebase",
        "--exec",
        f"{COMMAND} log -e rebased -m size=$(wc -c <code.txt) -a code.txt",
        "HEAD~2",
        cwd=folder,
    )
    assert git("log", "--format=%s", cwd=folder).split() == ["more", "topic", "first"]
    assert git("status", "--porcelain", cwd=folder) == ""
    commits = git("log", "--reverse", "--format=%H", "HEAD~2..", cwd=folder).split()
    assert [run.source["commit"] for run in runs_of(folder)] == commits


def test_bisect_run_finds_the_commit_and_records_each_try(tmp_path: Path) -> None:
    folder = history(tmp_path)
    for number in range(8):
        commit(folder, str(number), data=f"{number}\n")
    git("bisect", "start", "HEAD", "HEAD~8", cwd=folder)
    answer = git(
        "bisect",
        "run",
        *GXT,
        "run",
        "--",
        "sh",
        "-c",
        "test $(cat data.txt) -lt 5 2>/dev/null || test $(cat data.txt) = data",
        cwd=folder,
    )
    assert "5" in git("log", "-1", "--format=%s", "refs/bisect/bad", cwd=folder), answer
    git("bisect", "reset", cwd=folder)
    assert git("symbolic-ref", "--short", "HEAD", cwd=folder) == "main"
    assert {run.status for run in runs_of(folder)} == {"finished", "failed"}


def test_an_alias_in_a_linked_work_tree_s_folder(tmp_path: Path) -> None:
    folder = linked_with_own_config(tmp_path)
    (folder / "sub").mkdir()
    git("config", "alias.record", f"!{COMMAND} log -e taxi -m rmse=1 -a code.txt", cwd=folder)
    before = state(folder, tmp_path)
    git("record", cwd=folder / "sub")
    git("--no-optional-locks", "-c", "core.quotePath=false", "record", cwd=folder / "sub")
    assert state(folder, tmp_path) == before
    assert [run.source["commit"] for run in runs_of(folder)] == [git("rev-parse", "HEAD", cwd=folder)] * 2


def test_submodule_foreach_records_in_each(tmp_path: Path) -> None:
    inner = submodule_in_a_submodule(tmp_path)
    outer = tmp_path / "outer"
    git("submodule", "--quiet", "foreach", "--recursive", f"{COMMAND} log -m rmse=1 >&2", cwd=outer)
    assert (len(runs_of(inner)), len(runs_of(inner.parent)), len(runs_of(outer))) == (1, 1, 0)


def test_a_filter_that_records(tmp_path: Path) -> None:
    """git runs a clean filter while it holds the index's lock."""
    folder = history(tmp_path)
    git(
        "config",
        "filter.recorded.clean",
        f"sh -c '{COMMAND.replace(chr(39), '')} log -m size=1 >/dev/null; cat'",
        cwd=folder,
    )
    (folder / ".gitattributes").write_text("data.txt filter=recorded\n")
    (folder / "data.txt").write_text("cleaned\n")
    git("add", "data.txt", cwd=folder)
    assert git("show", ":data.txt", cwd=folder) == "cleaned"
    assert len(runs_of(folder)) >= 1
