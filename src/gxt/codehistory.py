"""Runs along the history of the code: under each commit the runs of its code, found again after a rebase or a squash.

A run names the commit that has its code. Where that commit is not in the history that is looked at, one with the same
files is taken for it (their trees have one id), else one that makes the same change (their patch ids are one).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gxt import catalog, git, stats, store, textmap
from gxt.cache import Progress
from gxt.catalog import Where
from gxt.errors import GitError, NotFoundError
from gxt.git import CodeCommit, Repository
from gxt.model import Run
from gxt.showing import quoted

COMMIT, TREE, CHANGE = "commit", "tree", "change"
"""What a run and a commit have in common: the commit itself, all files, or what the commit changes."""

_COMMIT_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CACHE = "patch-ids"
_MOST_CACHED = 50_000
_AT_ONCE = 200  # patches between two signs of progress


class Found(NamedTuple):
    """A run under a commit.

    Attributes:
        how: COMMIT, TREE or CHANGE.
        code: the commit that the run names, with its uncommitted changes where it had some; None of a run that has not
            kept these.
        changed: whether it had uncommitted changes that this commit has not.
    """

    run: Run
    how: str
    code: str | None
    changed: bool = False


class CodeRuns(NamedTuple):
    """A commit of the code and the runs of its code, oldest first."""

    commit: CodeCommit
    runs: list[Found]


class CodeHistory(NamedTuple):
    """Commits, the latest first, and their runs.

    Attributes:
        elsewhere: the runs of code that is not in these commits.
        not_here: those of them whose code this clone lacks, so that only commits' names could be compared.
        more: whether there are earlier commits, which were not looked at.
        goals: which end of a metric is better, as the experiments say.
    """

    commits: list[CodeRuns]
    elsewhere: Sequence[Run]
    not_here: Sequence[Run]
    more: bool
    goals: Mapping[str, str]


def code_history(
    repo: Repository,
    text: str | None = None,
    experiments: Sequence[str] | None = None,
    *,
    where: Where = (),
    limit: int | None = None,
    progress: Progress | None = None,
    compared: Callable[[int, int], None] = lambda done, total: None,
) -> CodeHistory:
    """Commits with the runs of their code.

    Args:
        text: a branch, HEAD's where None, for its history; a range (`main..topic`); any other revision for that commit
            alone.
        experiments, where, progress: as for `catalog.listing`.
        limit: at most so many commits.
        compared: told how many of the commits whose changes have to be read have been.

    Raises:
        NotFoundError: there is no such commit.

    >>> code_history(repo, "v1..main").commits[0].runs[0].how  # doctest: +SKIP
    'commit'
    """
    revision, alone = _revision(repo, text)
    most = 1 if alone else limit
    try:
        commits = git.walk(repo, [revision], None if most is None else most + 1)
    except GitError as error:
        raise NotFoundError(f"no commits {quoted(text or 'HEAD')}: {error.message}", _WAYS) from None
    more = most is not None and len(commits) > most
    commits = commits[:most]
    listing = catalog.listing(repo, experiments, where=where, progress=progress)
    with_code = [run for run in listing.runs if code_of(run) is not None or base_of(run) is not None]
    found, not_here = _matched(repo, commits, with_code, compared)
    rows = [CodeRuns(commit, found.get(commit.id, [])) for commit in commits]
    shown = {one.run.id for row in rows for one in row.runs}
    elsewhere = [run for run in with_code if run.id not in shown]
    return CodeHistory(rows, elsewhere, not_here, more and not alone, listing.goals)


_WAYS = "a branch, a commit, or a range such as v1..main"


def _revision(repo: Repository, text: str | None) -> tuple[str, bool]:
    """What git is asked for, and whether it is one commit alone."""
    if text is None:
        (head,) = git.resolve_here(repo, ["HEAD"])
        if head is None:
            raise NotFoundError("there is no commit yet")
        return head, False
    if text.startswith("-") or not text.isprintable():
        raise NotFoundError(f"no commit {quoted(text)}", _WAYS)
    if ".." in text:
        return text, False
    (commit,) = git.resolve_here(repo, [text])
    if commit is None:
        raise NotFoundError(f"no commit {quoted(text)}", _WAYS)
    return commit, not git.is_branch(repo, text)


def matched(repo: Repository, commits: Sequence[CodeCommit], runs: Sequence[Run]) -> dict[str, list[Found]]:
    """Runs by those of some commits, the latest first, that they belong to: their own, or what has taken its place."""
    with_code = [run for run in runs if code_of(run) is not None or base_of(run) is not None]
    return _matched(repo, commits, with_code, lambda done, total: None)[0] if commits else {}


def base_of(run: Run) -> str | None:
    """The commit that was checked out when a run started."""
    return _id(run.source, "commit")


def code_of(run: Run) -> str | None:
    """The commit that has a run's code as it ran; None where that was not kept."""
    return _code_in(run.source)


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


