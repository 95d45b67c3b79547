"""The only module that calls git. It answers named questions about a repository and knows nothing of runs.

git runs as a process with a scrubbed environment. GitPython makes the repository of `gxt demo`; its own runner is not
used here because it starts every command from the caller's whole environment, where a hook's GIT_DIR or
GIT_INDEX_FILE cannot be taken out, and because importing it takes longer than recording a run.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import os
import queue
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

from gxt.errors import (
    FileChangedError,
    FormatError,
    GitError,
    NotARepositoryError,
    RefLockedError,
    RefMovedError,
    UsageError,
)

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


@dataclass(frozen=True)
class Talk:
    """How a remote is talked to.

    Attributes:
        said: called with what git says meanwhile, line by line; a line that ends in a carriage return is followed by
            another in its place. None to say nothing.
        silent: called with the seconds for which the remote has been silent, ten by ten.
        timeout: after so many seconds of silence it is given up; 0 waits for ever.
        asks: whether git may ask for a password on the terminal.
    """

    said: Callable[[str], None] | None = None
    silent: Callable[[float], None] = lambda seconds: None
    timeout: float = 120.0
    asks: bool = False


@dataclass(frozen=True)
class Origin:
    """The repository elsewhere that one here is a copy of, which lacks what nobody has asked for yet.

    Attributes:
        name: its URL as it may be shown.
        url: its URL, which may hold credentials: it is kept in memory alone, and reaches git by its environment.
        talk: how it is talked to; None where nothing may be fetched.
    """

    name: str
    url: str = dataclasses.field(repr=False)
    talk: Talk | None = dataclasses.field(default=None, repr=False)


@dataclass(frozen=True)
class Repository:
    """A repository as found from some path in it.

    Attributes:
        common_dir: the git directory that all linked work trees share; refs and gxt's own files are under it.
        git_dir: this work tree's own git directory, where its HEAD is; the same as common_dir but in linked ones.
        work_tree: the top of the work tree, None in a bare repository.
        origin: for a copy of a repository elsewhere, which is only read: that one.
    """

    common_dir: Path
    git_dir: Path
    work_tree: Path | None
    origin: Origin | None = None


class Head(NamedTuple):
    """What is checked out. `commit` is None before the first commit, `branch` when HEAD is detached."""

    commit: str | None
    branch: str | None
    dirty: bool


class TreeEntry(NamedTuple):
    """One entry of a tree object: a folder, a file, or something else, such as a symbolic link or a submodule."""

    name: str
    oid: str
    is_tree: bool
    is_file: bool


class Identity(NamedTuple):
    """Who an author or committer is."""

    name: str
    email: str

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"


# --- running git ---------------------------------------------------------------------------------------


def _environment() -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key not in _LOCAL_VARIABLES}
    environment["GIT_OPTIONAL_LOCKS"] = "0"  # `git status` must not write the user's index
    environment["LC_ALL"] = "C"  # git's words are matched below
    return environment


# A process that another thread forks while we start git would get copies of git's pipes, and git's output would not end
# before that process does. So a fork waits for a start that is under way, some milliseconds.
_starting = threading.RLock()  # a signal's handler may start git in the middle of it
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_starting.acquire, after_in_parent=_starting.release, after_in_child=_starting.release)


def _start(
    args: Sequence[str],
    cwd: Path | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
    stderr: int | IO[bytes] | None = subprocess.PIPE,
    asks: bool = False,
    stdout: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    try:
        with _starting:
            return subprocess.Popen(
                ["git", *args],
                cwd=cwd,
                env=_environment() | dict(environment or {}),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                # Ctrl-C, and a signal to the group, is meant for the program; its runs are still to be committed.
                start_new_session=not asks,
            )
    except FileNotFoundError:
        if cwd is not None and not cwd.is_dir():
            raise GitError(f"no such directory: {cwd}") from None
        raise GitError("git is not installed, or not in PATH", "install git 2.34 or newer") from None
    except OSError as error:
        raise GitError(f"git could not be started: {error}") from None


def _scratch() -> IO[bytes]:
    """A file without a name: in memory where the system has that, since the disk for temporary files may be full."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("gxt"), "w+b")
    import tempfile  # here for start-up time

    return tempfile.TemporaryFile()


# A signal to the program's group may reach git before it is in a session of its own: it had not begun, and can again.
_KILLED_AT_START = tuple(-getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name))


def _call(
    args: Sequence[str],
    cwd: Path | None = None,
    stdin: bytes = b"",
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> tuple[int, bytes, str]:
    code, out, err = _call_once(args, cwd, stdin, environment, timeout)
    if code in _KILLED_AT_START:
        return _call_once(args, cwd, stdin, environment, timeout)
    return code, out, err


def _call_once(
    args: Sequence[str],
    cwd: Path | None,
    stdin: bytes,
    environment: Mapping[str, str] | None,
    timeout: float | None,
) -> tuple[int, bytes, str]:
    with contextlib.ExitStack() as stack:
        source: int | IO[bytes] = subprocess.DEVNULL
        if stdin:  # from a file: a pipe would not end while a process forked meanwhile has a copy of it
            source = stack.enter_context(_scratch())
            source.write(stdin)
            source.seek(0)
        # Into a file too: a hook may write more than a pipe holds, or leave a process behind that keeps it open.
        words = stack.enter_context(_scratch())
        # A signing agent may ask for a passphrase on the terminal, which a session of its own has none of.
        process = stack.enter_context(_start(args, cwd, source, environment, words, asks=timeout is not None))
        try:
            out, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise GitError(f"git {args[1]} did not answer for {timeout:.0f} seconds") from None
        words.seek(0)
        err = words.read()
    return process.returncode, out, err.decode("utf-8", "replace").strip()


def _git(repo: Repository, *args: str, stdin: bytes = b"") -> bytes:
    """Run a command on the repository's refs and objects, wherever we stand."""
    code, out, err = _ask(repo.common_dir, *args, stdin=stdin)
    if code:
        raise _failure(args, err)
    return out


def _ask(git_dir: Path, *args: str, stdin: bytes = b"") -> tuple[int, bytes, str]:
    # From inside the git directory: the program's own current directory may be gone.
    return _call([f"--git-dir={git_dir}", *args], cwd=git_dir, stdin=stdin)


def _failure(args: Sequence[str], err: str) -> GitError:
    last = next((line for line in reversed(err.splitlines()) if line.startswith(("fatal:", "error:"))), err[-300:])
    words = last.removeprefix("fatal: ").removeprefix("error: ") or "no message"
    return GitError(f"git {args[0] if args else ''} failed: {words}")


OLDEST = (2, 34)
"""The first version of git that can do all that is asked of it here."""


def version() -> tuple[int, ...]:
    """git's version: (2, 39, 5)."""
    _, out, _ = _call(["--version"])
    found = re.search(rb"\d+(?:\.\d+)+", out)
    return tuple(map(int, found[0].split(b"."))) if found else ()


# --- git-lfs ---------------------------------------------------------------------------------------------


def has_lfs() -> bool:
    """Whether git-lfs is installed."""
    import shutil  # here for start-up time

    return shutil.which("git-lfs") is not None or _call(["lfs", "version"])[0] == 0


_MOST_OIDS = 1000  # on one command line


def lfs_push(repo: Repository, remote: str, oids: Sequence[str], progress: bool) -> None:
    """Have git-lfs send objects to a remote's server, less those that it has; with `progress`, shown on stderr.

    Raises:
        GitError: it could not, in git-lfs's words.
    """
    for start in range(0, len(oids), _MOST_OIDS):
        _lfs(repo, ["push", "--object-id", remote, *oids[start : start + _MOST_OIDS]], b"", progress)


def lfs_fetch(repo: Repository, remote: str, pointer: bytes, progress: bool) -> None:
    """Have git-lfs bring what a pointer stands for from a remote's server into its objects. Raises as `lfs_push`."""
    options = ["-c", f"remote.lfsdefault={remote}", "-c", "lfs.fetchexclude="]
    branch = _read_head(repo.git_dir).decode("utf-8", "replace").strip().removeprefix("ref: refs/heads/")
    if branch:  # its own remote would count before the default one
        options += ["-c", f"branch.{branch}.remote={remote}"]
    _lfs(repo, ["smudge"], pointer, progress, options)


def has_lfs_hook(repo: Repository, settings: Mapping[str, str]) -> bool:
    """Whether a plain `git push` has git-lfs send what belongs to it."""
    folder = Path(settings.get("core.hookspath", "hooks")).expanduser()
    with contextlib.suppress(OSError):
        return b"git lfs pre-push" in (repo.common_dir / folder / "pre-push").read_bytes()
    return False


def _lfs(repo: Repository, args: Sequence[str], stdin: bytes, progress: bool, options: Sequence[str] = ()) -> None:
    # In the work tree, where its .lfsconfig is.
    where = repo.work_tree or repo.common_dir
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_scratch())
        source.write(stdin)
        source.seek(0)
        words = stack.enter_context(_scratch())
        environment = {} if progress else {"GIT_TERMINAL_PROMPT": "0"}  # else it may ask on the terminal who one is
        process = stack.enter_context(
            _start(
                [*options, "lfs", *args],
                where,
                source,
                environment | {"GIT_LFS_SKIP_SMUDGE": "0"} | _to_origin(repo),
                None if progress else words,
                asks=progress,
                stdout=subprocess.DEVNULL,
            )
        )
        process.wait()
        words.seek(0)
        err = words.read().decode("utf-8", "replace").strip()
    if process.returncode:
        raise GitError(f"git-lfs: {_lfs_words(err)}", "`git lfs logs last` may say more")


