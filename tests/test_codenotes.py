"""gxt annotate-commits: what git itself shows of the notes, and whose they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gxt import git as questions
from gxt import store
from gxt.codenotes import REF, annotate
from gxt.git import Repository
from helpers import checkout_state, git, put_on_branch, record


def shown(commit: str = "HEAD") -> list[str]:
    """The lines that git shows of a commit's note, less those that say whose they are."""
    return [line.strip() for line in git("notes", "--ref=gxt", "show", commit).splitlines()[1:-1]]


def test_git_shows_what_runs_came_to(repo: Repository, work: Path) -> None:
    one = record(repo, name="one", metrics={"rmse": 6.3017, "score": 2})
    failed = record(repo, "bus", name="two", status="failed")
    (work / "train.py").write_text("print('changed')\n")
    dirty = record(repo, name="three", metrics={"rmse": 5})
    state = checkout_state(work)
    done = annotate(repo)
    assert git("log", "--notes=gxt", "-1", "HEAD").count("rmse=6.3017") == 1
    assert shown() == [
        f"bus: two failed ({failed})",
        f"taxi: one rmse=6.3017 score=2 ({one})",
        f"taxi, with uncommitted changes: three rmse=5 ({dirty})",
    ]
    assert list(done.texts) == [git("rev-parse", "HEAD")] and done.commit == git("rev-parse", "refs/notes/gxt")
    git("update-ref", "-d", "refs/notes/gxt")
    assert checkout_state(work) == state


def test_of_many_runs_the_best_is_named(repo: Repository) -> None:
    ids = [record(repo, name=f"r{i}", metrics={"rmse": 10 - i, "acc": i / 10, "heat": i}) for i in range(4)]
    annotate(repo)
    best = f"r3 ({ids[3]})"
    assert shown() == [f"taxi: 4 runs, best acc=0.3 by {best}, best rmse=7 by {best}, heat 0 to 3"]


def test_only_what_changed_is_written(repo: Repository) -> None:
    record(repo, name="one", metrics={"rmse": 6})
    assert annotate(repo, dry_run=True).commit is None
    assert git("for-each-ref", "refs/notes") == ""
    first = annotate(repo)
    again = annotate(repo)
    assert (again.texts, again.same, again.commit) == ({}, 1, None)
    assert git("rev-parse", "refs/notes/gxt") == first.commit
    old = git("rev-parse", "HEAD")
    git("commit", "-q", "--allow-empty", "-m", "second")
    two = record(repo, name="two", metrics={"rmse": 5})
    assert list(annotate(repo).texts) == [git("rev-parse", "HEAD")]
    store.mark_deleted(repo, two, True)
    gone = annotate(repo)
    assert list(gone.texts.values()) == [""] and gone.commit is not None
    assert [line.split()[1] for line in git("notes", "--ref=gxt", "list").splitlines()] == [old]
    assert git("rev-list", "--count", "refs/notes/gxt") == "3"


def test_what_others_wrote_stays(repo: Repository) -> None:
    run = record(repo, name="one", metrics={"rmse": 6})
    git("notes", "--ref=gxt", "add", "-m", "Looks good to me")
    annotate(repo)
    assert git("notes", "--ref=gxt", "show", "HEAD").startswith("Looks good to me\n\nRuns, by gxt:\n  taxi: one")
    git("notes", "--ref=gxt", "append", "-m", "To me too")
    assert annotate(repo).texts == {}
    store.mark_deleted(repo, run, True)
    annotate(repo)
    assert git("notes", "--ref=gxt", "show", "HEAD").split("\n") == ["Looks good to me", "", "To me too"]
    store.mark_deleted(repo, run, False)
    annotate(repo)
    assert "rmse=6" in git("notes", "--ref=gxt", "show", "HEAD")


