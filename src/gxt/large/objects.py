"""Copies of large artifacts in the git directory, by the SHA-256 of their bytes, where git-lfs keeps its own.

<git dir>/lfs/objects/aa/bb/<oid>     as git-lfs has it, so that `git lfs push` and its hook find them
<git dir>/lfs/bad/<oid>               what turned out to be damaged
<git dir>/gxt/artifacts.txt           which of the objects gxt put here: the rest are of the user's own LFS files
<git dir>/gxt/shared.txt              which of the user's own are artifacts of runs too
<git dir>/gxt/stored/<place>.txt      which were in a place when it was last asked
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from gxt.errors import FileChangedError
from gxt.pointers import Pointer

PIECE = 1 << 20
_OURS, _SHARED = "artifacts.txt", "shared.txt"


class Objects:
    """The copies that a clone has.

    >>> Objects(Path(".git/lfs/objects"), Path(".git/gxt")).path("ab" * 32).parts[-3:-1]
    ('ab', 'ab')
    """

    def __init__(self, folder: Path, home: Path) -> None:
        """`folder` holds the objects, `home` is gxt's own folder in the git directory."""
        self.folder = folder
        self.home = home

    def path(self, oid: str) -> Path:
        """Where the object of a digest is, or would be."""
        return self.folder / oid[:2] / oid[2:4] / oid

    def has(self, pointer: Pointer) -> bool:
        """Whether the bytes are here, by their number; `check` looks at each."""
        with contextlib.suppress(OSError):
            return self.path(pointer.oid).stat().st_size == pointer.size
        return False

    def is_whole(self, oid: str) -> bool:
        """Whether the bytes of that digest are here, each looked at."""
        try:
            with open(self.path(oid), "rb") as stream:
                return digest_of(stream).oid == oid
        except OSError:
            return False

    def add(self, source: Path, pointer: Pointer, link: bool) -> None:
        """Keep a file's bytes. With `link`, where nobody changes the file in place any more, they are not copied.

        Raises:
            FileChangedError: the file has other bytes by now.
            OSError: the disk does not take it.
        """
        if self.has(pointer):
            if pointer.oid not in self.ours():
                add_lines(self.home / _SHARED, [pointer.oid])
            return
        target = self.path(pointer.oid)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # of another size: half a copy
        self._register(pointer.oid)  # first: who finds it here and not registered takes it for the user's
        if not (link and _linked(source, target)):
            with self.receiving(pointer) as out, open(source, "rb") as stream:
                if not cloned(stream, out):
                    copy(stream, out)
            return
        with open(target, "rb") as stream:
            _to_disk(stream)  # before the run's own folder goes

    @contextlib.contextmanager
    def receiving(self, pointer: Pointer) -> Iterator[IO[bytes]]:
        """A file to write the bytes to; it becomes the object, if they are what the pointer says.

        Raises:
            FileChangedError: they are not.
        """
        target = self.path(pointer.oid)
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = self.temporary(f"{pointer.oid}-{os.getpid()}-{os.urandom(4).hex()}")
        try:
            with open(beside, "w+b") as out:
                yield out
                out.flush()
                if digest_of(out) != pointer:
                    raise FileChangedError(f"bytes that are not those of {pointer.oid[:12]}")
                _to_disk(out)
            self._register(pointer.oid)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)

    def temporary(self, name: str) -> Path:
        """A file for what is on its way here, in git-lfs's folder for that."""
        folder = self.folder.parent / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"gxt-{name}"

    def take(self, file: Path, pointer: Pointer) -> None:
        """Make a file of `temporary`, whose bytes were checked, the object."""
        target = self.path(pointer.oid)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._register(pointer.oid)
        file.replace(target)

    def adopt(self, pointer: Pointer) -> None:
        """An object that git-lfs brought for a run is gxt's."""
        self._register(pointer.oid)

    def copies(self, oids: Iterable[str]) -> list[Pointer]:
        """The objects here of some digests, with their sizes as they are."""
        found = []
        for oid in sorted(oids):
            with contextlib.suppress(OSError):
                found.append(Pointer(oid, self.path(oid).stat().st_size))
        return found

    def set_aside(self, oid: str) -> Path:
        """Move a damaged object to where git-lfs's own fsck puts such."""
        bad = self.folder.parent / "bad" / oid
        bad.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            self.path(oid).replace(bad)
        return bad

    def remove(self, oid: str) -> None:
        """Take a copy away."""
        self.path(oid).unlink(missing_ok=True)

    def remove_leftovers(self, age: float) -> None:
        """Take away what processes that were killed had begun to bring here, over so many seconds ago."""
        for file in (self.folder.parent / "tmp").glob("gxt-*"):
            with contextlib.suppress(OSError):
                if time.time() - file.stat().st_mtime > age:
                    file.unlink()

    def ours(self) -> set[str]:
        """The objects that gxt put here, be they there still or not."""
        return _lines(self.home / _OURS)

    def has_recorded(self) -> bool:
        """Whether `recorded` has any, without reading it."""
        return any((self.home / name).exists() for name in (_OURS, _SHARED))

    def recorded(self) -> set[str]:
        """The objects that gxt put here, or found here when it was about to."""
        return self.ours() | _lines(self.home / _SHARED)

    def _register(self, oid: str) -> None:
        add_lines(self.home / _OURS, [oid])

    def stored(self, place: str) -> set[str]:
        """What is known to be in a place."""
        return _lines(self._stored_path(place))

    def note_stored(self, place: str, oids: Iterable[str]) -> None:
        """From now on known to be there."""
        add_lines(self._stored_path(place), oids)

    def forget_stored(self, place: str, oids: Iterable[str]) -> None:
        """Not known to be there any more."""
        gone = set(oids)
        path = self._stored_path(place)
        if gone and path.exists():
            beside = path.with_suffix(f".{os.getpid()}.tmp")
            beside.write_text("".join(f"{oid}\n" for oid in sorted(_lines(path) - gone)))
            beside.replace(path)

    def _stored_path(self, place: str) -> Path:
        import hashlib  # here for start-up time

        return self.home / "stored" / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.txt"


