"""Sharing with real remotes: by path, git daemon and smart HTTP, with passwords, and such as refuse, hang and die."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import gxt.git
import servers
from gxt import sharing, store
from gxt.errors import GitError
from gxt.git import Repository, Talk
from helpers import git, record
from soundness import check_sound

GXT = [sys.executable, "-m", "gxt"]
TOKEN = "s3cr3t-t0ken"

needs_lighttpd = pytest.mark.skipif(servers.LIGHTTPD is None, reason="lighttpd is not installed")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A bare repository that others push to."""
    folder = tmp_path / "served" / "hub.git"
    git("init", "-q", "--bare", str(folder))
    git("config", "http.receivepack", "true", cwd=folder)
    return folder


@pytest.fixture
def serve(hub: Path, tmp_path: Path) -> Iterator[object]:
    """`serve("http")`: the hub's URL by that protocol."""
    with contextlib.ExitStack() as stack:

        def start(kind: str) -> str:
            folder = tmp_path / f"server-{kind}"
            folder.mkdir()
            if kind == "path":
                return str(hub)
            if kind == "daemon":
                return f"{stack.enter_context(servers.daemon(hub.parent))}/hub.git"
            users = f"ada:{TOKEN}\n" if kind == "password" else None
            url = f"{stack.enter_context(servers.http(hub.parent, folder, users))}/hub.git"
            return url.replace("http://", f"http://ada:{TOKEN}@") if users else url

        yield start


def clone_of(url: str, folder: Path) -> Repository:
    git("init", "-q", str(folder))
    git("remote", "add", "origin", url, cwd=folder)
    return gxt.git.find(folder)


def runs_of(repo: Repository, commit: str) -> set[str]:
    return {run.run_id for run in store.list_runs(repo, commit)}