def test_many_notes_in_git_s_folders(repo: Repository) -> None:
    head = git("rev-parse", "HEAD")
    many = {f"{i:040x}": f"note {i}\n".encode() for i in range(300)}
    questions.write_notes(repo, REF, questions.read_notes(repo, REF), many, "many", questions.config(repo))
    assert len(git("notes", "--ref=gxt", "list").splitlines()) == 300
    assert git("notes", "--ref=gxt", "list", f"{7:040x}") != ""
    record(repo, name="one", metrics={"rmse": 6})
    annotate(repo)
    assert "rmse=6" in shown()[0]
    assert git("ls-tree", "-r", "--name-only", "refs/notes/gxt", f"{head[:2]}/{head[2:]}") != ""
    git("notes", "--ref=gxt", "add", "-f", "-m", "anew")  # git puts them as it likes
    annotate(repo)
    assert len(git("notes", "--ref=gxt", "list").splitlines()) == 301
    assert git("notes", "--ref=gxt", "show", "HEAD").startswith("anew\n\nRuns, by gxt:")


def test_signed_notes_are_in_folders_too(repo: Repository, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    for name, value in (("gpg.format", "ssh"), ("user.signingKey", f"{tmp_path}/key"), ("commit.gpgSign", "true")):
        git("config", name, value)
    many = {f"{i:040x}": b"a note" for i in range(300)}
    questions.write_notes(repo, REF, questions.read_notes(repo, REF), many, "many", questions.config(repo))
    assert "gpgsig" in git("cat-file", "commit", REF)
    assert len(git("notes", "--ref=gxt", "list").splitlines()) == 300
    assert git("ls-tree", "--name-only", REF) == "00"


def test_commits_that_are_not_here_have_notes_too(repo: Repository) -> None:
    run = record(repo, name="one", metrics={"rmse": 6})
    path = f"experiments/taxi/{run}/run.yaml"
    put_on_branch(path, git("show", f"gxt:{path}").replace(git("rev-parse", "HEAD"), "12" * 20) + "\n")
    assert list(annotate(repo).texts) == ["12" * 20]
    put_on_branch(path, git("show", f"gxt:{path}").replace("12" * 20, "../../x") + "\n")
    assert list(annotate(repo).texts.values()) == [""]


def test_what_took_a_commit_s_place_has_a_note_that_says_so(repo: Repository, work: Path) -> None:
    git("checkout", "-q", "-b", "topic")
    (work / "train.py").write_text("print('topic')\n")
    git("commit", "-q", "-am", "on topic")
    old = git("rev-parse", "HEAD")
    run = record(repo, name="one", metrics={"rmse": 6})
    git("checkout", "-q", "main")
    (work / "README.md").write_text("text\n")
    git("add", "README.md")
    git("commit", "-q", "-m", "meanwhile")
    git("cherry-pick", old)
    git("branch", "-D", "-q", "topic")
    done = annotate(repo)
    assert shown() == [f"taxi, of a commit with the same change: one rmse=6 ({run})"]
    assert shown(old) == [f"taxi: one rmse=6 ({run})"] and list(done.unseen) == [old]
    git("commit", "-q", "--amend", "-m", "better words")
    assert next(iter(annotate(repo).texts.values())).count("same change") == 1
    (work / "train.py").write_text("print('later')\n")
    dirty = record(repo, name="two", metrics={"rmse": 5})
    git("commit", "-q", "-am", "as it ran")
    annotate(repo)
    assert shown() == [f"taxi, of a commit with the same tree: two rmse=5 ({dirty})"]
    assert f"taxi, with uncommitted changes: two rmse=5 ({dirty})" in shown("HEAD~1")
    found = git("rev-parse", "HEAD")
    git("checkout", "-q", "HEAD~2")
    assert annotate(repo).texts == {}  # what is checked out takes no note away
    store.mark_deleted(repo, dirty, True)
    assert found in annotate(repo).texts
    assert found not in git("notes", "--ref=gxt", "list")
