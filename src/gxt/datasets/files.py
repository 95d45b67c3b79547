"""The files of a dataset: which they are, and their digests, by several threads."""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt.datasets.digests import Digests, Stamp
from gxt.errors import UsageError

Progress = Callable[[int, int], None]
"""Told of bytes that were read just now, and of how many there are in all."""

_PIECE = 1 << 20
_TRIES = 3
_BATCH_FILES, _BATCH_BYTES = 64, 1 << 24
_WORTH_THREADS = 1 << 21  # below so many bytes, starting them takes longer
_WORTH_KEEPING = 1 << 22  # below so many bytes, in few files, reading takes no longer than looking a digest up
_FEW = 32


class Member(NamedTuple):
    """A file of a dataset: its name there, with `/` between parts, and where it is."""

    name: str
    path: Path


class Digest(NamedTuple):
    """A file's digests in hexadecimal; `md5` is empty where nobody asked for it."""

    sha256: str
    md5: str
    size: int


def is_there(text: str) -> bool:
    """Whether a path or pattern names anything."""
    return os.path.exists(text) or (glob.has_magic(text) and any(glob.iglob(text, recursive=True)))


def members(text: str) -> tuple[Path, list[Member]]:
    """The path that a text names, made absolute, and its files by name: itself, a folder's, or those that a pattern
    matches. Links are followed; what is neither file nor folder, or a link that leads nowhere, is passed over.

    Raises:
        UsageError: there is nothing, or the system does not say what is there.
    """
    path = Path(os.path.abspath(text))
    try:
        return path, _members(path, text)
    except OSError as error:
        raise _unreadable(path, error) from None


def _members(path: Path, text: str) -> list[Member]:
    if path.is_file():
        return [Member(path.name, path)]
    if path.is_dir():
        return sorted(_below(path, ""))
    if glob.has_magic(text) and not os.path.lexists(path):
        return _matching(path, text)
    if path.exists():
        raise UsageError(f"dataset {text!r} is neither a file nor a folder")
    why = "it is a link that leads nowhere" if path.is_symlink() else f"looked in {Path.cwd()}"
    raise UsageError(f"no such dataset: {text!r}", why)


def _matching(pattern: Path, text: str) -> list[Member]:
    top = pattern_top(pattern)
    found: dict[str, Member] = {}
    for match in sorted(glob.glob(str(pattern), recursive=True)):
        path = Path(match)
        name = path.relative_to(top).as_posix()
        if path.is_file():
            found[name] = Member(name, path)
        elif path.is_dir() and "**" not in pattern.parts:
            found.update((member.name, member) for member in _below(path, f"{name}/"))
    if not found:
        raise UsageError(f"no file matches {text!r}", f"looked in {Path.cwd()}")
    return sorted(found.values())


