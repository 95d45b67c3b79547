"""Keeping a repository small and whole: packs put together, what crashes leave, a branch that others change."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gxt import catalog, doctor, store
from gxt import git as gxt_git
from gxt.errors import GitError, GxtWarning
from gxt.git import Repository, upkeep
from helpers import git, record, run_python

DAY = 86_400


def packs(repo: Repository) -> list[Path]:
    return sorted((repo.common_dir / "objects" / "pack").glob("*.pack"))


def aged(path: Path, seconds: float) -> Path:
    """The file, as if it had last been changed so long ago."""
    os.utime(path, (time.time() - seconds,) * 2)
    return path


# --- packs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "bare", "partial"])
def test_packs_are_put_together_in_the_background(
    repo: Repository, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(upkeep, "_MOST_NEW_PACKS", 5)
    if kind == "bare":
        git("init", "-q", "--bare", str(tmp_path / "bare"))
        repo = gxt_git.find(tmp_path / "bare")
    if kind == "partial":
        git("config", "uploadpack.allowFilter", "true", cwd=work)
        git("clone", "-q", "--filter=blob:none", f"file://{work}", str(tmp_path / "partial"))
        repo = gxt_git.find(tmp_path / "partial")
        git("config", "gc.autoPackLimit", "5", cwd=tmp_path / "partial")
        git("config", "gc.autoDetach", "false", cwd=tmp_path / "partial")
    started = 0
    most = 0
    for _ in range(24):
        record(repo)
        most = max(most, len(packs(repo)))
        for process in upkeep._maintaining:
            started += 1
            assert process.wait(60) == 0
        upkeep._maintaining.clear()
    assert started >= 3 and most <= 15
    git("fsck", "--strict", cwd=repo.common_dir)
    assert len(catalog.listing(repo).runs) == 24


def test_large_packs_are_left_alone(repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_MOST_NEW_PACKS", 4)
    for number in range(300):
        (work / f"{number}.txt").write_text(f"code {number}\n")
    git("add", ".", cwd=work)
    git("commit", "-qm", "much code", cwd=work)
    git("repack", "-adq", cwd=work)
    (code,) = packs(repo)
    for _ in range(12):
        record(repo)
        for process in upkeep._maintaining:
            assert process.wait(60) == 0
    assert code in packs(repo) and len(packs(repo)) < 9


@pytest.mark.parametrize("setting", ["gc.auto=0", "gc.auto=-1", "maintenance.auto=no", "gc.autoPackLimit=0"])
def test_packs_stay_where_the_user_says_so(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setattr(upkeep, "_MOST_NEW_PACKS", 2)
    git("config", *setting.split("="), cwd=work)
    for _ in range(6):
        record(repo)
    assert len(packs(repo)) == 6 and not upkeep._maintaining


def test_settings_that_are_no_numbers_stop_nothing(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_MOST_NEW_PACKS", 2)
    git("config", "gc.autoPackLimit", "many", cwd=work)
    git("config", "gc.auto", "6k", cwd=work)
    while not upkeep._maintaining:
        record(repo)
    assert [process.wait(60) for process in upkeep._maintaining] == [0]


_HOLD = """
import sys
from filelock import lock_descriptor
lock = open(sys.argv[1], "r+b")
assert lock_descriptor(lock.fileno(), blocking=False)
print("held", flush=True)
sys.stdin.read()
"""


def test_only_one_process_puts_packs_together(repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_MOST_NEW_PACKS", 2)
    record(repo)
    marker = store.root(repo) / "maintenance.lock"
    holder = subprocess.Popen([sys.executable, "-c", _HOLD, str(marker)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    for _ in range(6):
        record(repo)
    assert len(packs(repo)) == 7
    holder.communicate()
    record(repo)
    assert len(upkeep._maintaining) == 1
    upkeep._maintaining[0].wait(60)


def test_what_waits_for_git_is_not_the_training_process(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The background repacking may take any time: nothing of it is waited for, not even at exit."""
    slow = work.parent / "bin"
    slow.mkdir()
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    (slow / "git").write_text(f'#!/bin/sh\ncase "$*" in *repack*) exec sleep 30;; esac\nexec {real} "$@"\n')
    (slow / "git").chmod(0o755)
    begun = time.monotonic()
    run_python(
        code="""
        import gxt.git.upkeep
        gxt.git.upkeep._MOST_NEW_PACKS = 2
        for _ in range(8):
            with gxt.start_run():
                pass
        assert len(gxt.git.upkeep._maintaining) == 1
        import os
        os.kill(gxt.git.upkeep._maintaining[0].pid, 0)  # it is still at it
        """,
        PATH=f"{slow}:{os.environ['PATH']}",
        leave_children=True,
    )
    assert time.monotonic() - begun < 25
    assert len(packs(repo)) == 8
    subprocess.run(["pkill", "-f", "sleep 30"], check=False)