_LFS_CHATTER = (
    "Uploading",
    "Downloading",
    "hint:",
    "Errors logged",
    "Use `git lfs logs",
    "Locking support",
    "warning: current Git remote",
)


def _lfs_words(err: str) -> str:
    """What git-lfs says is wrong, in a line: without its progress, and without who one is."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    said = [re.sub(r"^Error downloading .*Error downloading [^:]*: ", "", line) for line in lines]
    text = "; ".join(line for line in said if not line.startswith(_LFS_CHATTER))
    return _without_users(text)[:400] or "it said why above"


def _without_users(text: str) -> str:
    """Text without the users and passwords of the URLs in it."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


# --- the repository --------------------------------------------------------------------------------------


def find(path: Path) -> Repository:
    """The repository at or above `path`.

    Raises:
        NotARepositoryError: there is none, or git refuses it (another owner, a broken .git file).
        UsageError: the path does not exist.
    """
    if not path.exists():
        raise UsageError(f"no such directory: {path}")
    folder = path if path.is_dir() else path.parent
    ask = ("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir", "--show-toplevel")
    code, out, err = _call(ask, cwd=folder)
    lines = os.fsdecode(out).split("\n")[:-1]
    if len(lines) == 3:
        return Repository(Path(lines[0]), Path(lines[1]), Path(lines[2]))
    if code and "must be run in a work tree" in err:  # a bare repository, or inside .git itself
        return Repository(Path(lines[0]), Path(lines[1]), None)
    if "not a git repository" in err:
        raise NotARepositoryError(
            f"not in a git repository: {folder.absolute()}", "`git init` here makes one; gxt records into it"
        )
    raise NotARepositoryError(f"git does not open the repository at {folder.absolute()}: {_words(err)}")


def _words(err: str) -> str:
    return " ".join(line.strip() for line in err.removeprefix("fatal: ").splitlines())


def init(path: Path, files: Mapping[str, str]) -> Repository:
    """Make a repository at `path` with these text files in one commit, by an identity that needs no set-up."""
    import git as gitpython  # half of a command's start-up time; only here

    made = gitpython.Repo.init(path, initial_branch="main", object_format="sha1")
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    made.index.add(list(files))
    repo = find(path)
    name, email = identity(config(repo), "author")
    actor = gitpython.Actor(name, email)
    made.index.commit("A place to try gxt in", author=actor, committer=actor)
    made.close()
    return repo


def config(repo: Repository) -> dict[str, str]:
    """The whole git configuration in force; section and key in lower case, the last of several values."""
    # In the work tree's own git directory, so that config.worktree counts.
    code, out, err = _ask(repo.git_dir, "config", "-z", "--list")
    if code:
        raise _failure(["config"], err)
    values: dict[str, str] = {}
    for item in out.decode("utf-8", "replace").split("\0")[:-1]:
        key, equals, value = item.partition("\n")
        values[key] = value if equals else "true"  # `[commit] gpgSign` alone means true
    if repo.origin is not None:
        values[f"remote.{_ORIGIN}.url"] = repo.origin.url
    return values


def config_values(repo: Repository, key: str) -> list[str]:
    """Every value that a key of git's configuration has."""
    code, out, _ = _ask(repo.git_dir, "config", "-z", "--get-all", key)
    return out.decode("utf-8", "replace").split("\0")[:-1] if code == 0 else []


def set_config(repo: Repository, key: str, value: str | None) -> None:
    """Write a key to the repository's own configuration, or take it out."""
    change = ["--replace-all", key, value] if value is not None else ["--unset-all", key]
    code, _, err = _ask(repo.git_dir, "config", "--local", *change)
    if code and not (value is None and code == 5):  # 5: it was not there
        raise _failure(["config"], err)


def add_config(repo: Repository, key: str, value: str) -> None:
    """Give a key in the configuration of this clone one more value."""
    _git(repo, "config", "--local", "--add", key, value)


def remove_config_section(repo: Repository, section: str) -> None:
    """Take a section such as `branch.topic` out of the repository's own configuration, if it is there."""
    _ask(repo.git_dir, "config", "--local", "--remove-section", section)


def is_true(value: str | None) -> bool:
    """git's reading of a boolean in its configuration."""
    return value is not None and value.lower() in ("true", "yes", "on", "1")


def _whole_number(value: str | None, default: int) -> int:
    """git's reading of a number in its configuration: `10`, `1k`; the default for what is none."""
    match = re.fullmatch(r"([+-]?\d+)([kmg]?)", (value or "").strip().lower())
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2]] if match else default


def knows_identity(settings: Mapping[str, str]) -> bool:
    """Whether anything says who the user is."""
    return all(_identity_part(settings, "author", part) for part in ("name", "email"))


def _identity_part(settings: Mapping[str, str], role: str, part: str) -> str | None:
    in_environment = os.environ.get(f"GIT_{role.upper()}_{part.upper()}")
    configured = in_environment or settings.get(f"{role}.{part}") or settings.get(f"user.{part}")
    return configured or (os.environ.get("EMAIL") if part == "email" else None)


def identity(settings: Mapping[str, str], role: str) -> Identity:
    """Who git would name as "author" or "committer"; `user@host` where nothing is set up. Never an error."""
    name, email = (_identity_part(settings, role, part) for part in ("name", "email"))
    if not (name and email):
        user, host = _user_and_host()
        name, email = name or user, email or f"{user}@{host}"
    # git strips these from a name, since the commit's own lines are made of them.
    drop = str.maketrans("", "", "<>\n\0")
    name, email = (text.encode("utf-8", "replace").decode().translate(drop).strip() for text in (name, email))
    return Identity(name or "unknown", email)


@lru_cache(maxsize=1)
def _user_and_host() -> tuple[str, str]:
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # no such user in a container, no HOME
        user = f"uid{os.getuid()}" if hasattr(os, "getuid") else "user"
    return user, socket.gethostname() or "localhost"


def remote_urls(settings: Mapping[str, str]) -> dict[str, str]:
    """Each remote's name and URL, as configured."""
    return {
        key[len("remote.") : -len(".url")]: value
        for key, value in settings.items()
        if key.startswith("remote.") and key.endswith(".url")
    }


def head(repo: Repository) -> Head:
    """What is checked out, and whether the work tree differs from it, untracked files included."""
    if repo.work_tree is None:
        _, at, _ = _ask(repo.git_dir, "rev-parse", "--verify", "-q", "HEAD")
        _, name, _ = _ask(repo.git_dir, "symbolic-ref", "--short", "-q", "HEAD")
        return Head(at.decode().strip() or None, name.decode().strip() or None, dirty=False)
    places = [f"--git-dir={repo.git_dir}", f"--work-tree={repo.work_tree}"]  # which core.worktree may set apart
    code, out, err = _call([*places, "status", "--porcelain=v2", "--branch", "-z"], cwd=repo.work_tree)
    if code:
        raise _failure(["status"], err)
    commit = branch = None
    dirty = False
    for line in out.decode("utf-8", "replace").split("\0")[:-1]:
        if line.startswith("# branch.oid "):
            commit = None if line.endswith("(initial)") else line.removeprefix("# branch.oid ")
        elif line.startswith("# branch.head "):
            branch = None if line.endswith("(detached)") else line.removeprefix("# branch.head ")
        elif not line.startswith("#"):
            dirty = True
    return Head(commit, branch, dirty)


# A commit of a run is a pack of its own, with a new copy of the experiment's list of runs (30 bytes a run).
_MOST_NEW_PACKS, _MOST_NEW_BYTES = 24, 8 << 20
_maintaining: list[subprocess.Popen[bytes]] = []


