"""Finding and making repositories; which git this is, and what is checked out where."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

from gxt.errors import NoGitError, NotARepositoryError, UsageError
from gxt.git.process import call, one_line
from gxt.git.repository import Repository
from gxt.git.settings import config, identity, is_true

OLDEST = (2, 34)
"""The first version of git that can do all that is asked of it here."""


def version() -> tuple[int, ...]:
    """git's version: (2, 39, 5)."""
    _, out, _ = call(["--version"])
    found = re.search(rb"\d+(?:\.\d+)+", out)
    return tuple(map(int, found[0].split(b"."))) if found else ()


def find(path: Path) -> Repository:
    """The repository at or above `path`.

    Raises:
        NotARepositoryError: there is none, or git refuses it (another owner, a broken .git file).
        UsageError: the path does not exist.
    """
    if not path.exists():
        raise UsageError(f"no such directory: {path}")
    folder = path if path.is_dir() else path.parent
    ask = ("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-dir", "--show-toplevel")
    try:
        code, out, err = call(ask, cwd=folder)
    except NoGitError:
        if found := _found_without_git(folder):
            return found
        raise
    lines = os.fsdecode(out).split("\n")[:-1]
    if len(lines) == 3:
        return Repository(Path(lines[0]), Path(lines[1]), Path(lines[2]))
    if code and "must be run in a work tree" in err:  # a bare repository, or inside .git itself
        return Repository(Path(lines[0]), Path(lines[1]), None)
    if "not a git repository" in err:
        raise NotARepositoryError(
            f"not in a git repository: {folder.absolute()}", "`git init` here makes one; gxt records into it"
        )
    raise NotARepositoryError(f"git does not open the repository at {folder.absolute()}: {one_line(err)}")


def _found_without_git(folder: Path) -> Repository | None:
    """The repository whose work tree a folder is in, as far as can be told without git: recording needs no more."""
    here = folder.resolve()
    for top in (here, *here.parents):
        git_dir = top / ".git"
        with contextlib.suppress(OSError, ValueError):
            if git_dir.is_file():  # a linked work tree, or a submodule
                git_dir = Path(os.path.normpath(top / git_dir.read_text().removeprefix("gitdir: ").rstrip("\n")))
            if (git_dir / "HEAD").exists():
                beside = git_dir / "commondir"
                common = git_dir / beside.read_text().rstrip("\n") if beside.exists() else git_dir
                return Repository(Path(os.path.normpath(common)), git_dir, top)
    return None


def init(path: Path, files: Mapping[str, str]) -> Repository:
    """Make a repository at `path` with these text files in one commit, by an identity that needs no set-up."""
    import git as gitpython  # half of a command's start-up time; only here

    made = gitpython.Repo.init(path, initial_branch="main", object_format="sha1")
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text, encoding="utf-8")
    made.index.add(list(files))
    repo = find(path)
    name, email = identity(config(repo), "author")
    actor = gitpython.Actor(name, email)
    made.index.commit("A place to try gxt in", author=actor, committer=actor)
    made.close()
    return repo


def checked_out_in(repo: Repository, ref: str, settings: Mapping[str, str]) -> Path | None:
    """The work tree that has a branch checked out, None where none has."""
    wanted = f"ref: {ref}\n".encode()
    if not is_true(settings.get("core.bare")) and read_head(repo.common_dir) == wanted:
        return Path(os.path.normpath(repo.common_dir / settings.get("core.worktree", "..")))
    for folder in sorted((repo.common_dir / "worktrees").glob("*")):
        if read_head(folder) == wanted:
            try:
                return Path(os.fsdecode((folder / "gitdir").read_bytes().strip())).parent
            except OSError:  # the work tree is just being removed
                continue
    return None


def read_head(git_dir: Path) -> bytes:
    with contextlib.suppress(OSError):  # core.preferSymlinkRefs
        return b"ref: " + os.fsencode(os.readlink(git_dir / "HEAD")) + b"\n"
    try:
        return (git_dir / "HEAD").read_bytes()
    except OSError:
        return b""


def is_shallow(repo: Repository) -> bool:
    """Whether history was cut off when it was fetched."""
    return (repo.common_dir / "shallow").exists()
