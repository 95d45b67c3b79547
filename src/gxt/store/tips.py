"""Where a run branch stands: its name, its ref, its tip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt import git, live
from gxt.errors import UsageError
from gxt.git import Content, Repository

DEFAULT_BRANCH = "gxt"


class Tip(NamedTuple):
    """Where the run branch stands: its ref and commit.

    `commit` is None while there are no runs. `remote_ref` names the remote-tracking branch that stands in for a local
    one that does not exist yet, as right after a clone.
    """

    ref: str
    commit: str | None
    remote_ref: str | None = None

    @property
    def local_commit(self) -> str | None:
        """Where the local ref itself stands."""
        return None if self.remote_ref else self.commit


Changes = list[tuple[str, Content]]


def root(repo: Repository) -> Path:
    """gxt's folder in the git directory."""
    return live.home(repo.common_dir)


def check_writable(repo: Repository) -> None:
    """Raise UsageError for the copy of a repository elsewhere, which is only read."""
    if repo.origin is not None:
        raise UsageError(
            f"the runs of {repo.origin.name} can only be looked at from here",
            "clone that repository to record into it, or to change its runs",
        )


def branch_name(settings: Mapping[str, str]) -> str:
    """The run branch's name: git config `gxt.branch`, or "gxt"."""
    return settings.get("gxt.branch", DEFAULT_BRANCH)


def base_of(settings: Mapping[str, str], branch: str) -> str | None:
    """The run branch that a review branch forked from, None for one that is none.

    That is what `gxt review start` noted; of a branch that came from elsewhere, its name tells.

    >>> base_of({}, "gxt-lr"), base_of({}, "gxt")
    ('gxt', None)
    """
    noted = settings.get(f"branch.{branch}.gxtbase")
    if noted:
        return noted
    return DEFAULT_BRANCH if branch.startswith(f"{DEFAULT_BRANCH}-") else None


def ref_of(settings: Mapping[str, str]) -> str:
    return f"refs/heads/{branch_name(settings)}"


def branch_tip(repo: Repository, branch: str, settings: Mapping[str, str]) -> Tip:
    """Where a run branch of any name stands now; a remote's, while there is no local one."""
    return tip(repo, {**settings, "gxt.branch": branch})


def tip(repo: Repository, settings: Mapping[str, str]) -> Tip:
    """Where the run branch stands now; a remote's, while there is no local one."""
    return tip_and_files(repo, settings, [])[0]


def tip_and_files(
    repo: Repository, settings: Mapping[str, str], paths: Sequence[str]
) -> tuple[Tip, list[bytes | None]]:
    ref = ref_of(settings)
    local, files = git.read_at(repo, ref, paths)
    if local:
        return Tip(ref, local), files
    for remote_ref in git.remote_branches(repo, branch_name(settings), settings):
        commit, files = git.read_at(repo, remote_ref, paths)
        return Tip(ref, commit, remote_ref), files
    return Tip(ref, None), files
