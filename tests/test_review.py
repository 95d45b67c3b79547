"""Reviews: recording on a branch of its own, and telling what became of it, whichever way a host merges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gxt.git
from gxt import catalog, edits, layout, recorder, review, store
from gxt.cli import main
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository
from helpers import git, make_hub, put_on_branch, record, run_python


@pytest.fixture
def hub(repo: Repository, tmp_path: Path) -> Path:
    return make_hub(repo, tmp_path)


def at_host(hub: Path, tmp_path: Path, *commands: str) -> None:
    """Do in a clone of the host's repository, with the run branch checked out, what the host's buttons do."""
    clone = tmp_path / "host"
    if not clone.exists():
        git("clone", "-q", "--branch", "gxt", str(hub), str(clone))
    git("fetch", "-q", cwd=clone)
    git("reset", "-q", "--hard", "origin/gxt", cwd=clone)
    for command in commands:
        git(*command.split(), cwd=clone)
    git("push", "-q", "origin", "HEAD:gxt", cwd=clone)


# What hosts' buttons do, each ending with the base branch checked out at what it is to become.
MERGES = {
    "merge": ["merge -q --no-ff --no-edit origin/gxt-lr"],
    "fast-forward": ["merge -q --ff-only origin/gxt-lr"],
    "squash": ["merge -q --squash origin/gxt-lr", "commit -q -m squashed"],
    "rebase": [
        "checkout -q -B topic origin/gxt-lr",
        "rebase -q --force-rebase origin/gxt",
        "checkout -q -B gxt topic",
    ],
}


def names(repo: Repository) -> list[str]:
    return [run.name for run in catalog.listing(repo).runs]


def refs(prefix: str = "refs/heads/") -> list[str]:
    return git("for-each-ref", "--format=%(refname)", prefix).splitlines()


# --- recording ----------------------------------------------------------------------------------------------------


def local_branch(repo: Repository) -> str | None:
    """What the repository's own configuration says of the run branch, whatever the user's does."""
    return git("config", "--local", "--default", "", "--get", "gxt.branch", cwd=repo.common_dir) or None


def test_runs_go_to_the_review_and_back(repo: Repository, hub: Path) -> None:
    started = review.start(repo, "lr")
    assert (started.is_new, started.unpushed, started.begun) == (True, 0, ())
    record(repo, name="tried")
    assert names(repo) == ["before", "tried"]
    review.finish(repo, None)
    assert names(repo) == ["before"]
    record(repo, name="after")
    assert [run.name for run in catalog.listing(repo, at="gxt").runs] == ["before", "after"]
    assert [run.name for run in catalog.listing(repo, at="gxt-lr").runs] == ["before", "tried"]
    assert local_branch(repo) is None


def test_a_run_goes_to_the_branch_that_it_began_on(repo: Repository, hub: Path) -> None:
    long = recorder.begin(repo, "taxi", name="long")
    long.log_metric("rmse", 1)
    assert review.start(repo, "lr").begun == (long.run_id,)
    inside = recorder.begin(repo, "taxi", name="inside")
    store.checkpoint(repo, inside.run_id)
    review.finish(repo, None)
    record(repo, name="outside")
    inside.end("finished")
    long.end("finished")
    assert sorted(run.name for run in catalog.listing(repo, at="gxt").runs) == ["before", "long", "outside"]
    found = catalog.listing(repo, at="gxt-lr").runs
    assert [(run.name, run.status) for run in found] == [("before", "finished"), ("inside", "finished")]
    assert not (store.root(repo) / "branches.json").exists()


def test_a_crashed_run_goes_to_the_branch_that_it_began_on(repo: Repository, hub: Path) -> None:
    review.start(repo, "lr")
    run_python(code="import gxt, os; gxt.start_run(run_name='crash'); os._exit(1)", check=False)
    review.finish(repo, None)
    assert names(repo) == ["before"]
    found = catalog.listing(repo, at="gxt-lr").runs
    assert [(run.name, run.status) for run in found] == [("before", "finished"), ("crash", "killed")]


def test_a_run_whose_review_was_dropped_is_not_lost(repo: Repository, hub: Path) -> None:
    review.start(repo, "lr")
    run = recorder.begin(repo, "taxi", name="late")
    done = review.finish(repo, None, force=True)
    assert (done.dropped, len(done.kept)) == (False, 1)
    git("update-ref", "-d", "refs/heads/gxt-lr")
    run.end("finished")
    assert names(repo) == ["before", "late"]


def test_the_users_own_run_branch_comes_back(repo: Repository, hub: Path) -> None:
    git("config", "--global", "gxt.branch", "runs")
    record(repo, name="of runs")
    review.start(repo, "lr")
    assert store.branch_name(gxt.git.config(repo)) == "runs-lr"
    assert review.listing(repo)[0].base == "runs"
    review.finish(repo, None)
    assert store.branch_name(gxt.git.config(repo)) == "runs"
    assert local_branch(repo) is None


def test_a_review_begins_the_run_branch_where_there_is_none(repo: Repository) -> None:
    review.start(repo, "lr")
    record(repo, name="tried")
    assert git("merge-base", "gxt", "gxt-lr") == git("rev-parse", "gxt")
    assert review.listing(repo)[0].pushed is None


def test_a_review_forks_from_the_remote_where_that_has_more(repo: Repository, hub: Path, tmp_path: Path) -> None:
    put_on_branch("note.txt", "theirs\n")
    git("push", "-q", "origin", "gxt")
    git("update-ref", "refs/heads/gxt", "gxt~1")
    review.start(repo, "lr")
    assert git("rev-parse", "gxt-lr") == git("rev-parse", "origin/gxt")


def test_commits_that_no_remote_has_are_counted(repo: Repository, hub: Path) -> None:
    record(repo, name="not pushed")
    assert review.start(repo, "lr").unpushed == 1


def test_a_review_goes_on_here_and_from_a_remote(repo: Repository, hub: Path) -> None:
    review.start(repo, "lr")
    record(repo, name="one")
    review.finish(repo, None)
    assert review.start(repo, "lr").is_new is False
    record(repo, name="two")
    git("push", "-q", "origin", "gxt-lr")
    record(repo, name="dropped")
    review.finish(repo, None, force=True)
    assert refs() == ["refs/heads/gxt", "refs/heads/main"]
    assert [one.name for one in review.listing(repo)] == ["lr"]  # on the remote
    assert review.start(repo, "lr").is_new is False
    record(repo, name="three")
    assert names(repo) == ["before", "one", "two", "three"]


def test_names_that_no_branch_can_have(repo: Repository) -> None:
    for name in ("", "a b", "a..b", "a/b", "-x", ".x", "x.lock", "x.", "a\nb"):
        with pytest.raises(UsageError, match="no review can be called"):
            review.start(repo, name)
    assert local_branch(repo) is None


def test_a_branch_of_code_is_no_review(repo: Repository, hub: Path) -> None:
    git("branch", "gxt-code", "main")
    assert review.listing(repo) == []
    with pytest.raises(UsageError, match="a branch without runs"):
        review.start(repo, "code")


def test_finishing_what_is_not_there(repo: Repository, hub: Path) -> None:
    with pytest.raises(UsageError, match="no review is on"):
        review.finish(repo, None)
    with pytest.raises(NotFoundError, match="no review 'lr'"):
        review.finish(repo, "lr")


# --- merged on the host -------------------------------------------------------------------------------------------


@pytest.fixture
def reviewed(repo: Repository, hub: Path) -> Repository:
    """A review of two runs that is pushed, in a clone that is on it."""
    review.start(repo, "lr")
    record(repo, name="one", metrics={"rmse": 6.0})
    record(repo, experiment="other", name="two")
    git("push", "-q", "origin", "gxt-lr")
    return repo


@pytest.mark.parametrize("moved", [False, True], ids=["", "base went on"])
@pytest.mark.parametrize("way", MERGES)
def test_merged_by_the_host(reviewed: Repository, hub: Path, tmp_path: Path, way: str, moved: bool) -> None:
    if moved and way == "fast-forward":
        pytest.skip("hosts do not offer it then")
    if moved:
        at_host(hub, tmp_path, "commit -q --allow-empty -m meanwhile")
    at_host(hub, tmp_path, *MERGES[way])
    git("update-ref", "-d", "refs/heads/gxt-lr", cwd=hub)  # as hosts do on request
    done = review.finish(reviewed, None)
    assert done.review.merged, done.review.missing
    assert (done.left, done.dropped, done.forwarded, done.kept) == (True, True, True, ())
    assert len(done.review.runs) == 2
    assert refs() == ["refs/heads/gxt", "refs/heads/main"]
    assert names(reviewed) == ["before", "one", "two"]
    assert review.listing(reviewed) == []
    assert "gxt-lr" not in git("config", "--list")
    review.start(reviewed, "lr")  # the name is free again, and nothing warns of a branch that was deleted
    record(reviewed, name="again")


def test_merged_and_edited_since(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    at_host(hub, tmp_path, *MERGES["squash"])
    run_id = catalog.find(reviewed, "one").id
    path = f"{layout.run_path('taxi', run_id)}/params.yaml"
    (tmp_path / "host" / path).write_text("alpha: 1\n")
    git("commit", "-q", "-a", "-m", "edited", cwd=tmp_path / "host")
    git("push", "-q", "origin", "HEAD:gxt", cwd=tmp_path / "host")
    assert review.finish(reviewed, None).review.merged


def test_what_is_not_merged_is_named_and_kept(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    at_host(hub, tmp_path, *MERGES["squash"])
    record(reviewed, name="three")
    done = review.finish(reviewed, None)
    assert [catalog.find(reviewed, "three", at="gxt-lr").id] == [unit.run_id for unit in done.review.missing]
    assert (done.left, done.dropped, done.review.merged) == (True, False, False)
    assert "refs/heads/gxt-lr" in refs()
    assert review.finish(reviewed, "lr", force=True).dropped
    assert "refs/heads/gxt-lr" not in refs()


def test_an_edit_in_a_review_is_missed_too(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    at_host(hub, tmp_path, *MERGES["merge"])
    before = catalog.find(reviewed, "before")
    store.edit_run(reviewed, before.id, lambda run: run, "looked at")
    assert review.finish(reviewed, None).review.merged  # that changed nothing
    review.start(reviewed, "tags")
    edits.tag(reviewed, before, {"stage": "prod"})
    done = review.finish(reviewed, None)
    assert [(unit.run_id, unit.what) for unit in done.review.missing] == [(before.id, "changed")]


def test_a_goal_that_is_set_in_a_review_is_missed_too(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    at_host(hub, tmp_path, *MERGES["squash"])
    put = layout.experiment_path("taxi")
    git("checkout", "-q", "gxt-lr")
    Path(put).write_text(Path(put).read_text() + "goals: {rmse: min}\n")
    git("commit", "-q", "-a", "-m", "goal")
    git("checkout", "-q", "main")
    done = review.finish(reviewed, None)
    assert [unit.path for unit in done.review.missing] == [put]


def test_deleting_on_the_remote(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    at_host(hub, tmp_path, *MERGES["squash"])
    done = review.finish(reviewed, None, on_remotes=True)
    assert (done.dropped, done.remotes) == (True, ("origin",))
    assert git("for-each-ref", "refs/heads/gxt-lr", cwd=hub) == ""


def test_what_colleagues_pushed_to_a_review_is_not_deleted(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    at_host(hub, tmp_path, *MERGES["squash"])
    colleague = tmp_path / "colleague"
    git("clone", "-q", str(hub), str(colleague))
    theirs = gxt.git.find(colleague)
    review.start(theirs, "lr")
    record(theirs, name="theirs")
    git("push", "-q", "origin", "gxt-lr", cwd=colleague)
    done = review.finish(reviewed, None, on_remotes=True)
    assert (done.dropped, done.remotes) == (True, ())
    assert done.kept == ("origin has 1 more on it that gxt has not",)
    assert git("for-each-ref", "refs/heads/gxt-lr", cwd=hub) != ""


def test_a_remote_that_does_not_answer(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    hub.rename(tmp_path / "gone.git")
    done = review.finish(reviewed, None)
    assert len(done.unreachable) == 2 and not done.dropped and done.left


def test_a_run_branch_that_went_on_here_is_not_moved(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    at_host(hub, tmp_path, *MERGES["squash"])
    git("config", "gxt.branch", "gxt")
    record(reviewed, name="mine")
    done = review.finish(reviewed, "lr")
    assert (done.review.merged, done.dropped, done.forwarded) == (True, True, False)
    assert names(reviewed) == ["before", "mine"]


def test_nothing_of_the_checkout_is_touched(reviewed: Repository, hub: Path, tmp_path: Path) -> None:
    Path("train.py").write_text("print('changed')\n")
    at_host(hub, tmp_path, *MERGES["merge"])
    index = Path(".git/index").read_bytes()
    review.finish(reviewed, None)
    assert (git("status", "--porcelain"), git("rev-parse", "--abbrev-ref", "HEAD")) == (" M train.py", "main")
    assert Path(".git/index").read_bytes() == index


# --- how hosts show it --------------------------------------------------------------------------------------------


def test_what_is_bulky_is_marked_for_hosts(repo: Repository, hub: Path) -> None:
    path = layout.run_path("taxi", catalog.find(repo, "before").id)
    files = ["metrics.csv", "system.csv", "environment.txt", "output.log", "code.patch", "artifacts/a.txt"]
    git("checkout", "-q", "gxt")
    for attribute in ("linguist-generated", "gitlab-generated"):
        out = git("check-attr", attribute, *(f"{path}/{name}" for name in [*files, "run.yaml", "metrics.yaml"]))
        assert [line.rpartition(": ")[2] for line in out.splitlines()] == ["set"] * len(files) + ["unspecified"] * 2


def test_a_branch_of_before_learns_it_in_a_review(repo: Repository, hub: Path) -> None:
    put_on_branch(".gitattributes", "# Written by gxt: how git treats the runs on this branch.\n* -text\n")
    review.start(repo, "lr")
    assert git("show", "gxt-lr:.gitattributes") + "\n" == layout.GITATTRIBUTES_TEXT.decode()
    assert review.listing(repo)[0].units == ()  # nothing that could be missed


def test_attributes_that_somebody_wrote_stay(repo: Repository, hub: Path) -> None:
    put_on_branch(".gitattributes", "* -text\n*.bin filter=lfs\n")
    review.start(repo, "lr")
    assert git("show", "gxt-lr:.gitattributes") == "* -text\n*.bin filter=lfs"


# --- the command line ---------------------------------------------------------------------------------------------


def run_cli(*args: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(list(args))
    return int(done.value.code or 0)


def test_the_commands(repo: Repository, hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("review") == 0
    assert "gxt review start NAME" in capsys.readouterr().out
    assert run_cli("review", "start", "lr") == 0
    assert capsys.readouterr().out == "runs go to gxt-lr now, forked from gxt\n"
    run_id = record(repo, name="one")
    assert run_cli("review") == 0
    assert capsys.readouterr().out.splitlines()[1].split(None, 3) == [
        "lr",
        "(on)",
        "gxt-lr",
        "1  1 run not in gxt, not pushed",
    ]
    assert run_cli("review", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert one["runs"] == [{"id": run_id, "name": "one", "experiment": "taxi", "what": "new", "merged": False}]
    assert (one["current"], one["pushed"], one["merged"]) == (True, False, False)
    assert run_cli("review", "finish") == 0
    out = capsys.readouterr()
    assert out.out == f"runs go to gxt again\nnot merged into gxt:\n  one ({run_id}) in taxi\n"
    assert "--force" in out.err
    git("push", "-q", "origin", "gxt-lr")
    at_host(hub, tmp_path, *MERGES["squash"])
    assert run_cli("review", "finish", "lr", "--remote") == 0
    out = capsys.readouterr()
    assert "gxt-lr is merged: gxt has 1 run of it" in out.out and "deleted gxt-lr on origin" in out.out
    assert run_cli("review", "finish", "--json") == 2


def test_runs_and_experiments_are_counted_each(repo: Repository, hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    review.start(repo, "lr")
    record(repo, "fresh", name="one")
    record(repo, "fresh", name="two")
    assert run_cli("review") == 0
    assert "2  2 runs, 1 experiment not in gxt" in capsys.readouterr().out


def test_the_run_branch_is_no_name_of_a_review(repo: Repository, hub: Path) -> None:
    with pytest.raises(UsageError, match="gxt is the run branch itself"):
        review.start(repo, "gxt")
    assert refs() == ["refs/heads/gxt", "refs/heads/main"]
    assert review.start(repo, "gxt-lr").review.name == "lr"  # as other commands take it


def test_what_remotes_still_have_is_told(repo: Repository, hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    review.start(repo, "lr")
    record(repo, name="one")
    git("push", "-q", "origin", "gxt-lr")
    assert run_cli("review", "finish", "--force") == 0
    again = "`gxt review finish lr --remote --force` deletes it there"
    assert f"origin still has gxt-lr: {again}" in capsys.readouterr().err
    assert run_cli("review") == 0
    assert "not here" in capsys.readouterr().out
    assert run_cli("review", "finish", "lr", "--remote", "--force") == 0
    assert review.listing(repo) == []


def test_what_was_merged_and_is_on_a_remote_alone_is_told(
    repo: Repository, hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    review.start(repo, "lr")
    record(repo, name="one")
    git("push", "-q", "origin", "gxt-lr")
    at_host(hub, tmp_path, *MERGES["squash"])
    assert run_cli("review", "finish") == 0
    assert "`gxt review finish lr --remote` deletes it there" in capsys.readouterr().err
    assert run_cli("review") == 0
    assert "`gxt review finish lr --remote` deletes it there" in capsys.readouterr().err


def test_a_review_that_stays_against_what_was_asked_is_a_failure(repo: Repository, hub: Path) -> None:
    review.start(repo, "lr")
    run = recorder.begin(repo, "taxi", name="long")
    assert run_cli("review", "finish", "--force") == 1  # it still records
    run.end("finished")
    assert run_cli("review", "finish", "lr") == 1  # it is not merged, and was not on
    review.start(repo, "lr")
    assert run_cli("review", "finish") == 0  # that goes back to the run branch, which it does
    review.start(repo, "lr")
    assert run_cli("review", "finish", "--remote") == 1
    assert run_cli("review", "finish", "lr", "--force") == 0
