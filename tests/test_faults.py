"""What goes wrong around a recorder: collectors, forks, writers that come late, locks left behind, closed outputs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gxt import catalog, edits, layout, live, recorder, rescue, store
from gxt.appender import Appender
from gxt.errors import GitError, GxtError, GxtWarning, UsageError
from gxt.git import Repository
from gxt.git import commits as git_commits
from helpers import git, record, run_python


def test_a_collector_at_work_takes_nothing_away(repo: Repository, work: Path) -> None:
    """`git gc --prune=now` deletes loose objects that nothing reaches yet; a run's must not be among them."""
    stop = threading.Event()

    def collect() -> None:
        while not stop.is_set():
            subprocess.run(["git", "gc", "--prune=now", "-q"], cwd=work, capture_output=True, check=False)

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        ids = [record(repo, metrics={"rmse": 1.0}) for _ in range(40)]
    finally:
        stop.set()
        collector.join()
    store.commit_pending(repo)
    assert {run.id for run in catalog.listing(repo).runs} == set(ids)
    assert {run.place for run in catalog.listing(repo).runs} == {"branch"}
    git("fsck", "--strict", cwd=work)


def test_a_fork_right_after_the_start_can_import(repo: Repository, work: Path) -> None:
    """The provenance thread must hold no import lock that a child would inherit for good."""
    code = """
        import os, sys, time, gxt
        delay = float(sys.argv[1])
        with gxt.start_run():
            time.sleep(delay)
            child = os.fork()
            if child == 0:
                import importlib.metadata, email.message, socket, json, zipfile, csv, configparser
                list(importlib.metadata.distributions())
                os._exit(0)
            for _ in range(1000):
                if os.waitpid(child, os.WNOHANG)[0]:
                    break
                time.sleep(0.01)
            else:
                os.kill(child, 9)
                sys.exit("the child hangs")
        """
    for delay in ("0.002", "0.004", "0.006", "0.008", "0.010"):
        assert run_python(delay, code=code).stderr == ""


def test_a_process_that_joined_and_outlives_its_owner_loses_nothing(repo: Repository, work: Path) -> None:
    child = """
import sys, gxt
run = gxt.start_run()
gxt.log_metric("n", 0, step=0)
print("joined", flush=True)
sys.stdin.readline()  # the owner has ended, and its run is on the branch
for step in range(1, 20):
    gxt.log_metric("n", step, step=step)
gxt.log_param("depth", 3)
gxt.set_tag("late", "yes")
gxt.log_text("late", "late.txt")
gxt.end_run()
"""
    run_python(
        code=f"""
        import subprocess, sys, gxt
        with gxt.start_run(run_name="owner") as run:
            child = subprocess.Popen(
                [sys.executable, "-c", {child!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            assert child.stdout.readline() == "joined\\n"
        assert gxt.get_run(run.run_id).place == "branch"
        child.communicate("go on\\n")
        assert child.returncode == 0
        """
    )
    run = catalog.find(repo, "owner")
    assert (run.status, run.place) == ("finished", "branch")
    assert [point.value for point in catalog.points(repo, run)] == list(range(20))
    assert (
        run.tags == {"late": "yes"} and run.params == {"depth": 3} and "artifacts/late.txt" in catalog.files(repo, run)
    )


def test_a_forked_child_that_outlives_its_parents_run_loses_nothing(repo: Repository, work: Path) -> None:
    run_python(
        code="""
        import os, gxt
        read, write = os.pipe()
        run = gxt.start_run(run_name="owner")
        child = os.fork()
        if child == 0:
            os.read(read, 1)
            for step in range(10):
                gxt.log_metric("n", step, step=step)
            run.end()
            os._exit(0)
        gxt.end_run()
        os.write(write, b"x")
        os.waitpid(child, 0)
        """
    )
    run = catalog.find(repo, "owner")
    assert (run.status, run.place, run.metrics["n"].count) == ("finished", "branch", 10)


def test_a_late_writer_that_is_killed_leaves_the_status_as_it_was(repo: Repository, work: Path) -> None:
    run_id = record(repo, status="failed")
    run_python(
        code=f"""
        import os, gxt
        from gxt import fluent, recorder
        late = recorder.amend(fluent.repository(), {run_id!r})
        late.log_metric("late", 1)
        os.kill(os.getpid(), 9)
        """,
        check=False,
    )
    before = store.read_run(repo, run_id)
    store.commit_pending(repo)
    after = store.read_run(repo, run_id)
    assert (after.status, after.ended) == (before.status, before.ended) and after.metrics["late"].last == 1