def went_on(run: Run) -> list[Mapping[str, Any]]:
    """What other code a run went on with after it had ended: of each time that it was resumed, what `source` says."""
    code = code_of(run)
    return [one for one in _resumed(run) if code is None or _code_in(one) != code or one.get("edited")]


def later_codes(run: Run) -> list[str]:
    """The commits with the code of each time that a run went on after it had ended."""
    return [code for one in _resumed(run) if (code := _code_in(one)) is not None]


def inexact(repo: Repository, runs: Iterable[Run]) -> set[str]:
    """The runs, by their ids, of which more ran than the commit of their code has: changes that were not kept, or not
    as they ran. Files that git does not track and that were too large are taken for data."""
    found = set()
    left_out: dict[str, list[str]] = {}
    for run in runs:
        code, paths = code_of(run), not_kept(run)
        if changed_submodules(run) or run.source.get("edited") or went_on(run) or "." in paths:
            found.add(run.id)
        elif code is not None and paths:
            left_out[run.id] = [f"{code}:{path}" for path in paths]
        elif (
            run.source.get("dirty") is True and code == base_of(run) and not paths and not run.source.get("submodules")
        ):
            found.add(run.id)
    asked = [one for some in left_out.values() for one in some]
    tracked = {one for one, oid in zip(asked, git.object_ids(repo, asked), strict=True) if oid is not None}
    return found | {run for run, some in left_out.items() if not tracked.isdisjoint(some)}


def _resumed(run: Run) -> list[Mapping[str, Any]]:
    entries = run.source.get("resumed")
    return [one for one in entries if isinstance(one, Mapping)] if isinstance(entries, list) else []


def _code_in(source: Mapping[str, Any]) -> str | None:
    return _id(source, "snapshot") or (_id(source, "commit") if source.get("dirty") is False else None)


def _id(source: Mapping[str, Any], key: str) -> str | None:
    value = source.get(key)
    return value if isinstance(value, str) and _COMMIT_ID.fullmatch(value) else None  # others may have written it


def key_metrics(run: Run, goals: Mapping[str, str], most: int = 3) -> list[str]:
    """The metrics of a run that say most: with a goal that somebody stated, then with one that their name implies;
    else the first by name."""
    names = sorted(run.metrics)
    ranked = [name for name in names if name in goals]
    ranked += [name for name in names if name not in goals and stats.goal_of(name, {}) is not None]
    return (ranked or names)[:most]


# --- which commit a run belongs to ------------------------------------------------------------------------------------


def _matched(
    repo: Repository, commits: Sequence[CodeCommit], runs: Sequence[Run], compared: Callable[[int, int], None]
) -> tuple[dict[str, list[Found]], list[Run]]:
    """The runs by the commit that they belong to, and those of the others whose code is not here."""
    known = {commit.id: commit for commit in commits}
    named = {oid for run in runs for oid in (code_of(run), base_of(run)) if oid is not None}
    codes = known | git.code_of(repo, named - known.keys())
    place = _Places(commits, codes, _Trees(repo, codes))
    found: dict[str, list[Found]] = {}
    lost: list[Run] = []
    unsure = inexact(repo, runs)

    def add(commit: str, one: Found) -> None:
        found.setdefault(commit, []).append(one._replace(changed=one.changed or one.run.id in unsure))

    for run in runs:
        match = place.by_files(run)
        if match is None:
            lost.append(run)
        else:
            add(*match)
    here = [run for run in lost if {code_of(run), base_of(run)} & codes.keys()]
    if here and commits:
        changes = _Changes(repo, commits, here, codes, compared)
        for run in here:
            match = changes.find(run, place)
            if match is not None:
                add(*match)
    order = {run.id: number for number, run in enumerate(runs)}
    for some in found.values():
        some.sort(key=lambda one: order[one.run.id])
    return found, [run for run in lost if not {code_of(run), base_of(run)} & codes.keys()]


class _Trees:
    """The trees of commits' parents, which are looked up only where they have to decide."""

    def __init__(self, repo: Repository, codes: Mapping[str, CodeCommit]) -> None:
        self._repo, self._codes = repo, dict(codes)

    def before(self, commit: CodeCommit) -> str | None:
        """The tree of a commit's first parent."""
        parent = commit.parents[0] if commit.parents else None
        if parent is None:
            return None
        if parent not in self._codes:
            self._codes |= git.code_of(self._repo, [parent])
        return self._codes[parent].tree if parent in self._codes else None


