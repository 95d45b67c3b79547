"""What several test files use: real git, Python in a process of its own, a run in one line, a checkout's state."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gxt import recorder
from gxt.git import Repository


def git(*args: str, cwd: Path | None = None, stdin: str | None = None) -> str:
    """What git prints; fails the test with git's words where git fails."""
    done = subprocess.run(["git", *args], cwd=cwd, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr}"
    return done.stdout.rstrip("\n")


def git_bytes(*args: str, cwd: Path | None = None) -> bytes:
    """What git prints, byte for byte."""
    return subprocess.run(["git", *args], cwd=cwd, capture_output=True, check=True).stdout


def run_python(
    *args: str,
    code: str | None = None,
    cwd: Path | None = None,
    check: bool = True,
    leave_children: bool = False,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Run this Python in its own process: a script and its arguments, or `code`; `variables` go to its environment.

    Waits for what it started as well, unless `leave_children`: a git that a killed process had just begun to start
    holds copies of its files, locks among them, until it is under way.
    """
    command = [sys.executable, *(("-c", textwrap.dedent(code)) if code is not None else ()), *args]
    # Open in the process and its forks, and in a git that is in a session of its own until it has really begun.
    life, theirs = os.pipe()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        pass_fds=[theirs],
    )
    os.close(theirs)
    out, err = process.communicate(timeout=120)
    if not leave_children:
        select.select([life], [], [], 5)
    os.close(life)
    deadline = time.monotonic() + 5  # where nobody buries orphans, they stay in the group
    while not leave_children and _group_exists(process.pid) and time.monotonic() < deadline:
        time.sleep(0.001)
    assert not check or process.returncode == 0, err
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def write_script(path: Path, code: str) -> Path:
    """A Python script at `path`."""
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    return path


def record(
    repo: Repository,
    experiment: str = "taxi",
    *,
    name: str | None = None,
    status: str = "finished",
    params: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Record one run from start to end; its id."""
    run = recorder.begin(repo, experiment, name=name, tags=tags)
    run.log_params(params or {})
    run.log_metrics(metrics or {})
    run.end(status)
    return run.run_id


Train = Callable[..., str]
Build = Callable[..., Any]
"""What the fixtures `train` and `build` are."""

_OURS = ("objects/", "gxt/", "refs/heads/gxt", "logs/refs/heads/gxt", "refs/gxt/code")


def checkout_state(folder: Path) -> dict[str, object]:
    """Everything in a checkout that gxt must not touch: each file of the work tree and of the git directory with its
    bytes, mode and time, but for objects, gxt's own folder, the run branch and the refs that keep the code of runs."""
    common = Path(git("rev-parse", "--path-format=absolute", "--git-common-dir", cwd=folder))
    state: dict[str, object] = {
        "refs": [
            line
            for line in git("for-each-ref", "--format=%(refname) %(objectname)", cwd=folder).splitlines()
            if not line.startswith(("refs/heads/gxt ", "refs/gxt/code/"))
        ],
        "stash": git("stash", "list", cwd=folder) if (folder / ".git").exists() else "",
    }
    for top in {folder, common}:
        for path in sorted(top.rglob("*")):
            inside = path.relative_to(common).as_posix() if path.is_relative_to(common) else ""
            if path.is_file() and not inside.startswith(_OURS):
                about = path.lstat()
                state[str(path)] = (path.read_bytes(), about.st_mode, about.st_mtime_ns)
    return state


def put_on_branch(path: str, content: str | bytes | None, mode: str = "100644") -> None:
    """Edit a file of the run branch of the current directory's repository by git alone, as somebody's pull request
    would; None takes it away."""
    environment = os.environ | {"GIT_INDEX_FILE": str(Path.cwd() / ".git" / "edit-index")}

    def run(*args: str, stdin: bytes | None = None) -> str:
        done = subprocess.run(["git", *args], input=stdin, env=environment, capture_output=True, check=True)
        return done.stdout.decode().strip()

    run("read-tree", "gxt")
    if content is None:
        run("update-index", "--force-remove", path)
    else:
        data = content.encode() if isinstance(content, str) else content
        blob = run("hash-object", "-w", "--stdin", stdin=data)
        run("update-index", "--add", "--replace", "--cacheinfo", f"{mode},{blob},{path}")
    run("update-ref", "refs/heads/gxt", run("commit-tree", run("write-tree"), "-p", "gxt", "-m", "by hand"))


def make_hub(repo: Repository, folder: Path) -> Path:
    """A bare repository on a host, with the code and a run branch of one run; the remote of the current one."""
    path = folder / "hub.git"
    git("init", "-q", "--bare", str(path))
    git("remote", "add", "origin", str(path))
    record(repo, name="before", metrics={"rmse": 6.5})
    git("push", "-q", "origin", "gxt", "main")
    return path
