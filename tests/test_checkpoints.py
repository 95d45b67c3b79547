"""Runs that are put on the branch while they record."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

import gxt
from gxt import catalog, edits, layout, live, recorder, store
from gxt import git as gxt_git
from gxt.errors import GxtWarning, NotFoundError, UsageError
from gxt.git import Repository
from gxt.git import commits as git_commits
from gxt.model import seconds_of
from helpers import git, run_python


def on_branch(repo: Repository, run_id: str) -> gxt.Run:
    """The run as the branch has it, whatever is live."""
    return store.read_run(repo, run_id)


def test_a_run_is_committed_while_it_records(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi", name="long")
    run.log_param("alpha", 0.1)
    run.log_metric("rmse", 6.5, step=1)
    run.log_text("hello", "note.txt")
    run.commit()
    found = on_branch(repo, run.run_id)
    assert (found.status, found.ended, found.params) == ("running", None, {"alpha": 0.1})
    assert found.metrics["rmse"].count == 1
    assert git("log", "-1", "--format=%s", "gxt", cwd=work) == "taxi: long running, rmse=6.5"
    assert catalog.find(repo, "long").place == "live"
    run.log_metric("rmse", 6.0, step=2)
    run.commit()
    assert on_branch(repo, run.run_id).metrics["rmse"].last == 6.0
    run.log_metric("rmse", 5.5, step=3)
    run.end()
    ended = on_branch(repo, run.run_id)
    assert (ended.status, ended.metrics["rmse"].count) == ("finished", 3) and ended.ended is not None
    assert git("show", f"gxt:{layout.run_path('taxi', run.run_id)}/artifacts/note.txt", cwd=work) == "hello"
    git("fsck", "--strict", cwd=work)


def test_what_has_not_changed_is_not_committed_again(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_metric("rmse", 1.0)
    run.log_text("x" * 100_000, "big.txt")
    run._stop_threads()  # its provenance is there
    run.commit()
    first = git("rev-parse", "gxt", cwd=work)
    run.commit()
    assert git("rev-parse", "gxt", cwd=work) == first
    read = []
    real = git_commits._write_change

    def watching(stream: object, path: str, content: gxt_git.Content) -> None:
        read.append(path.rpartition("/")[2])
        real(stream, path, content)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(git_commits, "_write_change", watching)
        run.set_tag("stage", "late")
        run.commit()
    assert "big.txt" not in read and "metrics.csv" not in read and "run.yaml" in read
    found = on_branch(repo, run.run_id)
    assert found.tags == {"stage": "late"} and found.metrics["rmse"].count == 1
    names = git("ls-tree", "-r", "--name-only", f"gxt:{layout.run_path('taxi', run.run_id)}", cwd=work)
    assert {"metrics.csv", "artifacts/big.txt"} <= set(names.split())
    run.end()


def test_a_branch_that_lost_the_checkpoint_gets_all_of_it_again(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.log_text("content", "a.txt")
    run.commit()
    git("update-ref", "-d", "refs/heads/gxt", cwd=work)
    run.log_metric("rmse", 1.0)
    with pytest.warns(GxtWarning, match="was deleted"):
        run.commit()
    assert git("show", f"gxt:{layout.run_path('taxi', run.run_id)}/artifacts/a.txt", cwd=work) == "content"
    run.end()


def test_a_machine_that_is_taken_away_loses_what_came_after_the_checkpoint(
    repo: Repository, work: Path, tmp_path: Path
) -> None:
    git("remote", "add", "origin", str(tmp_path / "hub.git"), cwd=work)
    git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    run_python(
        code="""
        import os, subprocess, gxt
        run = gxt.start_run(run_name="preempted")
        for step in range(5):
            gxt.log_metric("loss", step, step=step)
        run.commit()
        subprocess.run(["git", "push", "-q", "origin", "gxt"], check=True)
        gxt.log_metric("loss", 5, step=5)
        os.kill(os.getpid(), 9)
        """,
        check=False,
    )
    git("clone", "-q", str(tmp_path / "hub.git"), str(tmp_path / "elsewhere"))
    elsewhere = gxt_git.find(tmp_path / "elsewhere")
    found = catalog.find(elsewhere, "preempted")
    assert (found.status, found.place, found.metrics["loss"].count) == ("running", "branch", 5)
    resumed = recorder.resume(elsewhere, found.id)
    resumed.log_metric("loss", 50, step=5)
    resumed.end()
    assert [p.value for p in catalog.points(elsewhere, catalog.find(elsewhere, found.id))] == [0, 1, 2, 3, 4, 50]
    store.commit_pending(repo)
    assert on_branch(repo, found.id).status == "killed" and on_branch(repo, found.id).metrics["loss"].count == 6


def test_a_checkpoint_of_a_machine_that_is_gone_can_be_ended(repo: Repository, work: Path, tmp_path: Path) -> None:
    run = recorder.begin(repo, "taxi")
    run.commit()
    git("clone", "-q", str(work), str(tmp_path / "elsewhere"))
    elsewhere = gxt_git.find(tmp_path / "elsewhere")
    edits.finish(elsewhere, run.run_id, "killed")
    assert (on_branch(elsewhere, run.run_id).status, on_branch(elsewhere, run.run_id).ended is None) == (
        "killed",
        False,
    )
    with pytest.raises(NotFoundError, match="not recording"):
        edits.finish(elsewhere, run.run_id, "killed")
    run.end()


def test_every_so_often(repo: Repository, work: Path) -> None:
    with gxt.start_run(run_name="often", commit_every=0.05) as run:
        for step in range(1, 4):
            gxt.log_metric("step", step, step=step)
            wait_for(lambda step=step: has_step(repo, run.run_id, step))  # type: ignore[misc]
    assert not any(thread.name == "gxt-commit" for thread in threading.enumerate())
    assert on_branch(repo, run.run_id).status == "finished"


def has_step(repo: Repository, run_id: str, step: int) -> bool:
    try:
        return on_branch(repo, run_id).metrics["step"].last == step
    except (NotFoundError, KeyError):
        return False


def wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "nothing was committed"
        time.sleep(0.01)


def test_as_git_config_says(repo: Repository, work: Path) -> None:
    git("config", "gxt.commitEvery", "50ms", cwd=work)
    with pytest.raises(UsageError, match="'50ms' is no duration"):
        gxt.start_run()
    git("config", "gxt.commitEvery", "0.05s", cwd=work)
    with gxt.start_run() as run:
        gxt.log_metric("step", 1)
        wait_for(lambda: has_step(repo, run.run_id, 1))
    with gxt.start_run(run_id=run.run_id):
        gxt.log_metric("step", 2, step=2)
        wait_for(lambda: has_step(repo, run.run_id, 2))


def test_a_command_is_committed_every_so_often(repo: Repository, work: Path) -> None:
    code = "import sys, gxt; gxt.start_run(); gxt.log_metric('step', 7); print('there', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gxt",
            "run",
            "-n",
            "command",
            "--commit-every",
            "0.05s",
            "--",
            sys.executable,
            "-c",
            code,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout and process.stdout.readline() == b"there\n"
    run_id = catalog.find(repo, "command").id
    wait_for(lambda: has_step(repo, run_id, 7))
    assert on_branch(repo, run_id).status == "running"
    process.communicate(b"")
    assert on_branch(repo, run_id).status == "finished"


def test_a_shell_script_commits_when_it_likes(repo: Repository, work: Path) -> None:
    def gxt_command(*args: str) -> str:
        command = [sys.executable, "-m", "gxt", *args]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    run_id = gxt_command("start", "-e", "taxi", "-p", "lr=0.1")
    gxt_command("log", "--run", run_id, "-m", "loss=0.5", "--step", "3", "--commit")
    assert on_branch(repo, run_id).metrics["loss"].last == 0.5
    assert live.live_path(store.root(repo), run_id).is_dir()
    gxt_command("finish", run_id)
    assert on_branch(repo, run_id).status == "finished"
    refused = subprocess.run(
        [sys.executable, "-m", "gxt", "log", "-m", "loss=1", "--commit"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2 and "--commit is for a run that goes on" in refused.stderr


def size_of(digit: str) -> int:
    """How long the text of that digit is, so that one that was cut shows."""
    return 1000 + 90_000 * int(digit)


def test_artifacts_that_change_meanwhile_are_committed_in_one_state_or_the_other(
    repo: Repository, work: Path, tmp_path: Path
) -> None:
    run = recorder.begin(repo, "taxi")
    stop = threading.Event()

    def change() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            digit = str(number % 10)
            run.log_text(digit * size_of(digit), "model.txt")

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for step in range(15):
            run.log_metric("step", step, step=step)
            run.commit()
            path = f"gxt:{layout.run_path('taxi', run.run_id)}/artifacts/model.txt"
            shown = subprocess.run(["git", "show", path], cwd=work, capture_output=True, text=True, check=False).stdout
            assert not shown or (len(shown) == size_of(shown[0]) and len(set(shown)) == 1)
    finally:
        stop.set()
        changing.join()
        run.end()
    git("fsck", "--strict", cwd=work)


def test_a_commit_that_fails_warns_and_the_run_goes_on(repo: Repository, work: Path) -> None:
    hook = work / ".git" / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    run = recorder.begin(repo, "taxi")
    run.log_metric("rmse", 1.0)
    with pytest.warns(GxtWarning, match="not on the branch yet"):
        run.commit()
    hook.unlink()
    run.commit()
    assert on_branch(repo, run.run_id).metrics["rmse"].last == 1.0
    run.end()
    with pytest.raises(UsageError, match="has ended"):
        run.commit()


def test_a_forked_child_commits_the_run_too(repo: Repository, work: Path) -> None:
    run = recorder.begin(repo, "taxi")
    child = os.fork()
    if child == 0:
        try:
            run.log_metric("from-child", 1)
            run.commit()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert on_branch(repo, run.run_id).metrics["from-child"].count == 1
    run.end()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("30s", 30), ("5m", 300), ("5 min", 300), ("1.5H", 5400), ("1d", 86400), (0.5, 0.5), (7, 7)],
)
def test_durations(text: object, seconds: float) -> None:
    assert seconds_of(text) == seconds and seconds_of(timedelta(seconds=seconds)) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0", 0, -1, True, None, "5 parsecs", float("nan"), float("inf")])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(UsageError, match="is no duration"):
        seconds_of(text)
