"""Runs that are not on the branch yet: folders in the git directory, `gxt/live/<run-id>` while a run records and
`gxt/pending/<run-id>` once it has ended. This module knows nothing of git's objects.

A live folder holds an append-only journal.jsonl (a JSON object a line: what was set), metrics.csv in its final form,
artifacts/, and `lock`, held by the process that records. Ending a run appends a last line and renames the folder to
pending: from then on it is whole, and any later commit takes it along. A run's documents are made from the journal and
the points when they are needed (`snapshot`); a folder never holds two accounts of one run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple
from weakref import WeakSet

from gxt import growing, layout, rescue
from gxt.appender import Appender
from gxt.errors import FormatError, GitError, NotFoundError, UsageError
from gxt.model import (
    CRASHED,
    FINISHED,
    KILLED,
    RUN_ID,
    RUNNING,
    Experiment,
    MetricPoint,
    Run,
    experiment_folder,
    new_experiment_id,
    now,
    random_digits,
    summarise,
)
from gxt.pointers import SMALLEST, Pointer

# Where a run comes from takes a moment to find out: with the first that its journal says of it, and with the last.
CAPTURING, CAPTURED = "begins", "ends"

JOURNAL, LOCK, DIGESTS = "journal.jsonl", "lock", "digests.jsonl"
_GROWING = (layout.METRICS_CSV, layout.SYSTEM_CSV, layout.OUTPUT_LOG)
_TAIL = 1 << 20


def home(common_dir: Path) -> Path:
    """gxt's own folder in a git directory. All of it but live and pending runs can be deleted at any time."""
    return common_dir / "gxt"


def live_path(root: Path, run_id: str) -> Path:
    """Where a run records."""
    return root / "live" / run_id


def pending_path(root: Path, run_id: str) -> Path:
    """Where an ended run waits to be committed."""
    return root / "pending" / run_id


def live_runs(root: Path) -> list[Path]:
    """The folders of live runs, oldest first."""
    return _run_folders(root / "live")


def pending_runs(root: Path) -> list[Path]:
    """The folders of ended runs that wait to be committed, oldest first."""
    return _run_folders(root / "pending")


def disk_usage(root: Path) -> int:
    """The bytes that gxt's folder takes."""
    total = 0
    for file in root.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # it was just committed
            total += file.stat().st_size
    return total


_STALE = 86_400.0  # seconds