def pattern_top(pattern: Path) -> Path:
    """The folder that holds all that a pattern may match.

    >>> pattern_top(Path("/data/2021/*/green_*.csv")).as_posix()
    '/data/2021'
    """
    parts = pattern.parts
    first = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _below(folder: Path, prefix: str, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[Member]:
    try:
        about = folder.stat()
        entries = list(os.scandir(folder))
    except OSError as error:
        raise _unreadable(folder, error) from None
    here = (about.st_dev, about.st_ino)
    if here in above:  # a link to a folder that it is in
        return
    for entry in entries:
        name = prefix + entry.name
        kind = _kind(entry)
        if kind == stat.S_IFREG:
            yield Member(name, Path(entry.path))
        elif kind == stat.S_IFDIR:
            yield from _below(Path(entry.path), f"{name}/", above | {here} if here[1] else above)


def _kind(entry: os.DirEntry[str]) -> int | None:
    """S_IFREG or S_IFDIR of what an entry is or leads to; None of all else, and of a link that leads nowhere."""
    try:
        return stat.S_IFREG if entry.is_file() else stat.S_IFDIR if entry.is_dir() else None
    except OSError as error:
        if error.errno == errno.ELOOP:  # it leads to itself
            return None
        raise _unreadable(Path(entry.path), error) from None


def size_of(members: Sequence[Member]) -> int:
    """The bytes of all of some files. Raises UsageError."""
    return sum(_stamp(member.path).size for member in members)


def source(path: Path, base: Path | None) -> str:
    """Where a dataset is, as it is recorded: relative to `base` where it is below that."""
    if base is not None:
        for one, top in ((path, base), (path.parent.resolve() / path.name, base.resolve())):
            if one.is_relative_to(top):
                return one.relative_to(top).as_posix()
    return path.as_posix()


def digest_of(path: Path, members: Sequence[Member], found: Sequence[Digest]) -> str:
    """The digest of a file, or of a folder or pattern: of its files' digests and names.

    As `find . -type f | LC_ALL=C sort` and `sha256sum` would give it.
    """
    if len(members) == 1 and members[0].path == path:
        return f"sha256:{found[0].sha256}"
    sha = hashlib.sha256()
    named = sorted((os.fsencode(member.name), one.sha256) for member, one in zip(members, found, strict=True))
    for name, digest in named:
        sha.update(b"sha256:%s  %s\n" % (digest.encode(), name))
    return f"sha256:{sha.hexdigest()}"


def digests(
    members: Sequence[Member], known: Digests | None, with_md5: bool = False, progress: Progress | None = None
) -> list[Digest]:
    """The digests of files, in their order: those that are known are not read again.

    Raises:
        UsageError: one cannot be read, or changes all the time.
    """
    begun = time.time_ns()
    stamps = [_stamp(member.path) for member in members]
    total = sum(stamp.size for stamp in stamps)
    if total < _WORTH_KEEPING and len(members) <= _FEW:
        known = None
    found: dict[int, Digest] = {}
    if known is not None:
        for i, value in known.find([member.path for member in members], stamps).items():
            sha256, _, md5 = value.partition(" ")
            if md5 or not with_md5:
                found[i] = Digest(sha256, md5, stamps[i].size)
    missing = [i for i in range(len(members)) if i not in found]
    if progress is not None:
        progress(total - sum(stamps[i].size for i in missing), total)
    batches = list(_batches(missing, stamps))
    read: dict[int, _Read] = {}
    with _Reader(with_md5, (lambda moved: progress(moved, total)) if progress is not None else None) as reader:
        threads = len(batches) > 1 and sum(stamps[i].size for i in missing) > _WORTH_THREADS
        try:
            for batch, done in reader.read_all([[members[i].path for i in batch] for batch in batches], threads):
                read.update(zip(batches[batch], done, strict=True))
        finally:  # after Ctrl-C too: it need not be read again
            if known is not None:
                paths = [members[i].path for i in read]
                texts = [f"{one.digest.sha256} {one.digest.md5}".rstrip() for one in read.values()]
                known.keep(paths, [one.stamp for one in read.values()], texts, begun)
    found.update((i, one.digest) for i, one in read.items())
    return [found[i] for i in range(len(members))]


def _batches(indices: Sequence[int], stamps: Sequence[Stamp]) -> Iterator[list[int]]:
    """Files that one thread reads in turn: many small ones, or a large one."""
    batch: list[int] = []
    size = 0
    for i in sorted(indices, key=lambda i: -stamps[i].size):  # the largest first, so that none is left for the end
        batch.append(i)
        size += stamps[i].size
        if len(batch) == _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _stamp(path: Path) -> Stamp:
    try:
        return Stamp.of(os.stat(path))
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"dataset {str(path)!r} cannot be read: {error.strerror or error}")


class _Read(NamedTuple):
    digest: Digest
    stamp: Stamp


class _Reader:
    """Reads files and hashes them, which lets other threads go on; leaving it stops those that are under way."""

    def __init__(self, with_md5: bool, moved: Callable[[int], None] | None) -> None:
        self._with_md5 = with_md5
        self._moved = moved
        self._stopped = threading.Event()

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()

    def read_all(self, batches: Sequence[Sequence[Path]], threads: bool) -> Iterator[tuple[int, list[_Read]]]:
        """Each batch's position and what was read of it, as they come."""
        if not threads:
            for i, batch in enumerate(batches):
                yield i, self._read_batch(batch)
            return
        from concurrent.futures import ThreadPoolExecutor, as_completed  # here for start-up time

        with ThreadPoolExecutor(thread_name_prefix="gxt-digest") as pool:
            tasks = {pool.submit(self._read_batch, batch): i for i, batch in enumerate(batches)}
            try:
                for task in as_completed(tasks):
                    yield tasks[task], task.result()
            finally:  # Ctrl-C, or a file that cannot be read: nobody waits for the others
                self._stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _read_batch(self, paths: Sequence[Path]) -> list[_Read]:
        return [self._read(path) for path in paths if not self._stopped.is_set()]

    def _read(self, path: Path) -> _Read:
        try:
            for _ in range(_TRIES):
                if (found := self._read_once(path)) is not None:
                    return found
        except OSError as error:
            raise _unreadable(path, error) from None
        raise UsageError(f"dataset {str(path)!r} changes while it is read", "record it when it is complete")

    def _read_once(self, path: Path) -> _Read | None:
        """None where the file was not the same from beginning to end."""
        sha, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        buffer = memoryview(bytearray(_PIECE))
        size = 0
        with open(path, "rb", buffering=0) as stream:
            before = os.fstat(stream.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise UsageError(f"dataset {str(path)!r} is not a file any more")
            while count := stream.readinto(buffer):
                sha.update(buffer[:count])
                if self._with_md5:
                    md5.update(buffer[:count])
                size += count
                if size > before.st_size:  # it grows, perhaps as fast as it is read
                    return None
                if self._moved is not None:
                    self._moved(count)
                if self._stopped.is_set():
                    raise UsageError(f"dataset {str(path)!r} was not read to its end")
            after = Stamp.of(os.fstat(stream.fileno()))
        if not Stamp.of(before) == after == Stamp.of(os.stat(path)) or size != after.size:
            return None
        return _Read(Digest(sha.hexdigest(), md5.hexdigest() if self._with_md5 else "", size), after)
