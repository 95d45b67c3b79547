"""Files that grow by whole lines and that many processes share; what a full disk refuses is kept until it is taken."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import deque
from pathlib import Path
from weakref import WeakSet

from gxt.rescue import KeptLines

# Ends the rest of a line that a full disk cut, so that no reader takes it for a whole one: CAN, then the newline.
_CUT = b"\x18\n"
_MOST_IN_MEMORY = 64 << 20


class RunGoneError(OSError):
    """The file to write to has been taken away: the run ended elsewhere.

    Attributes:
        perhaps_written: the line was written all the same, and nobody can tell whether it was still committed.
    """

    def __init__(self, perhaps_written: bool) -> None:
        super().__init__(errno.ENOENT, "the run has ended elsewhere")
        self.perhaps_written = perhaps_written


class Appender:
    """A file of a run that grows by whole lines: one unbuffered write each, so that many processes can share it.

    What a full disk refuses is kept in memory and goes before the next line. It is kept on another file system too
    (gxt.rescue), for the case that this process ends before there is room again.
    """

    __slots__ = ("__weakref__", "_backlog", "_fd", "_in_memory", "_keeps", "_kept", "_lock", "_path", "_spilled")

    def __init__(self, path: Path, keep: bool = True) -> None:
        """Open a file, made where it is not there. Without `keep`, what is refused is not kept anywhere."""
        self._path = path
        self._keeps = keep
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self._backlog: deque[bytes] = deque()
        self._in_memory = 0
        self._kept = KeptLines(path.parent.name, path.name)
        self._spilled = False  # some of it is only there
        self._lock = threading.Lock()
        _open_files.add(self)
        size = os.fstat(self._fd).st_size
        if size and hasattr(os, "pread") and os.pread(self._fd, 1, size - 1) != b"\n":
            # A process that is gone was cut off in a line; what we add must not become part of it.
            with contextlib.suppress(OSError):  # it goes before the next line then
                self.append(_CUT)

    def append(self, line: bytes) -> None:
        """Hand a line to the operating system. Raises OSError where it is not taken; it is tried again later."""
        if self._backlog:
            self._append_behind(line)
            return
        try:
            written = os.write(self._fd, line)
        except OSError:
            self._keep(line, 0)
            raise
        if written != len(line):
            self._keep(line, self._taken_back(line, written))
            raise _full()

    def _taken_back(self, data: bytes, written: int) -> int:
        """Take back what was written of a line that the disk cut, lest another process writes on in it.

        Returns how much of the line is in the file after all: where somebody was faster, it stays.
        """
        size = os.fstat(self._fd).st_size
        # By content: a forked process shares the position in the file.
        if not hasattr(os, "pread") or os.pread(self._fd, written, size - written) != data[:written]:
            return written
        os.ftruncate(self._fd, size - written)
        return 0

    def append_checked(self, line: bytes) -> None:
        """As `append`, for a process that does not hold the run's lock. Raises RunGoneError where the run is gone."""
        if not self.is_in_place():
            raise RunGoneError(perhaps_written=False)
        self.append(line)
        if not self.is_in_place():
            raise RunGoneError(perhaps_written=True)

    def is_in_place(self) -> bool:
        """Whether the file is still where it was opened, and not moved, deleted or replaced by another."""
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except FileNotFoundError:
            return False

    def _append_behind(self, line: bytes) -> None:
        self._keep(line, 0)
        self.flush()

    def flush(self) -> None:
        """Write what could not be written before. Raises OSError at the first piece that is not taken still."""
        with self._lock:
            if not self._backlog:
                return
            self._kept.begin_flush(self._whole_lines())
            while self._backlog:
                piece = self._backlog[0]
                written = os.write(self._fd, piece)
                if written != len(piece):
                    self._backlog[0] = _rest(piece, self._taken_back(piece, written))
                    raise _full()
                self._backlog.popleft()
            if not self._spilled:
                self._kept.discard()
            self._in_memory = 0

    def _whole_lines(self) -> int:
        """The size of the file up to its last whole line: what follows may still be taken back by who wrote it."""
        size = os.fstat(self._fd).st_size
        if not hasattr(os, "pread"):
            return size
        tail = os.pread(self._fd, min(size, 1 << 16), max(0, size - (1 << 16)))
        return size - len(tail) + tail.rfind(b"\n") + 1

    def _keep(self, data: bytes, written: int) -> None:
        if self._fd < 0 or not self._keeps:
            return  # where it is closed, that is the caller's mistake, and no matter of the disk
        piece = _rest(data, written)
        with self._lock:
            self._kept.append(piece)
            self._in_memory += len(piece)
            # Beyond that, only what is kept elsewhere is left: a training script needs its memory itself.
            if self._in_memory <= _MOST_IN_MEMORY:
                self._backlog.append(piece)
            else:
                self._spilled = True

    def keep(self, lines: bytes) -> None:
        """Keep lines to be written before the next ones."""
        self._keep(lines, 0)

    def take_backlog(self) -> bytes:
        """What could not be written; from now on it is the caller's."""
        with self._lock:
            lines = b"".join(self._backlog)
            self._backlog.clear()
            self._in_memory = 0
            if not self._spilled:
                self._kept.discard()
        return lines

    def forget_backlog(self) -> None:
        """In a forked child: what waits is the parent's to write, and a thread that is not here may hold the lock."""
        self._backlog, self._in_memory, self._spilled = deque(), 0, False
        self._kept = KeptLines(self._path.parent.name, self._path.name)
        self._lock = threading.Lock()

    def sync(self) -> None:
        """Have the operating system put the file on the disk."""
        self.flush()
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; appending to it afterwards raises OSError."""
        if self._fd < 0:
            return
        if self._backlog:
            with contextlib.suppress(OSError):
                self.flush()
            if self._backlog:
                self._kept.leave()
        os.close(self._fd)
        self._fd = -1


_open_files: WeakSet[Appender] = WeakSet()


def _after_fork() -> None:
    for file in list(_open_files):
        file.forget_backlog()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _rest(data: bytes, written: int) -> bytes:
    """What is still to be written of some lines, from the one on that was cut."""
    whole = data.rfind(b"\n", 0, written) + 1
    return (_CUT if written > whole else b"") + data[whole:]
