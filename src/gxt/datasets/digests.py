"""What is known of files that were read before, so that a large dataset is read once: SQLite in gxt's folder.

A file counts as the same where its path, size, inode and both its times are. One that was written just before it was
read is not kept, since it may be written again within the same tick of the file system's clock; git calls such an entry
racy (https://git-scm.com/docs/racy-git). The cache can be deleted at any time, and where it cannot be used, files are
read.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt import live
from gxt.git import Repository

_NAME = "digests.db"
_SETTLED = 2_000_000_000  # nanoseconds: FAT's clock ticks every two seconds
_KEPT = 180  # days
_TABLE = (
    "create table if not exists file (path blob, kind text, size integer, mtime integer, ctime integer, inode integer,"
    " day integer, value text, primary key (path, kind)) without rowid"
)


class Stamp(NamedTuple):
    """What tells whether a file was changed; times in nanoseconds."""

    size: int
    mtime: int
    ctime: int
    inode: int

    @classmethod
    def of(cls, about: os.stat_result) -> Stamp:
        # An inode may be any 64-bit number, which SQLite takes with a sign.
        return cls(about.st_size, about.st_mtime_ns, about.st_ctime_ns, about.st_ino & (2**63 - 1))


class Digests:
    """What was found out about files, by kind: "digest", or "table" for rows and columns."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def beside(cls, repo: Repository | None) -> Digests | None:
        """The one of a clone; None without one, or for the copy of a repository elsewhere."""
        return cls(live.home(repo.common_dir) / _NAME) if repo is not None and repo.origin is None else None

    def find(self, paths: Sequence[Path], stamps: Sequence[Stamp], kind: str = "digest") -> dict[int, str]:
        """What is known of those files that are as they were, by their position."""
        found: dict[int, str] = {}
        question = (
            "select value from file where path = ? and kind = ? and size = ? and mtime = ? and ctime = ?"
            " and inode = ? and day > ?"
        )
        oldest = _today() - _KEPT
        if not self._path.exists():
            return found
        with self._forgiving(), self._database() as database:
            for i, (path, stamp) in enumerate(zip(paths, stamps, strict=True)):
                row = database.execute(question, (os.fsencode(path), kind, *stamp, oldest)).fetchone()
                if row is not None:
                    found[i] = row[0]
        return found

    def keep(
        self, paths: Sequence[Path], stamps: Sequence[Stamp], values: Sequence[str], begun: int, kind: str = "digest"
    ) -> None:
        """Remember what was found out about files by reading them from `begun` on, in nanoseconds.

        Those that were written just before that are left out.
        """
        settled = begun - _SETTLED
        rows = [
            (os.fsencode(path), kind, *stamp, _today(), value)
            for path, stamp, value in zip(paths, stamps, values, strict=True)
            if max(stamp.mtime, stamp.ctime) < settled
        ]
        if not rows:
            return
        with self._forgiving(), self._database() as database:
            database.execute(_TABLE)
            database.executemany("insert or replace into file values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            database.commit()

    def forget_old(self) -> None:
        """Take out what was found out long ago."""
        if self._path.exists():
            with self._forgiving(), self._database() as database:
                database.execute("delete from file where day <= ?", (_today() - _KEPT,))
                database.commit()

    @contextlib.contextmanager
    def _forgiving(self) -> Iterator[None]:
        """What goes wrong with the database ends the block, and nothing more; one that is spoiled goes."""
        try:
            yield
        except sqlite3.OperationalError:
            pass
        except sqlite3.DatabaseError:
            with contextlib.suppress(OSError):
                self._path.unlink()
        except OSError:
            pass

    @contextlib.contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.closing(sqlite3.connect(self._path, timeout=5)) as database:
            database.execute("pragma synchronous = off")
            yield database


def _today() -> int:
    return int(time.time() // 86400)
