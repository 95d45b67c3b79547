"""The code of runs between clones: it is sent where the remote cannot reach it, brought when it is asked for, kept as
long as a run names it."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gxt.git
from gxt import bundles, catalog, edits, recorder, sharing, snapshots, store
from gxt.errors import GxtWarning, NotFoundError
from gxt.git import Repository, Talk
from helpers import git, record, run_python


@pytest.fixture
def hub(work: Path, tmp_path: Path) -> Path:
    """A bare repository that has the code of `work`, which is a clone of it."""
    folder = tmp_path / "hub.git"
    git("clone", "-q", "--bare", str(work), str(folder))
    git("remote", "add", "origin", str(folder), cwd=work)
    git("fetch", "-q", "origin", cwd=work)
    return folder


@pytest.fixture
def other(hub: Path, tmp_path: Path) -> Repository:
    git("clone", "-q", str(hub), str(tmp_path / "other"))
    return gxt.git.find(tmp_path / "other")


def source(repo: Repository, run_id: str) -> dict[str, Any]:
    return store.read_run(repo, run_id).source


def code_of_dirty_run(repo: Repository, content: str = "changed\n", **options: Any) -> str:
    assert repo.work_tree is not None
    (repo.work_tree / "train.py").write_text(content)
    return str(source(repo, record(repo, **options))["snapshot"])


def code_refs(folder: Path) -> list[str]:
    return [
        ref.rpartition("/")[2]
        for ref in git("for-each-ref", "--format=%(refname)", "refs/gxt/code", cwd=folder).split()
    ]


def sync(repo: Repository, **options: Any) -> sharing.Outcome:
    return sharing.sync(repo, "origin", Talk(), **options)


def bring(repo: Repository, commit: str) -> None:
    snapshots.bring(repo, gxt.git.config(repo), commit, Talk())


def test_code_goes_with_its_runs_and_comes_when_it_is_asked_for(repo: Repository, hub: Path, other: Repository) -> None:
    commit = code_of_dirty_run(repo)
    assert sync(repo, receive=False).sent and code_refs(hub) == [commit]
    sync(other)
    git("fetch", "-q", cwd=other.work_tree)
    assert gxt.git.resolve(other, [commit]) == [None] and code_refs(other.common_dir) == []
    bring(other, commit)
    assert git("show", f"{commit}:train.py", cwd=other.work_tree) == "changed"
    assert code_refs(other.common_dir) == [commit]


def test_code_that_is_here_without_a_ref_of_ours_goes_along(repo: Repository, hub: Path, tmp_path: Path) -> None:
    """As after a `git clone` by path, which copies whatever is there."""
    commit = code_of_dirty_run(repo)
    sync(repo, receive=False)
    git("clone", "-q", str(hub), str(tmp_path / "copy"))
    copy = gxt.git.find(tmp_path / "copy")
    git("init", "-q", "--bare", str(tmp_path / "fork.git"))
    git("remote", "add", "fork", str(tmp_path / "fork.git"), cwd=copy.work_tree)
    sync(copy)
    assert gxt.git.resolve(copy, [commit]) == [commit] and code_refs(copy.common_dir) == []
    assert sharing.sync(copy, "fork", Talk(), receive=False).sent
    assert code_refs(tmp_path / "fork.git") == [commit]
    bring(copy, commit)
    assert code_refs(copy.common_dir) == [commit]  # else a `git gc` may take it


def test_code_that_the_remote_has_is_not_sent(repo: Repository, hub: Path) -> None:
    commit = source(repo, record(repo))["snapshot"]
    assert commit == git("rev-parse", "main", cwd=hub)
    sync(repo)
    assert code_refs(hub) == []


def test_commits_that_nobody_pushed_are_sent(repo: Repository, work: Path, hub: Path, other: Repository) -> None:
    git("commit", "-q", "--allow-empty", "-m", "only here", cwd=work)
    commit = source(repo, record(repo))["snapshot"]
    sync(repo)
    assert code_refs(hub) == [commit] == [git("rev-parse", "HEAD", cwd=work)]


def test_many_runs_of_one_code_send_one_ref_and_a_tag_later_changes_nothing(
    repo: Repository, hub: Path, other: Repository
) -> None:
    commit = code_of_dirty_run(repo)
    assert {code_of_dirty_run(repo) for _ in range(3)} == {commit}
    sync(repo)
    sync(other)
    edits.tag(other, catalog.find(other, "@last"), {"a": "b"})
    assert sync(other).sent  # of whose code nothing is here
    assert code_refs(hub) == [commit]


def test_a_remote_that_takes_no_code_gets_the_runs(repo: Repository, hub: Path) -> None:
    code_of_dirty_run(repo)
    for hook in ("update", "pre-receive"):
        script = hub / "hooks" / hook
        read = "set -- $1" if hook == "update" else "while read a b c; do set -- $c $@; done"
        script.write_text(f'#!/bin/sh\n{read}\ncase "$*" in *gxt/code*) echo "no code here" >&2; exit 1;; esac\n')
        script.chmod(0o755)
        with pytest.warns(GxtWarning, match="origin does not take the code of runs, which stays here"):
            assert sync(repo).sent
        assert code_refs(hub) == [] and git("rev-parse", "gxt", cwd=hub)
        script.unlink()
        code_of_dirty_run(repo, f"{hook}\n")


def test_code_that_no_remote_has(repo: Repository, hub: Path, other: Repository) -> None:
    commit = code_of_dirty_run(repo)
    with pytest.raises(NotFoundError, match="is not here, and no remote has it"):
        bring(other, commit)


def test_code_that_a_branch_of_the_remote_leads_to_is_brought_from_there(
    repo: Repository, work: Path, hub: Path, other: Repository
) -> None:
    git("commit", "-q", "--allow-empty", "-m", "later", cwd=work)
    git("push", "-q", "origin", "main", cwd=work)
    commit = source(repo, record(repo))["snapshot"]
    sync(repo)
    assert code_refs(hub) == []
    bring(other, commit)
    assert gxt.git.resolve(other, [commit]) == [commit]


# --- in a bundle ----------------------------------------------------------------------------------------------------


def test_a_bundle_has_the_code_of_its_runs(repo: Repository, hub: Path, other: Repository, tmp_path: Path) -> None:
    commit = code_of_dirty_run(repo)
    assert bundles.bundle(repo, tmp_path / "runs.zip").code == [commit]
    done = bundles.unbundle(other, tmp_path / "runs.zip")
    assert done.code == [commit] and not done.code_lacks
    assert git("show", f"{commit}:train.py", cwd=other.work_tree) == "changed"
    assert bundles.bundle(repo, tmp_path / "without.zip", code=False).code == []


def test_code_that_builds_on_what_is_not_there_stays_in_the_bundle(repo: Repository, hub: Path, tmp_path: Path) -> None:
    code_of_dirty_run(repo)
    bundles.bundle(repo, tmp_path / "runs.zip")
    git("init", "-q", str(tmp_path / "fresh"))
    fresh = gxt.git.find(tmp_path / "fresh")
    done = bundles.unbundle(fresh, tmp_path / "runs.zip")
    assert len(done.received) == 1 and done.code == [] and done.code_lacks == [git("rev-parse", "main", cwd=hub)]


def test_without_remotes_a_bundle_has_all_of_the_code(repo: Repository, tmp_path: Path) -> None:
    commit = code_of_dirty_run(repo)
    bundles.bundle(repo, tmp_path / "runs.zip")
    git("init", "-q", str(tmp_path / "fresh"))
    fresh = gxt.git.find(tmp_path / "fresh")
    assert bundles.unbundle(fresh, tmp_path / "runs.zip").code == [commit]
    assert git("show", f"{commit}~1:train.py", cwd=tmp_path / "fresh") == "print('training')"


# --- as long as a run names it ------------------------------------------------------------------------------------


def make_old(repo: Repository) -> None:
    """As if all code had been kept long ago."""
    for ref in (repo.common_dir / "refs" / "gxt" / "code").iterdir():
        os.utime(ref, (time.time() - 7200,) * 2)


def nameless(repo: Repository) -> str:
    """Code that no run names."""
    commit = git("commit-tree", "-m", "nobody's", "HEAD^{tree}", cwd=repo.work_tree)
    git("update-ref", f"refs/gxt/code/{commit}", commit, cwd=repo.work_tree)
    return commit


def on_the_branch(repo: Repository) -> str:
    return code_of_dirty_run(repo)


def deleted(repo: Repository) -> str:
    commit = code_of_dirty_run(repo)
    (entry,) = store.list_runs(repo, store.tip(repo, {}).commit)
    store.mark_deleted(repo, entry.run_id, True)
    return commit


def on_another_branch(repo: Repository) -> str:
    commit = code_of_dirty_run(repo)
    git("branch", "-m", "gxt", "gxt-review", cwd=repo.work_tree)
    return commit


def of_a_remote(repo: Repository) -> str:
    commit = code_of_dirty_run(repo)
    git("update-ref", "refs/remotes/origin/gxt", "gxt", cwd=repo.work_tree)
    git("branch", "-D", "-q", "gxt", cwd=repo.work_tree)
    return commit


def tagged(repo: Repository) -> str:
    commit = code_of_dirty_run(repo)
    git("tag", "-a", "-m", "paper", "paper", "gxt", cwd=repo.work_tree)
    git("branch", "-D", "-q", "gxt", cwd=repo.work_tree)
    return commit


def recording(repo: Repository) -> str:
    assert repo.work_tree is not None
    (repo.work_tree / "train.py").write_text("changed\n")
    run = recorder.begin(repo, "taxi")
    while "snapshot" not in run.record.source:
        time.sleep(0.01)
    return str(run.record.source["snapshot"])


def waiting(repo: Repository) -> str:
    git("checkout", "-q", "--orphan", "gxt", cwd=repo.work_tree)
    git("commit", "-q", "-m", "in the way", cwd=repo.work_tree)
    assert repo.work_tree is not None
    (repo.work_tree / "train.py").write_text("changed\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = recorder.begin(repo, "taxi")
        run.end("finished")
    assert run.record.place == "pending"
    return str(run.record.source["snapshot"])


@pytest.mark.parametrize(
    "make",
    [on_the_branch, deleted, on_another_branch, of_a_remote, tagged, recording, waiting],
    ids=lambda m: m.__name__,
)
@pytest.mark.parametrize("packed", [False, True])
def test_only_what_no_run_names_is_let_go(repo: Repository, make: Callable[[Repository], str], packed: bool) -> None:
    other = nameless(repo)
    commit = make(repo)
    if packed:
        git("pack-refs", "--all", cwd=repo.work_tree)
    else:
        make_old(repo)
    would = snapshots.prune(repo, dry_run=True)
    assert list(would.gone) == [other] and set(code_refs(repo.common_dir)) == {commit, other}
    assert snapshots.prune(repo) == would
    assert code_refs(repo.common_dir) == [commit]


def test_what_was_kept_just_now_stays(repo: Repository) -> None:
    nameless(repo)
    assert snapshots.prune(repo) == ([], 0, 1)


def test_a_run_that_is_purged_lets_its_code_go(repo: Repository) -> None:
    commit = code_of_dirty_run(repo)
    (entry,) = store.list_runs(repo, store.tip(repo, {}).commit)
    store.mark_deleted(repo, entry.run_id, True)
    make_old(repo)
    assert snapshots.prune(repo).gone == []
    store.purge(repo, [entry.run_id])
    assert snapshots.prune(repo).gone == [commit]


def test_pruning_on_the_command_line(repo: Repository, work: Path) -> None:
    code_of_dirty_run(repo)
    commit = nameless(repo)
    make_old(repo)
    assert (
        run_python("-m", "gxt", "prune", "--dry-run").stdout
        == f"would let go: {commit}\nkept: 1 snapshot that a run names\n"
    )
    assert f'"gone": [\n    "{commit}"\n  ]' in run_python("-m", "gxt", "prune", "--json").stdout
    assert run_python("-m", "gxt", "prune").stdout == "kept: 1 snapshot that a run names\n"


# --- where branches go away -----------------------------------------------------------------------------------------


def run_on_topic(work: Path, repo: Repository) -> str:
    """The clean commit of a run on a branch that the remote has."""
    git("checkout", "-q", "-b", "topic", cwd=work)
    (work / "train.py").write_text("topic\n")
    git("commit", "-q", "-am", "on topic", cwd=work)
    commit = source(repo, record(repo))["snapshot"]
    git("push", "-q", "origin", "topic", cwd=work)
    assert commit == git("rev-parse", "topic", cwd=work)
    return str(commit)


def test_a_branch_that_is_squashed_and_deleted_takes_no_code_away(
    repo: Repository, work: Path, hub: Path, other: Repository
) -> None:
    commit = run_on_topic(work, repo)
    assert sync(repo, receive=False).sent
    git("push", "-q", "origin", ":topic", cwd=work)
    git("-c", "gc.auto=0", "gc", "-q", "--prune=now", cwd=hub)
    sync(other)
    bring(other, commit)
    assert git("show", f"{commit}:train.py", cwd=other.work_tree) == "topic"


def test_what_the_default_branch_has_lost_is_sent_for_runs_that_went_before(
    repo: Repository, work: Path, hub: Path
) -> None:
    commit = run_on_topic(work, repo)
    git("push", "-q", "origin", "topic:main", cwd=work)
    sync(repo)
    assert code_refs(hub) == []
    git("push", "-q", "-f", "origin", "topic~1:main", cwd=work)
    done = sync(repo)
    assert (list(done.code), list(done.sent), code_refs(hub)) == ([commit], [], [commit])
    assert list(sync(repo).code) == []


def test_a_remote_under_another_url_is_another_and_a_new_one_has_nothing(
    repo: Repository, hub: Path, tmp_path: Path
) -> None:
    commit = code_of_dirty_run(repo)
    sync(repo)
    git("clone", "-q", "--bare", str(hub), str(tmp_path / "moved.git"))
    git("remote", "set-url", "origin", str(tmp_path / "moved.git"), cwd=repo.work_tree)
    assert code_refs(tmp_path / "moved.git") == []  # as a host's import leaves it
    assert sharing.preview(repo, "origin", Talk()).code == [commit]
    assert list(sync(repo).code) == [commit] == code_refs(tmp_path / "moved.git")
    assert sharing.preview(repo, "origin", Talk()).code == ()


@pytest.mark.parametrize("before", [False, True])
def test_runs_that_git_itself_pushed_get_their_code_by_the_next_push(repo: Repository, hub: Path, before: bool) -> None:
    if before:
        record(repo)
        sync(repo)
    commit = code_of_dirty_run(repo)
    git("push", "-q", "origin", "gxt", cwd=repo.work_tree)
    assert code_refs(hub) == []
    assert list(sync(repo).code) == [commit] == code_refs(hub)


def test_more_code_than_one_push_takes(repo: Repository, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gxt.remotecode._AT_ONCE", 2)
    commits = {code_of_dirty_run(repo, f"{number}\n") for number in range(5)}
    unnamed = nameless(repo)
    assert len(sync(repo, receive=False).sent) == 5
    assert set(code_refs(hub)) == commits and unnamed not in commits


def test_what_a_remote_refused_is_tried_again_with_the_next_runs(repo: Repository, hub: Path) -> None:
    first = code_of_dirty_run(repo)
    script = hub / "hooks" / "update"
    script.write_text('#!/bin/sh\ncase "$1" in *gxt/code*) exit 1;; esac\n')
    script.chmod(0o755)
    with pytest.warns(GxtWarning, match="does not take the code"):
        sync(repo)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sync(repo)
    script.unlink()
    second = code_of_dirty_run(repo, "again\n")
    assert list(sync(repo).code) == [first] and set(code_refs(hub)) == {first, second}


def test_a_submodule_that_was_pushed_nowhere_is_named(
    repo: Repository, work: Path, hub: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    git("init", "-q", "-b", "main", str(tmp_path / "lib"))
    git("commit", "-q", "--allow-empty", "-m", "lib", cwd=tmp_path / "lib")
    git("-c", "protocol.file.allow=always", "submodule", "-q", "add", str(tmp_path / "lib"), "my lib", cwd=work)
    git("commit", "-q", "-m", "with a library", cwd=work)
    record(repo)
    sync(repo)
    assert [str(warning.message) for warning in recwarn] == []
    git("commit", "-q", "--allow-empty", "-m", "only here", cwd=work / "my lib")
    inner = git("rev-parse", "HEAD", cwd=work / "my lib")
    record(repo)
    with pytest.warns(GxtWarning, match=f"need the submodule my lib at {inner[:12]}, which no remote of it is known"):
        assert sync(repo).sent
    git("push", "-q", "origin", "HEAD:other", cwd=work / "my lib")
    record(repo)
    recwarn.clear()
    assert sync(repo).sent and [str(warning.message) for warning in recwarn] == []


# --- taking it off a remote -----------------------------------------------------------------------------------------


def prune_remote(*options: str, check: bool = True) -> str:
    done = run_python("-m", "gxt", "prune", "--remote", "origin", *options, check=check)
    return done.stdout + done.stderr


def test_code_that_no_run_names_goes_from_a_remote_and_stays_away(
    repo: Repository, hub: Path, other: Repository
) -> None:
    kept, secret = code_of_dirty_run(repo, "kept\n"), code_of_dirty_run(repo, "secret\n")
    sync(repo)
    sync(other)
    bring(other, secret)
    assert prune_remote() == "origin keeps 2 snapshots that runs name\n"
    for entry in store.list_runs(repo, store.tip(repo, {}).commit):
        if source(repo, entry.run_id)["snapshot"] == secret:
            store.mark_deleted(repo, entry.run_id, True)
            store.purge(repo, [entry.run_id])
    assert prune_remote() == "origin keeps 2 snapshots that runs name\n"  # the remote's branch still names it
    sync(repo)
    assert "would take off origin: " + secret in prune_remote("--dry-run") and secret in code_refs(hub)
    assert "--yes does it" in prune_remote(check=False) and secret in code_refs(hub)
    assert prune_remote("--yes") == f"took off origin: {secret}\norigin keeps 1 snapshot that a run names\n"
    assert code_refs(hub) == [kept]
    sync(other)
    edits.tag(other, catalog.find(other, "@last"), {"a": "b"})
    sync(other)
    (other.common_dir / "gxt" / "code-sent.json").unlink()
    sync(other)
    assert gxt.git.resolve(other, [secret]) == [secret] and code_refs(hub) == [
        kept
    ]  # nobody who still has it sends it again


def test_a_remote_with_branches_that_are_not_here_is_not_pruned(repo: Repository, hub: Path, other: Repository) -> None:
    commit = code_of_dirty_run(other)
    git("branch", "-m", "gxt", "gxt-review", cwd=other.work_tree)
    git("push", "-q", "origin", "gxt-review", f"{commit}:refs/gxt/code/{commit}", cwd=other.work_tree)
    record(repo)
    sync(repo)
    said = prune_remote("--yes", check=False)
    assert "refs/heads/gxt-review, which this clone lacks, and whose runs may name code" in said
    assert code_refs(hub) == [commit]
    git("fetch", "-q", cwd=repo.work_tree)
    assert prune_remote("--yes") == "origin keeps 1 snapshot that a run names\n"
    assert "no remote 'nope'" in run_python("-m", "gxt", "prune", "--remote", "nope", check=False).stderr