def test_additions_to_a_finished_run_at_once_are_all_kept(repo: Repository, work: Path) -> None:
    run_id = record(repo)
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "gxt", "log", "--run", run_id, "-m", f"loss={n}", "--step", str(n), "-t", f"t{n}=v"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(12)
    ]
    errors = [command.communicate()[1] for command in commands]
    assert [command.returncode for command in commands] == [0] * 12, errors
    store.commit_pending(repo)
    run = store.read_run(repo, run_id)
    assert sorted(point.step for point in catalog.points(repo, run)) == list(range(12))
    assert len(run.tags) == 12 and run.metrics["loss"].count == 12


def test_one_run_that_cannot_be_committed_holds_up_no_other(repo: Repository, work: Path) -> None:
    broken = recorder.begin(repo, "taxi")
    journal = broken.folder / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(b'{"op":"run"}\n' + whole)  # spoiled by somebody
    with pytest.warns(GxtWarning, match=f"cannot be committed and stays in .*{broken.run_id}"):
        broken.end()
    with pytest.warns(GxtWarning, match=f"cannot be committed and stays in .*{broken.run_id}"):
        other = record(repo)
    assert store.read_run(repo, other).status == "finished"
    pending = live.pending_path(store.root(repo), broken.run_id)
    (pending / "journal.jsonl").write_bytes((pending / "journal.jsonl").read_bytes().split(b"\n", 1)[1])
    store.commit_pending(repo)
    assert store.read_run(repo, broken.run_id).status == "finished"


def test_a_lock_left_behind_is_named_and_nothing_is_lost(repo: Repository, work: Path) -> None:
    record(repo)
    lock = repo.common_dir / "refs" / "heads" / "gxt.lock"
    lock.touch()
    with pytest.warns(GxtWarning, match="not on the branch yet"):
        run_id = record(repo)
    with pytest.raises(GitError, match=r"refs/heads/gxt\.lock exists"):
        store.commit_pending(repo)
    lock.unlink()
    assert [run.id for run in store.commit_pending(repo)] == [run_id]


def test_a_line_that_was_cut_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_bytes(b"step,metric,value,time\n0,loss,1,5\n7,loss,0.5,1795")  # its process was killed
    file = Appender(path)
    file.append(b"8,loss,0.25,6\n")
    file.close()
    assert [point.step for point in layout.read_points(path.read_bytes())] == [0, 8]


def test_values_that_no_document_can_hold_are_refused_at_the_call(repo: Repository) -> None:
    run = recorder.begin(repo, "taxi")
    deep: list[object] = []
    for _ in range(400):
        deep = [deep]
    for call in (
        lambda: run.log_param("deep", deep),
        lambda: run.log_param("huge", 10**5000),
        lambda: run.log_text("x", "/".join(["a"] * 1200)),
        lambda: run.log_metric("m", 1, timestamp=float("nan")),  # type: ignore[arg-type]
        lambda: run.log_metric("m", 1, timestamp=False),
    ):
        with pytest.raises(UsageError):
            call()
    run.end()
    assert store.read_run(repo, run.run_id).params == {}


