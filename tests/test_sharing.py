"""gxt sync, push and pull between clones: what goes, what comes, branches that were rewritten, processes that die."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import gxt.git
from gxt import edits, live, recorder, sharing, store, verify
from gxt.errors import FormatError, GitError, GxtError, NotFoundError
from gxt.git import Repository, Talk
from gxt.model import Run
from gxt.sharing import RewrittenError
from helpers import git, record
from soundness import check_sound

GXT = [sys.executable, "-m", "gxt"]
Clone = Callable[[str], Repository]


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    folder = tmp_path / "hub.git"
    git("init", "-q", "--bare", str(folder))
    return folder


@pytest.fixture
def clone(hub: Path, tmp_path: Path) -> Clone:
    """`clone("one")`: another clone of the hub."""

    def make(name: str) -> Repository:
        git("clone", "-q", str(hub), str(tmp_path / name))
        return gxt.git.find(tmp_path / name)

    return make


def sync(repo: Repository, **options: Any) -> sharing.Outcome:
    return sharing.sync(repo, "origin", Talk(), **options)


def tip(repo: Repository) -> str:
    return git("rev-parse", "refs/heads/gxt", cwd=repo.common_dir)


def runs(repo: Repository) -> dict[str, Run]:
    experiments, _ = store.read_experiments(repo, tip(repo))
    found, problems = store.read_runs(repo, store.list_runs(repo, tip(repo)), experiments)
    assert problems == []
    return {run.id: run for run in found}


def ids(folder: Path, ref: str = "gxt") -> set[str]:
    """The ids of the runs at a ref of a repository."""
    commit = git("rev-parse", ref, cwd=folder)
    return {run.run_id for run in store.list_runs(gxt.git.find(folder), commit)}


def command(repo: Repository, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*GXT, *args], cwd=repo.work_tree, capture_output=True, text=True, check=False, timeout=120)


def shared_run(one: Repository, two: Repository, **about: Any) -> str:
    run_id = record(one, **about)
    sync(one)
    sync(two)
    return run_id


# --- what goes and comes ------------------------------------------------------------------------------------------


def test_both_sides_edits_of_one_run_are_kept(clone: Clone) -> None:
    one, two = clone("one"), clone("two")
    run_id = shared_run(one, two, name="first", tags={"stage": "dev"}, metrics={"loss": 1.0})
    edits.tag(one, runs(one)[run_id], {"owner": "ada"}, ["stage"])
    edits.note(two, runs(two)[run_id], "looks good")
    late = recorder.amend(two, run_id)
    late.log_metric("acc", 0.5, 7)
    late.end()
    again = recorder.resume(one, run_id)
    again.log_metric("loss", 0.5, 2)
    again.end("failed")
    sync(one)
    sync(two)
    sync(one)
    assert tip(one) == tip(two)
    merged = runs(one)[run_id]
    assert (merged.tags, merged.note, merged.status) == ({"owner": "ada"}, "looks good", "failed")
    assert {name: summary.count for name, summary in merged.metrics.items()} == {"acc": 1, "loss": 2}
    assert git("log", "-1", "--format=%s", "gxt", cwd=two.common_dir).startswith("merge origin/gxt")


def test_the_later_edit_wins_and_the_other_is_named(clone: Clone) -> None:
    one, two = clone("one"), clone("two")
    run_id = shared_run(one, two, name="first")
    edits.tag(two, runs(two)[run_id], {"stage": "early"})
    time.sleep(1.1)  # commits have their times in seconds
    edits.tag(one, runs(one)[run_id], {"stage": "late"})
    sync(one)
    sync(two)
    assert runs(two)[run_id].tags == {"stage": "late"}
    said = git("log", "-1", "--format=%B", "gxt", cwd=two.common_dir)
    assert f"taxi/{run_id}/run.yaml: tags.stage: early gave way to late" in said
    assert f"Gxt-Run: {run_id}" in said


def test_a_purged_run_that_somebody_edits_meanwhile_stays(clone: Clone) -> None:
    one, two = clone("one"), clone("two")
    kept, gone = shared_run(one, two), shared_run(one, two)
    for run_id in (kept, gone):
        edits.delete(one, runs(one)[run_id])
    store.purge(one, [kept, gone])
    edits.tag(two, runs(two)[kept], {"paper": "yes"})
    sync(one)
    sync(two)
    assert set(runs(two)) == {kept}
    assert runs(two)[kept].tags == {"paper": "yes"} and runs(two)[kept].deleted


def test_branches_that_began_apart_join(clone: Clone) -> None:
    one, two = clone("one"), clone("two")
    first, second = record(one), record(two)
    sync(one)
    began = store.read_experiments(one, tip(one))[0]["taxi"]
    sync(two)
    assert set(runs(two)) == {first, second}
    assert store.read_experiments(two, tip(two))[0]["taxi"] == began  # it was begun first


def test_pending_runs_go_too_and_a_dry_run_changes_nothing(clone: Clone, hub: Path) -> None:
    one, two = clone("one"), clone("two")
    record(one, name="there")
    sync(one)
    record(two, name="here")
    git("switch", "-q", "gxt", cwd=two.work_tree)
    with pytest.warns(gxt.errors.GxtWarning):
        waiting = record(two, name="waiting")
    git("switch", "-q", "--orphan", "main", cwd=two.work_tree)
    before = tip(two), tip(gxt.git.find(hub))
    said = command(two, "sync", "--dry-run").stdout
    assert (tip(two), tip(gxt.git.find(hub))) == before and live.pending_runs(store.root(two))
    assert "new     there (" in said and "new     here (" in said and waiting in said
    found = json.loads(command(two, "sync", "--json").stdout)["remotes"][0]
    assert waiting in [one["id"] for one in found["sent"]] and len(found["sent"]) == 2
    assert [one["what"] for one in found["received"]] == ["new"] and found["merges"] == 1
    assert found["error"] is None and found["commit"] == tip(two)


def test_push_sends_and_pull_brings(clone: Clone) -> None:
    one, two = clone("one"), clone("two")
    first = record(one)
    assert [moved.run for moved in sync(one, receive=False).sent] == [first]
    record(two)
    done = sync(two, send=False)
    assert [moved.run for moved in done.received] == [first] and done.tries == 0
    assert not sync(one).received
    assert len(sync(two, receive=False).sent) == 1
    assert len(sync(one, send=False).received) == 1
    assert tip(one) == tip(two)


def test_a_push_of_nothing_new_asks_the_remote_too(clone: Clone, hub: Path) -> None:
    repo = clone("one")
    record(repo)
    sync(repo)
    assert not sync(repo, receive=False).sent
    hub.rename(hub.with_name("gone.git"))
    with pytest.raises(GitError):
        sync(repo, receive=False)


def test_a_remote_without_runs(clone: Clone) -> None:
    repo = clone("one")
    assert not sync(repo).sent
    with pytest.raises(NotFoundError, match="has no branch gxt yet"):
        sync(repo, send=False)


def test_the_branch_of_a_new_clone_is_made(clone: Clone) -> None:
    one = clone("one")
    record(one)
    sync(one)
    two = clone("two")
    sync(two, send=False)
    assert tip(two) == tip(one)


def test_something_else_called_gxt_is_not_joined(clone: Clone, hub: Path) -> None:
    repo, other = clone("one"), clone("other")
    git("commit", "-q", "--allow-empty", "-m", "code", cwd=other.work_tree)
    git("push", "-q", "origin", "HEAD:gxt", cwd=other.work_tree)
    record(repo)
    with pytest.raises(FormatError, match="no branch of runs"):
        sync(repo)


def test_a_branch_that_is_checked_out_waits(clone: Clone) -> None:
    one, two = clone("one"), clone("two")
    record(one)
    sync(one)
    record(two)
    git("switch", "-q", "gxt", cwd=two.work_tree)
    before = tip(two)
    with pytest.raises(GitError, match="checked out"):
        sync(two)
    assert tip(two) == before and git("status", "--short", cwd=two.work_tree) == ""


def test_large_artifacts_go_before_the_runs_that_name_them(clone: Clone, tmp_path: Path) -> None:
    one, two = clone("one"), clone("two")
    content = os.urandom(1 << 21)
    git("config", "gxt.artifactStore", str(tmp_path / "nowhere" / "there"), cwd=one.work_tree)
    (tmp_path / "nowhere").write_text("a file, where the store is to be")
    run = recorder.begin(one, "taxi", name="large")
    (tmp_path / "model.bin").write_bytes(content)
    run.log_artifact(tmp_path / "model.bin")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the store cannot be reached while it records either
        run.end()
    with pytest.raises(GxtError):
        sync(one)
    assert git("for-each-ref", cwd=tmp_path / "hub.git") == ""
    for repo in (one, two):
        git("config", "gxt.artifactStore", str(tmp_path / "there"), cwd=repo.work_tree)
    sync(one)
    sync(two)
    assert command(two, "get", "large", "model.bin", "-o", str(tmp_path / "back.bin")).returncode == 0
    assert (tmp_path / "back.bin").read_bytes() == content


def test_a_running_checkpoint_and_the_finished_run(clone: Clone) -> None:
    one, two = clone("one"), clone("two")
    run = recorder.begin(one, "taxi", name="long")
    run.log_metric("loss", 1.0, 0)
    run.commit()
    sync(one)
    sync(two)
    assert runs(two)[run.run_id].status == "running"
    edits.tag(two, runs(two)[run.run_id], {"seen": "yes"})
    run.log_metric("loss", 0.5, 1)
    run.end("finished")
    sync(two)
    sync(one)
    sync(two)
    merged = runs(two)[run.run_id]
    assert (merged.status, merged.tags, merged.metrics["loss"].count) == ("finished", {"seen": "yes"}, 2)


def test_what_went_and_came_is_told_as_it_is(clone: Clone, tmp_path: Path) -> None:
    one, two = clone("one"), clone("two")
    shared_run(one, two)
    assert command(one, "goal", "taxi", "rmse:min").returncode == 0
    assert command(one, "sync", "-n").stdout == "origin: would send changes to what the branch says of itself\n"
    assert command(one, "sync").stdout == "origin: sent changes to the experiment taxi\n"
    record(two)
    assert command(two, "sync").stdout == "origin: received changes to the experiment taxi; sent 1 run\n"
    assert command(one, "artifacts", "store", (tmp_path / "files").as_uri()).returncode == 0
    assert command(one, "sync").stdout == "origin: received 1 run; sent changes to what the branch says of itself\n"
    assert command(one, "sync").stdout == "origin: nothing new\n"


def test_what_a_remote_had_under_another_name_is_not_counted_as_sent(clone: Clone, hub: Path) -> None:
    repo = clone("one")
    record(repo)
    sync(repo)
    git("remote", "add", "again", str(hub), cwd=repo.work_tree)
    assert command(repo, "push", "again").stdout == "again: nothing new\n"
    assert command(repo, "review", "start", "lr").returncode == 0
    record(repo)
    assert command(repo, "push", "-n").stdout.startswith("origin: would send 1 run\n")
    assert command(repo, "push").stdout == "origin: sent 1 run\n"


@pytest.mark.parametrize("reason", ["lock", "folder", "pushurl"])
def test_a_remote_that_refuses_for_ever_is_given_up(
    clone: Clone, hub: Path, tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_IN_VAIN", (2, 0.0))
    repo = clone("one")
    start = record(repo)
    sync(repo)
    if reason == "lock":
        (hub / "refs" / "heads" / "gxt.lock").touch()
        why = "may have left a lock"
    elif reason == "folder":
        git("branch", "-m", "gxt", "gxt/old", cwd=hub)
        why = "nobody else moves gxt there"
    else:
        git("init", "-q", "--bare", str(tmp_path / "fork.git"))
        git("config", "remote.origin.pushurl", str(tmp_path / "fork.git"), cwd=repo.common_dir)
        why = "pushurl names another repository"
    record(repo)
    with pytest.raises(GitError, match=r"origin refuses the branch gxt") as raised:
        sync(repo)
    assert raised.value.hint is not None and why in raised.value.hint
    assert len(runs(repo)) == 2 and start in runs(repo)


def test_sharing_from_python(clone: Clone, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = clone("one"), clone("two")
    monkeypatch.chdir(one.common_dir.parent)
    with gxt.start_run() as run:
        gxt.log_metric("loss", 1)
    assert [(moved.run, moved.what) for moved in gxt.push().sent] == [(run.run_id, "new")]
    new = record(two)
    sync(two)
    assert gxt.pull("origin").received[0].run == new
    assert not gxt.sync().sent and not gxt.sync().received
    with pytest.raises(NotFoundError, match="no remote 'nowhere'"):
        gxt.sync("nowhere")


def test_a_merge_says_how_many_runs_came(clone: Clone) -> None:
    one, two = clone("one"), clone("two")
    shared_run(one, two)
    for number in range(3):
        record(one, experiment="house" if number else "taxi")
    record(two)
    sync(one)
    sync(two)
    assert git("log", "-1", "--format=%s", "gxt", cwd=two.common_dir).strip() == "merge origin/gxt: 3 new runs"


def test_several_remotes(clone: Clone, tmp_path: Path) -> None:
    repo = clone("one")
    backup = tmp_path / "backup.git"
    git("init", "-q", "--bare", str(backup))
    git("remote", "add", "backup", "../backup.git", cwd=repo.work_tree)  # seen from the work tree, as git has it
    for name in ("gone", "gone-too"):
        git("remote", "add", name, str(tmp_path / name), cwd=repo.work_tree)
    run_id = record(repo)
    done = command(repo, "sync", "--all")
    assert done.returncode == 5
    assert (
        "backup: sent 1 run" in done.stdout
        and "origin: sent 1 run" in done.stdout
        and done.stderr.count("gxt: gone") == 2
    )
    assert ids(backup) == {run_id}
    record(repo)
    assert command(repo, "push", "backup").stdout == "backup: sent 1 run\n"
    said = command(repo, "status").stdout
    assert "backup/gxt: everything pushed" in said and "origin/gxt: 1 run not pushed, in 1 commit" in said


@pytest.mark.parametrize("specs", ["+refs/*:refs/*", "+refs/heads/gxt:refs/heads/gxt", "refs/heads/gxt:refs/heads/gxt"])
def test_a_clone_whose_configuration_maps_branches_onto_its_own(clone: Clone, specs: str) -> None:
    """As `git clone --mirror` makes it: git's own fetch would put the remote's branch in the place of ours."""
    one, two = clone("one"), clone("two")
    sent = record(one)
    sync(one)
    git("config", "remote.origin.fetch", specs, cwd=two.common_dir)
    git("config", "remote.origin.mirror", "true", cwd=two.common_dir)
    kept = record(two)
    sharing.preview(two, "origin", Talk())
    assert set(runs(two)) == {kept}
    sync(two)
    sync(one)
    assert set(runs(one)) == set(runs(two)) == {sent, kept}


def test_the_usual_remote() -> None:
    def usual(**settings: str) -> str:
        urls = {f"remote.{name}.url": "x" for name in settings.pop("remotes").split()}
        return sharing.default_remote(urls | {key.replace("_", "."): value for key, value in settings.items()})

    assert usual(remotes="hub") == "hub"
    assert usual(remotes="hub origin") == "origin"
    assert usual(remotes="hub origin", remote_pushdefault="hub") == "hub"
    assert usual(remotes="hub origin", remote_pushdefault="hub", branch_gxt_remote="origin") == "origin"
    with pytest.raises(NotFoundError, match="which remote"):
        usual(remotes="hub backup")
    with pytest.raises(NotFoundError, match="no remote"):
        usual(remotes="")


# --- a branch that was rewritten ----------------------------------------------------------------------------------


@pytest.fixture
def rewritten(clone: Clone) -> tuple[Repository, str, str, str]:
    """A clone, a run that was taken out of the remote's history, one that is still there, and one not sent yet."""
    one, two = clone("one"), clone("two")
    kept = record(one, name="kept")
    sync(one)
    start = tip(one)
    secret = record(one, name="secret")
    sync(one)
    sync(two)
    git("push", "-q", "--force", "origin", f"{start}:refs/heads/gxt", cwd=one.common_dir)
    return two, secret, kept, record(two, name="new")


