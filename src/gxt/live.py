"""Runs that are not on the branch yet: folders in the git directory, `gxt/live/<run-id>` while a run records and
`gxt/pending/<run-id>` once it has ended. This module knows nothing of git's objects.

A live folder holds an append-only journal.jsonl (a JSON object a line: what was set), metrics.csv in its final form,
artifacts/, and `lock`, held by the process that records. Ending a run writes the run's documents beside them and
renames the folder to pending: from then on it is whole, and any later commit takes it along.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any
from weakref import WeakSet

from gxt import layout
from gxt.errors import FormatError, NotFoundError, UsageError
from gxt.model import (
    CRASHED,
    FINISHED,
    KILLED,
    RUN_ID,
    RUNNING,
    Experiment,
    Run,
    experiment_folder,
    new_experiment_id,
    now,
    summarise,
)

JOURNAL, LOCK, COMPILED = "journal.jsonl", "lock", "compiled.json"
_PRIVATE = (JOURNAL, LOCK, COMPILED)
"""What is not committed. `compiled.json` tells how much of the journal and the points the documents were made from."""

# Ends the rest of a line that a full disk cut, so that no reader takes it for a whole one: CAN, then the newline.
_CUT = b"\x18\n"
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


def _run_folders(parent: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(path for path in parent.iterdir() if RUN_ID.fullmatch(path.name))
    return []


# --- writing ---------------------------------------------------------------------------------------------


class RunGoneError(OSError):
    """The file to write to has been taken away: the run ended elsewhere.

    Attributes:
        perhaps_written: the line was written all the same, and nobody can tell whether it was still committed.
    """

    def __init__(self, perhaps_written: bool) -> None:
        super().__init__(errno.ENOENT, "the run has ended elsewhere")
        self.perhaps_written = perhaps_written


class Appender:
    """A file that grows by whole lines: one unbuffered write each, so that many processes can share it.

    What a full disk refuses is kept in memory and goes before the next line.
    """

    __slots__ = ("_backlog", "_fd", "_lock", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self._backlog: deque[bytes] = deque()
        self._lock = threading.Lock()
        size = os.fstat(self._fd).st_size
        if size and hasattr(os, "pread") and os.pread(self._fd, 1, size - 1) != b"\n":
            self.append(_CUT)  # a process that is gone was cut off in a line; what we add must not become part of it

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
            self._keep(line, written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

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
        with self._lock:
            self._backlog.append(line)
        self.flush()

    def flush(self) -> None:
        """Write what could not be written before. Raises OSError at the first piece that is not taken still."""
        with self._lock:
            while self._backlog:
                piece = self._backlog.popleft()
                try:
                    written = os.write(self._fd, piece)
                except OSError:
                    self._backlog.appendleft(piece)
                    raise
                if written != len(piece):
                    self._backlog.appendleft(_rest(piece, written))
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _keep(self, data: bytes, written: int) -> None:
        with self._lock:
            self._backlog.append(_rest(data, written))

    def sync(self) -> None:
        """Have the operating system put the file on the disk."""
        self.flush()
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; appending to it afterwards raises OSError."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _rest(data: bytes, written: int) -> bytes:
    """What is still to be written of some lines, from the one on that was cut."""
    whole = data.rfind(b"\n", 0, written) + 1
    return (_CUT if written > whole else b"") + data[whole:]


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
        try:
            self._journal = Appender(self.path / JOURNAL)
            self.metrics = Appender(self.path / layout.METRICS_CSV)
        except FileNotFoundError:
            raise NotFoundError(f"run {run_id} is not recording") from None

    @classmethod
    def create(cls, root: Path, run: Run, owned: bool = True, files: Mapping[str, bytes] | None = None) -> LiveRun:
        """Begin to record `run`. `files` are there from the start: those of a finished run that goes on."""
        # Built aside and renamed, so that no reader sees it before its lock is held.
        building = root / "tmp" / f"{run.id}-{secrets.token_hex(4)}"
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
            shutil.rmtree(building, ignore_errors=True)
            raise
        return cls(root, run.id, lock)

    def record(self, op: str, **content: Any) -> None:
        """Append one operation to the journal. Raises OSError where the disk does not take it."""
        self._journal.append(_line({"op": op, "at": now(), **content}))

    def write_file(self, path: str, fill: Callable[[IO[bytes]], object]) -> None:
        """Have `fill` write the content of a file in the run's folder; it appears whole or not at all.

        Raises:
            UsageError: a part of the path is a file already, or the path is a folder.
            OSError: the disk does not take it.
        """
        target = self.path / path
        beside = self.path / f"{secrets.token_hex(8)}.tmp"
        try:
            with open(beside, "wb") as out:
                fill(out)
            # Not with `parents=True`: that would bring back the run's own folder when it has just ended.
            for folder in reversed(PurePosixPath(path).parents[:-1]):
                (self.path / folder).mkdir(exist_ok=True)
            beside.replace(target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise UsageError(f"{path!r} cannot be both a file and a folder of the run") from None
        finally:
            beside.unlink(missing_ok=True)

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
        aside = self.root / "tmp" / f"{self.run_id}-{secrets.token_hex(4)}"
        self.path.rename(aside)  # at once gone for readers
        self.close()
        shutil.rmtree(aside, ignore_errors=True)

    def finish(self, status: str = FINISHED, exit_code: int | None = None, ended: int | None = None) -> Path:
        """End the run, now unless `ended` says when: write its documents and move its folder to pending.

        Returns the pending folder.

        Raises:
            OSError: the disk does not take it. The live folder is kept, and `recover` tries again.
        """
        self.metrics.flush()
        self.record("end", status=status, exit_code=exit_code, time=ended or now())
        self.metrics.sync()
        self._journal.sync()
        _compile(self.path)
        self.close()  # before the rename: Windows renames no folder with an open file in it
        return _to_pending(self.root, self.run_id)


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
        if read(folder).ended is None:
            journal = Appender(folder / JOURNAL)
            journal.append(_line(_end_of(folder, status)))
            journal.close()
        _compile(folder)
    except FileNotFoundError:  # its process was just ending it, and has
        return None
    finally:
        lock.release()
    return _to_pending(root, run_id)


def _end_of(folder: Path, status: str) -> dict[str, Any]:
    """How a run ends whose process is gone: as it had, where it was only being added to."""
    amends = [operation for operation in _operations(folder) if operation.get("op") == "amend"]
    if amends:
        return amends[-1] | {"op": "end"}
    return {"op": "end", "time": last_sign_of_life(folder), "status": status}


def _compile(folder: Path) -> None:
    """Write the documents of section "A run" of docs/format.md beside the files that are final already."""
    sizes = _sizes(folder)
    points_file = folder / layout.METRICS_CSV
    data = points_file.read_bytes() if points_file.exists() else b""
    points = list(layout.read_points(data))
    if data.count(b"\n") != len(points) + 1 or not data.endswith(b"\n"):  # lines that a crash cut
        data = layout.write_points(points)
        _write(points_file, data)
    run = replace(_replay(folder), metrics=summarise(points))
    for name, content in layout.run_files(run).items():
        _write(folder / name, content)
    if not points:
        points_file.unlink(missing_ok=True)
    (folder / COMPILED).write_text(json.dumps(sizes))


def _sizes(folder: Path) -> dict[str, int]:
    """How much there is of what the documents are made from."""
    sources = (folder / JOURNAL, folder / layout.METRICS_CSV)
    return {path.name: path.stat().st_size for path in sources if path.exists()}


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(path.name + ".tmp")
    with open(beside, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _to_pending(root: Path, run_id: str) -> Path:
    target = pending_path(root, run_id)
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # another process recovered it in between
        live_path(root, run_id).rename(target)
    return target


def committed_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a pending run that go on the branch: path in the run's folder, and where it is now."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            inside = path.relative_to(folder)
            if inside.parts[0] not in _PRIVATE and not (len(inside.parts) == 1 and name.endswith(".tmp")):
                yield inside.as_posix(), path


def refresh(folder: Path) -> None:
    """Write a pending run's documents again where something was added after it ended: by a thread or a process that
    was still at it."""
    compiled = json.loads((folder / COMPILED).read_bytes()) if (folder / COMPILED).exists() else {}
    # A metrics.csv without a point was taken away after it was looked at.
    if any(compiled.get(name) != size for name, size in _sizes(folder).items()):
        _compile(folder)


def extent(folder: Path) -> dict[str, int]:
    """Every file of a pending run and its size, to tell whether something was added since."""
    return {path: file.stat().st_size for path, file in committed_files(folder)} | {
        JOURNAL: (folder / JOURNAL).stat().st_size
    }


def discard(root: Path, folder: Path, committed: Mapping[str, int]) -> bool:
    """Take away a pending folder of which `committed` (its `extent`) is on the branch.

    False where it has more by now: then it stays, to be committed again.
    """
    aside = root / "tmp" / f"done-{folder.name}-{secrets.token_hex(4)}"
    aside.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(aside)  # at once gone for readers; then at leisure
    if extent(aside) != committed:
        aside.rename(folder)
        return False
    shutil.rmtree(aside, ignore_errors=True)
    return True


# --- reading ----------------------------------------------------------------------------------------------------


def read(folder: Path) -> Run:
    """A run as it stands in a live or pending folder, its metrics summarised so far.

    Raises:
        FormatError: the journal does not say which run it is.
        FileNotFoundError: the run is not there any more.
    """
    run = _replay(folder)
    with contextlib.suppress(FileNotFoundError):
        points = layout.read_points((folder / layout.METRICS_CSV).read_bytes())
        run = replace(run, metrics=summarise(points))
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


def last_step(folder: Path) -> int | None:
    """The greatest step logged so far, None before the first point."""
    with contextlib.suppress(FileNotFoundError):
        return max((p.step for p in layout.read_points((folder / layout.METRICS_CSV).read_bytes())), default=None)
    return None


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
        elif op == "environment":
            environment.update(operation["values"])
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