def maintain(repo: Repository, settings: Mapping[str, str], marker: Path) -> bool:
    """Have git put small packs together in the background, when enough have come since the last time.

    Nobody waits for it, and it leaves large packs alone (`git repack --geometric`). `marker` is a file of the caller's:
    it tells when that was, and is locked while git is at it. False where there is nothing to do, or the user's
    maintenance.auto, gc.auto or gc.autoPackLimit forbid it.
    """
    _maintaining[:] = [process for process in _maintaining if process.poll() is None]
    limit = _whole_number(settings.get("gc.autopacklimit"), 50)
    forbidden = _whole_number(settings.get("gc.auto"), 1) <= 0 or not is_true(settings.get("maintenance.auto", "true"))
    if forbidden or limit <= 0 or _maintaining:
        return False
    try:
        since = marker.stat().st_mtime_ns
    except FileNotFoundError:
        marker.touch()
        return False
    new = sorted(size for size, changed in _packs(repo) if changed > since)[:-1]  # the largest is what was put together
    if len(new) < min(limit, _MOST_NEW_PACKS) and sum(new) < _MOST_NEW_BYTES:
        return False
    # In a partial clone, only git knows which packs it has promised to keep apart.
    partial = "extensions.partialclone" in settings or any(key.endswith(".promisor") for key in settings)
    task = ["gc", "--auto", "--quiet"] if partial else ["repack", "--geometric=2", "-d", "-l", "-q"]
    with contextlib.suppress(OSError), open(marker, "r+b") as lock:
        from filelock import lock_descriptor  # here for start-up time

        if not lock_descriptor(lock.fileno(), blocking=False):
            return False
        os.utime(marker)
        with _starting:
            process = subprocess.Popen(
                [
                    "git",
                    f"--git-dir={repo.common_dir}",
                    "-c",
                    "pack.threads=1",
                    "-c",
                    "repack.writeBitmaps=false",
                    *task,
                ],
                cwd=repo.common_dir,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is not meant for it
                pass_fds=(lock.fileno(),) if os.name == "posix" else (),  # and so the lock lasts as long as it does
            )
        _maintaining.append(process)
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)  # training comes first
    return True


@atexit.register
def _let_go() -> None:
    for process in _maintaining:
        process.returncode = 0  # git goes on alone; without this, Python warns of it with -X dev


def _packs(repo: Repository) -> Iterator[tuple[int, int]]:
    """Each pack's size in bytes, and when it came."""
    with contextlib.suppress(OSError), os.scandir(repo.common_dir / "objects" / "pack") as entries:
        for entry in entries:
            if entry.name.endswith(".pack"):
                with contextlib.suppress(FileNotFoundError):
                    about = entry.stat()
                    yield about.st_size, about.st_mtime_ns


class ObjectCounts(NamedTuple):
    """What a repository's objects come to: how many are loose and in packs, the packs, and all their bytes."""

    loose: int
    packed: int
    packs: int
    size: int


def count_objects(repo: Repository) -> ObjectCounts:
    """How many objects there are, and what they take."""
    out = _git(repo, "count-objects", "-v").decode()
    counts = {key: int(value) for key, value in (line.split(": ") for line in out.splitlines()) if value.isdigit()}
    size = (counts["size"] + counts["size-pack"] + counts["size-garbage"]) * 1024
    return ObjectCounts(counts["count"], counts["in-pack"], counts["packs"], size)


def collect_garbage(repo: Repository, progress: bool) -> None:
    """`git gc` as the user has set it up; with `progress`, git shows its own on stderr.

    Raises:
        GitError: git refuses, or another `git gc` is at work.
    """
    args = [f"--git-dir={repo.common_dir}", "gc", *([] if progress else ["--quiet"])]
    # On the terminal of whoever asked: Ctrl-C is meant for it.
    with _start(args, repo.common_dir, stderr=None if progress else subprocess.PIPE, asks=True) as process:
        _, err = process.communicate()
    if process.returncode:
        raise _failure(["gc"], (err or b"").decode("utf-8", "replace").strip())


_STALE_LOCK, _STALE_KEEP, _STALE_TEMPORARY = 60.0, 600.0, 86_400.0  # seconds


def stale_lock(repo: Repository, ref: str) -> Path | None:
    """A ref's lock that a crash left behind: git holds one for milliseconds, this one for over a minute."""
    lock = repo.common_dir / f"{ref}.lock"
    with contextlib.suppress(OSError):
        return lock if _age(lock) > _STALE_LOCK else None
    return None


def remove_stale_lock(repo: Repository, ref: str) -> Path | None:
    """Take such a lock away; None where there is none."""
    lock = stale_lock(repo, ref)
    if lock is not None:
        with contextlib.suppress(OSError):
            lock.unlink()
            return lock
    return None


def leftovers(repo: Repository) -> list[Path]:
    """What a killed `git fast-import` left: half packs, and marks that keep packs from being put together."""
    found = []
    folder = repo.common_dir / "objects" / "pack"
    for file in [*folder.glob("tmp_*"), *folder.glob("*.keep"), *repo.common_dir.glob("fast_import_crash_*")]:
        with contextlib.suppress(OSError):
            if file.suffix == ".keep":
                stale = _age(file) > _STALE_KEEP and file.read_bytes().strip() == b"fast-import"
            else:
                stale = _age(file) > _STALE_TEMPORARY
            if stale:
                found.append(file)
    return found


def remove_leftovers(repo: Repository) -> list[Path]:
    """Take that away, and refs of commits that were to be signed. Returns what was taken.

    For a caller that keeps others from committing meanwhile.
    """
    removed = []
    if any((repo.common_dir / _UNSIGNED).glob("*")):
        for ref in _git(repo, "for-each-ref", "--format=%(refname)", _UNSIGNED).decode().split():
            drop_ref(repo, ref)
            removed.append(repo.common_dir / ref)
    for file in leftovers(repo):
        with contextlib.suppress(OSError):
            file.unlink()
            removed.append(file)
    return removed


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


# --- refs and commits ----------------------------------------------------------------------------------------


