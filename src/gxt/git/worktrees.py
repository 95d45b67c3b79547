"""Linked work trees of a commit, and git's own words on what differs between two commits."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from gxt.errors import GitError
from gxt.git.process import ask, call, git_error, run, scrubbed_environment, start
from gxt.git.repository import Repository, Talk

# No hook of the user's runs; and a folder that is to have the code has all of it, whatever their own leaves out.
_OPTIONS = ["-c", f"core.hooksPath={os.devnull}", "-c", "core.sparseCheckout=false", "-c", "advice.detachedHead=false"]
_POINTERS_ONLY = {"GIT_LFS_SKIP_SMUDGE": "1"}


def add_worktree(repo: Repository, folder: Path, commit: str) -> bool:
    """Check a commit out into a new folder, as a linked work tree without a branch.

    Returns:
        Whether files in Git LFS are there too: False where git-lfs could not bring them, and their pointers are.

    Raises:
        GitError: git does not take the folder, or a filter fails.
    """
    args = [f"--git-dir={repo.git_dir}", *_OPTIONS, "worktree", "add", "-q", "--detach", str(folder), commit]
    code, _, err = call(args, repo.git_dir)
    if code and "lfs" in err:
        code, _, err = call(args, repo.git_dir, environment=_POINTERS_ONLY)
        if code == 0:
            return False
    if code:
        raise git_error(["worktree"], err)
    return True


def remove_worktree(repo: Repository, folder: Path) -> None:
    """Take a linked work tree away with all that is in it, if it is there."""
    with contextlib.suppress(GitError):
        # Twice: a work tree that somebody has locked, or that has submodules, goes too.
        ask(repo.common_dir, "worktree", "remove", "--force", "--force", str(folder))


def submodules_at(repo: Repository, commit: str) -> list[str]:
    """The paths of submodules in a commit."""
    out = run(repo, "ls-tree", "-r", "-z", commit)
    lines = out.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return [line.split("\t", 1)[1] for line in lines if line.startswith("160000 ")]


def update_submodules(folder: Path, talk: Talk) -> str | None:
    """Check the submodules of a work tree out, theirs too; why not, where git cannot."""
    args = [*_OPTIONS, "submodule", "--quiet", "update", "--init", "--recursive"]
    environment = {} if talk.asks else {"GIT_TERMINAL_PROMPT": "0"}
    with start(args, folder, environment=environment, asks=talk.asks) as process:
        _, err = process.communicate()
    return git_error(["submodule"], err.decode("utf-8", "replace").strip()).message if process.returncode else None


def show_diff(repo: Repository, old: str, new: str, options: Sequence[str] = (), paths: Sequence[str] = ()) -> int:
    """Have git show what differs between two commits or trees on standard output: its colours, its pager, the user's
    own settings. Paths are relative to the current directory, as git's are. Returns git's exit code."""
    environment = scrubbed_environment()
    environment.pop("LC_ALL")  # what people read is in their own language, and a pager shows their letters
    if "LC_ALL" in os.environ:
        environment["LC_ALL"] = os.environ["LC_ALL"]
    where = [f"--git-dir={repo.git_dir}"] + ([f"--work-tree={repo.work_tree}"] if repo.work_tree else [])
    process = subprocess.Popen(["git", *where, "diff", *options, old, new, "--", *paths], env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # it is the pager's
            continue