def test_a_rewritten_branch_is_not_undone_by_chance(rewritten: tuple[Repository, str, str, str], hub: Path) -> None:
    repo, secret, *_ = rewritten
    said = command(repo, "sync", "--dry-run")
    assert (said.returncode, said.stdout) == (5, "") and "was rewritten" in said.stderr
    assert "origin/gxt: was rewritten" in command(repo, "status").stdout
    for options in ({}, {"send": False}, {"receive": False}):
        with pytest.raises(RewrittenError, match=r"was rewritten.*1 run is gone"):
            sync(repo, **options)
    assert secret not in ids(hub)


def test_a_rewritten_branch_can_be_taken_over(rewritten: tuple[Repository, str, str, str], hub: Path) -> None:
    repo, secret, kept, new = rewritten
    done = sync(repo, rewritten=sharing.TAKE)
    assert set(runs(repo)) == {kept, new} and [moved.run for moved in done.sent] == [new]
    there = gxt.git.find(hub)
    assert tip(there) == tip(repo)
    assert secret not in git("log", "--format=%B", "gxt", cwd=hub)
    assert done.kept is not None
    assert secret in ids(repo.common_dir, done.kept)
    assert not sync(repo).sent
    assert [one.where for one in verify.verify(repo, None, Talk()).failed] == [done.kept]
    git("update-ref", "-d", done.kept, cwd=repo.common_dir)
    assert verify.verify(repo, None, Talk()).failed == []


