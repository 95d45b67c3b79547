"""What a work tree has that HEAD has not: asked of git once, without a trace in anybody's index."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt.errors import GitError
from gxt.git.process import ask, call_within, git_error, scratch, start
from gxt.git.repository import Repository
from gxt.git.settings import is_true

# The disk is asked, not a daemon; no hook of the user's runs; an index that is written is whole; nothing is refused for
# its line ends; and a ref that never moves has no log.
OPTIONS = ["-c", "core.fsmonitor=", "-c", f"core.hooksPath={os.devnull}", "-c", "core.splitIndex=false"]
OPTIONS += ["-c", "core.safecrlf=false", "-c", "core.logAllRefUpdates=false"]

# Set for what git starts: a filter that records a run must not have it take a snapshot, which would start the filter.
IN_SNAPSHOT = "GXT_IN_SNAPSHOT"


class Change(NamedTuple):
    """A path at which the work tree or the index differs from HEAD.

    Attributes:
        path: relative to the top of the work tree.
        head, staged: the mode and object id that each has there, None where it has nothing.
        mode: in the work tree; None where nothing is there, "" of what git does not track, whose mode is not known.
        is_as_staged: whether the work tree is as the index has it.
        is_submodule: whether it is one, or another repository that git does not track.
        is_dirty: of a submodule, whether its own files differ from its commit.
    """

    path: str
    head: tuple[str, str] | None = None
    staged: tuple[str, str] | None = None
    mode: str | None = ""
    is_as_staged: bool = False
    is_submodule: bool = False
    is_dirty: bool = False

    @property
    def staged_mode(self) -> str | None:
        """The mode that the index has."""
        return self.staged[0] if self.staged is not None else None

    @property
    def is_untracked(self) -> bool:
        """Whether git knows nothing of it."""
        return self.mode == ""


class WorkTree(NamedTuple):
    """What is checked out: the commit, None before the first; the branch, None when HEAD is detached; what differs from
    the commit, untracked files included; and the folders that could not be read."""

    commit: str | None
    branch: str | None
    changes: Sequence[Change] = ()
    unread: Sequence[str] = ()

    @property
    def dirty(self) -> bool:
        """Whether the work tree differs from the commit."""
        return bool(self.changes)


class Deadline:
    """How long git may take in all: filters, which it starts, are anybody's programs."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def is_over(self) -> bool:
        """Whether none is left."""
        return time.monotonic() >= self._until

    @property
    def left(self) -> float:
        """The seconds that are left. Raises GitError where there are none."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise GitError("git took too long")
        return left


def look(repo: Repository, settings: Mapping[str, str], deadline: Deadline) -> WorkTree:
    """What is checked out, and what differs from it, marks such as `assume-unchanged` notwithstanding.

    Raises:
        GitError: git cannot tell, or takes too long.
    """
    if repo.work_tree is None:
        return checked_out(repo)
    if IN_SNAPSHOT in os.environ:
        raise GitError("this run was recorded by a filter while git read the work tree of another run")
    with scratch() as listed:
        # At the same time as `git status`; it is some milliseconds, and the two have a processor each.
        command = in_work_tree(repo, "ls-files", "-v", "-s", "-z")
        with start(command, repo.work_tree, stderr=subprocess.DEVNULL, stdout=listed.fileno()) as marks:
            found = _status(repo, settings, deadline)
            marks.wait()
        listed.seek(0)
        marked = [_marked(match) for match in _MARKED.findall(b"\0" + listed.read())]
    return found._replace(changes=_with_hidden(repo, settings, found.changes, marked, deadline)) if marked else found


def checked_out(repo: Repository) -> WorkTree:
    """The commit and the branch that are checked out, and nothing of what differs from them."""
    _, at, _ = ask(repo.git_dir, "rev-parse", "--verify", "-q", "HEAD")
    _, name, _ = ask(repo.git_dir, "symbolic-ref", "--short", "-q", "HEAD")
    return WorkTree(at.decode().strip() or None, name.decode("utf-8", "replace").strip() or None)


def in_work_tree(repo: Repository, *args: str) -> list[str]:
    # core.worktree may set the two apart.
    return [f"--git-dir={repo.git_dir}", f"--work-tree={repo.work_tree}", *OPTIONS, *args]


def read_work_tree(
    repo: Repository, deadline: Deadline, *args: str, stdin: bytes = b"", environment: Mapping[str, str] | None = None
) -> tuple[int, bytes, str]:
    """Run a command that may start the user's filters."""
    assert repo.work_tree is not None
    variables = {IN_SNAPSHOT: "1", **(environment or {})}
    return call_within(deadline.left, in_work_tree(repo, *args), repo.work_tree, stdin, variables)


_MARKED = re.compile(rb"\0([a-zS]) (\d+) ([0-9a-f]+) 0\t([^\0]+)")