def resolve(repo: Repository, revisions: Sequence[str]) -> list[str | None]:
    """The commit that each revision names, None where there is none; one process for all of them."""
    asked = "".join(f"{revision}^{{commit}}\n" for revision in revisions)
    out = _git(repo, "cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked.encode())
    answers = [line.split(" ") for line in out.decode("utf-8", "replace").splitlines()]
    return [answer[0] if answer[-1] == "commit" else None for answer in answers]


def resolve_here(repo: Repository, revisions: Sequence[str]) -> list[str | None]:
    """As `resolve`, where HEAD and the like are those of this work tree."""
    found = []
    for revision in revisions:
        code, out, _ = _ask(repo.git_dir, "rev-parse", "--verify", "-q", f"{revision}^{{commit}}")
        found.append(out.decode().strip() if code == 0 else None)
    return found


def resolve_one(repo: Repository, revision: str) -> tuple[str | None, str]:
    """The commit that a revision of any kind names, None where there is none; and git's words where it has some."""
    if not revision.isprintable() or revision.startswith("-"):
        return None, ""
    code, out, err = _ask(repo.common_dir, "rev-parse", "--verify", f"{revision}^{{commit}}")
    if not code:
        return out.decode().strip(), ""
    said = [line.removeprefix("fatal: ") for line in err.splitlines() if line.startswith("fatal: ")]
    return None, next((words for words in said if words != "Needed a single revision"), "")


def remote_branches(repo: Repository, branch: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The remote-tracking refs of a branch on the configured remotes: ref name to commit, `origin`'s first."""
    wanted = [f"refs/remotes/{remote}/{branch}" for remote in remote_urls(settings)]
    if not wanted:
        return {}
    out = _git(repo, "for-each-ref", "--format=%(refname) %(objectname)", *wanted)
    found = dict(line.split(" ", 1) for line in out.decode("utf-8", "replace").splitlines())
    return dict(sorted(found.items(), key=lambda item: (item[0] != f"refs/remotes/origin/{branch}", item[0])))


def list_refs(repo: Repository, prefix: str) -> dict[str, str]:
    """The refs below a prefix such as `refs/gxt/kept/`, and what they are at."""
    out = _git(repo, "for-each-ref", "--format=%(refname) %(objectname)", prefix)
    return dict(line.split(" ", 1) for line in out.decode("utf-8", "replace").splitlines())


def tips(repo: Repository) -> list[str]:
    """The commits that any ref or HEAD is at, each once; tags of other things are left out."""
    form = "%(objectname) %(objecttype) %(*objectname) %(*objecttype)"
    lines = _git(repo, "for-each-ref", f"--format={form}").decode().splitlines()
    found = [fields for line in lines for fields in (line.split(" ")[:2], line.split(" ")[2:])]
    commits = [fields[0] for fields in found if fields[1:] == ["commit"]]
    detached = resolve(repo, ["HEAD"])[0]
    return list(dict.fromkeys([*commits, *([detached] if detached else [])]))


def checked_out_in(repo: Repository, ref: str, settings: Mapping[str, str]) -> Path | None:
    """The work tree that has a branch checked out, None where none has."""
    wanted = f"ref: {ref}\n".encode()
    if not is_true(settings.get("core.bare")) and _read_head(repo.common_dir) == wanted:
        return Path(os.path.normpath(repo.common_dir / settings.get("core.worktree", "..")))
    for folder in sorted((repo.common_dir / "worktrees").glob("*")):
        if _read_head(folder) == wanted:
            try:
                return Path(os.fsdecode((folder / "gitdir").read_bytes().strip())).parent
            except OSError:  # the work tree is just being removed
                continue
    return None


def _read_head(git_dir: Path) -> bytes:
    with contextlib.suppress(OSError):  # core.preferSymlinkRefs
        return b"ref: " + os.fsencode(os.readlink(git_dir / "HEAD")) + b"\n"
    try:
        return (git_dir / "HEAD").read_bytes()
    except OSError:
        return b""


def merge_bases(repo: Repository, one: str, other: str) -> list[str]:
    """The commits that two histories have in common last: none, one, or several where they crossed."""
    code, out, err = _ask(repo.common_dir, "merge-base", "--all", one, other)
    if code not in (0, 1):
        raise _failure(["merge-base"], err)
    return out.decode().split()


def is_ancestor(repo: Repository, one: str, other: str) -> bool:
    """Whether `other` has `one` in its history; False also where `one` is not there any more."""
    return one == other or _ask(repo.common_dir, "merge-base", "--is-ancestor", one, other)[0] == 0


def ref_exists(repo: Repository, ref: str) -> bool:
    """Whether there is a ref of that name, be it a broken one."""
    return _ask(repo.common_dir, "rev-parse", "--verify", "-q", ref)[0] == 0


def commits_that_change(repo: Repository, lack: str | None, have: str, paths: Sequence[str]) -> list[str]:
    """The commits that `have` contains and `lack` does not, in which something at one of some paths is another than
    before."""
    asked = [have, *([f"^{lack}"] if lack else [])]
    found: dict[str, None] = {}
    for start in range(0, len(paths), _MOST_PATHS):
        out = _git(
            repo, "rev-list", "--full-history", *asked, "--", *(f":(literal){p}" for p in paths[start:][:_MOST_PATHS])
        )
        found |= dict.fromkeys(out.decode().split())
    return list(found)


def count_commits(repo: Repository, have: str, lack: str | None = None) -> int:
    """How many commits `have` contains that `lack` does not."""
    return int(_git(repo, "rev-list", "--count", f"{lack}..{have}" if lack else have))


def commit_before(repo: Repository, commit: str, seconds: int) -> str | None:
    """The last commit not made after a time (seconds since 1970 UTC), on the history of a commit's first parents."""
    return _git(repo, "rev-list", "-1", "--first-parent", f"--min-age={seconds}", commit).decode().strip() or None


class Commit(NamedTuple):
    """A commit as a log shows it; `time` is the author's, in milliseconds since 1970 UTC."""

    id: str
    author: str
    time: int
    subject: str


def commits_between(repo: Repository, lack: str, have: str, limit: int) -> list[Commit]:
    """The commits that `have` contains and `lack` does not, the latest first, at most so many."""
    form = ["-z", "--no-show-signature", f"--max-count={limit}", "--format=%H%n%an%n%at%n%s"]
    out = _git(repo, "log", *form, f"{lack}..{have}", "--")
    commits = []
    for entry in out.decode("utf-8", "replace").split("\0"):
        if entry:
            oid, author, seconds, subject = entry.split("\n", 3)
            commits.append(Commit(oid, author, int(seconds) * 1000, subject.strip()))
    return commits


class LogEntry(NamedTuple):
    """A commit with all that its message says.

    Attributes:
        time: when it was committed, in milliseconds since 1970 UTC.
        parents: how many it has.
        body: the message without the subject.
        trailers: those at the end of the message, in their order: name and value.
    """

    id: str
    author: Identity
    time: int
    parents: int
    subject: str
    body: str
    trailers: list[tuple[str, str]]


_LOG_FORMAT = "%H%n%an%n%ae%n%ct%n%P%n%s%n%(trailers:only=true,unfold=true,separator=%x1f)%n%b"


def log(
    repo: Repository,
    commit: str,
    *,
    since: int | None = None,
    until: int | None = None,
    paths: Sequence[str] = (),
    limit: int | None = None,
) -> list[LogEntry]:
    """The history of a commit, the latest first: of a time (seconds since 1970 UTC, both ends in it), of some paths."""
    options = ["-z", "--no-show-signature", "--encoding=UTF-8", "--full-history", f"--format={_LOG_FORMAT}"]
    options += [f"--max-age={since}"] if since is not None else []
    options += [f"--min-age={until}"] if until is not None else []
    options += [f"--max-count={limit}"] if limit is not None else []
    out = _git(repo, "log", *options, commit, "--", *(f":(literal){path}" for path in paths))
    entries = []
    for text in out.decode("utf-8", "replace").split("\0"):
        if text:
            oid, name, email, seconds, parents, subject, trailers, body = text.split("\n", 7)
            pairs = (line.partition(": ") for line in trailers.split("\x1f") if line)
            entries.append(
                LogEntry(
                    oid,
                    Identity(name, email),
                    int(seconds) * 1000,
                    len(parents.split()),
                    subject,
                    body,
                    [(key, value) for key, _, value in pairs],
                )
            )
    return entries


class FileChange(NamedTuple):
    """A file that two commits have differently: lines added and removed, None for a binary file."""

    path: str
    added: int | None
    removed: int | None


def changed_files(repo: Repository, one: str, other: str) -> list[FileChange]:
    """What changes from one commit's tree to another's."""
    out = _git(repo, "diff-tree", "-r", "--numstat", "--no-renames", "--no-ext-diff", "-z", one, other)
    changes = []
    for entry in out.decode("utf-8", "replace").split("\0")[:-1]:
        added, removed, path = entry.split("\t", 2)
        changes.append(FileChange(path, *(int(n) if n.isdigit() else None for n in (added, removed))))
    return changes


class Step(NamedTuple):
    """A commit that only one of two histories has.

    Attributes:
        ours: whether it is in the first of the two.
        time: when it was written, in seconds since 1970 UTC.
        trailers: those of its message: name and value.
    """

    commit: str
    ours: bool
    parents: list[str]
    time: int
    trailers: list[tuple[str, str]]


def steps_apart(repo: Repository, ours: str, theirs: str) -> list[Step]:
    """The commits that only one of two histories has, the latest first."""
    form = "--format=%m %H %P%n%at%n%(trailers:only=true,unfold=true,separator=%x1f)"
    out = _git(repo, "log", "-z", "--no-show-signature", "--encoding=UTF-8", "--left-right", form, f"{ours}...{theirs}")
    steps = []
    for text in out.decode("utf-8", "replace").split("\0"):
        if text.strip():
            commits, time_, trailers = text.split("\n", 2)
            side, commit, *parents = commits.split()
            pairs = (line.strip().partition(": ") for line in trailers.split("\x1f") if line.strip())
            steps.append(Step(commit, side == "<", parents, int(time_), [(key, value) for key, _, value in pairs]))
    return steps


def ages(repo: Repository, commits: Sequence[str]) -> dict[str, tuple[int, int]]:
    """For every commit in these histories, two numbers, compared in turn, of which a descendant's are always greater.

    They are the latest time in its history, and how long the longest line of its ancestors is: so who wrote later is
    later, and nobody's wrong clock puts an edit before what it was an edit of.
    """
    out = _git(repo, "log", "--topo-order", "--reverse", "--no-show-signature", "--format=%at %H %P", *commits, "--")
    found: dict[str, tuple[int, int]] = {}
    for line in out.decode().splitlines():
        time_, commit, *parents = line.split(" ")
        known = [found[parent] for parent in parents if parent in found]
        latest = max((when for when, _ in known), default=0)
        found[commit] = (max(int(time_), latest), 1 + max((length for _, length in known), default=0))
    return found


class FileEdit(NamedTuple):
    """What a commit makes of a file: its object ids in the commit's parents, None where it is not there, and in it."""

    commit: str
    path: str
    before: list[str | None]
    after: str | None


def edits_apart(repo: Repository, ours: str, theirs: str, paths: Sequence[str]) -> list[FileEdit]:
    """What the commits that only one of two histories has changed in these files and folders, the latest first.

    Of a merge, only the files that it has otherwise than all of its parents.
    """
    asked = "\n".join([f"{ours}...{theirs}", "--", *paths]) + "\n"
    names = asked.encode("utf-8", "surrogateescape")
    commits = _git(repo, "--literal-pathspecs", "rev-list", "--full-history", "--stdin", stdin=names)
    if not commits:
        return []
    form = ["--stdin", "-r", "-c", "--raw", "--root", "--no-renames", "--no-abbrev", "-z"]
    below = ["--", *paths] if len(paths) <= _MOST_PATHS else []
    out = _git(repo, "--literal-pathspecs", "diff-tree", *form, *below, stdin=commits)
    edits, commit = [], ""
    fields = iter(out.decode("utf-8", "surrogateescape").split("\0")[:-1])
    for field in fields:
        if not field.startswith(":"):
            commit = field
            continue
        count = len(field) - len(field.lstrip(":"))
        parts = field[count:].split(" ")
        oids = [oid if set(oid) != {"0"} else None for oid in parts[count + 1 : 2 * count + 2]]
        edits.append(FileEdit(commit, next(fields), oids[:-1], oids[-1]))
    return edits


_MOST_PATHS = 200  # on a command line; beyond, git names more than was asked for


def changed_paths(repo: Repository, old: str, new: str, below: str) -> list[tuple[str, str]]:
    """The files in a folder that two commits or trees differ in, each with A where it was added, D deleted, else M."""
    out = _git(repo, "diff-tree", "-r", "-z", "--name-status", "--no-renames", old, new, "--", below)
    fields = out.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return list(zip(fields[::2], fields[1::2], strict=True))


def create_ref(repo: Repository, ref: str, commit: str) -> None:
    """Make a ref that does not exist yet. Raises RefMovedError where it does."""
    move_ref(repo, ref, None, commit)


def move_ref(repo: Repository, ref: str, old: str | None, new: str) -> None:
    """Move a ref from one commit to another; `old` is None for one that does not exist yet.

    Raises:
        RefMovedError: it is not, or no more, where it was said to be.
    """
    try:
        _git(repo, "update-ref", ref, new, old or "0" * len(new))
    except GitError as error:
        raise RefMovedError(error.message) from None


# --- remotes ------------------------------------------------------------------------------------------------

_WORD_AFTER = 10.0  # seconds of silence before somebody is told


class Pushed(NamedTuple):
    """What a remote said to a push.

    Attributes:
        landed: whether it took it.
        moved: whether somebody else was faster.
        stumbled: whether it could not store it, as a `git gc` at the same moment can make happen.
        words: its words.
    """

    landed: bool
    moved: bool
    stumbled: bool
    words: str


def tracking_ref(remote: str, branch: str) -> str:
    """Where this clone remembers a remote's branch."""
    return f"refs/remotes/{remote}/{branch}"


# Nothing but what is asked for: no tags, no submodules, no FETCH_HEAD in the user's way.
_FETCH = ("fetch", "--progress", "--no-tags", "--no-prune", "--recurse-submodules=no", "--no-write-fetch-head")
# As a pack, like what is committed: loose objects would be in the way of a repacking in the background, and it in
# theirs.
_FETCH_PACK = ("-c", "fetch.unpackLimit=1", *_FETCH, "--no-auto-maintenance")


def fetch(repo: Repository, remote: str, branch: str, talk: Talk) -> str | None:
    """Bring a remote's branch here, and the ref that remembers it; the commit, None where the remote has none.

    Raises:
        GitError: the remote cannot be reached, refuses, or does not answer.
    """
    tracking = tracking_ref(remote, branch)
    code, _, err = _talk(repo, [*_FETCH_PACK, remote, f"+refs/heads/{branch}:{tracking}"], talk)
    if code and "couldn't find remote ref" in err:
        drop_ref(repo, tracking)
        return None
    if code:
        raise _remote_failure(remote, err)
    return resolve(repo, [tracking])[0]


def push(
    repo: Repository,
    remote: str,
    branch: str,
    commit: str,
    expected: str | None,
    talk: Talk,
    settings: Mapping[str, str],
) -> Pushed:
    """Move a remote's branch from one commit to another that descends from it; None for a branch that is not there.

    Raises:
        GitError: the remote cannot be reached, or does not answer.
    """
    ref = f"refs/heads/{branch}"
    options = ["--porcelain", "--progress", "--no-follow-tags", "--recurse-submodules=no"]
    options.append(f"--force-with-lease={ref}:{expected or ''}")
    code, out, err = _talk(repo, ["push", *options, remote, f"{commit}:{ref}"], talk)
    report = next((line for line in out.splitlines() if line[1:2] == "\t" and f":{ref}\t" in line), "")
    if code == 0 and not report.startswith("!"):
        tracking = tracking_ref(remote, branch)
        if (
            settings.get(f"remote.{remote}.fetch") != f"+refs/heads/*:{tracking_ref(remote, '*')}"
        ):  # else git has done it
            with contextlib.suppress(GitError):
                _git(repo, "update-ref", tracking, commit)
        return Pushed(True, False, False, "")
    if not report:
        raise _remote_failure(remote, err)
    words = report.rpartition("\t")[2]
    moved = any(sign in words for sign in _FASTER)
    return Pushed(False, moved, "unpacker error" in words, "\n".join([words, *_remote_words(err)]))


# What a push comes back with when somebody else's has landed since, or is landing.
_FASTER = ("stale info", "fetch first", "non-fast-forward", "cannot lock ref", "failed to update ref", "incorrect old")


def _remote_words(err: str) -> list[str]:
    """What the remote's own hooks and programs said."""
    lines = [line.removeprefix("remote:").strip() for line in re.split(r"[\r\n]+", err) if line.startswith("remote:")]
    return [line for line in lines if line and not _PROGRESS.match(line)]


_PROGRESS = re.compile(r"(Enumerating|Counting|Compressing|Resolving|Unpacking|Total|Updating|Writing)\b.*\d")


def _remote_failure(remote: str, err: str) -> GitError:
    lines = [line.strip() for line in re.split(r"[\r\n]+", err) if line.strip()]
    said = [line for line in lines if line.startswith(("fatal:", "error:", "ssh:")) or "ermission denied" in line]
    said += _remote_words(err)
    words = (
        "; ".join(dict.fromkeys(line.removeprefix("fatal: ").removeprefix("error: ") for line in said)) or "no message"
    )
    hint = None
    if any(sign in err for sign in _NOT_ALLOWED):
        hint = f"git asks for what it needs in `git fetch {remote}`; see gitcredentials(7)"
    return GitError(f"{remote}: {words[:500]}", hint)


_NOT_ALLOWED = (
    "Authentication failed",
    "could not read Username",
    "could not read Password",
    "terminal prompts disabled",
    "error: 403",
    "Permission denied",
)


def _talk(
    repo: Repository, args: Sequence[str], talk: Talk, stdin: IO[bytes] | None = None, partly: bool = True
) -> tuple[int, str, str]:
    """Run a command that talks to a remote; its output, and what it said."""
    # Where the user's own git would: a remote's path may be relative to the top of the work tree.
    where = repo.work_tree or repo.common_dir
    environment = ({} if talk.asks else {"GIT_TERMINAL_PROMPT": "0"}) | _to_origin(repo, partly)
    source = subprocess.DEVNULL if stdin is None else stdin
    process = _start([f"--git-dir={repo.git_dir}", *args], where, source, environment, asks=talk.asks)
    heard: queue.SimpleQueue[tuple[bool, bytes]] = queue.SimpleQueue()
    for stream, is_out in ((process.stdout, True), (process.stderr, False)):
        assert stream is not None
        threading.Thread(target=_listen, args=(stream, is_out, heard), daemon=True).start()
    out, err, shown = b"", b"", 0
    ended, silence, told = 0, 0.0, _WORD_AFTER
    try:
        while ended < 2:
            try:
                is_out, data = heard.get(timeout=min(1.0, talk.timeout or 1.0))
            except queue.Empty:
                silence += min(1.0, talk.timeout or 1.0)
                if process.poll() is not None and silence > 2:  # something that it left behind has its pipes
                    break
                if talk.timeout and silence >= talk.timeout:
                    raise GitError(
                        f"{repo.origin.name if repo.origin else args[-2]} has said nothing for {silence:.0f} seconds",
                        "`git config gxt.timeout SECONDS` waits longer; nothing is lost, try again",
                    ) from None
                if silence >= told:
                    talk.silent(silence)
                    told += _WORD_AFTER
                continue
            silence, told = 0.0, _WORD_AFTER
            if not data:
                ended += 1
            elif is_out:
                out += data
            else:
                err += data
                shown = _say(err, shown, talk)
        process.wait()
    finally:
        _end(process, own_group=not talk.asks)
    _say(err + b"\n" if err[shown:] else err, shown, talk)
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _listen(stream: IO[bytes], is_out: bool, heard: queue.SimpleQueue[tuple[bool, bytes]]) -> None:
    with contextlib.suppress(OSError), stream:
        while data := os.read(stream.fileno(), 1 << 16):
            heard.put((is_out, data))
    heard.put((is_out, b""))


def _say(err: bytes, shown: int, talk: Talk) -> int:
    """Pass on whole lines, so that nothing that is to be masked in them comes in two pieces."""
    end = max(err.rfind(b"\n"), err.rfind(b"\r")) + 1
    if end > shown and talk.said is not None:
        talk.said(err[shown:end].decode("utf-8", "replace"))
    return max(end, shown)


def _end(process: subprocess.Popen[bytes], own_group: bool) -> None:
    """End a git that is still at work, and what it has started."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            if own_group and hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)


def delete_ref(repo: Repository, ref: str, commit: str) -> None:
    """Take a ref away that is at a commit. Raises RefMovedError where it is at another."""
    try:
        _git(repo, "update-ref", "-d", ref, commit)
    except GitError as error:
        raise RefMovedError(error.message) from None


def delete_remote_branch(repo: Repository, remote: str, branch: str, commit: str, talk: Talk) -> None:
    """Take a branch off a remote where it is at a commit there.

    Raises:
        GitError: it is not, the remote refuses, cannot be reached, or does not answer.
    """
    ref = f"refs/heads/{branch}"
    options = ["--progress", "--recurse-submodules=no", f"--force-with-lease={ref}:{commit}"]
    code, _, err = _talk(repo, ["push", *options, remote, f":{ref}"], talk)
    if code:
        raise _remote_failure(remote, err)
    drop_ref(repo, tracking_ref(remote, branch))


def is_shallow(repo: Repository) -> bool:
    """Whether history was cut off when it was fetched."""
    return (repo.common_dir / "shallow").exists()


# --- copies of repositories elsewhere -------------------------------------------------------------------------
#
# git calls them partial clones: commits and trees are there, and blobs come when they are asked for. By itself it would
# fetch them one by one, wherever it meets one. So a copy's configuration does not say where to fetch from, git
# takes what is not here for missing, and what is asked for is fetched at once by `_bring`.

_ORIGIN = "origin"
_FILTER = "blob:none"
OBJECT_FORMATS = ("sha1", "sha256")


def _to_origin(repo: Repository, partly: bool = True) -> dict[str, str]:
    """What tells git in its environment where a copy's objects come from; arguments could be read by other users.

    Without `partly`, git takes what is not here for damage, and brings all of it.
    """
    if repo.origin is None:
        return {}
    said = {"url": repo.origin.url} | ({"promisor": "true", "partialclonefilter": _FILTER} if partly else {})
    text = os.environ.get("GIT_CONFIG_COUNT", "")
    first = int(text) if text.isdigit() else 0
    environment = {"GIT_CONFIG_COUNT": str(first + len(said))}
    for at, (key, value) in enumerate(said.items(), first):
        environment |= {f"GIT_CONFIG_KEY_{at}": f"remote.{_ORIGIN}.{key}", f"GIT_CONFIG_VALUE_{at}": value}
    return environment


def make_bare(path: Path, object_format: str, objects: Path | None = None) -> Repository:
    """Make an empty bare repository, which may borrow the objects of another from their folder."""
    code, _, err = _call(["init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", str(path)])
    if code:
        raise _failure(["init"], err)
    if objects is not None:
        (path / "objects" / "info").mkdir(exist_ok=True)
        (path / "objects" / "info" / "alternates").write_bytes(os.fsencode(objects) + b"\n")
    return Repository(path, path, None)


def refresh(repo: Repository, branch: str) -> str | None:
    """Bring a copy's branch up to date, all but files; its commit, None where the repository has no such branch.

    A server that cannot leave files out sends all of them.

    Raises:
        GitError: it cannot be reached, refuses, or does not answer.
    """
    ref = f"refs/heads/{branch}"
    code, err = _from_origin(repo, [f"--filter={_FILTER}"], [f"+{ref}:{ref}"])
    if code and "couldn't find remote ref" in err:
        drop_ref(repo, ref)
        return None
    if code:
        raise _origin_failure(repo, err)
    return resolve(repo, [ref])[0]


def _from_origin(
    repo: Repository, options: Sequence[str], refs: Sequence[str], stdin: IO[bytes] | None = None, partly: bool = True
) -> tuple[int, str]:
    assert repo.origin is not None
    if repo.origin.talk is None:
        raise GitError(f"files of {repo.origin.name} are needed that were not fetched yet", "leave --offline out")
    # What is named by its id is all that comes then; and nothing is spared that may be here.
    alone = [] if refs and partly else ["-c", "fetch.negotiationAlgorithm=noop"]
    args = [*alone, *_FETCH, *options, _ORIGIN, *refs]
    code, _, err = _talk(repo, args, repo.origin.talk, stdin, partly)
    return code, err


def _bring(repo: Repository, oids: Sequence[str]) -> None:
    """Have those of some objects here that are not, in one go."""
    missing = _missing(repo, oids)
    if not missing:
        return
    with _scratch() as source:
        source.write("".join(f"{oid}\n" for oid in missing).encode())
        source.seek(0)
        code, err = _from_origin(repo, [f"--filter={_FILTER}", "--no-auto-maintenance", "--stdin"], [], source)
    if code and "unadvertised object" in err:  # the server gives whole histories only, as in git's older protocol
        code, err = _bring_all(repo)
    if code:
        raise _origin_failure(repo, err)
    if left := _missing(repo, missing):
        assert repo.origin is not None
        raise GitError(f"{repo.origin.name} does not give what its runs consist of: {left[0]}")


def _missing(repo: Repository, oids: Sequence[str]) -> list[str]:
    asked = "".join(f"{oid}\n" for oid in dict.fromkeys(oids)).encode()
    lines = _git(repo, "cat-file", "--batch-check", stdin=asked).decode().splitlines() if oids else []
    return [line.split(" ")[0] for line in lines if line.endswith(" missing")]


def _bring_all(repo: Repository) -> tuple[int, str]:
    refs = list_refs(repo, "refs/heads/")
    for ref in refs:  # else git asks for nothing that these already lead to
        drop_ref(repo, ref)
    code, err = -1, ""
    try:
        code, err = _from_origin(repo, [], [f"+{ref}:{ref}" for ref in refs], partly=False)
    finally:
        for ref, commit in refs.items() if code else ():
            move_ref(repo, ref, None, commit)
    return code, err


def _absent(repo: Repository, names: Sequence[str]) -> list[str]:
    """The ids of the files that some names mean, of which none is here."""
    found = [name for name in names if len(name) in (40, 64) and ":" not in name]
    by_folder: dict[str, set[str]] = {}
    for name in names:
        tree, colon, path = name.partition(":")
        folder, _, file = path.rpartition("/")
        if colon:
            by_folder.setdefault(f"{tree}:{folder}", set()).add(file)
    trees, _ = _read_until_damage(repo, list(by_folder))
    for tree_object, files in zip(trees, by_folder.values(), strict=False):
        if tree_object is not None and tree_object.kind == "tree":
            entries = _entries(tree_object.content, len(tree_object.oid))
            found += [entry.oid for entry in entries if entry.name in files and not entry.is_tree]
    return found


def _origin_failure(repo: Repository, err: str) -> GitError:
    assert repo.origin is not None
    plain = _without_users(err.replace(repo.origin.url, repo.origin.name))
    failure = _remote_failure(repo.origin.name, plain)
    # git's own hint would name a remote that only this process knows of.
    hint = failure.hint and "credentials are found as `git clone` of the same URL finds them; see gitcredentials(7)"
    return GitError(failure.message, hint)


# --- bundles ------------------------------------------------------------------------------------------------------


def create_bundle(
    repo: Repository, file: Path, ref: str, lacks: str | None, said: Callable[[str], None] | None
) -> None:
    """Write a ref with its history to a git bundle, less what a commit has already."""
    args = ["bundle", "create", "--progress", str(file), ref, *([f"^{lacks}"] if lacks else [])]
    code, _, err = _talk(repo, args, Talk(said=said, timeout=0))
    if code:
        raise _failure(["bundle"], err)


def missing_for_bundle(repo: Repository, file: Path) -> list[str]:
    """The commits that a git bundle builds on and that are not here with all their history.

    Raises:
        FormatError: the file is no git bundle.
    """
    code, _, err = _ask(repo.common_dir, "bundle", "verify", str(file))
    lacking: list[str] = re.findall(r"^error: ([0-9a-f]{40,64})\b", err, re.MULTILINE)
    if code and not lacking:
        raise FormatError(f"the git bundle cannot be read: {_words(err)[-300:] or 'no message'}")
    return lacking


def bundle_refs(repo: Repository, file: Path) -> dict[str, str]:
    """The refs in a git bundle, and the commits that they are at."""
    lines = _git(repo, "bundle", "list-heads", str(file)).decode("utf-8", "replace").splitlines()
    return {ref: oid for oid, _, ref in (line.partition(" ") for line in lines)}


def fetch_bundle(repo: Repository, file: Path, ref: str, target: str, said: Callable[[str], None] | None) -> None:
    """Bring a ref of a git bundle here, under another name."""
    code, _, err = _talk(repo, [*_FETCH_PACK, str(file), f"+{ref}:{target}"], Talk(said=said, timeout=0))
    if code:
        raise FormatError(f"the git bundle cannot be read: {_failure(['fetch'], err).message}")


# --- objects ------------------------------------------------------------------------------------------------


def read_objects(repo: Repository, names: Iterable[str], skip_damaged: bool = False) -> list[bytes | None]:
    """The content of each object, named by id or as `<commit>:<path>`; None where there is none.

    One process for all. Content is held in memory: this is for documents and trees, not for large artifacts.

    Args:
        skip_damaged: None for an object that git finds broken too, which else is a GitError.
    """
    read = _read_around_damage if skip_damaged else read_batch
    return [found.content if found else None for found in read(repo, list(names))]


def read_trees(repo: Repository, names: Iterable[str], skip_damaged: bool = False) -> list[list[TreeEntry] | None]:
    """The entries of each tree, named as for `read_objects`; None where there is none, or it is no tree."""
    read = _read_around_damage if skip_damaged else read_batch
    return [
        _entries(found.content, len(found.oid)) if found and found.kind == "tree" else None
        for found in read(repo, list(names))
    ]


class Object(NamedTuple):
    """An object's id, its kind ("blob", "tree", "commit"), and what is in it."""

    oid: str
    kind: str
    content: bytes


def read_batch(repo: Repository, names: Sequence[str]) -> list[Object | None]:
    """As `read_objects`, with the objects' ids."""
    found, failure = _read_until_damage(repo, names)
    if failure is not None:
        raise failure
    return _completed(repo, names, found)


def _completed(repo: Repository, names: Sequence[str], found: list[Object | None]) -> list[Object | None]:
    """What was read, with the files that a copy did not have yet."""
    lacking = [name for name, one in zip(names, found, strict=True) if one is None] if repo.origin else []
    if lacking and (absent := _absent(repo, lacking)):
        _bring(repo, absent)
        brought, failure = _read_until_damage(repo, lacking)
        if failure is not None:
            raise failure
        more = iter(brought)
        return [next(more) if one is None else one for one in found]
    return found


_MOST_DAMAGED = 20


def _read_around_damage(repo: Repository, names: Sequence[str]) -> list[Object | None]:
    """As `read_batch`; what git stops at is passed over, up to a number that says that nothing can be read here."""
    found, failure = _read_until_damage(repo, names)
    for _ in range(_MOST_DAMAGED):
        # A partial clone's remote that does not answer would not answer for the others either.
        if failure is None or "promisor" in failure.message:
            break
        found.append(None)
        more, failure = _read_until_damage(repo, names[len(found) :])
        found += more
    if failure is not None:
        raise failure
    return _completed(repo, names, found)


def _read_until_damage(repo: Repository, names: Sequence[str]) -> tuple[list[Object | None], GitError | None]:
    """The objects as far as git reads them, and why it stopped."""
    if not names:
        return [], None
    requests = "".join(name + "\n" for name in names).encode("utf-8", "surrogateescape")
    code, out, err = _ask(repo.common_dir, "cat-file", "--batch", stdin=requests)
    found: list[Object | None] = []
    at = 0
    while len(found) < len(names) and (end := out.find(b"\n", at)) >= 0:
        header = out[at:end].rsplit(b" ", 2)
        at = end + 1
        if len(header) == 3 and header[2].isdigit():
            size = int(header[2])
            if at + size >= len(out):  # git stopped in the middle of it
                break
            found.append(Object(header[0].decode(), header[1].decode(), out[at : at + size]))
            at += size + 1
        else:
            found.append(None)  # `<name> missing`
    return found, _failure(["cat-file"], err) if code else None


def object_ids(repo: Repository, names: Iterable[str]) -> list[str | None]:
    """The id of each object, named as `<commit>:<path>`; None where there is none. One process for all."""
    asked = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
    if not asked:
        return []
    out = _git(repo, "cat-file", "--batch-check=%(objectname)", stdin=asked)
    return [None if line.endswith(b" missing") else line.decode() for line in out.splitlines()]


def is_same(repo: Repository, one: str, other: str) -> bool:
    """Whether two names, such as `<commit>:<path>`, mean one object that is there."""
    asked = f"{one}\n{other}\n".encode("utf-8", "surrogateescape")
    out = _git(repo, "cat-file", "--batch-check=%(objectname)", stdin=asked).split(b"\n")
    return out[0] == out[1] and not out[0].endswith(b" missing")


def read_at(repo: Repository, ref: str, paths: Sequence[str]) -> tuple[str | None, list[bytes | None]]:
    """The commit that a ref is at, and the files at these paths; one process for all of it.

    Somebody may move the ref in between: then the files may be those of its next commit.
    """
    at, *files = read_batch(repo, [f"{ref}^{{commit}}", *(f"{ref}:{path}" for path in paths)])
    return at.oid if at else None, [found.content if found else None for found in files]


def _entries(tree: bytes, oid_length: int) -> list[TreeEntry]:
    """A tree object's entries. `oid_length` is that of an id in hexadecimal: 40, or 64 for SHA-256.

    The format: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects#_tree_objects
    """
    entries = []
    at, size = 0, oid_length // 2
    while at < len(tree):
        space = tree.index(b" ", at)
        zero = tree.index(b"\0", space)
        oid = tree[zero + 1 : zero + 1 + size].hex()
        name = tree[space + 1 : zero].decode("utf-8", "surrogateescape")
        mode = tree[at:space]
        entries.append(TreeEntry(name, oid, mode == b"40000", mode.startswith(b"100")))
        at = zero + 1 + size
    return entries


class TreeChange(NamedTuple):
    """An entry that two trees differ in, as each of them has it; None where one lacks it."""

    old: TreeEntry | None
    new: TreeEntry | None

    @property
    def name(self) -> str:
        """The entry's name."""
        entry = self.old or self.new
        assert entry is not None
        return entry.name


def changed_entries(repo: Repository, old: str, new: str) -> list[TreeChange]:
    """What two tree objects differ in, their own entries only."""
    out = _git(repo, "diff-tree", "-z", "--raw", "--no-renames", old, new).decode("utf-8", "surrogateescape")
    fields = out.split("\0")[:-1]
    return [_tree_change(about, name) for about, name in zip(fields[::2], fields[1::2], strict=True)]


def changed_in_pairs(repo: Repository, pairs: Sequence[tuple[str, str]]) -> list[list[TreeChange]]:
    """As `changed_entries`, for many pairs of trees by one process."""
    if not pairs:
        return []
    asked = "".join(f"{old} {new}\n" for old, new in pairs)
    out = _git(repo, "diff-tree", "--stdin", "-z", "--raw", "--no-renames", "--no-abbrev", stdin=asked.encode())
    fields = iter(out.decode("utf-8", "surrogateescape").split("\0")[:-1])
    found: dict[tuple[str, str], list[TreeChange]] = {}
    at: list[TreeChange] = []
    for field in fields:
        text = field
        while text and not text.startswith(":"):
            # The ids of a pair end in a line break, whatever stands between the other fields.
            ids, _, text = text.partition("\n")
            old, _, new = ids.partition(" ")
            at = found[old, new] = []
        if text:
            at.append(_tree_change(text, next(fields)))
    return [found.get(pair, []) for pair in pairs]


def _tree_change(about: str, name: str) -> TreeChange:
    old_mode, new_mode, old_oid, new_oid, _ = about.removeprefix(":").split(" ")
    sides = [
        TreeEntry(name, oid, mode == "040000", mode.startswith("100")) if mode != "000000" else None
        for mode, oid in ((old_mode, old_oid), (new_mode, new_oid))
    ]
    return TreeChange(sides[0], sides[1])


def empty_tree(settings: Mapping[str, str]) -> str:
    """The id of a tree with nothing in it, which git knows without having it."""
    import hashlib  # here for start-up time

    return hashlib.new(settings.get("extensions.objectformat", "sha1"), b"tree 0\0", usedforsecurity=False).hexdigest()


class TreeFile(NamedTuple):
    """A file below a tree: its path there, object id and size in bytes; `is_file` is false of links and submodules."""

    path: str
    oid: str
    size: int
    is_file: bool = True


def list_files(repo: Repository, tree: str) -> list[TreeFile]:
    """Every file below a tree, given by id or as `<commit>:<path>`."""
    if repo.origin is not None:  # how long they are is known of what is here
        entries = [entry.split(b"\t")[0].split(b" ") for entry in _git(repo, "ls-tree", "-r", "-z", tree).split(b"\0")]
        _bring(repo, [about[2].decode() for about in entries if about[1:2] == [b"blob"]])
    out = _git(repo, "ls-tree", "-r", "-l", "-z", tree)
    files = []
    for line in out.decode("utf-8", "surrogateescape").split("\0")[:-1]:
        about, path = line.split("\t", 1)
        mode, _, oid, size = about.split()
        files.append(TreeFile(path, oid, int(size) if size.isdigit() else 0, mode.startswith("100")))
    return files


def list_what_is_left(repo: Repository, tree: str) -> tuple[list[TreeFile], list[str]]:
    """As `list_files`, for a repository that lacks objects: the files in the folders that are there, without sizes; and
    the paths of folders that are not.
    """
    files, lost = [], []
    level = [("", tree)]
    while level:
        found = read_trees(repo, [name for _, name in level], skip_damaged=True)
        below = []
        for (path, _), entries in zip(level, found, strict=True):
            if entries is None:
                lost.append(path)
            for entry in entries or ():
                inside = f"{path}/{entry.name}" if path else entry.name
                if entry.is_tree:
                    below.append((inside, entry.oid))
                else:
                    files.append(TreeFile(inside, entry.oid, 0, entry.is_file))
        level = below
    return files, lost


def blob_id(chunks: Iterable[bytes], size: int, settings: Mapping[str, str]) -> str:
    """The object id that a file of these bytes has, or would have, in this repository."""
    import hashlib  # here for start-up time

    # git's names of its algorithms are hashlib's.
    oid = hashlib.new(settings.get("extensions.objectformat", "sha1"), b"blob %d\0" % size, usedforsecurity=False)
    for chunk in chunks:
        oid.update(chunk)
    return oid.hexdigest()


@contextlib.contextmanager
def open_blob(repo: Repository, oid: str) -> Iterator[IO[bytes]]:
    """A blob's content as a stream, for files of any size."""
    if repo.origin is not None:
        _bring(repo, [oid])
    process = _start([f"--git-dir={repo.common_dir}", "cat-file", "blob", oid], repo.common_dir)
    assert process.stdout and process.stderr
    with process, process.stdout as stream:
        yield stream
        stream.read()
        err = process.stderr.read().decode("utf-8", "replace")
    if process.returncode:
        raise _failure(["cat-file"], err)


# --- committing -----------------------------------------------------------------------------------------------

_UNSIGNED = "refs/gxt/unsigned"

# Set for a commit's git, and so for its hooks: one that calls gxt must not wait for the commit that waits for it.
IN_COMMIT = "GXT_IN_COMMIT"


class Entry(NamedTuple):
    """A file or a folder that is in the repository already, by its object id."""

    oid: str
    is_tree: bool


Content = bytes | tuple[Path, int | None] | Entry | None
"""A path's new content: bytes, a file and how many of its bytes (None for all), what another tree has, or None to take
the path away."""


def commit_files(
    repo: Repository,
    ref: str,
    old: str | None,
    parent: str | None,
    changes: Iterable[tuple[str, Content]],
    message: str,
    settings: Mapping[str, str],
    joined: str | None = None,
) -> str:
    """Commit changes on top of `parent` and move `ref` from `old` to the new commit, all in one `git fast-import`.

    Nothing is checked out and no index is used. `old` is None for a ref that does not exist yet. The ref moves only
    if that is a fast-forward; where `commit.gpgSign` is set, the commit is signed as `git commit` would. `joined` is a
    second parent; the changes are those against the first.

    Raises:
        RefMovedError: somebody else moved the ref; read its new tip and try again.
        FileChangedError: a file is gone or shorter than was said.
        GitError: git refused for another reason (a hook, a lock, a full disk, no signing key).
    """
    sign = is_true(settings.get("commit.gpgsign"))
    author, committer = identity(settings, "author"), identity(settings, "committer")
    when = f"{max(0, int(time.time()))} {time.strftime('%z')}"  # git has no date before 1970
    # A commit to be signed is first made beside the branch: fast-import cannot sign.
    target = f"{_UNSIGNED}/{os.getpid()}" if sign else ref
    head_lines = [f"commit {target}", "mark :1", f"author {author} {when}", f"committer {committer} {when}"]
    script = "\n".join(head_lines).encode() + b"\n" + _data(message.encode())
    if parent is not None:
        script += f"from {parent}\n".encode()
    if joined is not None:
        script += f"merge {joined}\n".encode()
    # Kept as a pack, which git marks `.keep` until the ref has moved: a `git gc --prune=now` meanwhile would take loose
    # objects away, since nothing reaches them yet.
    command = [f"--git-dir={repo.common_dir}", "-c", "fastimport.unpackLimit=1", "-c", "core.bigFileThreshold=32m"]
    command += ["fast-import", "--quiet", "--done", "--date-format=raw"]
    if sign:
        command.append("--force")  # a crash may have left the private ref behind
    commit = _fast_import(repo, command, script, changes, ref, old)
    parents = [known for known in (parent, joined) if known is not None]
    return _sign(repo, ref, target, commit, old, parents, message, (author, committer, when)) if sign else commit


def _fast_import(
    repo: Repository,
    command: list[str],
    script: bytes,
    changes: Iterable[tuple[str, Content]],
    ref: str,
    old: str | None,
) -> str:
    words = _scratch()
    begun = time.time()
    process = _start(command, repo.common_dir, subprocess.PIPE, {IN_COMMIT: "1"}, words)
    assert process.stdin and process.stdout
    with words, process:
        try:
            process.stdin.write(script)
            for path, content in changes:
                _write_change(process.stdin, path, content)
            process.stdin.write(b"\nget-mark :1\ndone\n")
            process.stdin.close()
        except BrokenPipeError:  # git gave up; its reason is on stderr
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        except BaseException:
            process.kill()
            raise
        commit = process.stdout.read().decode().strip()
        process.wait()
        words.seek(0)
        err = words.read().decode("utf-8", "replace")
    if process.returncode == 0:
        return commit
    with contextlib.suppress(OSError):
        (repo.common_dir / f"fast_import_crash_{process.pid}").unlink()
    if process.returncode in _KILLED_AT_START:
        raise RefMovedError(f"git was told to end while it committed to {ref}")
    if any(words in err for words in _NO_ROOM):
        _remove_half_packs(repo, begun)
        raise GitError("the disk has no room for the commit", "make room; then `gxt recover` commits what waits")
    if resolve(repo, [ref])[0] != old or "does not contain" in err or any(words in err for words in _PASSING):
        raise RefMovedError(f"{ref} has moved: {_words(err)[-300:]}")
    if lock := re.search(r"Unable to create '([^']+\.lock)': File exists", err):
        raise RefLockedError(
            f"{ref} is locked: {lock[1]} exists", "if no git command is running, a crash left it behind: remove it"
        )
    raise _failure(["fast-import"], err)


# What fast-import says when a `git gc` repacks under its hands; the next try succeeds.
_PASSING = ("cannot store pack file", "cannot create keep file", "cannot store index file")


# What it says of a full disk, some of it in other words; what it had written so far would keep the disk full.
_NO_ROOM = ("No space left on device", "Out of diskspace", "Unexpected checksum", "Disk quota exceeded")


def _remove_half_packs(repo: Repository, since: float) -> None:
    for file in (repo.common_dir / "objects" / "pack").glob("tmp_*"):
        with contextlib.suppress(OSError):
            if file.stat().st_mtime >= since - 1:
                file.unlink()


def _data(content: bytes) -> bytes:
    return b"data %d\n" % len(content) + content + b"\n"


def _write_change(stream: IO[bytes], path: str, content: Content) -> None:
    write = stream.write
    quoted = b'"' + os.fsencode(path).replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'
    if content is None:
        write(b"D " + quoted + b"\n")
        return
    if isinstance(content, Entry):
        mode = b"040000" if content.is_tree else b"100644"
        write(b"M " + mode + b" " + content.oid.encode() + b" " + quoted + b"\n")
        return
    write(b"M 100644 inline " + quoted + b"\n")
    if isinstance(content, bytes):
        write(_data(content))
        return
    file, size = content
    try:
        source = file.open("rb")
    except FileNotFoundError:
        raise FileChangedError(f"{file} is gone") from None
    with source:
        left = os.fstat(source.fileno()).st_size if size is None else size
        write(b"data %d\n" % left)
        while left and (piece := source.read(min(left, 1 << 20))):
            write(piece)
            left -= len(piece)
        if left:
            raise FileChangedError(f"{file} became shorter while it was read")
        write(b"\n")


_SIGNING_TIMEOUT = 60.0  # seconds: an agent that asks somebody who is not there would stop the run from ending


def _sign(
    repo: Repository,
    ref: str,
    unsigned_ref: str,
    unsigned: str,
    old: str | None,
    parents: Sequence[str],
    message: str,
    by: tuple[Identity, Identity, str],
) -> str:
    author, committer, when = by
    environment = {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_AUTHOR_DATE": when,
        "GIT_COMMITTER_NAME": committer.name,
        "GIT_COMMITTER_EMAIL": committer.email,
        "GIT_COMMITTER_DATE": when,
    }
    tree = ["commit-tree", "-S", f"{unsigned}^{{tree}}", *(part for parent in parents for part in ("-p", parent))]
    command = [f"--git-dir={repo.common_dir}", *tree]
    try:
        code, out, err = _call(command, repo.common_dir, message.encode(), environment, _SIGNING_TIMEOUT)
    except GitError as error:
        code, out, err = -1, b"", error.message
    if code:
        drop_ref(repo, unsigned_ref)
        raise GitError(
            f"the commit could not be signed: {_words(err)}",
            "commit.gpgSign is set: check user.signingKey and your agent",
        )
    signed = out.decode().strip()
    update = f"start\nupdate {ref} {signed} {old or '0' * len(signed)}\ndelete {unsigned_ref}\nprepare\ncommit\n"
    try:
        _git(repo, "update-ref", "--stdin", stdin=update.encode())
    except GitError as error:
        drop_ref(repo, unsigned_ref)
        raise RefMovedError(error.message) from None
    return signed


def drop_ref(repo: Repository, ref: str) -> None:
    """Delete a ref, if there is one and git lets us."""
    with contextlib.suppress(GitError):  # `remove_leftovers` takes it later
        _git(repo, "update-ref", "-d", ref)
