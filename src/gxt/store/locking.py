"""One committer at a time in a clone."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gxt import git
from gxt.errors import GitError
from gxt.git import Repository
from gxt.store.tips import check_writable, root

if TYPE_CHECKING:
    from filelock import FileLock

_LOCK_TIMEOUT = 60.0


def pause(most: float) -> None:
    """Wait a random while, so that those who were in each other's way are not again."""
    import random  # here for start-up time

    time.sleep(random.uniform(0, most))


_committers: set[tuple[int, int]] = set()
"""The threads that are committing: process and thread id."""


@contextlib.contextmanager
def committing(repo: Repository, unless: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """One committer at a time in a clone; the others' runs wait in pending and are taken along.

    Gives False, without the lock, where `unless` holds while somebody else has it.

    The lock only saves work: what keeps two writers apart is git's own check when the ref moves.
    """
    lock = _acquire(repo, unless)
    if lock is None:
        yield False
        return
    me = (os.getpid(), threading.get_ident())
    _committers.add(me)
    try:
        yield True
    finally:
        _committers.discard(me)
        lock.release()


def _acquire(repo: Repository, unless: Callable[[], bool]) -> FileLock | None:
    """The committers' lock; None where there is no need for it any more while somebody else has it."""
    check_writable(repo)
    from filelock import FileLock, Timeout  # here for start-up time

    if os.environ.get(git.IN_COMMIT):
        raise GitError("gxt was called by a hook of its own commit", "the next commit takes along what waits")
    me = (os.getpid(), threading.get_ident())
    if me in _committers:  # a signal's handler, in the middle of it
        raise GitError("this thread is just committing", "the next commit takes along what waits")
    base = root(repo)
    deadline = time.monotonic() + _LOCK_TIMEOUT
    try:
        base.mkdir(exist_ok=True)
        lock = FileLock(base / "commit.lock")
        while True:
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                return lock
            if unless():
                return None
            if time.monotonic() > deadline:
                raise GitError(
                    f"another process has been committing for over {_LOCK_TIMEOUT:.0f} seconds",
                    "`gxt recover` commits what waits",
                )
            pause(0.005)
    except OSError as error:
        raise GitError(f"cannot write to {base}: {error.strerror}") from None
