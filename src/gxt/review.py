"""Reviews: branches that fork from the run branch, for a pull request on the host.

A review branch is one more run branch, named after the one that it forks from: `gxt-lr` from `gxt`. While a review is
on, git config `gxt.branch` of the clone names it, and so everything that records, lists or shares knows it.

Whether a review is merged is told by what is on the branches, a run's folder at a time: hosts merge by new commits too
(squash, rebase), which have nothing in common with those that were reviewed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gxt import git, layout, sharing, store
from gxt.errors import GitError, NotFoundError, UsageError
from gxt.git import Repository, Talk
from gxt.model import RUN_ID, experiment_name

NEW, CHANGED, GONE = "new", "changed", "gone"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_HEADS, _REMOTES = "refs/heads/", "refs/remotes/"


class Unit(NamedTuple):
    """What a review has otherwise than the commit that it forked from: a run's folder, or a document of the branch.

    Attributes:
        path: where it is on the branch.
        oid: what it is now; None where the review takes it away.
        what: NEW, CHANGED or GONE.
        run_id: the run's id; None for a document.
    """

    path: str
    oid: str | None
    what: str
    run_id: str | None = None

    @property
    def experiment(self) -> str:
        """The experiment that it belongs to; empty for gxt.yaml."""
        parts = self.path.split("/")
        return experiment_name(parts[1]) if len(parts) > 1 else ""


@dataclass(frozen=True)
class Review:
    """A review branch, compared with the run branch that it forked from.

    Attributes:
        name: such as "lr".
        branch: "gxt-lr".
        base: "gxt".
        commit: where it stands; None before the first commit of one that only a remote has had.
        current: whether runs begin on it now.
        units: what it has otherwise than when it forked.
        missing: those of them that the run branch, here or on a remote, has never had.
        waiting: ids of runs that began on it and are not committed yet.
        pushed: whether a remote has all of it, as far as is known; None where the repository has no remote.
        is_local: whether the branch is here, and not on remotes alone.
    """

    name: str
    branch: str
    base: str
    commit: str | None
    current: bool
    units: tuple[Unit, ...]
    missing: tuple[Unit, ...]
    waiting: tuple[str, ...]
    pushed: bool | None
    is_local: bool

    @property
    def merged(self) -> bool:
        """Whether it has something, and the run branch has all of that."""
        return bool(self.units) and not self.missing

    @property
    def runs(self) -> tuple[Unit, ...]:
        """The runs that are new on it, or changed."""
        return tuple(unit for unit in self.units if unit.run_id is not None)


# --- names ---------------------------------------------------------------------------------------------------------


def run_branch(settings: Mapping[str, str]) -> str:
    """The run branch, also while a review is on."""
    branch = store.branch_name(settings)
    return store.base_of(settings, branch) or branch


def named(settings: Mapping[str, str], name: str | None) -> tuple[str, str]:
    """The run branch, and the branch of a review by its name, `lr` or `gxt-lr`; that which runs go to now for None."""
    base = run_branch(settings)
    return base, store.branch_name(settings) if name is None else f"{base}-{name.removeprefix(f'{base}-')}"


# --- start ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Started:
    """A review that is on now.

    Attributes:
        review: its state.
        is_new: whether it was forked just now, and not there before.
        unpushed: how many commits of the run branch no remote has, which a pull request would show too.
        begun: ids of runs that still record and go to the branch that they began on.
    """

    review: Review
    is_new: bool
    unpushed: int
    begun: tuple[str, ...]


def start(repo: Repository, name: str) -> Started:
    """Have this clone record on a review branch from now on: a new one, or one that is there already, here or on a
    remote. Runs that have begun go to the branch that they began on.

    Raises:
        UsageError: the name cannot be a branch's, or is that of a branch without runs.
    """
    settings = git.config(repo)
    base, branch = named(settings, name)
    if name == base:
        raise UsageError(f"{base} is the run branch itself", "name the review after what it tries, such as `lr`")
    if not _NAME.fullmatch(branch.removeprefix(f"{base}-")) or name.endswith(".lock"):
        raise UsageError(f"no review can be called {name!r}", "letters, digits, - and _, with dots in between")
    before = store.branch_name(settings)
    at = store.branch_tip(repo, branch, settings)
    if at.commit is not None and not _holds_runs(repo, at.commit):
        raise UsageError(f"{branch} is a branch without runs", "choose another name")
    is_new = at.commit is None
    if is_new:
        fork = _fork_point(repo, base, settings)
        git.set_config(repo, f"branch.{branch}.gxtFork", fork)
        store.make_branch(repo, branch, fork)
    git.set_config(repo, f"branch.{branch}.gxtBase", base)
    begun = () if before == branch else tuple(store.runs_begun_on(repo, before))
    store.switch_branch(repo, branch)
    store.refresh_attributes(repo)
    left = set(store.runs_begun_on(repo, before))
    return Started(
        state(repo, branch), is_new, _unpushed(repo, base, settings), tuple(run for run in begun if run in left)
    )


def _fork_point(repo: Repository, base: str, settings: Mapping[str, str]) -> str:
    """The run branch's tip, made where there is none: a remote's, where that has all of the local one."""
    at = store.branch_tip(repo, base, settings)
    if at.commit is None:
        store.init(repo)
        at = store.branch_tip(repo, base, settings)
    assert at.commit is not None
    for commit in git.remote_branches(repo, base, settings).values():
        if git.is_ancestor(repo, at.commit, commit):
            return commit
    return at.commit


def _unpushed(repo: Repository, base: str, settings: Mapping[str, str]) -> int:
    commit = store.branch_tip(repo, base, settings).local_commit
    remotes = git.remote_branches(repo, base, settings)
    if commit is None or not git.remote_urls(settings):
        return 0
    if not remotes:
        return git.count_commits(repo, commit)
    return min(git.count_commits(repo, commit, there) for there in remotes.values())


def _holds_runs(repo: Repository, commit: str) -> bool:
    return git.object_ids(repo, [f"{commit}:{layout.GXT_YAML}"]) != [None]


# --- what there is -------------------------------------------------------------------------------------------------


def listing(repo: Repository) -> list[Review]:
    """The reviews of the run branch, here and on remotes, by name."""
    settings = git.config(repo)
    prefix = f"{run_branch(settings)}-"
    refs = [*git.list_refs(repo, _HEADS), *git.list_refs(repo, _REMOTES)]
    names = {ref.removeprefix(_HEADS) for ref in refs if ref.startswith(_HEADS + prefix)}
    for remote in git.remote_urls(settings):
        place = f"{_REMOTES}{remote}/"
        names |= {ref.removeprefix(place) for ref in refs if ref.startswith(place + prefix)}
    found = (state(repo, branch) for branch in sorted(names))
    return [review for review in found if review.commit is not None and _holds_runs(repo, review.commit)]


def state(repo: Repository, branch: str) -> Review:
    """A review branch as it stands, compared with what is known of the run branch here and on remotes."""
    settings = git.config(repo)
    base = store.base_of(settings, branch) or run_branch(settings)
    at = store.branch_tip(repo, branch, settings)
    units: Sequence[Unit] = ()
    missing: Sequence[Unit] = ()
    if at.commit is not None:
        fork = settings.get(f"branch.{branch}.gxtfork")
        units, missing = compared(repo, at.commit, _known_tips(repo, base, settings), fork)
    return Review(
        name=branch.removeprefix(f"{base}-"),
        branch=branch,
        base=base,
        commit=at.commit,
        current=store.branch_name(settings) == branch,
        units=tuple(units),
        missing=tuple(missing),
        waiting=tuple(store.runs_begun_on(repo, branch)),
        pushed=_is_pushed(repo, at, branch, settings),
        is_local=at.local_commit is not None,
    )


def _known_tips(repo: Repository, branch: str, settings: Mapping[str, str]) -> list[str]:
    local = store.branch_tip(repo, branch, settings).local_commit
    remotes = git.remote_branches(repo, branch, settings).values()
    return list(dict.fromkeys([*([local] if local else []), *remotes]))


def _is_pushed(repo: Repository, at: store.Tip, branch: str, settings: Mapping[str, str]) -> bool | None:
    if not git.remote_urls(settings) or at.commit is None:
        return None
    there = git.remote_branches(repo, branch, settings).values()
    return any(git.is_ancestor(repo, at.commit, commit) for commit in there)


def compared(
    repo: Repository, commit: str, bases: Sequence[str], fork: str | None = None
) -> tuple[list[Unit], list[Unit]]:
    """What a commit has otherwise than when it forked from some bases, and what of that none of them has ever had.

    Args:
        bases: the run branch here and on remotes; the one that has the most of it counts.
        fork: where it forked, for the case that a base has the whole commit in its history.
    """
    best: tuple[list[Unit], list[Unit]] | None = None
    for base in bases:
        common = next(iter(git.merge_bases(repo, base, commit)), None)
        units = changes(repo, common, commit)
        if not units and fork and git.resolve(repo, [fork])[0]:  # merged as it is, so that only the note of it tells
            units = changes(repo, fork, commit)
        missing = [] if common == commit else _missing(repo, units, common, base)
        if best is None or len(missing) < len(best[1]):
            best = units, missing
    if best is None:
        units = changes(repo, None, commit)
        best = units, units
    return best


def changes(repo: Repository, old: str | None, new: str) -> list[Unit]:
    """The runs and documents that two commits of a run branch differ in; with None, all that there is."""
    before, after = ({} if commit is None else _units_at(repo, commit) for commit in (old, new))
    found = []
    for path in sorted(before.keys() | after.keys()):
        one, other = before.get(path), after.get(path)
        if one != other:
            what = NEW if one is None else GONE if other is None else CHANGED
            is_run = not path.endswith(".yaml")
            found.append(Unit(path, other, what, path.rpartition("/")[2] if is_run else None))
    return found


def _units_at(repo: Repository, commit: str) -> dict[str, str]:
    """Every run's folder, and the documents beside them, with their object ids."""
    (top,) = git.read_trees(repo, [f"{commit}:{layout.EXPERIMENTS}"])
    folders = {entry.name: entry.oid for entry in top or () if entry.is_tree}
    runs: dict[str, str] = {}
    # A folder that is damaged must not look like one without runs, so it is no matter to be passed over here.
    for folder, entries in zip(folders, git.read_trees(repo, list(folders.values())), strict=True):
        found = (entry for entry in entries or () if entry.is_tree and RUN_ID.fullmatch(entry.name))
        runs |= {f"{layout.EXPERIMENTS}/{folder}/{entry.name}": entry.oid for entry in found}
    paths = [f"{layout.EXPERIMENTS}/{folder}/{layout.EXPERIMENT_YAML}" for folder in folders]
    paths.append(layout.GXT_YAML)
    oids = git.object_ids(repo, [f"{commit}:{path}" for path in paths])
    return runs | {path: oid for path, oid in zip(paths, oids, strict=True) if oid is not None}


