"""What goes wrong while the code of a run is kept never stops the run, is told in run.yaml, and loses nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gxt import catalog, live, snapshots, store
from gxt.git import Repository
from gxt.model import Run
from helpers import git, record, run_python
from soundness import check_sound
from test_snapshots import about, refs, tree


def last(repo: Repository) -> Run:
    run = catalog.find(repo, "@last")
    assert (run.place, run.status) == ("branch", "finished")
    return run


def with_filter(work: Path, script: str, command: str = "clean") -> None:
    """Have git run a script as it reads `train.py`."""
    file = work.parent / "filter.sh"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    git("config", f"filter.odd.{command}", str(file), cwd=work)
    (work / ".git" / "info").mkdir(exist_ok=True)
    (work / ".git" / "info" / "attributes").write_text("new.py filter=odd\n")
    (work / "new.py").write_text("new\n")


COLLECT = "git reflog expire --expire=now --all && git gc -q --prune=now"


def test_nothing_of_a_run_is_lost_when_its_branch_is_rewritten_and_garbage_collected(
    repo: Repository, work: Path
) -> None:
    clean = record(repo)
    (work / "train.py").write_text("changed\n")
    dirty = record(repo)
    (work / "train.py").write_text("amended\n")
    git("commit", "-q", "-a", "--amend", "-m", "another first")
    subprocess.run(COLLECT, shell=True, check=True)
    for run_id, content in ((clean, "print('training')"), (dirty, "changed")):
        source = store.read_run(repo, run_id).source
        assert tree(source["snapshot"], work)["train.py"] == f"100644 {content}"
        assert git("cat-file", "-t", source["commit"]) == "commit"
    check_sound(repo)


def test_garbage_that_is_collected_in_the_middle_of_it_takes_nothing(repo: Repository, work: Path) -> None:
    """HEAD is amended, and what it was is pruned, while git reads the files."""
    (work / "staged.py").write_text("staged\n")
    git("add", "staged.py")
    head = git("rev-parse", "HEAD")
    amend = "git reset -q && git commit -q --allow-empty --amend -m other"
    as_a_user = "unset $(git rev-parse --local-env-vars)"  # in the index and the objects that are the repository's
    with_filter(work, f"[ -e ../done ] || {{ touch ../done; {as_a_user}; {amend} && {COLLECT}; }} >&2; cat")
    found = about(work)
    assert "problem" not in found
    assert git("rev-parse", f"{found['snapshot']}^") == head != git("rev-parse", "HEAD")
    subprocess.run(COLLECT, shell=True, check=True)
    assert set(tree(found["snapshot"], work)) == {"train.py", "staged.py", "new.py"}
    check_sound(repo)


def test_a_pack_that_a_killed_git_left_half_done_is_not_in_the_way(repo: Repository, work: Path) -> None:
    (work / "train.py").write_text("changed\n")
    commit = about(work)["snapshot"]
    packs = work / ".git" / "objects" / "pack"
    git("update-ref", "-d", f"refs/gxt/code/{commit}")
    for pack in packs.glob("*.pack"):
        pack.with_suffix(".keep").write_text("fast-import")
        pack.with_suffix(".idx").unlink()
        pack.unlink()
    assert about(work) == {"snapshot": commit}
    check_sound(repo)


@pytest.mark.slow
def test_garbage_that_is_collected_all_the_time_takes_nothing(repo: Repository, work: Path) -> None:
    stop = work.parent / "stop"
    loop = f"while [ ! -e {stop} ]; do {COLLECT}; done"
    with subprocess.Popen(["sh", "-c", loop], stderr=subprocess.DEVNULL) as collector:
        found = []
        for number in range(60):
            (work / "train.py").write_text(f"{number}\n")
            (work / "new.py").write_text(f"new {number}\n")
            found.append(about(work))
        stop.touch()
        collector.wait()
    assert not [one for one in found if "problem" in one]
    for number, one in enumerate(found):
        assert tree(one["snapshot"], work) == {"train.py": f"100644 {number}", "new.py": f"100644 new {number}"}
    check_sound(repo)


def test_a_filter_that_hangs_is_ended(repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_filter(work, f"sleep 1000 & echo $! > {work}/../pid; wait")
    monkeypatch.setattr(snapshots, "_TIME", 1.0)
    began = time.monotonic()
    record(repo)
    assert time.monotonic() - began < 10
    assert last(repo).source["problem"].startswith("no snapshot of the code: git update-index did not answer for 1 sec")
    assert last(repo).source["commit"] and last(repo).source["dirty"] is True
    assert refs(work) == [f"refs/gxt/code/{git('rev-parse', 'HEAD')}"]  # that much is kept
    pid = int((work.parent / "pid").read_text())
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            break
        if state == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("the filter is alive")


def test_a_run_does_not_wait_for_ever_for_its_snapshot(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_filter(work, "sleep 2; cat")
    monkeypatch.setattr("gxt.provenance._PATIENCE", 0.3)
    record(repo)
    run = last(repo)
    assert run.source["problem"] == "no snapshot of the code: it was not finished when the run ended"
    assert run.source["commit"] == git("rev-parse", "HEAD")


def test_what_vanishes_meanwhile_is_not_there(repo: Repository, work: Path) -> None:
    with_filter(work, f"rm -f {work}/z.py; cat")
    (work / "z.py").write_text("z\n")
    assert set(tree(about(work)["snapshot"], work)) == {"train.py", "new.py"}


def test_a_filter_that_records_a_run_starts_no_other(repo: Repository, work: Path) -> None:
    with_filter(work, f"{sys.executable} -m gxt log -n inner -m a=1 >/dev/null 2>&1; cat")
    record(repo, name="outer")
    inner, outer = catalog.find(repo, "inner"), catalog.find(repo, "outer")
    assert "snapshot" in outer.source and "recorded by a filter" in inner.source["problem"]


def test_unreadable_files_and_folders_are_named(repo: Repository, work: Path, powerless: list[str]) -> None:
    (work / "tracked.py").write_text("before\n")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    (work / "tracked.py").write_text("after\n")
    (work / "unread.txt").write_text("secret\n")
    (work / "closed").mkdir()
    (work / "closed" / "a.py").write_text("a\n")
    (work / "new.py").write_text("new\n")
    for path, mode in ((work / "tracked.py", 0), (work / "unread.txt", 0), (work / "closed", 0)):
        path.chmod(mode)
    subprocess.run([*powerless, sys.executable, "-m", "gxt", "log", "-m", "a=1"], check=True, capture_output=True)
    (work / "closed").chmod(0o755)
    source = last(repo).source
    assert source["left_out"] == {
        "closed": {"problem": "cannot be read"},
        "unread.txt": {"problem": "Permission denied"},
        "tracked.py": {"problem": "Permission denied"},
    }
    assert set(tree(source["snapshot"], work)) == {"train.py", "new.py", "tracked.py"}
    assert tree(source["snapshot"], work)["tracked.py"] == "100644 before"


def test_no_room_for_the_snapshot(repo: Repository, work: Path) -> None:
    """Objects cannot be written; the run ends nevertheless, and says so."""
    (work / "train.py").write_text("changed\n")
    (repo.common_dir / "refs" / "gxt").mkdir()
    (repo.common_dir / "refs" / "gxt" / "hold").write_text("in the way")
    found = catalog.find(repo, record(repo))
    assert found.place == "branch" and found.source["problem"].startswith("no snapshot of the code: git update-ref")


def test_a_commit_that_is_damaged(repo: Repository, work: Path) -> None:
    (work / "folder").mkdir()
    (work / "folder" / "a.py").write_text("a\n")
    git("add", ".")
    git("commit", "-q", "-m", "second")
    folder = git("rev-parse", "HEAD:folder")
    (work / ".git" / "objects" / folder[:2] / folder[2:]).unlink()
    (work / "folder" / "a.py").write_text("changed\n")
    (work / ".git" / "index").unlink()
    git("add", ".", cwd=work)
    run = catalog.find(repo, record(repo))
    assert "problem" in run.source and run.source["commit"] == git("rev-parse", "HEAD")


@pytest.mark.parametrize("asked", ["status", "update-index"])
def test_a_run_killed_before_its_code_is_known_says_so(repo: Repository, work: Path, asked: str) -> None:
    """The process is killed by the very git that it asks."""
    (work / "train.py").write_text("changed\n")
    bin_ = work.parent / "bin"
    bin_.mkdir()
    (bin_ / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *{asked}*) kill -9 $PPID; exit 1;; esac\nexec {shutil.which("git")} "$@"\n'
    )
    (bin_ / "git").chmod(0o755)
    run_python(
        code="import gxt, time\nwith gxt.start_run(): time.sleep(60)",
        check=False,
        PATH=f"{bin_}{os.pathsep}{os.environ['PATH']}",
    )
    assert store.commit_pending(repo)
    source = catalog.find(repo, "@last").source
    assert source["problem"].startswith("no snapshot of the code: the process was gone before its code")
    assert ("commit" in source) == (asked == "update-index")


def test_what_was_killed_is_cleared_away(repo: Repository, work: Path) -> None:
    (work / "train.py").write_text("changed\n")
    with_filter(work, "kill -9 $(cat ../gxt.pid); sleep 1; cat")
    run_python(
        code="""
        import os, gxt, time
        open("../gxt.pid", "w").write(str(os.getpid()))
        with gxt.start_run(run_name="killed"):
            time.sleep(60)
        """,
        check=False,
        leave_children=True,
    )
    hold = [ref for ref in refs(work) if ref.startswith("refs/gxt/hold/")]
    assert len(hold) == 1
    with store.committing(repo):
        store.clean_up(repo)
    assert hold[0] in refs(work)  # somebody may be at it
    git("update-ref", "refs/gxt/hold/1700000000-12345678", "HEAD")
    git("update-ref", "-d", hold[0])
    with store.committing(repo):
        store.clean_up(repo)
    assert not any(ref.startswith("refs/gxt/hold/") for ref in refs(work))
    store.commit_pending(repo)
    assert catalog.find(repo, "killed").status == "killed"
    (folder,) = (store.root(repo) / "tmp").glob("snapshot-*")
    os.utime(folder, (0, 0))
    assert folder in live.remove_leftovers(store.root(repo))


def test_without_git_a_run_waits_for_it(repo: Repository, work: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    done = run_python(
        code="""
        import gxt
        with gxt.start_run(run_name="alone") as run:
            gxt.log_metric("loss", 1)
        """,
        PATH=str(tmp_path / "bin"),
    )
    assert "git is not installed, or not in PATH: the run is kept in" in done.stderr
    run = catalog.find(repo, "alone")
    assert run.place == "pending" and run.source["problem"] == "git is not installed, or not in PATH"
    assert run_python("-m", "gxt", "recover").stdout.startswith("finished: alone")
    assert last(repo).metrics["loss"].last == 1
    in_shell = [sys.executable, "-m", "gxt", "run", "-n", "shell", "--", sys.executable, "-c", "print(1)"]
    assert subprocess.run(in_shell, env=os.environ | {"PATH": str(tmp_path / "bin")}, check=False).returncode == 0
    assert catalog.find(repo, "shell").place == "pending"


def test_without_git_a_linked_work_tree_is_found(repo: Repository, work: Path, tmp_path: Path) -> None:
    git("worktree", "add", "-q", str(tmp_path / "linked"))
    (tmp_path / "linked" / "deep").mkdir()
    code = "from gxt import git; from pathlib import Path; print(git.find(Path('.')))"
    with_git = run_python(code=code, cwd=tmp_path / "linked" / "deep").stdout
    assert run_python(code=code, cwd=tmp_path / "linked" / "deep", PATH="/nonexistent").stdout == with_git
    assert shutil.which("git")