@pytest.mark.parametrize("run_id", ["..", "/", "../../refs", "x" * 300, "20261123-083000-3f9a1c2e"])
def test_an_environment_that_names_no_run_is_passed_over(repo: Repository, work: Path, run_id: str) -> None:
    before = sorted(path for path in work.rglob("*") if "objects" not in path.parts)
    run_python(code="import gxt\nwith gxt.start_run(run_name='own'):\n    pass", GXT_RUN_ID=run_id)
    assert catalog.find(repo, "own").status == "finished"
    new = {path.name for path in work.rglob("*")} - {path.name for path in before}
    assert not new & {live.JOURNAL, "metrics.csv"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_command_goes_on_when_nobody_takes_its_output(repo: Repository, work: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gxt", "run", "--", "seq", "1", "200000"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0
    log = catalog.read_file(repo, catalog.find(repo, "@last"), "output.log") or b""
    assert log.count(b"\n") == 200_000


def test_a_slow_reader_of_the_output_loses_none_of_it(repo: Repository, work: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gxt", "run", "--", "seq", "1", "60000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    out = process.stdout.read(10)
    threading.Event().wait(3.0)  # longer than the command takes
    out += process.stdout.read()
    process.wait(30)
    assert out.count(b"\n") == 60_000
    log = catalog.read_file(repo, catalog.find(repo, "@last"), "output.log") or b""
    assert log.count(b"\n") == 60_000


def test_long_arguments_are_no_paths(repo: Repository, work: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gxt", "run", "--", "sh", "-c", f"true # {'a' * 5000}"], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "gxt", "log", "-a", "x" * 300], capture_output=True, check=False, text=True
    )
    assert done.returncode == 2 and "is no path" in done.stderr


def test_an_author_in_no_encoding_is_recorded_somehow(repo: Repository, work: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import gxt; gxt.start_run(run_name='x').end()"],
        env=os.environb | {b"GIT_AUTHOR_NAME": b"\xff\xfe"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert "ada@example.com" in str(catalog.find(repo, "x").author)


def test_runs_left_open_outside_the_main_stack_are_ended_at_exit(repo: Repository, work: Path) -> None:
    run_python(
        code="""
        import threading, gxt
        thread = threading.Thread(target=lambda: gxt.start_run(run_name="in-thread"))
        thread.start()
        thread.join()
        gxt.create_run(run_name="object").log_metric("a", 1)
        """
    )
    runs = {run.name: (run.status, run.place) for run in catalog.listing(repo).runs}
    assert runs == {"in-thread": ("finished", "branch"), "object": ("finished", "branch")}


@pytest.mark.parametrize("linked", [False, True])
def test_while_the_run_branch_is_checked_out_runs_wait(repo: Repository, work: Path, linked: bool) -> None:
    first = record(repo)
    tree = work.parent / "runs" if linked else work
    git(*(["worktree", "add", "-q", str(tree), "gxt"] if linked else ["checkout", "-q", "gxt"]), cwd=work)
    with pytest.warns(GxtWarning, match="is checked out in"):
        second = record(repo)
    assert git("status", "--short", cwd=tree) == ""
    assert {run.id: run.place for run in catalog.listing(repo).runs} == {first: "branch", second: "pending"}
    git("checkout", "-q", "--detach", cwd=tree)
    store.commit_pending(repo)
    assert {run.place for run in catalog.listing(repo).runs} == {"branch"}


# --- hooks --------------------------------------------------------------------------------------------------------


def hook(work: Path, code: str) -> Path:
    """A reference-transaction hook (githooks(5)) in the repository."""
    path = work / ".git" / "hooks" / "reference-transaction"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return path


def test_a_hook_may_say_as_much_as_it_likes(repo: Repository, work: Path) -> None:
    hook(work, "head -c 300000 /dev/zero | tr '\\0' x >&2")
    run_id = record(repo)
    assert store.read_run(repo, run_id).status == "finished"


def test_a_hook_may_leave_a_process_behind(repo: Repository, work: Path) -> None:
    hook(work, '[ "$1" != committed ] || (echo $$ >> pids; exec sleep 60) &')
    begun = time.monotonic()
    run_id = record(repo)
    assert time.monotonic() - begun < 30
    assert store.read_run(repo, run_id).status == "finished"
    subprocess.run(["pkill", "-f", "sleep 60"], check=False)


def test_a_hook_that_calls_gxt_is_not_waited_for(repo: Repository, work: Path) -> None:
    hook(work, f'[ "$1" != committed ] || {sys.executable} -m gxt recover >> said 2>&1; true')
    begun = time.monotonic()
    run_id = record(repo)
    assert time.monotonic() - begun < 30
    assert store.read_run(repo, run_id).status == "finished"
    assert "called by a hook of its own commit" in (work / ".git" / "said").read_text()


# --- signals --------------------------------------------------------------------------------------------------------


def test_a_signal_s_handler_may_commit_in_the_middle_of_a_commit(repo: Repository, work: Path) -> None:
    run_python(
        code="""
        import os, signal, threading, gxt
        run = gxt.start_run(run_name="handled")
        signal.signal(signal.SIGUSR1, lambda *_: run.commit())
        stop = threading.Event()
        def interrupt():
            while not stop.wait(0.003):
                os.kill(os.getpid(), signal.SIGUSR1)
        thread = threading.Thread(target=interrupt)
        thread.start()
        for step in range(15):
            gxt.log_metric("step", step, step=step)
            run.commit()
        stop.set()
        thread.join()
        gxt.end_run()
        """
    )
    assert catalog.find(repo, "handled").metrics["step"].count == 15


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("slow", ["status", "fast-import"])
def test_a_signal_while_a_run_ends_does_not_unmake_its_end(
    repo: Repository, work: Path, tmp_path: Path, number: int, slow: str
) -> None:
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    there = tmp_path / "there"
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "git"
    script.write_text(f'#!/bin/sh\ncase "$*" in *{slow}*) touch {there}; sleep 0.7;; esac\nexec {real} "$@"\n')
    script.chmod(0o755)
    code = "import gxt\nrun = gxt.start_run(run_name='ended')\ngxt.log_metric('a', 1)\ngxt.end_run()\nprint('went on')"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not there.exists() and process.poll() is None:
        time.sleep(0.005)
    threading.Event().wait(0.1 if slow == "fast-import" else 0.3)  # in the middle of its sleep
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode != 0
    run = catalog.find(repo, "ended")
    assert (run.status, run.metrics["a"].count) == ("finished", 1)
    assert run.place == "branch" or store.commit_pending(repo)


def test_sigterm_is_heard_where_the_first_run_was_in_a_thread(repo: Repository, work: Path) -> None:
    run_python(
        code="""
        import os, signal, threading, gxt
        def first():
            with gxt.start_run(run_name="in-thread"):
                pass
        thread = threading.Thread(target=first)
        thread.start()
        thread.join()
        gxt.start_run(run_name="main")
        os.kill(os.getpid(), signal.SIGTERM)
        signal.pause()
        """,
        check=False,
    )
    run = catalog.find(repo, "main")
    assert (run.status, run.place) == ("killed", "branch")


# --- git that fails -------------------------------------------------------------------------------------------------


def test_a_process_that_outlives_its_owner_goes_on_although_git_failed_once(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_RETRY", 0.0)
    owner = recorder.begin(repo, "taxi")
    joined = recorder.join(repo, owner.run_id)
    joined.log_metric("n", 0, step=0)
    owner.end()
    real, failures = recorder._attach, iter([GitError("no luck"), GitError("no luck again")])

    def attach(*args: object) -> object:
        for failure in failures:
            raise failure
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(recorder, "_attach", attach)
    with pytest.warns(GxtWarning, match="no luck"):
        for step in range(1, 6):
            joined.log_metric("n", step, step=step)
    joined.set_tag("late", "yes")
    joined.end()
    store.commit_pending(repo)
    run = store.read_run(repo, owner.run_id)
    assert sorted(point.step for point in catalog.points(repo, run)) == list(range(6))
    assert run.tags == {"late": "yes"} and run.status == "finished"


def test_half_packs_of_a_commit_that_found_no_room_do_not_fill_the_disk(repo: Repository, work: Path) -> None:
    folder = repo.common_dir / "objects" / "pack"
    before = folder / "tmp_pack_before"
    before.write_bytes(b"somebody's")
    os.utime(before, (1, 1))
    git_commits._remove_half_packs(repo, time.time())
    (folder / "tmp_pack_mine").write_bytes(b"half")
    git_commits._remove_half_packs(repo, time.time())
    assert before.exists() and not (folder / "tmp_pack_mine").exists()


def test_a_lock_of_all_packed_refs_that_a_crash_left_is_recognised(repo: Repository, work: Path) -> None:
    record(repo)
    git("pack-refs", "--all", cwd=work)
    lock = repo.common_dir / "packed-refs.lock"
    lock.touch()
    os.utime(lock, (time.time() - 61,) * 2)
    unsigned = repo.common_dir / "refs" / "gxt" / "unsigned" / "12345"
    unsigned.parent.mkdir(parents=True)
    unsigned.write_text(git("rev-parse", "gxt", cwd=work) + "\n")
    with store.committing(repo):
        store.clean_up(repo)
        store.clean_up(repo)  # the ref goes once the lock has
    assert not lock.exists() and not unsigned.exists()
    assert git("for-each-ref", "refs/gxt/unsigned", cwd=work) == ""


def test_what_a_process_left_elsewhere_after_its_run_was_committed_is_added_by_recover(
    repo: Repository, work: Path
) -> None:
    run_id = record(repo, metrics={"rmse": 1.0})
    kept = rescue.KeptLines(run_id, "metrics.csv")
    assert kept.append(b"5,late,2.5,7\n")
    kept.leave()
    assert edits.take_back_rescued(repo) == [run_id]
    run = store.read_run(repo, run_id)
    assert run.metrics["late"].last == 2.5 and run.metrics["rmse"].last == 1.0
    assert edits.take_back_rescued(repo) == []


def test_a_run_that_waits_for_room_is_not_resumed_from_an_earlier_state(
    repo: Repository, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_metric("m", 1, step=1)
    run.commit()
    run.log_metric("m", 2, step=2)
    real = live.take_back_rescued

    def refuse(folder: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(live, "take_back_rescued", refuse)
    with pytest.warns(GxtWarning, match="No space left on device"):
        run.end()
    with pytest.warns(GxtWarning, match="No space left"), pytest.raises(GxtError, match="cannot be committed yet"):
        recorder.resume(repo, run.run_id)
    monkeypatch.setattr(live, "take_back_rescued", real)
    store.commit_pending(repo)
    assert store.read_run(repo, run.run_id).metrics["m"].count == 2


def test_a_run_that_is_taken_away_after_a_checkpoint_is_not_on_the_branch(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.commit()
    run.discard()
    assert catalog.listing(repo).runs == [] and store.list_runs(repo, git("rev-parse", "gxt", cwd=work)) == []
