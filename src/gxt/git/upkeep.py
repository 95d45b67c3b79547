"""Packing, and removing what processes that died have left behind."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from gxt.git.commits import UNSIGNED
from gxt.git.process import git_error, run, scrubbed_environment, start, starting
from gxt.git.refs import drop_ref
from gxt.git.repository import Repository
from gxt.git.settings import is_true, whole_number
from gxt.git.snapshots import HOLD, drop_old_holds

# A commit of a run is a pack of its own, with a new copy of the experiment's list of runs (30 bytes a run).
_MOST_NEW_PACKS, _MOST_NEW_BYTES = 24, 8 << 20
_maintaining: list[subprocess.Popen[bytes]] = []


def maintain(repo: Repository, settings: Mapping[str, str], marker: Path) -> bool:
    """Have git put small packs together in the background, when enough have come since the last time.

    Nobody waits for it, and it leaves large packs alone (`git repack --geometric`). `marker` is a file of the caller's:
    it tells when that was, and is locked while git is at it. False where there is nothing to do, or the user's
    maintenance.auto, gc.auto or gc.autoPackLimit forbid it.
    """
    _maintaining[:] = [process for process in _maintaining if process.poll() is None]
    limit = whole_number(settings.get("gc.autopacklimit"), 50)
    forbidden = whole_number(settings.get("gc.auto"), 1) <= 0 or not is_true(settings.get("maintenance.auto", "true"))
    if forbidden or limit <= 0 or _maintaining:
        return False
    try:
        since = marker.stat().st_mtime_ns
    except FileNotFoundError:
        marker.touch()
        return False
    new = sorted(size for size, changed in _packs(repo) if changed > since)[:-1]  # the largest is what was put together
    if len(new) < min(limit, _MOST_NEW_PACKS) and sum(new) < _MOST_NEW_BYTES:
        return False
    # In a partial clone, only git knows which packs it has promised to keep apart.
    partial = "extensions.partialclone" in settings or any(key.endswith(".promisor") for key in settings)
    task = ["gc", "--auto", "--quiet"] if partial else ["repack", "--geometric=2", "-d", "-l", "-q"]
    with contextlib.suppress(OSError), open(marker, "r+b") as lock:
        from filelock import lock_descriptor  # here for start-up time

        if not lock_descriptor(lock.fileno(), blocking=False):
            return False
        os.utime(marker)
        with starting:
            process = subprocess.Popen(
                [
                    "git",
                    f"--git-dir={repo.common_dir}",
                    "-c",
                    "pack.threads=1",
                    "-c",
                    "repack.writeBitmaps=false",
                    *task,
                ],
                cwd=repo.common_dir,
                env=scrubbed_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the terminal is not meant for it
                pass_fds=(lock.fileno(),) if os.name == "posix" else (),  # and so the lock lasts as long as it does
            )
        _maintaining.append(process)
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, process.pid, 10)  # training comes first
    return True


@atexit.register
def _let_go() -> None:
    for process in _maintaining:
        process.returncode = 0  # git goes on alone; without this, Python warns of it with -X dev


def _packs(repo: Repository) -> Iterator[tuple[int, int]]:
    """Each pack's size in bytes, and when it came."""
    with contextlib.suppress(OSError), os.scandir(repo.common_dir / "objects" / "pack") as entries:
        for entry in entries:
            if entry.name.endswith(".pack"):
                with contextlib.suppress(FileNotFoundError):
                    about = entry.stat()
                    yield about.st_size, about.st_mtime_ns


class ObjectCounts(NamedTuple):
    """What a repository's objects come to: how many are loose and in packs, the packs, and all their bytes."""

    loose: int
    packed: int
    packs: int
    size: int


def count_objects(repo: Repository) -> ObjectCounts:
    """How many objects there are, and what they take."""
    out = run(repo, "count-objects", "-v").decode()
    counts = {key: int(value) for key, value in (line.split(": ") for line in out.splitlines()) if value.isdigit()}
    size = (counts["size"] + counts["size-pack"] + counts["size-garbage"]) * 1024
    return ObjectCounts(counts["count"], counts["in-pack"], counts["packs"], size)


