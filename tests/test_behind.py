"""Reviews whose run branch has gone on: that a host can merge them once they are updated, and what tells that it could
not before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gxt.git
from gxt import behind, catalog, edits, joining, layout, review
from gxt.cli import main
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from helpers import git, make_hub, put_on_branch, record


@pytest.fixture
def hub(repo: Repository, tmp_path: Path) -> Path:
    return make_hub(repo, tmp_path)


@pytest.fixture
def colleague(hub: Path, tmp_path: Path) -> Repository:
    """A colleague's clone."""
    git("clone", "-q", str(hub), str(tmp_path / "colleague"))
    return gxt.git.find(tmp_path / "colleague")


def merges_at_host(hub: Path, tmp_path: Path, how: str = "--no-ff") -> bool:
    """Whether the host's button merges gxt-lr into gxt; it does where it can."""
    clone = tmp_path / "host"
    if not clone.exists():
        git("clone", "-q", "--branch", "gxt", str(hub), str(clone))
    git("fetch", "-q", cwd=clone)
    git("reset", "-q", "--hard", "origin/gxt", cwd=clone)
    # A host's repository has no work tree, so that no attributes count.
    (clone / ".git" / "info").mkdir(exist_ok=True)
    (clone / ".git" / "info" / "attributes").write_text("* !merge\n")
    try:
        git("merge", "-q", how, *([] if how == "--squash" else ["--no-edit"]), "origin/gxt-lr", cwd=clone)
        if how == "--squash":
            git("commit", "-q", "-m", "squashed", cwd=clone)
    except AssertionError:
        return False
    git("push", "-q", "origin", "HEAD:gxt", cwd=clone)
    return True


def both_begin_an_experiment(mine: Repository, theirs: Repository) -> None:
    """The same experiment begins on a pushed review here, and on the pushed run branch there; both set a goal."""
    review.start(mine, "lr")
    record(mine, "new", name="mine", metrics={"rmse": 2})
    edits.set_goals(mine, catalog.find_experiment(mine, "new"), {"rmse": "min"})
    git("push", "-q", "origin", "gxt-lr", cwd=mine.work_tree)
    record(theirs, "new", name="theirs", metrics={"mae": 2})
    edits.set_goals(theirs, catalog.find_experiment(theirs, "new"), {"mae": "min"})
    git("push", "-q", "origin", "gxt", cwd=theirs.work_tree)


def both_edit_a_run(mine: Repository, theirs: Repository) -> None:
    """Tags on one run, on a pushed review here and on the pushed run branch there."""
    review.start(mine, "lr")
    edits.tag(mine, catalog.find(mine, "before"), {"stage": "prod"})
    git("push", "-q", "origin", "gxt-lr", cwd=mine.work_tree)
    edits.tag(theirs, catalog.find(theirs, "before"), {"owner": "ada"})
    git("push", "-q", "origin", "gxt", cwd=theirs.work_tree)


def the_one(repo: Repository) -> behind.Behind:
    (one,) = review.listing(repo)
    return behind.of(repo, one)


@pytest.mark.parametrize("how", ["--no-ff", "--squash"])
@pytest.mark.parametrize("apart", [both_begin_an_experiment, both_edit_a_run], ids=lambda way: way.__name__)
def test_an_updated_review_merges_on_the_host(
    repo: Repository, hub: Path, colleague: Repository, tmp_path: Path, apart: object, how: str
) -> None:
    apart(repo, colleague)  # type: ignore[operator]
    assert not merges_at_host(hub, tmp_path, how)
    git("fetch", "-q")
    assert len(the_one(repo).conflicts) == 1
    done = behind.update(repo)
    assert (done.bases, done.merges, done.shared, done.unreachable) == (("origin/gxt",), 1, ("origin",), ())
    assert len(done.received) == 1
    assert the_one(repo) == behind.Behind("origin/gxt", [], [])
    git("push", "-q", "origin", "gxt-lr")
    assert merges_at_host(hub, tmp_path, how)
    finished = review.finish(repo, None)
    assert (finished.review.merged, finished.dropped) == (True, True)
    if apart is both_begin_an_experiment:
        assert catalog.find_experiment(repo, "new").goals == {"rmse": "min", "mae": "min"}
        assert {run.name for run in catalog.listing(repo).runs} == {"before", "mine", "theirs"}
    else:
        assert catalog.find(repo, "before").tags == {"stage": "prod", "owner": "ada"}


def test_what_came_by_an_update_is_none_of_the_review(
    repo: Repository, hub: Path, colleague: Repository, tmp_path: Path
) -> None:
    both_begin_an_experiment(repo, colleague)
    behind.update(repo)
    (one,) = review.listing(repo)
    assert [catalog.find(repo, "mine").id] == [unit.run_id for unit in one.runs]
    git("push", "-q", "origin", "gxt-lr")
    assert merges_at_host(hub, tmp_path, "--ff-only")
    done = review.finish(repo, None)
    assert done.review.merged and len(done.review.runs) == 1


def test_an_update_again_changes_nothing(repo: Repository, hub: Path, colleague: Repository) -> None:
    both_edit_a_run(repo, colleague)
    behind.update(repo)
    before = git("rev-parse", "gxt-lr")
    done = behind.update(repo)
    assert (git("rev-parse", "gxt-lr"), done.merges, list(done.received)) == (before, 0, [])


