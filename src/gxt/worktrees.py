"""The code of a run in a folder of its own: which commit that is, what of it is missing, a work tree of it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt import codehistory, git, render, snapshots
from gxt.errors import GitError, NotFoundError, UsageError
from gxt.git import Repository, Talk
from gxt.model import Run
from gxt.showing import one_line, quoted


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


def went_on(run: Run) -> list[str]:
    """The commands that went on with a run after it had ended, with other code than its own."""
    return [quoted(str(one.get("command", "a notebook"))) for one in codehistory.went_on(run)]


class Opened(NamedTuple):
    """A work tree of a run's code.

    Attributes:
        folder: where it is.
        commit: what is checked out there.
        pointers: the files in Git LFS of which only the pointers are there.
        submodules: the submodules that the code has; their folders are empty.
        nested: repositories in it that .gitmodules does not name, so that git cannot bring them; likewise.
    """

    folder: Path
    commit: str
    pointers: Sequence[str]
    submodules: Sequence[str]
    nested: Sequence[str] = ()


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
    try:
        git.add_worktree(repo, folder, commit, settings)
    except GitError:
        _check_room(repo, commit, folder)
        raise
    submodules, nested = submodules_in(repo, commit, folder)
    return Opened(folder, commit, git.lfs_pointers(folder), submodules, nested)


def submodules_in(repo: Repository, commit: str, folder: Path) -> tuple[list[str], list[str]]:
    """The submodules of a commit that is checked out in a folder, and the repositories in it that are none."""
    paths = git.submodules_at(repo, commit)
    named = git.named_submodules(folder) if paths else set()
    return [path for path in paths if path in named], [path for path in paths if path not in named]


def without(nested: Sequence[str]) -> str:
    """That repositories inside are not there: .gitmodules does not name them."""
    are = "is empty: .gitmodules does not name it" if len(nested) == 1 else "are empty: .gitmodules does not name them"
    return f"{names_of(nested)} {are}, so there is no URL to bring {'it' if len(nested) == 1 else 'them'} from"


_BLOCK = 4096  # bytes that a file takes at least


def _check_room(repo: Repository, commit: str, folder: Path) -> None:
    """Say that there was no room for the code, where that is so: git says only which file it could not write, and takes
    away what it has written."""
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    blocks = sum(-(-file.size // _BLOCK) for file in git.list_files(repo, commit))
    free = shutil.disk_usage(there).free
    if blocks * _BLOCK > free:
        raise GitError(
            f"the code takes {render.size(blocks * _BLOCK)}, and {there} has room for {render.size(free)}",
            "make room there, or name another folder; TMPDIR says where temporary ones are",
        )


def missing(run: Run, opened: Opened) -> Iterator[str]:
    """What a folder with a run's code lacks, and how it may come."""
    for why, paths in _left_out(run).items():
        if why == snapshots.SECRET:
            one = "1 file that looks like a secret was"
            files = one if len(paths) == 1 else f"{len(paths)} files that look like secrets were"
            yield f"{files} left out: {names_of(paths)}"
        else:
            yield f"not kept with the run: {names_of(paths)} ({one_line(why)})"
    if more := run.source.get("left_out_more"):
        yield f"not kept with the run: {more} more files"
    for path in codehistory.edited(run):
        yield f"not as it ran: {one_line(path)} was changed after the program had begun"
    for command in went_on(run):
        yield f"not all that ran: the run went on with other code, by {command}"
    for path in codehistory.changed_submodules(run):
        yield f"not kept with the run: uncommitted changes in the submodule {one_line(path)}"
    folder = shlex.quote(str(opened.folder))
    if opened.nested:
        yield without(opened.nested)
    if opened.submodules:
        named = f" -- {shlex.join(opened.submodules)}" if opened.nested else ""  # git fails of all where one has no URL
        yield f"submodules are empty; `git -C {folder} submodule update --init --recursive{named}` brings them"
    if opened.pointers:
        way = f"try `git -C {folder} lfs pull`" if git.has_lfs() else "git-lfs is not installed"
        are = "pointer is" if len(opened.pointers) == 1 else "pointers are"
        yield f"of {names_of(opened.pointers)} in Git LFS only the {are} there: {way}"


def _left_out(run: Run) -> dict[str, list[str]]:
    """The files that were not kept, by the reason; those that were too large by their size in all."""
    found: dict[str, list[str]] = {}
    sizes = {}
    for path, about in codehistory.not_kept(run).items():
        if isinstance(about.get("size"), int):
            sizes[path] = about["size"]
        else:
            found.setdefault(str(about.get("problem", "")), []).append(path)
    return ({render.size(sum(sizes.values())): list(sizes)} if sizes else {}) | found


_FEW = 3


def names_of(paths: Sequence[str]) -> str:
    """The first of some paths, and how many more there are, on a line.

    >>> names_of(["a", "b", "c"]), names_of(["a", "b", "c", "d"])
    ('a, b and c', 'a, b and 2 more')
    """
    shown = list(map(one_line, paths))
    if len(shown) > _FEW:
        return f"{shown[0]}, {shown[1]} and {len(shown) - 2} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
