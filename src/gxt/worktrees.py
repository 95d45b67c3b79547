"""The code of a run in a folder of its own: which commit that is, what of it is missing, a work tree of it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gxt import codehistory, git, snapshots
from gxt.errors import GitError, NotFoundError, UsageError
from gxt.git import Repository, Talk
from gxt.model import Run
from gxt.showing import one_line


def commit_of(run: Run) -> str:
    """The commit that has a run's code as it ran.

    Raises:
        NotFoundError: none is recorded.
    """
    code, commit = codehistory.code_of(run), codehistory.base_of(run)
    if code is not None:
        return code
    why = run.source.get("problem")
    said = f": {one_line(str(why))}" if why else ""
    hint = f"it began from {commit[:12]}, with changes; `gxt get {run.id} code.patch` may have them" if commit else None
    raise NotFoundError(f"the code of run {run.name} was not kept{said}", hint)


def base_of(run: Run, settings: Mapping[str, str]) -> str:
    """What a run's code is told apart from: the commit that was checked out; nothing at all before the first."""
    return codehistory.base_of(run) or git.empty_tree(settings)


def fetched(repo: Repository, settings: Mapping[str, str], run: Run, talk: Talk) -> str:
    """As `commit_of`, and have that commit here.

    Raises:
        NotFoundError, GitError: as `commit_of` and `snapshots.bring`.
    """
    commit = commit_of(run)
    snapshots.bring(repo, settings, commit, talk)
    return commit


def not_kept(run: Run) -> dict[str, dict[str, Any]]:
    """The files that are not in the snapshot as they were, each with its `size`, or with the `problem`."""
    left_out = run.source.get("left_out")
    if not isinstance(left_out, Mapping):
        return {}
    return {str(path): dict(about) for path, about in left_out.items() if isinstance(about, Mapping)}


def edited(run: Run) -> list[str]:
    """The files whose text in the snapshot is another than ran."""
    found = run.source.get("edited")
    return [str(path) for path in found] if isinstance(found, list) else []


def changed_submodules(run: Run) -> list[str]:
    """The submodules whose own uncommitted changes are not kept."""
    submodules = run.source.get("submodules")
    if not isinstance(submodules, Mapping):
        return []
    return [str(path) for path, about in submodules.items() if isinstance(about, Mapping) and about.get("dirty")]


class Opened(NamedTuple):
    """A work tree of a run's code.

    Attributes:
        folder: where it is.
        commit: what is checked out there.
        has_large: whether files in Git LFS are there, and not only their pointers.
        submodules: the submodules that the code has; their folders are empty.
    """

    folder: Path
    commit: str
    has_large: bool
    submodules: Sequence[str]


def open_at(repo: Repository, settings: Mapping[str, str], run: Run, folder: Path, talk: Talk) -> Opened:
    """Check a run's code out into a folder that is not there yet, or empty, as a linked work tree.

    Raises:
        NotFoundError, GitError: as `fetched`; or git does not take the folder.
        UsageError: the folder is not empty.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} has files in it already", "name another folder")
    commit = fetched(repo, settings, run, talk)
    has_large = git.add_worktree(repo, folder, commit)
    return Opened(folder, commit, has_large, git.submodules_at(repo, commit))


def temporary() -> Path:
    """A new folder for a work tree that does not stay."""
    return Path(tempfile.mkdtemp(prefix="gxt-again-")).resolve()


def close(repo: Repository, opened: Opened) -> None:
    """Take a work tree away, with all that is in it."""
    git.remove_worktree(repo, opened.folder)
    with contextlib.suppress(GitError, OSError):
        if opened.folder.exists():
            shutil.rmtree(opened.folder)
            git.remove_worktree(repo, opened.folder)
