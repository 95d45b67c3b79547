"""Linked work trees that go again, each in a temporary folder; those of killed processes are found by their locks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gxt import git, live
from gxt.git import Repository

_PREFIX = "gxt-again-"


@dataclass
class Place:
    """A temporary folder, and the work tree that is to come into it.

    Attributes:
        root: the temporary folder.
        folder: where the work tree is, or comes; somewhere in the root.
        lock: a descriptor that says that the place is in use, for as long as any process has it open.
        stays: whether all of it stays when we are done.
    """

    root: Path
    folder: Path
    lock: int
    stays: bool = False


def _home(repo: Repository) -> Path:
    return live.home(repo.common_dir) / "again"


@contextlib.contextmanager
def place(repo: Repository) -> Iterator[Place]:
    """A place for a work tree, which is taken away at the end with what is in it, unless it `stays`.

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
            lock.write(json.dumps(str(root)).encode("utf-8", "surrogateescape"))
            lock.flush()
            lock_descriptor(lock.fileno(), blocking=False)
            beside.rename(mark)  # it is locked when it is seen first
            yield found
        finally:
            if not found.stays:
                _remove(repo, root)
            beside.unlink(missing_ok=True)
            mark.unlink(missing_ok=True)


def abandoned(repo: Repository) -> list[Path]:
    """The temporary folders of processes that were killed, whether they are still there or not."""
    return list(_abandoned(repo).values())


def clear(repo: Repository) -> list[Path]:
    """Take them away, and with them what git knows of the work trees in them. Returns what was taken."""
    found = _abandoned(repo)
    for mark, root in found.items():
        _remove(repo, root)
        mark.unlink(missing_ok=True)
    return list(found.values())


def _abandoned(repo: Repository) -> dict[Path, Path]:
    from filelock import lock_descriptor  # here for start-up time

    found = {}
    for mark in sorted(_home(repo).glob(f"{_PREFIX}*.json")):
        with contextlib.suppress(OSError, ValueError), open(mark, "r+b") as lock:
            if lock_descriptor(lock.fileno(), blocking=False):
                root = Path(str(json.loads(lock.read())))
                if root.name == mark.stem and root.is_absolute():
                    found[mark] = root
    return found


def _remove(repo: Repository, root: Path) -> None:
    import shutil  # here for start-up time

    for folder in git.worktrees(repo):
        if folder.is_relative_to(root):
            git.remove_worktree(repo, folder)
    shutil.rmtree(root, ignore_errors=True)
    for folder in git.worktrees(repo):  # git kept one that it could not delete all of
        if folder.is_relative_to(root):
            git.remove_worktree(repo, folder)