def _missing(repo: Repository, units: Iterable[Unit], common: str | None, base: str) -> list[Unit]:
    """Those of the units that a base has not, and has not had since the two parted: it may have edited them since."""
    units = list(units)
    there = git.object_ids(repo, [f"{base}:{unit.path}" for unit in units])
    lacking = [unit for unit, oid in zip(units, there, strict=True) if oid != unit.oid]
    if base == common or not lacking:
        return lacking
    commits = git.commits_that_change(repo, common, base, [unit.path for unit in lacking])
    had: set[tuple[str, str | None]] = set()
    for commit in commits:
        oids = git.object_ids(repo, [f"{commit}:{unit.path}" for unit in lacking])
        had |= {(unit.path, oid) for unit, oid in zip(lacking, oids, strict=True) if oid is not None}
    return [unit for unit in lacking if (unit.path, unit.oid) not in had]


# --- finish --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """What came of finishing a review.

    Attributes:
        review: as it stood, compared with the run branch as far as it is known now.
        left: whether the clone was on it, and is on the run branch now.
        dropped: whether the local branch was deleted.
        remotes: the remotes on which it was deleted.
        kept: why it was not deleted somewhere, a sentence each.
        forwarded: whether the local run branch has what the remotes' have.
        unreachable: what a remote said that did not answer; then only what was known of it counts.
        shared: the remotes that have the branch still, as far as is known.
    """

    review: Review
    left: bool
    dropped: bool
    remotes: tuple[str, ...]
    kept: tuple[str, ...]
    forwarded: bool
    unreachable: tuple[str, ...]
    shared: tuple[str, ...]

    @property
    def stays(self) -> bool:
        """Whether the branch is kept for what is not merged of it, here or, where it never was here, on a remote."""
        is_there = not self.dropped if self.review.is_local else bool(self.shared)
        return bool(self.review.missing) and is_there


def finish(
    repo: Repository, name: str | None, force: bool = False, on_remotes: bool = False, talk: Talk | None = None
) -> Finished:
    """Go back to the run branch; where it has all that the review has, delete the review branch.

    Fetches the run branch from the remotes that have it, to see what was merged there.

    Args:
        name: the review; the one that is on where it is None.
        force: delete it in any case, with what it has.
        on_remotes: delete it on remotes too, where that has been merged.
        talk: how remotes are talked to.

    Raises:
        NotFoundError: there is no such review.
        UsageError: no review is on, and none was named.
    """
    settings = git.config(repo)
    talk = replace(talk or Talk(), timeout=sharing.timeout(settings))
    current = store.branch_name(settings)
    base, branch = named(settings, name)
    if branch == base:
        raise UsageError("no review is on", "`gxt review` lists them; `gxt review finish NAME` finishes one")
    if branch != current and store.branch_tip(repo, branch, settings).commit is None:
        raise NotFoundError(f"no review {name!r}", "`gxt review` lists them")
    unreachable = fetch_known(repo, settings, talk, [base, branch])
    left = branch == current
    if left:
        store.switch_branch(repo, base)
    review = state(repo, branch)
    done = not review.missing or force
    kept = [f"{_count(review.waiting)} that began on it still {'record' if len(review.waiting) > 1 else 'records'}"]
    kept = kept if review.waiting else []
    dropped, removed = False, list[str]()
    if done and not review.waiting:
        dropped = _drop_local(repo, branch)
        if on_remotes:
            removed, more = _drop_on_remotes(repo, settings, review, force, talk)
            kept += more
    return Finished(
        review,
        left,
        dropped,
        tuple(removed),
        tuple(kept),
        _forward(repo, base, settings),
        tuple(unreachable),
        tuple(remote_of(ref, branch) for ref in git.remote_branches(repo, branch, settings)),
    )


def _count(runs: Sequence[str]) -> str:
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'}"


def fetch_known(
    repo: Repository,
    settings: Mapping[str, str],
    talk: Talk,
    branches: Sequence[str],
    remotes: Sequence[str] | None = None,
) -> list[str]:
    """Bring what is known of some branches on remotes, or on some remotes, up to date; what those say that do not
    answer."""
    problems = []
    for branch in branches:
        for ref in git.remote_branches(repo, branch, settings):
            remote = remote_of(ref, branch)
            if remotes is not None and remote not in remotes:
                continue
            try:  # hosts delete a branch that was merged, which is no problem
                git.fetch(repo, remote, branch, talk)
            except GitError as error:
                problems.append(error.message)
    return problems


def remote_of(ref: str, branch: str) -> str:
    """The remote whose branch a remote-tracking ref is."""
    return ref.removeprefix(_REMOTES).removesuffix(f"/{branch}")


def _drop_local(repo: Repository, branch: str) -> bool:
    local = store.branch_tip(repo, branch, git.config(repo)).local_commit
    if local is not None:
        store.drop_branch(repo, branch, local)
    else:
        git.remove_config_section(repo, f"branch.{branch}")
    return local is not None


def _drop_on_remotes(
    repo: Repository, settings: Mapping[str, str], review: Review, force: bool, talk: Talk
) -> tuple[list[str], list[str]]:
    """The remotes on which the review branch was deleted, and why it was not on others."""
    removed, kept = [], []
    bases = _known_tips(repo, review.base, settings)
    for ref, commit in git.remote_branches(repo, review.branch, settings).items():
        remote = remote_of(ref, review.branch)
        _, missing = compared(repo, commit, bases)
        if missing and not force:
            kept.append(f"{remote} has {len(missing)} more on it that {review.base} has not")
            continue
        try:
            git.delete_remote_branch(repo, remote, review.branch, commit, talk)
            removed.append(remote)
        except GitError as error:
            kept.append(error.message)
    return removed, kept


def _forward(repo: Repository, base: str, settings: Mapping[str, str]) -> bool:
    """Have the local run branch what remotes' have, where it has nothing of its own; whether it has it."""
    commits = git.remote_branches(repo, base, settings).values()
    has_all = True
    for commit in commits:
        has_all &= store.forward(repo, base, commit) or _has(repo, base, commit, settings)
    return has_all


def _has(repo: Repository, base: str, commit: str, settings: Mapping[str, str]) -> bool:
    local = store.branch_tip(repo, base, settings).local_commit
    return local is not None and git.is_ancestor(repo, commit, local)
