"""Run branches as wholes: begun, switched, moved on, joined with what others have, replaced, dropped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping

from gxt import git, joining, layout, live, pins
from gxt.errors import RefMovedError, UsageError
from gxt.git import Repository
from gxt.store.commits import (
    TRIES,
    change,
    check_not_checked_out,
    commit_at_tip,
    compare_with_last,
    is_as_left,
    note_lost,
    remember,
)
from gxt.store.locking import committing
from gxt.store.runs import commit_waiting
from gxt.store.tips import Changes, Tip, branch_name, branch_tip, check_writable, ref_of, root, tip


def switch_branch(repo: Repository, branch: str) -> None:
    """Have this clone record on another run branch from now on, by git config `gxt.branch` of the repository's own.

    Runs that have begun by now go to the branch that they began on, whenever they end.

    Raises:
        UsageError: something else than the repository's own configuration has the last word on it.
    """
    with committing(repo):
        commit_waiting(repo)
        before = branch_name(git.config(repo))
        pins.add(root(repo), _begun(repo), before)
        git.set_config(repo, "gxt.branch", None)
        if branch_name(git.config(repo)) != branch:  # the user's own configuration may say it
            git.set_config(repo, "gxt.branch", branch)
        if (now_on := branch_name(git.config(repo))) != branch:
            raise UsageError(f"git config gxt.branch stays {now_on}", "`git config --show-origin gxt.branch` says why")


def runs_begun_on(repo: Repository, branch: str) -> list[str]:
    """The ids of the runs that have begun on a branch and are not committed yet."""
    pinned, current = pins.read(root(repo)), branch_name(git.config(repo))
    return [run_id for run_id in _begun(repo) if pinned.get(run_id, current) == branch]


def _begun(repo: Repository) -> list[str]:
    return sorted({folder.name for find in (live.live_runs, live.pending_runs) for folder in find(root(repo))})


def forward(repo: Repository, branch: str, commit: str) -> bool:
    """Move a local run branch on to a commit that has it in its history; False where that is not so.

    Raises:
        GitError: the branch is checked out in a work tree.
    """
    with committing(repo):
        settings = git.config(repo)
        at = branch_tip(repo, branch, settings)
        if at.local_commit is None or not git.is_ancestor(repo, at.local_commit, commit):
            return at.local_commit is None
        if at.local_commit != commit:
            check_not_checked_out(repo, at.ref, settings)
            git.move_ref(repo, at.ref, at.local_commit, commit)
            remember(repo, at.ref, commit)
    return True


def make_branch(repo: Repository, branch: str, commit: str) -> None:
    """A run branch that begins at a commit of another. Raises RefMovedError where there is one of that name."""
    with committing(repo):
        ref = f"refs/heads/{branch}"
        git.create_ref(repo, ref, commit)
        remember(repo, ref, commit)


def drop_branch(repo: Repository, branch: str, commit: str) -> None:
    """Take a local run branch away that stands at a commit, and all that git's configuration says of it.

    Raises:
        RefMovedError: it stands elsewhere by now.
        GitError: it is checked out in a work tree.
    """
    with committing(repo):
        ref = f"refs/heads/{branch}"
        check_not_checked_out(repo, ref, git.config(repo))
        git.delete_ref(repo, ref, commit)
        remember(repo, ref, "")
        git.remove_config_section(repo, f"branch.{branch}")


def init(repo: Repository) -> bool:
    """Make the run branch with its gxt.yaml, or the local one from a remote's. False where it is there already."""
    with committing(repo):
        settings = git.config(repo)
        at = tip(repo, settings)
        if at.commit is not None and at.remote_ref is None:
            return False
        if at.commit is not None:
            git.create_ref(repo, at.ref, at.commit)
        else:
            commit_at_tip(repo, lambda at: ([], "Begin the run branch\n"))
    return True


def refresh_attributes(repo: Repository) -> bool:
    """Have the branch's .gitattributes say what this gxt would write on a new branch; False where it does, or where
    somebody has put lines of their own in it."""
    at = tip(repo, git.config(repo))
    (before,) = git.read_objects(repo, [f"{at.commit}:{layout.GITATTRIBUTES}"]) if at.commit else [None]
    if before is None or before == layout.GITATTRIBUTES_TEXT or not layout.is_own_gitattributes(before):
        return False
    message = "Have git and hosts show runs as this gxt means it\n"
    change(repo, lambda at: ([(layout.GITATTRIBUTES, layout.GITATTRIBUTES_TEXT)], message))
    return True