# --- what crashes leave ---------------------------------------------------------------------------------------------


def test_a_lock_that_a_crash_left_is_recognised(repo: Repository) -> None:
    record(repo)
    lock = repo.common_dir / "refs" / "heads" / "gxt.lock"
    lock.touch()
    aged(lock, 61)
    with pytest.warns(GxtWarning, match="a lock that a crash left behind"):
        run_id = record(repo)
    assert store.read_run(repo, run_id).status == "finished" and not lock.exists()


def test_a_lock_that_somebody_holds_is_respected(repo: Repository) -> None:
    record(repo)
    lock = repo.common_dir / "refs" / "heads" / "gxt.lock"
    lock.touch()
    aged(lock, 30)
    with pytest.raises(GitError, match=r"gxt\.lock exists"):
        store.edit_experiment(repo, store.experiment(repo, "taxi"), lambda known: known, "changed")
    assert lock.exists()


def test_leftovers_of_killed_commits_are_cleared_away_and_others_are_not(repo: Repository) -> None:
    record(repo)
    folder = repo.common_dir / "objects" / "pack"
    tmp = store.root(repo) / "tmp"
    stale = [folder / "tmp_pack_abc123", folder / "pack-1.keep"]
    fresh = [folder / "tmp_pack_def456", folder / "pack-2.keep"]
    for path in (*stale, *fresh):
        path.write_bytes(b"fast-import")
    mine = folder / "pack-3.keep"  # by `touch`, or by git for a reason of its own
    mine.write_bytes(b"receive-pack 7 on host\n")
    for path in (*stale, mine):
        aged(path, DAY + 60)
    (tmp / "done-old").mkdir(parents=True)
    aged(tmp / "done-old", DAY + 60)
    (tmp / "done-new").mkdir()
    removed = store.clean_up(repo)
    assert sorted(removed) == sorted([*stale, tmp / "done-old"])
    assert all(path.exists() for path in (*fresh, mine, tmp / "done-new"))