def collect_garbage(repo: Repository, progress: bool) -> None:
    """`git gc` as the user has set it up; with `progress`, git shows its own on stderr.

    Raises:
        GitError: git refuses, or another `git gc` is at work.
    """
    args = [f"--git-dir={repo.common_dir}", "gc", *([] if progress else ["--quiet"])]
    # On the terminal of whoever asked: Ctrl-C is meant for it.
    with start(args, repo.common_dir, stderr=None if progress else subprocess.PIPE, asks=True) as process:
        _, err = process.communicate()
    if process.returncode:
        raise git_error(["gc"], (err or b"").decode("utf-8", "replace").strip())


_STALE_LOCK, _STALE_KEEP, _STALE_TEMPORARY = 60.0, 600.0, 86_400.0  # seconds


def stale_lock(repo: Repository, ref: str) -> Path | None:
    """A ref's lock that a crash left behind: git holds one for milliseconds, this one for over a minute."""
    lock = repo.common_dir / f"{ref}.lock"
    with contextlib.suppress(OSError):
        return lock if _age(lock) > _STALE_LOCK else None
    return None


def remove_stale_lock(repo: Repository, ref: str) -> Path | None:
    """Take such a lock away; None where there is none."""
    lock = stale_lock(repo, ref)
    if lock is not None:
        with contextlib.suppress(OSError):
            lock.unlink()
            return lock
    return None


def leftovers(repo: Repository, ref: str) -> list[Path]:
    """What a `git fast-import` that was killed, or left alone, has left: half packs, marks that keep packs from being
    put together, and its reports; of these, those of commits to `ref` and to refs of gxt's own."""
    found = []
    folder = repo.common_dir / "objects" / "pack"
    for file in [*folder.glob("tmp_*"), *folder.glob("*.keep"), *repo.common_dir.glob(f"{_REPORT}*")]:
        with contextlib.suppress(OSError):
            if file.suffix == ".keep":
                stale = _age(file) > _STALE_KEEP and file.read_bytes().strip() == b"fast-import"
            elif file.name.startswith(_REPORT):
                stale = _is_written(file) and _is_about(file.read_bytes(), ref)
            else:
                stale = _age(file) > _STALE_TEMPORARY
            if stale:
                found.append(file)
    return found


_REPORT = "fast_import_crash_"  # and the process id
_BRANCH = re.compile(rb"^(\S+):\n  status      : ", re.MULTILINE)


def _is_written(report: Path) -> bool:
    """Whether the process that wrote it, as the last that it did, is gone."""
    if os.name != "posix" or _age(report) > _STALE_LOCK:
        return _age(report) > _STALE_LOCK
    try:
        os.kill(int(report.name.removeprefix(_REPORT)), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError):
        pass
    return False


def _is_about(report: bytes, ref: str) -> bool:
    branches = [name.decode("utf-8", "replace") for name in _BRANCH.findall(report)]
    # Without any branch it was left before it had been told of one; what fails for its input has a command.
    return all(name == ref or name.startswith("refs/gxt/") for name in branches) and (
        bool(branches) or b"fatal: stream ends early" in report
    )


def remove_leftovers(repo: Repository, ref: str) -> list[Path]:
    """Take that away, and refs of commits that were to be signed. Returns what was taken.

    For a caller that keeps others from committing meanwhile.
    """
    removed = []
    if any((repo.common_dir / UNSIGNED).glob("*")):
        for unsigned in run(repo, "for-each-ref", "--format=%(refname)", UNSIGNED).decode().split():
            drop_ref(repo, unsigned)
            removed.append(repo.common_dir / unsigned)
    if any((repo.common_dir / HOLD).glob("*")):
        drop_old_holds(repo)
    for file in leftovers(repo, ref):
        with contextlib.suppress(OSError):
            file.unlink()
            removed.append(file)
    return removed


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