def join(
    repo: Repository,
    theirs: str,
    name: str,
    parents: Collection[str] = (),
    settings: Mapping[str, str] | None = None,
) -> str:
    """Have the local run branch contain another commit of it: as it is, by moving on to it, or by a merge.

    Args:
        theirs: the commit.
        name: what the merge's message calls it.
        parents: the parents of the commit, where the caller knows them.
        settings: git's configuration, where the caller has it already.

    Returns where the branch stands then.

    Raises:
        FormatError: theirs is in a later format, or no run branch at all.
        GitError: git does not take the commit, or the branch is checked out in a work tree.
    """
    check_writable(repo)
    known = git.config(repo) if settings is None else settings
    later = git.CommitAt(theirs, list(parents))
    at = tip(repo, known)
    parted = None
    if is_as_left(repo, at):  # then git's own check when the ref moves will do, where there is nothing to merge
        with contextlib.suppress(RefMovedError):
            if (moved := _move_on(repo, at, later, name, known)) is not None:
                return moved
            parted = at.commit

    def plan(at: Tip) -> tuple[Changes, str]:
        assert at.commit is not None
        merge = joining.plan(repo, known, at.commit, theirs, name)
        return merge.changes, merge.message

    with committing(repo):
        for _ in range(TRIES):
            at = tip(repo, known)
            try:
                is_parted = parted is not None and at.commit == parted
                moved = None if is_parted else _move_on(repo, at, later, name, known)
            except RefMovedError:
                continue
            return moved if moved is not None else commit_at_tip(repo, plan, joined=theirs, settings=known)
    raise RefMovedError(f"{ref_of(known)} moves faster than it can be merged", "try again")


def _move_on(repo: Repository, at: Tip, theirs: git.CommitAt, name: str, settings: Mapping[str, str]) -> str | None:
    """Where the branch stands, if one of the two histories contains the other; None where they are to be merged."""
    if at.local_commit == theirs.id:
        return theirs.id
    is_known = at.commit is None or at.commit == theirs.id or at.commit in theirs.parents
    bases = [] if is_known or at.commit is None else git.merge_bases(repo, at.commit, theirs.id)
    if is_known or at.commit in bases:
        joining.check_format(repo, theirs.id, name, writing=False)
        return _move_to(repo, at, theirs.id, settings)
    if theirs.id in bases and at.commit is not None:
        return at.local_commit or _move_to(repo, at, at.commit, settings)
    return None


def _move_to(repo: Repository, at: Tip, commit: str, settings: Mapping[str, str]) -> str:
    check_not_checked_out(repo, at.ref, settings)
    compare_with_last(repo, at)
    git.move_ref(repo, at.ref, at.local_commit, commit)
    remember(repo, at.ref, commit)
    return commit


def replace_tip(repo: Repository, commit: str, plan: Callable[[str], tuple[Changes, str] | None]) -> tuple[str, str]:
    """Have the local run branch go on from a commit that it does not descend from, with what `plan` says for it.

    What it held before is kept under refs/gxt/kept/. `plan` gets where the branch stood, and gives None where there is
    nothing to add. Returns where the branch stands, and the ref that keeps what was there.
    """
    with committing(repo):
        settings = git.config(repo)
        at = tip(repo, settings)
        assert at.local_commit is not None
        check_not_checked_out(repo, at.ref, settings)
        kept = f"refs/gxt/kept/{branch_name(settings)}-{at.local_commit[:12]}"
        with contextlib.suppress(RefMovedError):  # it is kept already
            git.create_ref(repo, kept, at.local_commit)
        new = commit
        if planned := plan(at.local_commit):
            aside = f"refs/gxt/replacing/{os.getpid()}"
            git.drop_ref(repo, aside)
            new = git.commit_files(repo, aside, None, commit, *planned, settings)
            git.move_ref(repo, at.ref, at.local_commit, new)
            git.drop_ref(repo, aside)
        else:
            git.move_ref(repo, at.ref, at.local_commit, new)
        remember(repo, at.ref, new)
        note_lost(repo, at.ref, at.local_commit)
        return new, kept