@pytest.mark.parametrize(
    ("script", "is_ours"),
    [
        ("", True),
        ("commit refs/heads/gxt\nmark :1\ncommitter A <a@example.com> 1 +0000\ndata 99\n", True),
        ("commit refs/gxt/hold/1\ncommitter A <a@example.com> 1 +0000\ndata 1\nx\n", True),
        ("commit refs/heads/main\ncommitter A <a@example.com> 1 +0000\ndata 1\nx\n", False),
        ("what is this\n", False),
    ],
)
def test_a_report_of_git_that_a_kill_left_goes_and_others_stay(repo: Repository, script: str, is_ours: bool) -> None:
    process = subprocess.Popen(
        ["git", "fast-import", "--quiet", "--done"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.communicate(script)
    report = repo.common_dir / f"fast_import_crash_{process.pid}"
    assert report.exists()
    found = [one.what for one in doctor.examine(repo).findings if one.where == "left behind by a crash"]
    assert found == ([str(report)] if is_ours else [])
    assert store.clean_up(repo) == ([report] if is_ours else [])
    alive = repo.common_dir / f"fast_import_crash_{os.getpid()}"
    alive.write_text("fatal: stream ends early\n")
    assert store.clean_up(repo) == []


def test_a_killed_commit_leaves_nothing_that_stays(repo: Repository, work: Path) -> None:
    """A process killed while git commits for it: the pack it leaves can still be put together with others."""
    record(repo)
    (pack,) = packs(repo)
    keep = pack.with_suffix(".keep")
    keep.write_bytes(b"fast-import")
    aged(keep, 700)
    store.clean_up(repo)
    git("repack", "-adq", cwd=work)
    assert packs(repo) != [pack] or not keep.exists()
    assert len(packs(repo)) == 1


# --- a branch that others change ------------------------------------------------------------------------------------


def kept(repo: Repository) -> list[str]:
    return git("for-each-ref", "--format=%(refname)", "refs/gxt/kept", cwd=repo.common_dir).splitlines()


def test_a_branch_that_was_deleted_is_kept_and_said(repo: Repository, work: Path) -> None:
    old = [record(repo), record(repo)]
    before = git("rev-parse", "gxt", cwd=work)
    git("branch", "-qD", "gxt", cwd=work)
    with pytest.warns(GxtWarning, match=r"the branch gxt was deleted .* kept as refs/gxt/kept/gxt-"):
        new = record(repo)
    assert [run.id for run in catalog.listing(repo).runs] == [new]
    (ref,) = kept(repo)
    assert git("rev-parse", ref, cwd=work) == before
    assert len(store.list_runs(repo, before)) == len(old)
    record(repo)  # says nothing more: warnings are errors here
    git("gc", "-q", "--prune=now", cwd=work)
    git("cat-file", "-e", before, cwd=work)


def test_a_branch_that_was_rewritten_is_kept_and_said(repo: Repository, work: Path) -> None:
    first = record(repo)
    base = git("rev-parse", "gxt", cwd=work)
    second = record(repo)
    lost = git("rev-parse", "gxt", cwd=work)
    git("update-ref", "refs/heads/gxt", base, cwd=work)
    with pytest.warns(GxtWarning, match=r"the branch gxt was rewritten .* kept as"):
        third = record(repo)
    assert [run.id for run in catalog.listing(repo).runs] == [first, third]
    assert git("rev-parse", *kept(repo), cwd=work) == lost
    assert {entry.run_id for entry in store.list_runs(repo, lost)} == {first, second}


def test_commits_that_are_gone_for_good_are_said(repo: Repository, work: Path) -> None:
    record(repo)
    git("branch", "-qD", "gxt", cwd=work)
    git("gc", "-q", "--prune=now", cwd=work)
    with pytest.warns(GxtWarning, match="gone from this repository"):
        record(repo)
    assert kept(repo) == [] and len(catalog.listing(repo).runs) == 1


def test_what_others_add_to_the_branch_is_nothing_to_speak_of(repo: Repository, work: Path, tmp_path: Path) -> None:
    record(repo)
    git("clone", "-q", str(work), str(tmp_path / "other"))
    other = gxt_git.find(tmp_path / "other")
    record(other)
    git("push", "-q", "origin", "gxt", cwd=tmp_path / "other")
    record(repo)  # warnings are errors
    assert len(catalog.listing(repo).runs) == 3 and kept(repo) == []


def test_memory_of_the_last_commit_is_not_needed(repo: Repository) -> None:
    record(repo)
    for spoiled in (b"no json", b"[]", json.dumps({"refs/heads/gxt": "0" * 40}).encode()):
        (store.root(repo) / "last.json").write_bytes(spoiled)
        if b"000" in spoiled:
            with pytest.warns(GxtWarning, match="gone from this repository"):
                record(repo)
        else:
            record(repo)
    assert len(catalog.listing(repo).runs) == 4


def test_spoiled_memory_of_the_last_commit_stops_nothing(repo: Repository) -> None:
    record(repo)
    (store.root(repo) / "last.json").write_bytes(b'{"refs/heads/gxt": 5}')
    record(repo)
    assert len(catalog.listing(repo).runs) == 2


def test_a_branch_that_the_remote_still_has_is_not_said_to_be_lost(
    repo: Repository, work: Path, tmp_path: Path
) -> None:
    git("init", "-q", "--bare", str(tmp_path / "hub"))
    git("remote", "add", "origin", str(tmp_path / "hub"), cwd=work)
    record(repo)
    git("push", "-q", "origin", "gxt", cwd=work)
    git("branch", "-qD", "gxt", cwd=work)
    record(repo)  # warnings are errors
    assert len(catalog.listing(repo).runs) == 2 and kept(repo) == []


def test_commits_that_were_written_anew_without_losing_a_run_are_nothing_to_speak_of(
    repo: Repository, work: Path
) -> None:
    record(repo)
    record(repo)
    anew = git("commit-tree", "gxt^{tree}", "-p", "gxt~1", "-m", "in other words", cwd=work)
    git("update-ref", "refs/heads/gxt", anew, cwd=work)
    record(repo)  # warnings are errors
    assert len(catalog.listing(repo).runs) == 3 and kept(repo) == []


def test_commits_that_git_refuses_to_keep_are_not_said_to_be_gone(repo: Repository, work: Path) -> None:
    record(repo)
    git("update-ref", "refs/gxt/kept", "gxt", cwd=work)  # in the way of refs/gxt/kept/...
    old = git("rev-parse", "gxt", cwd=work)
    git("branch", "-qD", "gxt", cwd=work)
    with pytest.warns(GxtWarning, match=f"is at {old} for as long as git keeps it"):
        record(repo)


def test_packs_are_put_together_where_bitmaps_are_written(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_MOST_NEW_PACKS", 3)
    git("config", "repack.writeBitmaps", "true", cwd=work)
    while not upkeep._maintaining:
        record(repo)
    assert [process.wait(60) for process in upkeep._maintaining] == [0]