def _lines(path: Path) -> set[str]:
    with contextlib.suppress(FileNotFoundError):
        return {line for line in path.read_text("ascii", "replace").split("\n") if len(line) == 64}
    return set()


def add_lines(path: Path, lines: Iterable[str]) -> None:
    """Append lines in one write; a process that does the same at once loses none."""
    data = "".join(f"{line}\n" for line in lines).encode()
    if data:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)


def digest_of(stream: IO[bytes]) -> Pointer:
    """The digest of an open file's bytes, from its beginning, and how many they are."""
    import hashlib  # here for start-up time

    stream.seek(0)
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(PIECE):
        digest.update(piece)
        size += len(piece)
    return Pointer(digest.hexdigest(), size)


def copy(source: IO[bytes], out: IO[bytes]) -> None:
    """Copy an open file from its beginning."""
    source.seek(0)
    while piece := source.read(PIECE):
        out.write(piece)


_FICLONE = 0x40049409  # ioctl_ficlonerange(2); the same on every architecture of Linux that has such file systems


def cloned(source: IO[bytes], out: IO[bytes]) -> bool:
    """Have an empty file share another's blocks until one of them is written to (btrfs, XFS). False where it cannot."""
    try:
        import fcntl  # not on Windows

        fcntl.ioctl(out.fileno(), _FICLONE, source.fileno())
    except (ImportError, OSError, ValueError):
        return False
    out.seek(0, os.SEEK_END)
    return True


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except FileExistsError:  # another process has just added the same
        return True
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOSPC):
            raise
        return False  # another file system, or one without hard links
    return True


def _to_disk(stream: IO[bytes]) -> None:
    os.fsync(stream.fileno())