def leftovers(root: Path) -> list[Path]:
    """The folders of processes that died while they made or removed one."""
    found = []
    for folder in (root / "tmp").glob("*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE:
                found.append(folder)
    return found


def remove_leftovers(root: Path) -> list[Path]:
    """Take such folders away. Returns what was taken."""
    found = leftovers(root)
    for folder in found:
        _remove(folder)
    return found


def _remove(folder: Path) -> None:
    import shutil  # here for start-up time

    shutil.rmtree(folder, ignore_errors=True)


def _run_folders(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if RUN_ID.fullmatch(path.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        hint = f"gxt keeps a folder at {parent.parent}; where something else is there, move it away"
        raise GitError(f"cannot look for runs in {parent}: {error.strerror}", hint) from None


# --- writing ---------------------------------------------------------------------------------------------


class LiveRun:
    """A run folder open for recording, by the process that owns the run or by one that joined it.

    The owner holds the folder's lock: while it does, readers know that the run is alive. A run made with
    `owned=False` has no owner; only an explicit finish ends it.
    """

    def __init__(self, root: Path, run_id: str, lock: _HeldLock | None = None) -> None:
        """Join a run that is live. Raises NotFoundError when it is not."""
        if not RUN_ID.fullmatch(run_id):
            raise NotFoundError(f"{run_id!r} is no run's id")
        self.root = root
        self.run_id = run_id
        self.path = live_path(root, run_id)
        self.is_owner = lock is not None
        self._lock = lock
        self._names: dict[str, dict[str, str]] = {}  # by folder: what file systems may not tell apart, to the name
        try:
            self._journal = Appender(self.path / JOURNAL)
            self.metrics = Appender(self.path / layout.METRICS_CSV)
        except FileNotFoundError:
            raise NotFoundError(f"run {run_id} is not recording") from None

    @classmethod
    def create(cls, root: Path, run: Run, owned: bool = True, files: Mapping[str, bytes] | None = None) -> LiveRun:
        """Begin to record `run`. `files` are there from the start: those of a finished run that goes on."""
        # Built aside and renamed, so that no reader sees it before its lock is held.
        building = root / "tmp" / f"{run.id}-{random_digits(8)}"
        (root / "live").mkdir(parents=True, exist_ok=True)
        building.mkdir(parents=True)
        (building / LOCK).touch()
        lock = _try_lock(building) if owned else None
        content = {layout.METRICS_CSV: layout.METRICS_HEADER} | dict(files or {})
        for name, data in content.items():
            (building / name).write_bytes(data)
        (building / JOURNAL).write_bytes(_line({"op": "run", "owned": owned, **_run_to_json(run)}))
        try:
            building.rename(live_path(root, run.id))
        except OSError:
            _remove(building)
            raise
        return cls(root, run.id, lock)

    def record(self, op: str, **content: Any) -> None:
        """Append one operation to the journal. Raises OSError where the disk does not take it."""
        self._journal.append(_line({"op": op, "at": now(), **content}))

    def write_file(self, path: str, fill: Callable[[IO[bytes]], object]) -> None:
        """Have `fill` write the content of a file in the run's folder; it appears whole or not at all.

        Where `fill` returns a Pointer, that is the digest of what it wrote, which is then not worked out again.

        Raises:
            UsageError: a part of the path is a file already, the path is a folder, or there is one that not every
                file system tells apart from it.
            OSError: the disk does not take it; where another file system does, it is kept there for `recover`.
        """
        self.check_distinct([path])
        target = self.path / path
        beside = self.path / f"{random_digits(16)}.tmp"
        try:
            with open(beside, "wb") as out:
                pointer = fill(out)
            about = beside.stat()
            # Not with `parents=True`: that would bring back the run's own folder when it has just ended.
            for folder in reversed(PurePosixPath(path).parents[:-1]):
                (self.path / folder).mkdir(exist_ok=True)
            beside.replace(target)
            if about.st_size > SMALLEST:
                oid = pointer.oid if isinstance(pointer, Pointer) else ""
                note_digest(self.path, path, Digest(about.st_size, about.st_mtime_ns, oid))
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            if not self.is_in_place():  # the run has just ended, in the middle of it
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
            raise UsageError(f"{path!r} cannot be both a file and a folder of the run") from None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT) and (place := rescue.keep_file(self.run_id, path, fill)):
                raise OSError(error.errno, f"{error.strerror}; it is kept in {place}") from None
            raise
        finally:
            beside.unlink(missing_ok=True)

    def check_distinct(self, paths: Iterable[str]) -> None:
        """Raise UsageError where a path differs from another, or from one that is there, only in what not every file
        system tells apart: on macOS and Windows the two are one file, and a checkout of the run would lose one."""
        added: dict[str, dict[str, str]] = {}
        for path in paths:
            parent = ""
            for part in PurePosixPath(path).parts:
                if parent not in self._names:
                    self._names[parent] = {}
                    with contextlib.suppress(OSError):
                        self._names[parent] = {_folded(name): name for name in os.listdir(self.path / parent)}
                folded = _folded(part)
                known = self._names[parent].get(folded) or added.setdefault(parent, {}).setdefault(folded, part)
                if known != part:
                    raise UsageError(
                        f"{path!r} differs from {parent + known!r} only in case, or in how accents are encoded",
                        "some file systems take the two for one; choose another name",
                    )
                parent += f"{part}/"
        for parent, names in added.items():
            self._names[parent].update(names)

    def read_artifact(self, path: str) -> bytes | None:
        """A file of the run that was written here, also where a full disk had it kept elsewhere."""
        places = [self.path / path, rescue.find_file(self.run_id, path)]
        found = [place for place in places if place is not None and place.is_file()]
        return max(found, key=lambda place: place.stat().st_mtime_ns).read_bytes() if found else None

    def hand_over(self, to: LiveRun) -> None:
        """Stop recording here, and let another have what could not be written."""
        for mine, its in ((self.metrics, to.metrics), (self._journal, to._journal)):
            if lines := mine.take_backlog():
                with contextlib.suppress(OSError):
                    its.append(lines)
        self.close_files()

    def is_in_place(self) -> bool:
        """Whether this is still the folder that the run records in."""
        return self._journal.is_in_place()

    def has_points(self, lines: bytes) -> bool:
        """Whether metrics.csv ends in something that holds these lines."""
        with open(self.path / layout.METRICS_CSV, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - len(lines) - _TAIL))
            return lines in file.read()

    def close_files(self) -> None:
        """Stop recording here; a run that we joined, or inherited by a fork, goes on elsewhere."""
        self._journal.close()
        self.metrics.close()

    def close(self) -> None:
        """Give the run up without ending it: it then counts as crashed, and `recover` ends it."""
        self.close_files()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def discard(self) -> None:
        """Take the run away, with all it has."""
        self.close_files()
        aside = self.root / "tmp" / f"{self.run_id}-{random_digits(8)}"
        self.path.rename(aside)  # at once gone for readers
        self.close()
        _remove(aside)

    def sync(self) -> None:
        """Have the operating system put what was logged on the disk."""
        self.metrics.sync()
        self._journal.sync()

    def finish(self, status: str = FINISHED, exit_code: int | None = None, ended: int | None = None) -> Path:
        """End the run, now unless `ended` says when: move its folder to pending.

        Returns the pending folder.

        Raises:
            OSError: the disk does not take it. The live folder is kept, and `recover` tries again.
        """
        with contextlib.suppress(OSError):  # kept by the journal, and tried again by its sync
            self.record("end", status=status, exit_code=exit_code, time=ended or now())
        self.sync()
        self.close()  # before the rename: Windows renames no folder with an open file in it
        return _to_pending(self.root, self.run_id)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _line(operation: Mapping[str, Any]) -> bytes:
    return json.dumps(operation, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


# --- locks --------------------------------------------------------------------------------------------------


class _HeldLock:
    """A run's lock while this process holds it. A forked child has no part in it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        _held.add(self)

    def release(self) -> None:
        """Give the lock up; a second time does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


_held: WeakSet[_HeldLock] = WeakSet()


def _release_inherited() -> None:
    # A lock is held as long as any process has the file open, so a worker that outlives its parent would keep a
    # crashed run looking alive. Closing the child's descriptor leaves the parent's lock as it is.
    for lock in list(_held):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_inherited)


def _try_lock(folder: Path) -> _HeldLock | None:
    """The lock of a run's folder, None where another process holds it.

    The file has to exist: a lock that made it would bring back the folder of a run that has just ended.

    Raises:
        OSError: the folder is gone, or we may not write there.
    """
    from filelock import lock_descriptor  # here for start-up time: appending to a run needs no lock

    fd = os.open(folder / LOCK, os.O_RDWR)
    try:
        if lock_descriptor(fd, blocking=False):
            return _HeldLock(fd)
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


# --- ending -------------------------------------------------------------------------------------------------


def recover(root: Path, run_id: str, status: str = KILLED) -> Path | None:
    """End a live run whose process is gone, with all it had; returns its pending folder.

    The end is set at its last sign of life. None where it is alive after all, or somebody else ended it.
    """
    folder = live_path(root, run_id)
    try:
        lock = _try_lock(folder)
    except OSError:
        return None
    if lock is None:
        return None
    try:
        take_back_rescued(folder)
        if _replay(folder).ended is None:
            journal = Appender(folder / JOURNAL)
            lost = _not_captured(folder)
            journal.append(b"".join(_line(operation) for operation in [*lost, _end_of(folder, status)]))
            journal.close()
    except FileNotFoundError:  # its process was just ending it, and has
        return None
    finally:
        lock.release()
    return _to_pending(root, run_id)


def take_back_rescued(folder: Path) -> None:
    """Put into a run's folder what a full disk refused and was kept elsewhere. Raises OSError while it is full."""
    for kept in rescue.kept_lines(folder.name):
        _add(folder / kept.name, kept.path.read_bytes(), kept.flushed_at)
        kept.path.unlink()
    rescue.move_files(folder.name, folder)


def _add(path: Path, lines: bytes, flushed_at: int | None) -> None:
    """Append lines, but for those that went there before their process died: they are behind `flushed_at`."""
    have: Counter[bytes] = Counter()
    if flushed_at is not None:
        with open(path, "rb") as file:
            file.seek(flushed_at)
            have = Counter(file.read().split(b"\n"))
    missing = []
    for line in lines.split(b"\n")[:-1]:  # what follows the last newline was never whole
        if have[line]:
            have[line] -= 1
        else:
            missing.append(line + b"\n")
    if missing:
        appender = Appender(path, keep=False)  # they are kept as it is
        try:
            appender.append(b"".join(missing))
            appender.sync()
        finally:
            appender.close()


def _not_captured(folder: Path) -> list[dict[str, Any]]:
    """What to say of a run whose process was gone before it knew the run's code."""
    operations = list(_operations(folder))
    began = [number for number, operation in enumerate(operations) if operation.get("capture") == CAPTURING]
    if not began or any(operation.get("capture") == CAPTURED for operation in operations[began[-1] :]):
        return []
    has_packages = (folder / layout.ENVIRONMENT_TXT).exists()
    what = "its code was recorded" if has_packages else "its code and environment were recorded"
    return [{"op": "source", "values": {"problem": f"no snapshot of the code: the process was gone before {what}"}}]


def _end_of(folder: Path, status: str) -> dict[str, Any]:
    """How a run ends whose process is gone: as it had, where it was only being added to."""
    amends = [operation for operation in _operations(folder) if operation.get("op") == "amend"]
    if amends:
        return amends[-1] | {"op": "end"}
    return {"op": "end", "time": last_sign_of_life(folder), "status": status}


def _to_pending(root: Path, run_id: str) -> Path:
    target = pending_path(root, run_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # another process recovered it in between
        live_path(root, run_id).rename(target)
    return target


def discard(root: Path, taken: Snapshot) -> bool:
    """Take away a pending folder that is on the branch as `taken` says.

    False where it has more by now, from a thread or a process that was still at it: then it stays, to be committed
    again.
    """
    folder = taken.folder
    aside = root / "tmp" / f"done-{folder.name}-{random_digits(8)}"
    aside.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(aside)  # at once gone for readers; then at leisure
    if _extent(aside) != taken.extent:
        aside.rename(folder)
        return False
    _remove(aside)
    return True


# --- reading ----------------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """A file of a run: the first `size` bytes of one that `grows`; one that does not may be replaced as a whole."""

    path: Path
    size: int
    grows: bool

    def chunks(self) -> Iterator[bytes]:
        """The bytes, some at a time."""
        with self.path.open("rb") as file:
            left = self.size if self.grows else os.fstat(file.fileno()).st_size
            while left and (chunk := file.read(min(left, 1 << 20))):
                yield chunk
                left -= len(chunk)

    def read(self) -> bytes:
        """The bytes, all at once."""
        return b"".join(self.chunks())


Extent = dict[str, tuple[int, int]]
"""The files of a run's folder: path to size and time of change, to tell whether something was added since."""


class Snapshot(NamedTuple):
    """What the branch is to hold of a run, at one moment of its folder.

    Attributes:
        folder: where it was read.
        run: what its documents say.
        files: path in the run's folder to content.
        extent: what was there when it was read.
    """

    folder: Path
    run: Run
    files: dict[str, bytes | Piece]
    extent: Extent


def snapshot(folder: Path) -> Snapshot:
    """A live or pending run as the branch is to hold it. Raises as `read` does."""
    extent = _extent(folder)  # first: what comes while we read must show as a difference later
    points, whole = _points(folder)
    run = replace(_replay(folder), metrics=summarise(points))
    files: dict[str, bytes | Piece] = dict(layout.run_files(run))
    for path, (size, _) in extent.items():
        if path not in (JOURNAL, layout.METRICS_CSV):
            files[path] = Piece(folder / path, size, grows=path in _GROWING)
    if points:
        files[layout.METRICS_CSV] = whole
    return Snapshot(folder, run, files, extent)


def _extent(folder: Path) -> Extent:
    found = {}
    top = str(folder)
    for parent, folders, names in os.walk(top):
        folders.sort()
        inside = parent[len(top) + 1 :].replace(os.sep, "/")
        for name in sorted(names):
            if not inside and (name in (LOCK, DIGESTS, growing.FILE) or name.endswith(".tmp")):
                continue
            with contextlib.suppress(FileNotFoundError):
                about = os.stat(os.path.join(parent, name))
                found[f"{inside}/{name}" if inside else name] = (about.st_size, about.st_mtime_ns)
    return found


class Digest(NamedTuple):
    """A large file of a run as gxt wrote it: its size, its time of change, and the SHA-256, empty where nobody has
    worked it out yet."""

    size: int
    changed: int
    oid: str

    def is_of(self, about: os.stat_result) -> bool:
        """Whether a file is still the one that was written."""
        return (self.size, self.changed) == (about.st_size, about.st_mtime_ns)


def note_digest(folder: Path, path: str, digest: Digest) -> None:
    """Keep what is known of a file in a run's folder. Raises OSError where the folder is gone or the disk is full."""
    line = _line({"path": path, **digest._asdict()})
    fd = os.open(folder / DIGESTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


def digests(folder: Path) -> dict[str, Digest]:
    """What is known of the large files in a run's folder, by path."""
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / DIGESTS).read_bytes().split(b"\n"):
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that a crash or a full disk cut
                about = json.loads(line)
                found[str(about["path"])] = Digest(int(about["size"]), int(about["changed"]), str(about["oid"]))
    return found


def _points(folder: Path) -> tuple[list[MetricPoint], bytes | Piece]:
    """A run's points so far, and the metrics.csv that holds just these."""
    path = folder / layout.METRICS_CSV
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return [], b""
    points = list(layout.read_points(data))
    whole = data.rfind(b"\n") + 1
    if data.count(b"\n") == len(points) + 1:  # the header, and a line a point
        return points, Piece(path, whole, grows=True)
    return points, layout.write_points(points)  # a crash or a full disk cut a line


def read(folder: Path, summary: bool = True) -> Run:
    """A run as it stands in a live or pending folder, its metrics summarised so far, unless `summary` is false.

    Raises:
        FormatError: the journal does not say which run it is.
        FileNotFoundError: the run is not there any more.
    """
    run = _replay(folder)
    if summary:
        run = replace(run, metrics=growing.summarise_file(folder))
    if folder.parent.name == "pending":
        return replace(run, place="pending")
    alive = run.ended is not None or is_alive(folder)
    return replace(run, place="live", status=run.status if alive else CRASHED)


def is_owned(folder: Path) -> bool:
    """Whether a process is meant to hold this live run's lock (`gxt start` makes runs that none does)."""
    return bool(next(_operations(folder), {}).get("owned"))


def is_alive(folder: Path) -> bool:
    """Whether a live run still records: its process holds the lock, or it needs no process."""
    if not is_owned(folder):
        return True
    try:
        lock = _try_lock(folder)
    except OSError:  # it has just ended; or we may not write there, and cannot tell
        return True
    if lock is not None:
        lock.release()
    return lock is None


def last_sign_of_life(folder: Path) -> int:
    """When something was last written to a run's folder, in milliseconds since 1970 UTC."""
    names = (JOURNAL, layout.METRICS_CSV, layout.SYSTEM_CSV, layout.OUTPUT_LOG)
    return max(path.stat().st_mtime_ns for path in map(folder.joinpath, names) if path.exists()) // 1_000_000


def last_logged(folder: Path) -> int:
    """When the program itself last logged something, in milliseconds since 1970 UTC: what is recorded of it in the
    background, such as its code and samples of the system, does not count."""
    logged = (folder / layout.METRICS_CSV, folder / layout.ARTIFACTS)
    times = [0, *(path.stat().st_mtime_ns // 1_000_000 for path in logged if path.exists())]
    for operation in _operations(folder):
        about_author = operation.get("op") == "set" and operation.get("values", {}).keys() == {"author"}
        if operation.get("op") not in ("source", "environment") and not about_author:
            times.append(operation.get("at", 0))  # the first one begins the run
    return max(times)


def last_step(folder: Path) -> int | None:
    """The greatest step logged so far, None before the first point."""
    return max((point.step for point in _points(folder)[0]), default=None)


def _operations(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        data = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        return
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError):  # a line that a crash or a full disk cut
            operation = json.loads(line)
            if isinstance(operation, dict):
                yield operation


def params_since(folder: Path, offset: int) -> tuple[list[dict[str, Any]], int]:
    """The params that the journal gained after `offset` bytes, as they were logged, and its length now."""
    with open(folder / JOURNAL, "rb") as journal:
        journal.seek(offset)
        data = journal.read()
    found = []
    for line in data.split(b"\n"):
        with contextlib.suppress(ValueError):
            operation = json.loads(line)
            key = {"run": "params", "params": "values"}.get(operation["op"])
            if key in operation:
                found.append(operation[key])
    return found, offset + data.rfind(b"\n") + 1


def _replay(folder: Path) -> Run:
    """What the journal's operations come to. A param keeps its first value; everything else its last."""
    operations = _operations(folder)
    first = next(operations, {})
    if not first and not folder.is_dir():
        raise FileNotFoundError(folder)
    run = _run_from_json(first, folder)
    params, tags, inputs = dict(run.params), dict(run.tags), dict(run.inputs)
    source, environment = dict(run.source), dict(run.environment)
    plain: dict[str, Any] = {}
    for operation in operations:
        op = operation.get("op")
        if op == "params":
            params = add_params(params, operation["values"])
        elif op == "tags":
            tags.update(operation["values"])
        elif op == "untag":
            tags.pop(operation["key"], None)
        elif op == "input":
            inputs[operation["name"]] = operation["values"]
        elif op == "source":
            source.update(operation["values"])
        elif op == "resumed":
            source["resumed"] = [*source.get("resumed", ()), operation["values"]]
        elif op == "resumed_with" and source.get("resumed"):
            *before, last = source["resumed"]
            source["resumed"] = [*before, {**last, **operation["values"]}]
        elif op == "environment":
            values = operation["values"]
            environment = {**values, **{key: value for key, value in environment.items() if key not in values}}
        elif op == "set":
            plain.update(operation["values"])
        elif op == "end":
            plain["status"], plain["ended"] = operation["status"], operation["time"]
            plain["exit_code"] = operation.get("exit_code")
    return replace(run, params=params, tags=tags, inputs=inputs, source=source, environment=environment, **plain)


def add_params(params: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Params with more of them added; what is there already keeps its value."""
    merged = dict(params)
    for key, value in more.items():
        known = merged.get(key)
        if isinstance(known, Mapping) and isinstance(value, Mapping):
            merged[key] = add_params(known, value)
        elif key not in merged:
            merged[key] = value
    return merged


_RUN_JSON = tuple(field.name for field in fields(Run) if field.name not in ("metrics", "place"))


def _run_to_json(run: Run) -> dict[str, Any]:
    return {name: getattr(run, name) for name in _RUN_JSON if getattr(run, name) not in (None, {})}


def _run_from_json(operation: Mapping[str, Any], folder: Path) -> Run:
    if operation.get("op") != "run" or "experiment" not in operation:
        raise FormatError(f"{folder / JOURNAL}: the first line does not name a run")
    known = {name: operation[name] for name in _RUN_JSON if name in operation}
    return Run(**{"status": RUNNING, **known, "id": folder.name})


# --- experiments that are not on the branch yet -----------------------------------------------------------------


def new_experiment(root: Path, name: str) -> Experiment:
    """The experiment of that name that this clone is about to create; the same for every process that asks."""
    folder = experiment_folder(name)
    path = root / "experiments" / f"{folder}.yaml"
    with contextlib.suppress(FileNotFoundError):
        return layout.read_experiment(folder, path.read_bytes())
    experiment = Experiment(name=name, id=new_experiment_id(), created=now())
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{experiment.id}.tmp")
    beside.write_bytes(layout.experiment_document(experiment))
    try:
        os.link(beside, path)  # unlike a rename, fails where somebody else was first
    except FileExistsError:
        with contextlib.suppress(FileNotFoundError):  # theirs is on the branch by now, and wins there
            experiment = layout.read_experiment(folder, path.read_bytes())
    except OSError:  # a file system without hard links
        beside.replace(path)
    beside.unlink(missing_ok=True)
    return experiment


def new_experiments(root: Path) -> list[Experiment]:
    """The experiments that this clone is about to create."""
    found = []
    for file in sorted((root / "experiments").glob("*.yaml")):
        with contextlib.suppress(FileNotFoundError):  # it has just come onto the branch
            found.append(layout.read_experiment(file.name.removesuffix(".yaml"), file.read_bytes()))
    return found


def forget_experiment(root: Path, name: str) -> None:
    """The experiment is on the branch now."""
    (root / "experiments" / f"{experiment_folder(name)}.yaml").unlink(missing_ok=True)