class _Marked(NamedTuple):
    """A file whose changes the index hides: `assume-unchanged`, or `skip-worktree`."""

    path: str
    is_skipped: bool
    staged: tuple[str, str]


def _marked(found: tuple[bytes, bytes, bytes, bytes]) -> _Marked:
    tag, mode, oid, path = found
    return _Marked(os.fsdecode(path), tag in b"Ss", (mode.decode(), oid.decode()))


def _with_hidden(
    repo: Repository,
    settings: Mapping[str, str],
    changes: Sequence[Change],
    marked: Sequence[_Marked],
    deadline: Deadline,
) -> list[Change]:
    """The changes, with those that the index hides. What is skipped and not there is meant not to be there."""
    assert repo.work_tree is not None
    sparse = is_true(settings.get("core.sparsecheckout"))  # then git itself sees to files that are there nevertheless
    known = {change.path: change for change in changes}
    asked = []
    for path, is_skipped, staged in marked:
        there = os.path.lexists(repo.work_tree / path)
        if is_skipped and (sparse or not there):
            continue
        mode = _mode(repo.work_tree / path, staged[0], settings) if there else None
        before = known.get(path, Change(path, staged, staged))
        known[path] = before._replace(mode=mode, is_as_staged=False)
        asked.append(known[path])
    files = [change for change in asked if change.mode == change.staged_mode and change.mode in _FILES]
    for change, oid in zip(files, _hashes(repo, [change.path for change in files], deadline), strict=True):
        if change.head == change.staged == (change.mode, oid):
            del known[change.path]
    return list(known.values())


_FILES = ("100644", "100755")


def _mode(path: Path, staged: str, settings: Mapping[str, str]) -> str:
    about = path.lstat()
    if stat.S_ISLNK(about.st_mode):
        return "120000"
    if not stat.S_ISREG(about.st_mode) or (staged in _FILES and not is_true(settings.get("core.filemode", "true"))):
        return staged
    return "100755" if about.st_mode & stat.S_IXUSR else "100644"


def _hashes(repo: Repository, paths: Sequence[str], deadline: Deadline) -> list[str | None]:
    """The object ids that files would have; None for all where one cannot be read."""
    if not paths:
        return []
    lines = b"".join(_quoted(os.fsencode(path)) + b"\n" for path in paths)
    code, out, _ = read_work_tree(repo, deadline, "hash-object", "--stdin-paths", stdin=lines)
    found = out.decode().split()
    return [*found] if code == 0 and len(found) == len(paths) else [None] * len(paths)


def _quoted(path: bytes) -> bytes:
    if b"\n" not in path and not path.startswith(b'"'):
        return path
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def _status(repo: Repository, settings: Mapping[str, str], deadline: Deadline) -> WorkTree:
    options = ["--porcelain=v2", "--branch", "--no-ahead-behind", "-z", "--no-renames", "--ignore-submodules=none"]
    # Who has git not look for untracked files has a reason: the repository may be a whole home directory.
    options.append("-uall" if looks_for_untracked(settings) else "-uno")
    code, out, err = read_work_tree(repo, deadline, "status", *options)
    if code:
        raise git_error(["status"], err)
    commit = branch = None
    changes = []
    for line in os.fsdecode(out).split("\0")[:-1]:
        if line.startswith("# branch.oid "):
            commit = None if line.endswith("(initial)") else line.removeprefix("# branch.oid ")
        elif line.startswith("# branch.head "):
            branch = None if line.endswith("(detached)") else line.removeprefix("# branch.head ")
        elif not line.startswith("#"):
            changes.append(_change(line))
    if branch is not None:
        branch = branch.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    unread = re.findall(r"^warning: could not open directory '(.+)/': ", err, re.MULTILINE)
    return WorkTree(commit, branch, changes, unread)


def looks_for_untracked(settings: Mapping[str, str]) -> bool:
    """Whether git is to look for files that it does not track (status.showUntrackedFiles)."""
    return settings.get("status.showuntrackedfiles", "").lower() not in ("no", "false", "off", "0")


def _change(line: str) -> Change:
    """A line of `git status --porcelain=v2`: git-status(1)."""
    kind, _, rest = line.partition(" ")
    if kind == "?":
        return Change(rest.rstrip("/"), is_submodule=rest.endswith("/"))
    if kind == "u":
        _, sub, _, ours, _, mode, _, oid, _, path = rest.split(" ", 9)
        head = index = _node(ours, oid)
        staged = False
    else:
        states, sub, in_head, in_index, mode, head_oid, index_oid, path = rest.split(" ", 7)
        head, index = _node(in_head, head_oid), _node(in_index, index_oid)
        staged = states[1] == "."
    on_disk = mode if mode != "000000" else None
    is_submodule = sub[0] == "S"
    return Change(path, head, index, on_disk, staged, is_submodule, is_submodule and sub[2:] != "..")


def _node(mode: str, oid: str) -> tuple[str, str] | None:
    return (mode, oid) if mode != "000000" else None
