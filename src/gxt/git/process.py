"""Running git as a process: in an environment of its own, with its output kept and its failures as errors."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from gxt.errors import GitError, NoGitError
from gxt.git.repository import Repository

# Inside a hook, and in `git rebase --exec`, git names its own directory, index and object store in the environment;
# a command that means another repository must not inherit them (githooks(5)). What `git rev-parse --local-env-vars`
# prints, less the configuration given with `git -c`, which is meant to reach us. A quarantine (git-receive-pack(1))
# would refuse every ref update.
_LOCAL_VARIABLES = frozenset(
    [
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_CONFIG",
        "GIT_OBJECT_DIRECTORY",
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_GRAFT_FILE",
        "GIT_INDEX_FILE",
        "GIT_NO_REPLACE_OBJECTS",
        "GIT_REPLACE_REF_BASE",
        "GIT_PREFIX",
        "GIT_INTERNAL_SUPER_PREFIX",
        "GIT_SHALLOW_FILE",
        "GIT_COMMON_DIR",
        "GIT_QUARANTINE_PATH",
        "GIT_NAMESPACE",
        "GIT_LITERAL_PATHSPECS",
    ]
)


def scrubbed_environment() -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key not in _LOCAL_VARIABLES}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # `git status` must not write the user's index
    environment["LC_ALL"] = "C"  # git's words are matched below
    return environment


# A process that another thread forks while we start git would get copies of git's pipes, and git's output would not end
# before that process does. So a fork waits for a start that is under way, some milliseconds.
starting = threading.RLock()  # a signal's handler may start git in the middle of it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=starting.acquire, after_in_parent=starting.release, after_in_child=starting.release)


def start(
    args: Sequence[str],
    cwd: Path | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    stderr: int | IO[bytes] | None = subprocess.PIPE,
    asks: bool = False,
    stdout: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    try:
        with starting:
            return subprocess.Popen(
                ["git", *args],
                cwd=cwd,
                env=scrubbed_environment() | dict(environment or {}),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                # Ctrl-C, and a signal to the group, is meant for the program; its runs are still to be committed.
                start_new_session=not asks,
            )
    except FileNotFoundError:
        if cwd is not None and not cwd.is_dir():
            raise GitError(f"no such directory: {cwd}") from None
        raise NoGitError("git is not installed, or not in PATH", "install git 2.34 or newer") from None
    except OSError as error:
        raise GitError(f"git could not be started: {error}") from None


def scratch() -> IO[bytes]:
    """A file without a name: in memory where the system has that, since the disk for temporary files may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("gxt"), "w+b")
    import tempfile  # here for start-up time

    return tempfile.TemporaryFile()


# A signal to the program's group may reach git before it is in a session of its own: it had not begun, and can again.
KILLED_AT_START = tuple(-getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name))


def call(
    args: Sequence[str],
    cwd: Path | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> tuple[int, bytes, str]:
    code, out, err = _call_once(args, cwd, stdin, environment, timeout)
    if code in KILLED_AT_START:
        return _call_once(args, cwd, stdin, environment, timeout)
    return code, out, err


def call_within(
    seconds: float,
    args: Sequence[str],
    cwd: Path,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
) -> tuple[int, bytes, str]:
    """As `call`; what takes longer is ended with all that it has started, and is a GitError."""
    return _call_once(args, cwd, stdin, environment, seconds, asks=False)


def _call_once(
    args: Sequence[str],
    cwd: Path | None,
    stdin: bytes,
    environment: Mapping[str, str] | None,
    timeout: float | None,
    asks: bool = True,
) -> tuple[int, bytes, str]:
    with contextlib.ExitStack() as stack:
        source: int | IO[bytes] = subprocess.DEVNULL
        if stdin:  # from a file: a pipe would not end while a process forked meanwhile has a copy of it
            source = stack.enter_context(scratch())
            source.write(stdin)
            source.seek(0)
        # Into a file too: a hook may write more than a pipe holds, or leave a process behind that keeps it open.
        words = stack.enter_context(scratch())
        # A signing agent may ask for a passphrase on the terminal, which a session of its own has none of.
        process = stack.enter_context(start(args, cwd, source, environment, words, asks=asks and timeout is not None))
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            if not asks and hasattr(os, "killpg"):  # its filters too
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            raise GitError(f"git {command_of(args)} did not answer for {timeout:.0f} seconds") from None
        words.seek(0)
        err = words.read()
    return process.returncode, out, err.decode("utf-8", "replace").strip()


def run(repo: Repository, *args: str, stdin: bytes = b"") -> bytes:
    """Run a command on the repository's refs and objects, wherever we stand."""
    code, out, err = ask(repo.common_dir, *args, stdin=stdin)
    if code:
        raise git_error(args, err)
    return out


def ask(git_dir: Path, *args: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
    # From inside the git directory: the program's own current directory may be gone.
    return call([f"--git-dir={git_dir}", *args], cwd=git_dir, stdin=stdin)


def command_of(args: Sequence[str]) -> str:
    """The command among git's arguments, behind the options of git itself."""
    rest = list(args)
    while rest and rest[0].startswith("-"):
        del rest[: 2 if rest[0] in ("-c", "-C") else 1]
    return rest[0] if rest else ""


def git_error(args: Sequence[str], err: str) -> GitError:
    last = next((line for line in reversed(err.splitlines()) if line.startswith(("fatal:", "error:"))), err[-300:])
    words = last.removeprefix("fatal: ").removeprefix("error: ") or "no message"
    return GitError(f"git {command_of(args)} failed: {words}")


def first_error(args: Sequence[str], err: str) -> GitError:
    """As `git_error`, of a command whose first complaint is the cause, and whose last says only what came of it."""
    first = next((line for line in err.splitlines() if line.startswith(("fatal:", "error:"))), None)
    return git_error(args, err if first is None else first)


def one_line(err: str) -> str:
    return " ".join(line.strip() for line in err.removeprefix("fatal: ").splitlines())