class _Places:
    """Commits by their ids and by what is in them."""

    def __init__(self, commits: Sequence[CodeCommit], codes: Mapping[str, CodeCommit], trees: _Trees) -> None:
        self.ids = {commit.id for commit in commits}
        self._codes, self._trees = codes, trees
        self._by_tree: dict[str, list[CodeCommit]] = {}
        for commit in commits:
            self._by_tree.setdefault(commit.tree, []).append(commit)

    def by_files(self, run: Run) -> tuple[str, Found] | None:
        """The commit that a run names, or one with the same files; None where there is neither."""
        code, base = code_of(run), base_of(run)
        if code is not None and code in self.ids:
            return code, Found(run, COMMIT, code)
        if (same := self.same_files(code)) is not None:
            return same, Found(run, TREE, code)
        if base is not None and base in self.ids:
            return base, Found(run, COMMIT, code, changed=True)
        return None

    def same_files(self, oid: str | None) -> str | None:
        """Of the commits with the same files as one, that which also came from the same; else the earliest."""
        commit = self._codes.get(oid) if oid is not None else None
        same = self._by_tree.get(commit.tree, []) if commit is not None else []
        if commit is None or not same:
            return None
        if len(same) == 1:
            return same[0].id
        before = self._trees.before(commit)
        return next((one.id for one in same if self._trees.before(one) == before), same[-1].id)


class _Changes:
    """Commits by what they change, compared with what runs' commits change: one by one, and from where their branch
    began, as a squash has it."""

    def __init__(
        self,
        repo: Repository,
        commits: Sequence[CodeCommit],
        runs: Sequence[Run],
        codes: Mapping[str, CodeCommit],
        compared: Callable[[int, int], None],
    ) -> None:
        wanted = {oid for run in runs for oid in (code_of(run), base_of(run)) if oid is not None and oid in codes}
        single = [commit.id for commit in commits if len(commit.parents) < 2]
        known = _cached_patch_ids(repo, [*sorted(wanted), *single], compared)
        self._of = {oid: known[oid] for oid in wanted if oid in known}
        self._by_change: dict[str, str] = {}
        for oid in single:  # the earliest wins
            if oid in known:
                self._by_change[known[oid]] = oid
        self._squashed = git.patch_ids_of_pairs(repo, _beginnings(repo, wanted, commits[0].id))

    def find(self, run: Run, place: _Places) -> tuple[str, Found] | None:
        """The commit that makes the change that a run's code makes; for uncommitted ones, that of the commit below."""
        code, base = code_of(run), base_of(run)
        if (same := self._same(code)) is not None:
            return same, Found(run, CHANGE, code)
        if code == base or base is None:
            return None
        if (same := place.same_files(base)) is not None:
            return same, Found(run, TREE, code, changed=True)
        same = self._same(base)
        return (same, Found(run, CHANGE, code, changed=True)) if same is not None else None

    def _same(self, oid: str | None) -> str | None:
        changes = [ids[oid] for ids in (self._of, self._squashed) if oid is not None and oid in ids]
        return next((self._by_change[change] for change in changes if change in self._by_change), None)


def _beginnings(repo: Repository, commits: Iterable[str], tip: str) -> dict[str, str]:
    """For each commit that a tip does not lead to, the last one on its line that the tip leads to."""
    asked = sorted(commits)
    parents = {commit.id: commit.parents for commit in git.walk(repo, [*asked, f"^{tip}"])} if asked else {}
    found = {}
    for oid in asked:
        at, steps = oid, 0
        while parents.get(at):
            at, steps = parents[at][0], steps + 1
        if at not in parents and steps > 1:  # of one step, the change is its own
            found[oid] = at
    return found


def _cached_patch_ids(repo: Repository, commits: Sequence[str], compared: Callable[[int, int], None]) -> dict[str, str]:
    """The patch ids of some commits; those that were worked out before are in a file of gxt's."""
    path = store.root(repo) / _CACHE
    known = textmap.read(path)
    new = [oid for oid in commits if oid not in known]
    for first in range(0, len(new), _AT_ONCE):
        compared(first, len(new))
        some = new[first : first + _AT_ONCE]
        known |= dict.fromkeys(some, "") | git.patch_ids(repo, some)
    compared(len(new), len(new))
    if new:
        kept = known if len(known) <= _MOST_CACHED else {oid: known[oid] for oid in commits}
        with contextlib.suppress(OSError):  # it is worked out again
            path.parent.mkdir(parents=True, exist_ok=True)
            textmap.write(path, kept)
    return {oid: known[oid] for oid in commits if known[oid]}
