"""Linked work trees of a commit, and git's own words on what differs between two commits."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from gxt.errors import GitError
from gxt.git.lfs import has_lfs
from gxt.git.process import ask, call, first_error, git_error, run, scrubbed_environment, start
from gxt.git.repository import Repository, Talk

# No hook of the user's runs; and a folder that is to have the code has all of it, whatever their own leaves out.
OPTIONS = [
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor="),
    *("-c", "core.sparseCheckout=false"),
    *("-c", "advice.detachedHead=false"),
]
_POINTERS_ONLY = [*("-c", "filter.lfs.process="), *("-c", "filter.lfs.smudge="), *("-c", "filter.lfs.required=false")]
_LARGEST_POINTER = 1024  # bytes, as git-lfs has it
_LFS_SIGN = b"version https://git-lfs.github.com/spec/"


def add_worktree(repo: Repository, folder: Path, commit: str, settings: Mapping[str, str]) -> None:
    """Check a commit out into a new folder, as a linked work tree without a branch.

    Files in Git LFS come too, where git-lfs is installed and can bring them; else their pointers (`lfs_pointers`).

    Raises:
        GitError: git does not take the folder, or a filter fails.
    """
    check_out_by(
        [f"--git-dir={repo.git_dir}", *OPTIONS],
        ["worktree", "add", "-q", "--detach", str(folder), commit],
        repo.git_dir,
        settings,
    )


def check_out_by(options: Sequence[str], args: Sequence[str], cwd: Path, settings: Mapping[str, str]) -> None:
    """Have git check files out by some command; with their pointers, where git-lfs cannot bring what is in Git LFS.

    Raises:
        GitError: git cannot.
    """
    filters = [word for key, value in lfs_filters(settings).items() for word in ("-c", f"{key}={value}")]
    code, _, err = call([*options, *filters, *args], cwd)
    if code and "lfs" in err:
        code, _, err = call([*options, *_POINTERS_ONLY, *args], cwd)
    if code:
        raise first_error(args, err)


def lfs_filters(settings: Mapping[str, str]) -> dict[str, str]:
    """The configuration by which git has git-lfs bring files, where git-lfs is installed and nobody has set it up."""
    if "filter.lfs.smudge" in settings or "filter.lfs.process" in settings or not has_lfs():
        return {}
    return {
        "filter.lfs.clean": "git-lfs clean -- %f",
        "filter.lfs.smudge": "git-lfs smudge -- %f",
        "filter.lfs.process": "git-lfs filter-process",
        "filter.lfs.required": "true",
    }


def lfs_pointers(folder: Path) -> list[str]:
    """The files of a work tree that are in Git LFS, and of which only the pointers are there."""
    code, out, err = call([*OPTIONS, "ls-files", "-z", "--", ":(top,attr:filter=lfs)"], folder)
    if code:
        raise git_error(["ls-files"], err)
    return [name for name in os.fsdecode(out).split("\0")[:-1] if _is_pointer(folder / name)]


def _is_pointer(path: Path) -> bool:
    with contextlib.suppress(OSError):
        if path.is_file() and path.stat().st_size <= _LARGEST_POINTER:
            return path.read_bytes().startswith(_LFS_SIGN)
    return False


def worktrees(repo: Repository) -> list[Path]:
    """The folders of all linked work trees that git knows, whether they are still there or not."""
    lines = os.fsdecode(run(repo, "worktree", "list", "--porcelain")).splitlines()  # -z came with git 2.36
    return [Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")][1:]


def remove_worktree(repo: Repository, folder: Path) -> None:
    """Take a linked work tree away with all that is in it, if it is there."""
    with contextlib.suppress(GitError):
        # Twice: a work tree that somebody has locked, or that has submodules, goes too.
        ask(repo.common_dir, *OPTIONS, "worktree", "remove", "--force", "--force", str(folder))


def submodules_at(repo: Repository, commit: str) -> list[str]:
    """The paths of submodules in a commit."""
    return list(submodule_commits(repo, commit))


def submodule_commits(repo: Repository, commit: str) -> dict[str, str]:
    """The commits that a commit has its submodules at, by their paths."""
    return gitlinks(run(repo, "ls-tree", "-r", "-z", commit))


def gitlinks(tree: bytes) -> dict[str, str]:
    """The commits of other repositories that a tree names, by their paths, as `git ls-tree -r -z` lists it."""
    lines = tree.decode("utf-8", "surrogateescape").split("\0")[:-1]
    links = [line.split("\t", 1) for line in lines if line.startswith("160000 ")]
    return {path: about.split(" ")[2] for about, path in links}


def named_submodules(folder: Path) -> set[str]:
    """The paths that the .gitmodules of a work tree names; without it, git knows no URL of what is there."""
    listed = ["config", "-z", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.path$"]
    _, out, _ = call([*OPTIONS, *listed], folder)  # no such file, and none in it, are failures
    return {item.split("\n", 1)[1].rstrip("/") for item in os.fsdecode(out).split("\0") if "\n" in item}


def update_submodules(folder: Path, paths: Sequence[str], talk: Talk) -> dict[str, str]:
    """Check submodules of a work tree out, each by itself, and theirs too; why not, by path, where git cannot."""
    environment = {} if talk.asks else {"GIT_TERMINAL_PROMPT": "0"}
    failed = {}
    for path in paths:
        args = [*OPTIONS, "--literal-pathspecs", "submodule", "--quiet", "update", "--init", "--recursive", "--", path]
        with start(args, folder, environment=environment, asks=talk.asks) as process:
            _, err = process.communicate()
        if process.returncode:
            failed[path] = first_error(["submodule"], err.decode("utf-8", "replace").strip()).message
    return failed


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
