"""Folders, and refs of the same names, for what is not on the run branch yet; those of killed processes are found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gxt import git
from gxt.git import Repository
from gxt.store.tips import root

_PREFIX, _REFS, _LOCK = "aside-", "refs/gxt/aside/", "lock"
_JUST_MADE = 60.0  # seconds


class Aside(NamedTuple):
    """A folder of one's own, and the name of a ref that keeps objects; neither outlasts the block."""

    folder: Path
    ref: str


@contextlib.contextmanager
def aside(repo: Repository) -> Iterator[Aside]:
    """A place in gxt's folder for work that may take long and is whole or nothing."""
    home = root(repo)
    home.mkdir(exist_ok=True)
    import tempfile  # these two here for start-up time

    from filelock import lock_descriptor

    with tempfile.TemporaryDirectory(dir=home, prefix=_PREFIX) as name:
        folder = Path(name)
        place = Aside(folder, _ref_of(folder))
        with open(folder / _LOCK, "wb") as lock:
            lock_descriptor(lock.fileno(), blocking=False)  # for as long as this process lives
            try:
                yield place
            finally:
                git.drop_ref(repo, place.ref)


def _ref_of(folder: Path) -> str:
    return _REFS + folder.name.removeprefix(_PREFIX)


def abandoned(repo: Repository) -> list[Path]:
    """The folders and refs of processes that were killed, as paths in the git directory."""
    refs = git.list_refs(repo, _REFS)  # first: each is younger than its folder
    folders = sorted(root(repo).glob(f"{_PREFIX}*"))
    dead = [folder for folder in folders if _is_abandoned(folder)]
    used = {_ref_of(folder) for folder in folders if folder not in dead}
    return [*dead, *(repo.common_dir / ref for ref in refs if ref not in used)]


def remove_abandoned(repo: Repository) -> list[Path]:
    """Take them away. Returns what was taken."""
    import shutil  # here for start-up time

    found = abandoned(repo)
    for path in found:
        if path.name.startswith(_PREFIX):
            shutil.rmtree(path, ignore_errors=True)
        else:
            git.drop_ref(repo, path.relative_to(repo.common_dir).as_posix())
    return found


def _is_abandoned(folder: Path) -> bool:
    from filelock import lock_descriptor  # here for start-up time

    try:
        with open(folder / _LOCK, "r+b") as lock:
            return bool(lock_descriptor(lock.fileno(), blocking=False))
    except FileNotFoundError:  # the process is just making or removing it, or was killed when it did
        with contextlib.suppress(FileNotFoundError):
            return time.time() - folder.stat().st_mtime > _JUST_MADE
        return False