def test_what_a_rewriting_changed_in_a_run_stays_changed(clone: Clone, hub: Path) -> None:
    """A secret is taken out of a run that another clone has tagged since."""
    one, two = clone("one"), clone("two")
    run_id = record(one, name="first", tags={"key": "LEAKED", "kept": "yes"}, metrics={"loss": 0.5})
    start = tip(one)
    sync(one)
    sync(two)
    edits.tag(two, store.read_run(two, run_id), {"stage": "prod"})
    path = f"experiments/taxi/{run_id}/run.yaml"
    clean = git("show", f"gxt:{path}", cwd=one.common_dir).replace("  key: LEAKED\n", "")
    blob = git("hash-object", "-w", "--stdin", cwd=one.common_dir, stdin=clean + "\n").strip()
    lines = f"commit refs/heads/clean\ncommitter A <a@b.c> 1767225600 +0000\ndata 1\nx\nM 100644 {blob} {path}\n"
    for entry in git("ls-tree", "-r", start, cwd=one.common_dir).splitlines():
        about, _, name = entry.partition("\t")
        if name != path:
            lines += f"M {about.split()[0]} {about.split()[2]} {name}\n"
    git("fast-import", "--quiet", cwd=one.common_dir, stdin=lines)
    git("push", "-q", "--force", "origin", "clean:refs/heads/gxt", cwd=one.common_dir)
    sync(two, rewritten=sharing.TAKE)
    assert runs(two)[run_id].tags == {"kept": "yes", "stage": "prod"}
    assert runs(two)[run_id].metrics["loss"].count == 1
    assert "LEAKED" not in git("log", "-p", "gxt", cwd=hub)


