"""Linked work trees that go again, each in a temporary folder; those of killed processes are found by their locks.

One in which a command failed stays for a while, to be looked at.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from gxt import git, live
from gxt.git import Repository

_PREFIX = "gxt-again-"
_A_WHILE = 86_400.0  # seconds
_MOST = 3  # that stay for a while


@dataclass
class Place:
    """A temporary folder, and the work tree that is to come into it.

    Attributes:
        root: the temporary folder.
        folder: where the work tree is, or comes; somewhere in the root.
        lock: a descriptor that says that the place is in use, for as long as any process has it open.
        stays: whether all of it stays when we are done, until somebody takes it away.
        lingers: whether it stays for a day, and no longer than the next few that do.
    """

    root: Path
    folder: Path
    lock: int
    stays: bool = False
    lingers: bool = False


def _home(repo: Repository) -> Path:
    return live.home(repo.common_dir) / "again"


@contextlib.contextmanager
def place(repo: Repository) -> Iterator[Place]:
    """A place for a work tree, which is taken away at the end with what is in it, unless it `stays` or `lingers`.

    A file in the git directory names it. This process holds a lock on that, so that `abandoned` finds what a process
    left behind that was killed.
    """
    import tempfile  # here for start-up time, as the next

    from filelock import lock_descriptor

    clear(repo)
    home = _home(repo)
    home.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    name = repo.work_tree.name if repo.work_tree is not None else "code"
    mark, beside = home / f"{root.name}.json", home / f"{root.name}.tmp"
    with open(beside, "wb") as lock:
        found = Place(root, root / name, lock.fileno())
        try:
            _write(lock, _Mark(root))
            lock_descriptor(lock.fileno(), blocking=False)
            beside.rename(mark)  # it is locked when it is seen first
            yield found
        finally:
            beside.unlink(missing_ok=True)
            if found.lingers and not found.stays:
                _write(lock, _Mark(root, time.time() + _A_WHILE))
            else:
                if not found.stays:
                    _remove(repo, root)
                mark.unlink(missing_ok=True)
    if found.lingers:
        clear(repo)


def abandoned(repo: Repository) -> list[Path]:
    """The temporary folders of processes that were killed, whether they are still there or not; and those that have
    stayed long enough."""
    return list(_abandoned(repo).values())


def clear(repo: Repository) -> list[Path]:
    """Take them away, and with them what git knows of the work trees in them. Returns what was taken."""
    found = _abandoned(repo)
    for mark, root in found.items():
        _remove(repo, root)
        mark.unlink(missing_ok=True)
    return list(found.values())


class _Mark(NamedTuple):
    """What the file of a place says: its folder, and until when that stays, in seconds since 1970; 0 while it is in
    use."""

    root: Path
    until: float = 0.0


def _write(file: IO[bytes], mark: _Mark) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps({"root": str(mark.root), "until": mark.until}).encode("utf-8", "surrogateescape"))
    file.flush()


def _read(file: IO[bytes]) -> _Mark:
    """Raises ValueError, TypeError or KeyError where it is none."""
    said = json.loads(file.read())
    return _Mark(Path(str(said["root"])), float(said["until"]))


def _abandoned(repo: Repository) -> dict[Path, Path]:
    from filelock import lock_descriptor  # here for start-up time

    found: dict[Path, _Mark] = {}
    for path in sorted(_home(repo).glob(f"{_PREFIX}*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError), open(path, "r+b") as lock:
            if lock_descriptor(lock.fileno(), blocking=False):
                mark = _read(lock)
                if mark.root.name == path.stem and mark.root.is_absolute():
                    found[path] = mark
    staying = sorted((mark.until, path) for path, mark in found.items() if mark.until > time.time())[-_MOST:]
    return {path: mark.root for path, mark in found.items() if (mark.until, path) not in staying}


def _remove(repo: Repository, root: Path) -> None:
    import shutil  # here for start-up time

    for folder in git.worktrees(repo):
        if folder.is_relative_to(root):
            git.remove_worktree(repo, folder)
    shutil.rmtree(root, ignore_errors=True)
    for folder in git.worktrees(repo):  # git kept one that it could not delete all of
        if folder.is_relative_to(root):
            git.remove_worktree(repo, folder)
