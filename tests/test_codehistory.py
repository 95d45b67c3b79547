"""Runs along the history of the code: which commit a run belongs to, whatever became of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from gxt import codehistory, store
from gxt.codehistory import CHANGE, COMMIT, TREE, CodeHistory
from gxt.errors import NotFoundError
from gxt.git import Repository
from helpers import git, record


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