def test_another_review_than_the_one_that_is_on(repo: Repository, hub: Path, colleague: Repository) -> None:
    both_edit_a_run(repo, colleague)
    review.finish(repo, None)
    before = git("rev-parse", "gxt")
    behind.update(repo, "gxt-lr")
    assert gxt.git.is_ancestor(repo, git("rev-parse", "origin/gxt"), git("rev-parse", "gxt-lr"))
    assert git("rev-parse", "gxt") == before


def test_without_a_remote_the_branch_here_is_joined(repo: Repository) -> None:
    record(repo, name="before")
    review.start(repo, "lr")
    record(repo, name="mine")
    review.finish(repo, None)
    record(repo, name="later")
    done = behind.update(repo, "lr")
    assert (done.bases, done.shared, [moved.what for moved in done.received]) == (("gxt",), (), ["new"])
    assert {run.name for run in catalog.listing(repo, at="gxt-lr").runs} == {"before", "mine", "later"}


def test_updating_what_is_not_there(repo: Repository, hub: Path) -> None:
    with pytest.raises(UsageError, match="no review is on"):
        behind.update(repo)
    with pytest.raises(NotFoundError, match="no review 'lr'"):
        behind.update(repo, "lr")


def test_a_remote_that_does_not_answer(repo: Repository, hub: Path, colleague: Repository, tmp_path: Path) -> None:
    both_edit_a_run(repo, colleague)
    git("fetch", "-q")
    hub.rename(tmp_path / "gone.git")
    done = behind.update(repo)
    assert done.unreachable and len(done.received) == 1


# --- conflicts ----------------------------------------------------------------------------------------------------


def test_what_git_can_merge_is_no_conflict(repo: Repository, hub: Path) -> None:
    put_on_branch("notes.txt", "".join(f"{line}\n" for line in range(20)))
    base = git("rev-parse", "gxt")
    put_on_branch("notes.txt", "first\n" + "".join(f"{line}\n" for line in range(1, 20)))
    ours = git("rev-parse", "gxt")
    git("update-ref", "refs/heads/gxt", base)
    put_on_branch("notes.txt", "".join(f"{line}\n" for line in range(19)) + "last\n")
    settings = gxt.git.config(repo)
    assert joining.conflicts(repo, settings, ours, git("rev-parse", "gxt")) == []
    assert joining.conflicts(repo, settings, ours, base) == []
    git("update-ref", "refs/heads/gxt", base)
    put_on_branch("notes.txt", "another first\n" + "".join(f"{line}\n" for line in range(1, 20)))
    assert joining.conflicts(repo, settings, ours, git("rev-parse", "gxt")) == ["notes.txt"]


def test_a_merge_that_is_tried_leaves_nothing_behind(repo: Repository, hub: Path, colleague: Repository) -> None:
    assert run_cli("init") == 0  # git's merges here are gxt's own from now on, which a host's are not
    both_edit_a_run(repo, colleague)
    git("fetch", "-q")
    objects = git("count-objects", "-v")
    assert the_one(repo).conflicts == [f"{layout.run_path('taxi', catalog.find(repo, 'before').id)}/run.yaml"]
    assert git("count-objects", "-v") == objects


def test_histories_with_nothing_in_common(repo: Repository) -> None:
    record(repo, name="one")
    ours = git("rev-parse", "gxt")
    path = layout.experiment_path("taxi")
    alike, other = (git("commit-tree", f"{ours}^{{tree}}", "-m", text) for text in ("a", "b"))
    settings = gxt.git.config(repo)
    assert joining.conflicts(repo, settings, ours, alike) == []
    git("update-ref", "refs/heads/gxt", other)
    put_on_branch(path, "name: taxi\n")
    assert joining.conflicts(repo, settings, ours, git("rev-parse", "gxt")) == [path]


# --- the command line ---------------------------------------------------------------------------------------------


def run_cli(*args: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(list(args))
    return int(done.value.code or 0)


def test_the_commands(
    repo: Repository, hub: Path, colleague: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both_begin_an_experiment(repo, colleague)
    path = layout.experiment_path("new")
    assert run_cli("sync") == 0  # which looks at the run branch too
    out = capsys.readouterr()
    assert out.out == "origin: nothing new\n"
    assert out.err == (
        "origin/gxt has 1 run that gxt-lr has not; it conflicts with origin/gxt on the host, in "
        f"{path}: `gxt review update` joins the two\n"
    )
    assert run_cli("review") == 0
    out = capsys.readouterr()
    assert "1 run, 1 experiment not in gxt, pushed, behind by 1 run, conflicts" in out.out
    assert f"gxt-lr conflicts with origin/gxt on the host, in {path}: `gxt review update lr` joins the two" in out.err
    assert run_cli("review", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["conflicts"], [run["what"] for run in one["behind"]]) == ([path], ["new"])
    assert run_cli("report") == 0
    assert f"⚠️ Conflicts with `origin/gxt` on the host, in `{path}`: `gxt review update`" in capsys.readouterr().out
    assert run_cli("report", "--json") == 0
    assert json.loads(capsys.readouterr().out)["conflicts"] == [path]
    assert run_cli("review", "update") == 0
    out = capsys.readouterr()
    assert out.out == "gxt-lr: received 1 run from origin/gxt\n"
    assert out.err == "the pull request has this once `gxt push` has sent it\n"
    assert run_cli("push") == 0
    capsys.readouterr()
    assert run_cli("sync") == 0 and capsys.readouterr().err == ""
    assert run_cli("report") == 0
    assert "Conflicts" not in capsys.readouterr().out
    assert run_cli("review", "update", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["joined"], found["received"], found["merges"]) == (["origin/gxt"], [], 0)
    assert merges_at_host(hub, tmp_path)
