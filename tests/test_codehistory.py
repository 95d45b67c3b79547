"""Runs along the history of the code: which commit a run belongs to, whatever became of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import gxt.git
from gxt import catalog, codehistory, recorder, snapshots, store, worktrees
from gxt.codehistory import CHANGE, COMMIT, TREE, CodeHistory, code_history
from gxt.errors import NotFoundError
from gxt.git import Repository
from helpers import git, record, run_python


def commit(message: str, **files: str) -> str:
    """Commit files (`a="text"` is a.py) and give back the commit."""
    for name, text in files.items():
        Path(f"{name}.py").write_text(text)
    git("add", ".")
    git("commit", "-q", "--allow-empty", "-m", message)
    return git("rev-parse", "HEAD")


def by_subject(found: CodeHistory) -> dict[str, list[tuple[str, str, bool]]]:
    return {row.commit.subject: [(one.run.name, one.how, one.changed) for one in row.runs] for row in found.commits}


def test_runs_stand_below_their_commits(repo: Repository) -> None:
    record(repo, name="a")
    commit("second", a="1\n")
    record(repo, name="b")
    record(repo, name="c")
    commit("third", a="2\n")
    found = codehistory.code_history(repo)
    assert [row.commit.subject for row in found.commits] == ["third", "second", "first"]
    assert by_subject(found) == {
        "third": [],
        "second": [("b", COMMIT, False), ("c", COMMIT, False)],
        "first": [("a", COMMIT, False)],
    }
    assert (found.elsewhere, found.more) == ([], False)


def test_a_branch_a_range_and_a_commit(repo: Repository) -> None:
    record(repo, name="a")
    second = commit("second", a="1\n")
    record(repo, name="b")
    git("checkout", "-q", "-b", "topic")
    commit("third", a="2\n")
    record(repo, name="c")
    assert list(by_subject(codehistory.code_history(repo, "main"))) == ["second", "first"]
    assert list(by_subject(codehistory.code_history(repo, "main..topic"))) == ["third"]
    assert by_subject(codehistory.code_history(repo, second)) == {"second": [("b", COMMIT, False)]}
    assert list(by_subject(codehistory.code_history(repo, "HEAD"))) == ["third"]
    limited = codehistory.code_history(repo, limit=2)
    assert list(by_subject(limited)) == ["third", "second"] and limited.more and len(limited.elsewhere) == 1
    only = codehistory.code_history(repo, where="name = 'c'")
    assert [len(row.runs) for row in only.commits] == [1, 0, 0]


@pytest.mark.parametrize("text", ["nope", "a..nope", "--all", "gxt:experiments", "a\nb"])
def test_what_is_no_commit_is_said(repo: Repository, text: str) -> None:
    with pytest.raises(NotFoundError, match="no commit"):
        codehistory.code_history(repo, text)


def test_without_a_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gxt.git import find

    git("init", "-q", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFoundError, match="no commit yet"):
        codehistory.code_history(find(tmp_path))


def test_uncommitted_changes_stand_below_the_commit_that_they_were_made_on(repo: Repository) -> None:
    Path("train.py").write_text("print('changed')\n")
    record(repo, name="dirty")
    assert by_subject(codehistory.code_history(repo)) == {"first": [("dirty", COMMIT, True)]}


def test_uncommitted_changes_that_were_committed_stand_below_that_commit(repo: Repository) -> None:
    Path("train.py").write_text("print('changed')\n")
    record(repo, name="before")
    commit("second")
    record(repo, name="after")
    assert by_subject(codehistory.code_history(repo)) == {
        "second": [("before", TREE, False), ("after", COMMIT, False)],
        "first": [],
    }


def test_an_amended_message_keeps_the_tree(repo: Repository) -> None:
    commit("second", a="1\n")
    record(repo, name="a")
    git("commit", "-q", "--amend", "-m", "better words")
    assert by_subject(codehistory.code_history(repo))["better words"] == [("a", TREE, False)]


def test_rebased_commits_are_known_by_what_they_change(repo: Repository) -> None:
    git("checkout", "-q", "-b", "topic")
    commit("second", a="1\n")
    record(repo, name="a")
    Path("a.py").write_text("1\n2\n")
    record(repo, name="b")
    commit("third")
    record(repo, name="c")
    Path("a.py").write_text("never committed\n")
    record(repo, name="d")
    git("checkout", "-q", "--", ".")
    git("checkout", "-q", "main")
    commit("elsewhere", b="1\n")
    git("checkout", "-q", "topic")
    git("rebase", "-q", "main")
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "-q", "--prune=now")
    assert by_subject(codehistory.code_history(repo)) == {
        "third": [("b", CHANGE, False), ("c", CHANGE, False), ("d", CHANGE, True)],
        "second": [("a", CHANGE, False)],
        "elsewhere": [],
        "first": [],
    }


@pytest.mark.parametrize("moved", [False, True], ids=["on the same base", "on a base that went on"])
def test_a_squashed_branch_is_known_by_its_last_commit(repo: Repository, moved: bool) -> None:
    git("checkout", "-q", "-b", "topic")
    commit("one", a="1\n")
    record(repo, name="halfway")
    commit("two", a="1\n2\n", c="c\n")
    record(repo, name="whole")
    git("checkout", "-q", "main")
    if moved:
        commit("elsewhere", b="1\n")
    git("merge", "-q", "--squash", "topic")
    commit("squashed")
    git("branch", "-q", "-D", "topic")
    found = codehistory.code_history(repo)
    assert by_subject(found)["squashed"] == [("whole", CHANGE if moved else TREE, False)]
    assert len(found.elsewhere) == 1 and found.not_here == []  # half of a squash is nowhere


def test_a_revert_has_the_files_of_before_and_is_told_from_it_by_where_it_came_from(repo: Repository) -> None:
    commit("second", a="1\n")
    commit("third", a="2\n")
    commit("back", a="1\n")
    record(repo, name="a")
    git("commit", "-q", "--amend", "-m", "back again")
    assert by_subject(codehistory.code_history(repo))["back again"] == [("a", TREE, False)]


def test_binary_changes_of_one_file_are_different_changes(repo: Repository) -> None:
    git("checkout", "-q", "-b", "topic")
    Path("model.bin").write_bytes(b"\0one")
    commit("one")
    record(repo, name="a")
    git("checkout", "-q", "main")
    Path("model.bin").write_bytes(b"\0two")
    commit("two")
    found = codehistory.code_history(repo)
    assert len(found.elsewhere) == 1 and not any(row.runs for row in found.commits)


def test_a_colleague_who_lacks_the_code_goes_by_names_alone(
    repo: Repository, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gxt.git import find

    record(repo, name="clean")
    Path("train.py").write_text("print('changed')\n")
    record(repo, name="dirty")
    git("checkout", "-q", "-b", "topic")
    commit("second")
    record(repo, name="lost")
    git("clone", "-q", "-b", "main", "--single-branch", f"file://{work}", str(tmp_path / "other"))
    git("fetch", "-q", "origin", "gxt:refs/remotes/origin/gxt", cwd=tmp_path / "other")
    found = codehistory.code_history(find(tmp_path / "other"))
    assert by_subject(found) == {"first": [("clean", COMMIT, False), ("dirty", COMMIT, True)]}
    assert [len(runs) for runs in (found.elsewhere, found.not_here)] == [1, 1]


def test_what_was_worked_out_is_kept_and_may_vanish(repo: Repository) -> None:
    test_rebased_commits_are_known_by_what_they_change(repo)
    cache = store.root(repo) / "patch-ids"
    before = codehistory.code_history(repo)
    assert cache.exists()
    for damage in (b"no json", b"[1]", None):
        cache.unlink() if damage is None else cache.write_bytes(damage)
        assert by_subject(codehistory.code_history(repo)) == by_subject(before)


def test_nobodys_configuration_changes_what_is_found(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "/bin/false")
    git("config", "diff.noprefix", "true")
    git("config", "color.ui", "always")
    git("config", "log.showSignature", "true")
    git("config", "patchid.stable", "false")
    git("config", "diff.algorithm", "histogram")
    test_rebased_commits_are_known_by_what_they_change(repo)


# --- more ran than the commit has -----------------------------------------------------------------------------------


def left_out_of_it(work: Path) -> None:
    (work / "weights.txt").write_text("0.1 changed\n")
    git("config", "gxt.snapshotMaxFile", "10")


def edited_since(work: Path) -> None:
    (work / "features.py").write_text("SPEED = 18\n")
    git("add", ".")
    git("commit", "-q", "-m", "features")
    (work / "features.py").write_text("SPEED = 20\n")
    code = (
        "import gxt, features, time; time.sleep(0.05); open('features.py', 'w').write('SPEED = 18\\n'); gxt.start_run()"
    )
    run_python(code=f"import sys; sys.path.insert(0, '.'); {code}", cwd=work)


def beside_untracked(work: Path) -> None:
    git("config", "status.showUntrackedFiles", "no")


def with_a_dirty_submodule(work: Path) -> None:
    git("init", "-q", "../lib")
    git("-C", "../lib", "commit", "-q", "--allow-empty", "-m", "lib")
    git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../lib", "lib")
    git("commit", "-q", "-m", "lib")
    (work / "lib" / "new.py").write_text("new\n")


@pytest.mark.parametrize("make", [left_out_of_it, edited_since, beside_untracked, with_a_dirty_submodule])
def test_a_commit_that_has_not_all_that_ran_is_not_taken_for_it(
    repo: Repository, work: Path, make: Callable[[Path], None]
) -> None:
    (work / "weights.txt").write_text("1.0 as committed\n")
    git("add", ".")
    git("commit", "-q", "-m", "weights")
    make(work)
    if make is not edited_since:
        record(repo)
    run = catalog.find(repo, "@last")
    assert run.source["snapshot"] == run.source["commit"]
    (found,) = (one for row in code_history(repo).commits for one in row.runs)
    assert found.changed and codehistory.inexact(repo, [run]) == {run.id}


def test_large_files_that_git_does_not_track_are_data(repo: Repository, work: Path) -> None:
    git("config", "gxt.snapshotMaxFile", "10")
    (work / "trips.csv").write_text("1.0 and more\n")
    run = catalog.find(repo, record(repo))
    assert run.source["dirty"] and "trips.csv" in run.source["left_out"]
    assert codehistory.inexact(repo, [run]) == set()


def test_a_run_in_a_bare_repository_says_nothing_of_changes(repo: Repository, work: Path, tmp_path: Path) -> None:
    git("clone", "-q", "--bare", str(work), str(tmp_path / "bare.git"))
    bare = gxt.git.find(tmp_path / "bare.git")
    run = catalog.find(bare, record(bare))
    assert "dirty" not in run.source and codehistory.code_of(run) is None


def test_a_run_that_went_on_with_other_code_is_not_of_its_first_alone(repo: Repository, work: Path) -> None:
    run_id = record(repo)
    recorder.resume(repo, run_id).end("finished")
    run = catalog.find(repo, run_id)
    (again,) = run.source["resumed"]
    assert again["snapshot"] == run.source["snapshot"] and again["at"].endswith("Z") and again["command"]
    assert codehistory.inexact(repo, [run]) == set()
    (work / "train.py").write_text("print('changed')\n")
    recorder.resume(repo, run_id).end("finished")
    run = catalog.find(repo, run_id)
    assert [one["dirty"] for one in run.source["resumed"]] == [False, True]
    later = run.source["resumed"][1]["snapshot"]
    assert git("show", f"{later}:train.py") == "print('changed')" and "code.patch" not in catalog.files(repo, run)
    assert codehistory.inexact(repo, [run]) == {run_id}
    git("stash", "-q")
    git("gc", "-q", "--prune=now")
    tip = git("rev-parse", "gxt")
    paths = [path for path in git("ls-tree", "-r", "--name-only", tip).splitlines() if path.endswith("run.yaml")]
    assert later in snapshots.named_in(repo, tip, paths) and later not in snapshots.prune(repo).gone
    assert any("went on with other code" in line for line in worktrees.missing(run, worktrees.Opened(work, "", (), ())))
