"""What a full disk refuses, kept on another file system until there is room: lines and files, by run.

    <folder>/gxt-<user>/<run-id>/<pid>.<file name>       lines for a file of the run
    <folder>/gxt-<user>/<run-id>/left-<pid>.<file name>  the same, of a process that has no more to do with the run
    <folder>/gxt-<user>/<run-id>/<pid>@<size>.<file name>  the same, some of it perhaps in the file behind that size
    <folder>/gxt-<user>/<run-id>/files/<path>            a whole file of the run

The folders are those that programs keep temporary files in; the first that takes it is used, and all are looked
through afterwards. TMPDIR comes late: where a scheduler sets it, it is gone with the job.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

_KEPT = re.compile(r"(?P<left>left-)?(?P<process>\d+)(@(?P<size>\d+))?\.(?P<name>.+)")
_MEMORY = "/dev/shm"
PLACES: tuple[str, ...] = ("/tmp", "/var/tmp", "~/.cache", "$TMPDIR", "$TEMP", _MEMORY)


class KeptLines:
    """Lines for one file of a run, kept apart from it by this process."""

    def __init__(self, run_id: str, name: str) -> None:
        self._run_id, self._name = run_id, f"{os.getpid()}.{name}"
        self._path: Path | None = None
        self._flushing = False

    def append(self, lines: bytes) -> bool:
        """Keep some more. False where no other file system takes them either."""
        if self._path is not None and _append(self._path, lines):
            return True
        for folder in _folders(self._run_id, make=True):
            if _append(folder / self._name, lines):
                self._path = folder / self._name
                return True
            with contextlib.suppress(OSError):
                folder.rmdir()
        return False

    def begin_flush(self, size: int) -> None:
        """From now on they are written to their file, which has that size: what dies meanwhile has written some."""
        if not self._flushing:
            process, _, name = self._name.partition(".")
            self._rename(f"{process}@{size}.{name}")
            self._flushing = True

    def leave(self) -> None:
        """This process has no more to do with the run: whoever recovers it may take them."""
        self._rename(f"left-{self._name}")

    def _rename(self, name: str) -> None:
        for folder in _folders(self._run_id):
            with contextlib.suppress(OSError):
                (folder / self._name).rename(folder / name)
                if self._path is not None and self._path.parent == folder:
                    self._path = folder / name
        self._name = name

    def discard(self) -> None:
        """They are where they belong now."""
        if self._path is None:
            return
        for folder in _folders(self._run_id):
            with contextlib.suppress(OSError):
                (folder / self._name).unlink()
            with contextlib.suppress(OSError):
                folder.rmdir()  # if that was all
        self._path, self._flushing = None, False
        self._name = f"{os.getpid()}.{self._name.partition('.')[2]}"


def _append(path: Path, lines: bytes) -> bool:
    """Append all of it or nothing."""
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
        before = file.tell()
        if file.write(lines) == len(lines):
            return True
        file.truncate(before)
    return False


def keep_file(run_id: str, path: str, fill: Callable[[IO[bytes]], object]) -> Path | None:
    """Have `fill` write a file of the run to a place apart. None where no other file system takes it."""
    for folder in _folders(run_id, make=True):
        if folder.is_relative_to(_MEMORY):
            continue
        target = folder / "files" / path
        beside = target.with_name(f"{target.name}.{os.getpid()}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(beside, "wb") as out:
                fill(out)
            beside.replace(target)
        except OSError:
            with contextlib.suppress(OSError):
                beside.unlink()
            continue
        return target
    return None


def kept_runs() -> list[str]:
    """The ids of the runs, of whatever repository, that something is kept for."""
    return sorted({folder.name for place in _places() if _is_ours(place) for folder in place.iterdir()})


class Kept(NamedTuple):
    """Lines that were kept: the name of the file they are for, where they are, and the size of that file from which
    on some of them may be in it."""

    name: str
    path: Path
    flushed_at: int | None


def kept_lines(run_id: str) -> Iterator[Kept]:
    """The lines that were kept for a run.

    Not those of a process that is alive and still at it: it writes them itself as soon as there is room.
    """
    for folder in _folders(run_id):
        for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
            if (match := _KEPT.fullmatch(path.name)) and (match["left"] or not _is_alive(int(match["process"]))):
                yield Kept(match["name"], path, int(match["size"]) if match["size"] else None)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def find_file(run_id: str, path: str) -> Path | None:
    """Where a file of the run is kept, the latest of several; None where it is not."""
    found = [folder / "files" / path for folder in _folders(run_id) if (folder / "files" / path).is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def move_files(run_id: str, target: Path) -> None:
    """Put the files that were kept for a run below a folder, but for those that it has in a later version."""
    import shutil  # here for start-up time: it is for bad days

    for folder in _folders(run_id):
        kept = folder / "files"
        for path in sorted(path for path in kept.rglob("*") if path.is_file() and path.suffix != ".tmp"):
            place = target / PurePosixPath(path.relative_to(kept))
            if not place.exists() or place.stat().st_mtime_ns < path.stat().st_mtime_ns:
                place.parent.mkdir(parents=True, exist_ok=True)
                beside = target / f"{os.getpid()}.tmp"
                try:
                    shutil.copyfile(path, beside)
                    beside.replace(place)
                finally:
                    beside.unlink(missing_ok=True)
            path.unlink()
        shutil.rmtree(kept, ignore_errors=True)
        with contextlib.suppress(OSError):
            folder.rmdir()  # if that was all


def _places() -> Iterator[Path]:
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    for place in dict.fromkeys(os.path.expanduser(os.path.expandvars(place)) for place in PLACES):
        if not place.startswith("$"):  # a variable that is not set
            yield Path(place, f"gxt-{user}")


def _folders(run_id: str, make: bool = False) -> Iterator[Path]:
    """A run's folder in each place: where it is, or wherever it can be made."""
    for place in _places():
        folder = place / run_id
        try:
            if make:
                place.mkdir(mode=0o700, exist_ok=True)
            if not _is_ours(place):
                continue
            if make:
                folder.mkdir(mode=0o700, exist_ok=True)
            if _is_ours(folder):
                yield folder
        except OSError:
            continue


def _is_ours(folder: Path) -> bool:
    """Whether a folder in a place that everybody can write to is really ours, and not set there for us by others."""
    try:
        about = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(about.st_mode) and (not hasattr(os, "getuid") or about.st_uid == os.getuid())