def test_of_two_opposites_one_has_to_be_said(clone: Clone) -> None:
    done = command(clone("one"), "sync", "--take-rewrite", "--undo-rewrite")
    assert done.returncode == 2 and "opposites" in done.stderr


def test_a_rewriting_can_be_undone(rewritten: tuple[Repository, str, str, str], hub: Path) -> None:
    repo, secret, kept, new = rewritten
    sync(repo, rewritten=sharing.UNDO)
    assert ids(hub) == {secret, kept, new}


# --- who dies -----------------------------------------------------------------------------------------------------


def kill_syncs(one: Repository, two: Repository, hub: Path, rounds: int, seed: int) -> None:
    """Two clones record and sync, and one of them, or the remote's side of it, is killed somewhere in the middle."""
    chance = random.Random(seed)
    expected = set()
    for number in range(rounds):
        repo = (one, two)[number % 2]
        expected |= {record(one, name=f"one-{number}"), record(two, name=f"two-{number}")}
        process = subprocess.Popen(
            [*GXT, "sync"],
            cwd=repo.work_tree,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(chance.uniform(0.0, 0.8))
        _kill_one_of(process.pid, chance)
        process.wait(60)
    _clear_locks(hub, *(repo.common_dir for repo in (one, two)))
    for repo in (one, two, one):
        sync(repo)
    assert set(runs(one)) == set(runs(two)) == expected
    assert tip(one) == tip(two) == tip(gxt.git.find(hub))
    for repo in (one, two, gxt.git.find(hub)):
        check_sound(repo)


def _kill_one_of(parent: int, chance: random.Random) -> None:
    """Kill the process, or one that it has started: git, or the git-receive-pack or git-upload-pack of the remote."""
    found = [parent]
    for pid in found:
        try:
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
    with contextlib.suppress(ProcessLookupError):
        os.kill(chance.choice(found), signal.SIGKILL)


def _clear_locks(*folders: Path) -> None:
    """What gxt and git's administrators do a minute later: locks of refs that nobody holds any more."""
    time.sleep(1)
    for folder in folders:
        for lock in [*folder.glob("refs/**/*.lock"), *folder.glob("*.lock")]:
            if lock.parent.name != "gxt":
                lock.unlink()


def test_a_sync_that_is_killed_loses_nothing(clone: Clone, hub: Path) -> None:
    kill_syncs(clone("one"), clone("two"), hub, rounds=4, seed=1)


@pytest.mark.slow
def test_many_syncs_that_are_killed_lose_nothing(clone: Clone, hub: Path) -> None:
    kill_syncs(clone("one"), clone("two"), hub, rounds=30, seed=2)


def test_clones_that_sync_at_once_all_land(clone: Clone, hub: Path) -> None:
    code = """
import sys, gxt
from gxt import git, sharing
from pathlib import Path
repo = git.find(Path("."))
for number in range(4):
    with gxt.start_run(run_name=f"{sys.argv[1]}-{number}"):
        gxt.log_metric("loss", number)
    sharing.sync(repo, "origin", git.Talk())
"""
    repos = [clone(name) for name in "abcd"]
    started = [
        subprocess.Popen([sys.executable, "-c", code, str(number)], cwd=repo.work_tree, stderr=subprocess.PIPE)
        for number, repo in enumerate(repos)
    ]
    said = [process.communicate(timeout=120)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    assert len(ids(hub)) == 16
    check_sound(gxt.git.find(hub))


def commands_of_git(trace: Path) -> list[str]:
    """The commands of git that gxt itself has started, by their names; not what these have started in turn."""
    events = [json.loads(line) for line in trace.read_text().splitlines()]
    return [one["name"] for one in events if one["event"] == "cmd_name" and "/" not in one["sid"]]


def test_a_sync_asks_git_little(clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command of git takes some milliseconds, and a sync of one run is to take little longer than a push."""
    one, two = clone("one"), clone("two")
    shared_run(one, two)
    record(one)
    for repo, name in ((one, "here"), (two, "there")):
        settings = gxt.git.config(repo)
        monkeypatch.setenv("GIT_TRACE2_EVENT", str(tmp_path / name))
        sync(repo, settings=settings)
        monkeypatch.delenv("GIT_TRACE2_EVENT")
    assert commands_of_git(tmp_path / "here") == ["cat-file", "diff-tree", "cat-file", "push"]
    there = ["cat-file", "fetch", "cat-file", "cat-file", "cat-file", "update-ref", "diff-tree"]
    assert commands_of_git(tmp_path / "there") == there


def test_a_sync_loads_little(clone: Clone) -> None:
    repo = clone("one")
    record(repo)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "gxt", "sync"],
        cwd=repo.work_tree, capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "gxt.sharing" in loaded
    assert not loaded & {"gxt.render", "gxt.query", "gxt.review", "gxt.catalog", "tempfile", "filelock", "yaml"}


def test_a_clone_that_met_a_crowd_stands_back_once(
    clone: Clone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    repo = clone("one")
    crowds = store.root(repo) / "crowds.json"
    record(repo)
    for ago, turn, stands_back in ((10, 3600, False), (10, 1, True), (10_000, 1, False)):
        monkeypatch.setattr(sharing, "_TURN", turn)
        crowds.write_text(json.dumps({"origin/gxt": f"{time.time() - ago}", "backup/gxt": "1"}))
        for again in (False, True):
            record(repo)
            waited.clear()
            assert len(sync(repo).sent) >= 1
            assert any(pause >= 0.5 for pause in waited) == (stands_back and not again)
        assert json.loads(crowds.read_text()).get("backup/gxt") == "1"


def test_what_was_seen_of_one_branch_says_nothing_of_another(repo: Repository, tmp_path: Path) -> None:
    """A colleague's review branch that forked earlier lacks what the run branch was seen to have, and is no rewrite."""
    hub = tmp_path / "hub.git"
    git("init", "-q", "--bare", str(hub))
    git("remote", "add", "origin", str(hub))
    record(repo, name="first")
    git("push", "-q", "origin", "gxt", "gxt:gxt-lr")
    record(repo, name="second")
    sharing.sync(repo, "origin", Talk())
    git("branch", "gxt-lr", "gxt")
    git("config", "gxt.branch", "gxt-lr")
    sharing.sync(repo, "origin", Talk())
    assert git("rev-parse", "refs/heads/gxt-lr", cwd=hub) == git("rev-parse", "gxt")
