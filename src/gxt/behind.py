"""Reviews whose run branch has gone on: what they lack of it, where a host could not merge them, and joining the two.

Hosts merge by git alone, which takes two changes of neighbouring lines for a conflict. Where the run branch is joined
into the review first, by the rules that every sync goes by, the host has nothing left to decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gxt import git, joining, review, sharing, store
from gxt.errors import NotFoundError, UsageError
from gxt.git import Repository, Talk
from gxt.joining import Moved
from gxt.review import Review


@dataclass(frozen=True)
class Behind:
    """What there is of a run branch that a review has not.

    Attributes:
        base: which run branch: `origin/gxt`, or `gxt` where no remote has it.
        runs: those that are new there, or changed.
        conflicts: the files in which git alone, as on a host, cannot merge the two.
    """

    base: str
    runs: Sequence[Moved] = ()
    conflicts: Sequence[str] = ()


def of(repo: Repository, one: Review) -> Behind:
    """How far a review is behind its run branch, as far as that is known; of several remotes', behind the one that it
    is furthest from."""
    settings = git.config(repo)
    found = [Behind(one.base)]
    if one.commit is not None and not one.merged:
        for name, commit in bases(repo, one.base, settings).items():
            runs = joining.moved_since(repo, settings, one.commit, commit)
            there = joining.conflicts(repo, settings, one.commit, commit) if one.missing else []
            found.append(Behind(name, runs, there))
    return max(found[1:] or found, key=lambda behind: (len(behind.conflicts), len(behind.runs)))


def bases(repo: Repository, base: str, settings: Mapping[str, str]) -> dict[str, str]:
    """What reviews are to be merged into, with where that stands: the run branch of each remote that has it, else the
    one here."""
    there = git.remote_branches(repo, base, settings)
    if there:
        return {ref.removeprefix("refs/remotes/"): commit for ref, commit in there.items()}
    local = store.branch_tip(repo, base, settings).local_commit
    return {base: local} if local is not None else {}


def on_now(repo: Repository, settings: Mapping[str, str], remotes: Sequence[str], talk: Talk) -> Behind | None:
    """How far the review that is on is behind, with the run branch as some remotes have it now; None without one.

    A remote that does not answer counts as it was.
    """
    branch = store.branch_name(settings)
    base = store.base_of(settings, branch)
    if base is None:
        return None
    review.fetch_known(repo, settings, replace(talk, timeout=sharing.timeout(settings)), [base], remotes)
    return of(repo, review.state(repo, branch))


@dataclass(frozen=True)
class Updated:
    """What came of joining the run branch into a review.

    Attributes:
        review: as it stands now.
        bases: what was joined into it, such as `origin/gxt`.
        received: the runs that came, or changed by that.
        merges: how many merge commits that took.
        shared: the remotes that have the review branch, and not yet what it has now.
        unreachable: what a remote said that did not answer; then what was known of it was joined.
    """

    review: Review
    bases: tuple[str, ...]
    received: Sequence[Moved]
    merges: int
    shared: tuple[str, ...]
    unreachable: tuple[str, ...]


def update(repo: Repository, name: str | None = None, talk: Talk | None = None) -> Updated:
    """Have a review contain what its run branch has by now: fetch that, and join it as a sync joins runs.

    Nothing is sent; the next push of the review does.

    Args:
        name: the review; the one that is on where it is None.
        talk: how remotes are talked to.

    Raises:
        NotFoundError: there is no such review, or nothing to join into it.
        UsageError: no review is on, and none was named.
        GitError: it is checked out in a work tree.
    """
    settings = git.config(repo)
    talk = replace(talk or Talk(), timeout=sharing.timeout(settings))
    base, branch = review.named(settings, name)
    if branch == base:
        raise UsageError("no review is on", "`gxt review` lists them; `gxt review update NAME` updates one")
    store.commit_pending(repo)
    unreachable = review.fetch_known(repo, settings, talk, [base, branch])
    before = store.branch_tip(repo, branch, settings).commit
    if before is None:
        raise NotFoundError(f"no review {name!r}", "`gxt review` lists them")
    known = bases(repo, base, settings)
    if not known:
        raise NotFoundError(f"there is no branch {base} to join into {branch}", unreachable[0] if unreachable else None)
    at, merges = before, 0
    for there, commit in known.items():
        joined = store.join(repo, commit, there, settings={**settings, "gxt.branch": branch})
        merges += joined not in (at, commit)
        at = joined
        # What it has otherwise than when it forked is from now on what it has otherwise than this.
        git.set_config(repo, f"branch.{branch}.gxtFork", commit)
    return Updated(
        review=review.state(repo, branch),
        bases=tuple(known),
        received=joining.moved(repo, settings, before, at),
        merges=merges,
        shared=_shared(repo, branch, at, settings),
        unreachable=tuple(unreachable),
    )


def _shared(repo: Repository, branch: str, commit: str, settings: Mapping[str, str]) -> tuple[str, ...]:
    there = git.remote_branches(repo, branch, settings)
    return tuple(review.remote_of(ref, branch) for ref, known in there.items() if known != commit)