def sync(repo: Repository, **options: object) -> sharing.Outcome:
    return sharing.sync(repo, "origin", Talk(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind",
    ["path", "daemon", pytest.param("http", marks=needs_lighttpd), pytest.param("password", marks=needs_lighttpd)],
)
def test_two_clones_share_by(kind: str, serve: object, hub: Path, tmp_path: Path) -> None:
    url = serve(kind)  # type: ignore[operator]
    one, two = (clone_of(url, tmp_path / name) for name in ("one", "two"))
    first, second = record(one, name="first"), record(two, name="second")
    assert [moved.run for moved in sync(one).sent] == [first]
    done = sync(two)
    assert ([moved.run for moved in done.received], [moved.run for moved in done.sent]) == ([first], [second])
    assert [moved.run for moved in sync(one).received] == [second]
    tips = {git("rev-parse", "gxt", cwd=folder) for folder in (hub, tmp_path / "one", tmp_path / "two")}
    assert len(tips) == 1
    assert runs_of(one, tips.pop()) == {first, second}
    assert not sync(one).sent and not sync(one).received
    check_sound(gxt.git.find(hub))
    for repo in (one, two):
        check_sound(repo)
        assert TOKEN not in git("log", "--format=%B", "-p", "gxt", cwd=repo.common_dir)


# --- that refuse --------------------------------------------------------------------------------------------------


def test_a_remote_whose_hook_refuses_is_quoted(hub: Path, tmp_path: Path) -> None:
    hook = hub / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho 'only on Mondays' >&2\nexit 1\n")
    hook.chmod(0o755)
    repo = clone_of(str(hub), tmp_path / "one")
    record(repo)
    with pytest.raises(GitError, match=r"pre-receive hook declined.*only on Mondays"):
        sync(repo)
    assert git("for-each-ref", cwd=hub) == ""
    hook.unlink()
    assert len(sync(repo).sent) == 1


def test_a_remote_that_takes_only_fast_forwards_gets_them(hub: Path, tmp_path: Path) -> None:
    git("config", "receive.denyNonFastForwards", "true", cwd=hub)
    git("config", "receive.denyDeletes", "true", cwd=hub)
    one, two = (clone_of(str(hub), tmp_path / name) for name in ("one", "two"))
    for repo in (one, two, one, two):
        record(repo)
        sync(repo)
    assert len(runs_of(two, git("rev-parse", "gxt", cwd=hub))) == 4


def test_a_remote_that_is_not_there(tmp_path: Path) -> None:
    repo = clone_of(str(tmp_path / "nowhere.git"), tmp_path / "one")
    record(repo)
    with pytest.raises(GitError, match=r"nowhere\.git"):
        sync(repo)


@needs_lighttpd
@pytest.mark.parametrize("password", ["wrong-pass", None])
def test_wrong_and_missing_passwords(password: str | None, serve: object, tmp_path: Path) -> None:
    url = serve("password")  # type: ignore[operator]
    other = url.replace(f"ada:{TOKEN}@", f"ada:{password}@" if password else "")
    clone_of(other, tmp_path / "one")
    done = subprocess.run([*GXT, "log", "-m", "a=1"], cwd=tmp_path / "one", capture_output=True, text=True, check=True)
    done = subprocess.run([*GXT, "sync"], cwd=tmp_path / "one", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 5
    said = done.stdout + done.stderr
    assert "Authentication failed" in said or "could not read Username" in said
    assert "wrong-pass" not in said
    assert len(said.splitlines()) <= 2, said


@needs_lighttpd
def test_a_password_that_expires(serve: object, tmp_path: Path) -> None:
    repo = clone_of(serve("password"), tmp_path / "one")  # type: ignore[operator]
    record(repo)
    sync(repo)
    record(repo)
    users = tmp_path / "server-password" / "users"
    users.write_text("ada:another\n")
    with pytest.raises(GitError) as caught:
        sync(repo)
    assert TOKEN not in str(caught.value)
    users.write_text(f"ada:{TOKEN}\n")
    assert len(sync(repo).sent) == 1


@needs_lighttpd
def test_tokens_are_not_shown_on_a_terminal_either(serve: object, tmp_path: Path) -> None:
    url = serve("password")  # type: ignore[operator]
    clone_of(url, tmp_path / "one")
    subprocess.run([*GXT, "log", "-m", "a=1"], cwd=tmp_path / "one", capture_output=True, check=True)
    ours, theirs = pty.openpty()
    environment = os.environ | {"GIT_TRACE": "1", "GIT_CURL_VERBOSE": "1", "COLUMNS": "80"}
    with subprocess.Popen(
        [*GXT, "sync"], cwd=tmp_path / "one", env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while data := os.read(ours, 4096):
                said += data
    assert process.returncode == 0
    assert b"Writing objects: 100%" in said and b"origin: sent 1 run" in said
    assert TOKEN.encode() not in said


# --- that hang and die --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["git", "http"])
def test_a_remote_that_hangs_is_given_up(scheme: str, tmp_path: Path) -> None:
    with servers.silent() as port:
        repo = clone_of(f"{scheme}://127.0.0.1:{port}/hub.git", tmp_path / "one")
        git("config", "gxt.timeout", "1", cwd=tmp_path / "one")
        record(repo)
        began = time.monotonic()
        with pytest.raises(GitError, match="has said nothing for 1 second"):
            sync(repo)
        assert time.monotonic() - began < 20
    assert len(runs_of(repo, git("rev-parse", "gxt", cwd=tmp_path / "one"))) == 1


@pytest.mark.parametrize("after", [10, 300, 2000, 20_000])
def test_a_remote_that_dies_in_the_middle_of_a_push(after: int, hub: Path, tmp_path: Path) -> None:
    with servers.daemon(hub.parent) as url:
        port = int(url.rpartition(":")[2])
        cable = servers.Cable(port)
        with contextlib.closing(cable):
            cable.cut_after = after
            repo = clone_of(f"git://127.0.0.1:{cable.port}/hub.git", tmp_path / "one")
            recording = record(repo, params={f"p{i}": os.urandom(400).hex() for i in range(80)})
            with pytest.raises(GitError):
                sync(repo)
        check_sound(gxt.git.find(hub))
        assert git("for-each-ref", cwd=hub) == ""
        git("remote", "set-url", "origin", f"{url}/hub.git", cwd=tmp_path / "one")
        assert [moved.run for moved in sync(repo).sent] == [recording]
    check_sound(gxt.git.find(hub))
