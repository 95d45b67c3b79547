"""The code of runs at remotes: what each has to be sent so that it never loses any, and taking off what no run names.

A branch that somebody works on may be squashed, forced or deleted any day, and whoever recorded a run may be gone by
then: a CI job's clone is. So only what the remote's default branch leads to is taken for safe; all else has a ref of
its own there. And where that branch is rewritten, the code of all runs is looked at again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gxt import git, joining, layout, snapshots, store, textmap
from gxt.errors import GitError, NotFoundError, UsageError
from gxt.git import Repository, Talk
from gxt.showing import one_line, quoted

_LOOKED = "code-sent.json"
_NONE = "-"
_AT_ONCE = 500  # refs on a command line


class ToSend(NamedTuple):
    """The commits of code that a remote is to be sent.

    Attributes:
        commits: all of them, each once.
        new: the code that runs name which go there now, what the remote cannot lose included.
        earlier: those that only runs name which the remote has already, as they are.
        is_due: whether that is reason enough for a push of its own; not, where the remote has refused all of it before.
    """

    commits: Sequence[str]
    new: Sequence[str]
    earlier: Sequence[str]
    is_due: bool


def to_send(
    repo: Repository,
    settings: Mapping[str, str],
    remote: str,
    commit: str,
    there: str | None,
    before: str | None,
    changed: Sequence[tuple[str, str]],
    tip: str | None,
) -> ToSend:
    """The code that a remote could lose, of the runs at a commit of the run branch; `changed` are the files that it has
    otherwise than the remote's branch, which stands at `there`; `before` is where ours stood before the remote's was
    joined; and `tip` is where the remote's default branch stands.

    Of runs that the remote has already, only what this clone has not looked at yet. By ids: what others have kept may
    be here without a ref of ours.
    """
    new = snapshots.named_in(repo, commit, _documents(changed))
    earlier: list[str] = []
    is_due = False
    looked = _looked(repo, settings, remote) if there is not None else None
    if looked is None or not _holds(repo, looked, tip):
        earlier, is_due = sorted(snapshots.named_at(repo, [commit])), True
    elif looked.runs not in (commit, there, before):  # else what is new has come from there, or is in `changed`
        try:
            since = joining.changed_files(repo, settings, looked.runs, commit)
            earlier, is_due = snapshots.named_in(repo, commit, _documents(since)), True
        except GitError:  # it is not here any more
            earlier, is_due = sorted(snapshots.named_at(repo, [commit])), True
    if looked is not None and looked.refused:
        earlier += sorted(snapshots.named_at(repo, [commit]) & looked.refused)
    found = lacking(repo, tip, dict.fromkeys([*new, *earlier]))
    unsent = [one for one in found if one not in set(new)]
    return ToSend(found, new, unsent, is_due and bool(unsent))


def lacking(repo: Repository, tip: str | None, commits: Iterable[str], refs: Iterable[str] = ()) -> list[str]:
    """Those of some commits that are here and that a remote may lose: its default branch, which stands at a tip, does
    not lead to them, and none of its refs keeps them.

    >>> refs = git.remote_refs(repo, "origin", f"{git.CODE}*", talk).values()  # doctest: +SKIP
    >>> lacking(repo, git.default_tip(repo, "origin"), commits, refs)  # doctest: +SKIP
    ['66fb1c0a...']
    """
    kept = set(refs)
    return git.not_reached(repo, [one for one in commits if one not in kept], [tip] if tip is not None else [])


def refspecs(commits: Iterable[str]) -> list[str]:
    """What git is told to push code, by ids."""
    return [f"{commit}:{snapshots.ref_of(commit)}" for commit in commits]


def batches(refs: Sequence[str]) -> list[Sequence[str]]:
    """As many at once as fit on a command line, on every system."""
    return [refs[first : first + _AT_ONCE] for first in range(0, len(refs), _AT_ONCE)] or [[]]


def _documents(changed: Sequence[tuple[str, str]]) -> list[str]:
    return [path for status, path in changed if status != "D" and _is_run_document(path)]


def _is_run_document(path: str) -> bool:
    return path.count("/") == 3 and path.endswith(f"/{layout.RUN_YAML}")


# --- submodules ------------------------------------------------------------------------------------------------------


class Unpushed(NamedTuple):
    """A submodule at a commit that, as far as is known here, none of its remotes has."""

    path: str
    commit: str


_MOST_LOOKED_INTO = 20


def unpushed_submodules(repo: Repository, commits: Sequence[str]) -> list[Unpushed]:
    """The submodules that code needs and that nobody else can get, of those that are checked out here; of much code,
    the last is looked into."""
    if repo.work_tree is None or not (repo.work_tree / ".gitmodules").exists():
        return []
    found: dict[Unpushed, None] = {}
    for commit in commits[-_MOST_LOOKED_INTO:]:
        with contextlib.suppress(GitError):  # it is not here: the runs are a colleague's
            found |= {Unpushed(*one): None for one in git.submodule_commits(repo, commit).items()}
    return [one for one in found if _is_unpushed(repo, repo.work_tree / one.path, one.commit)]


def _is_unpushed(repo: Repository, folder: Path, commit: str) -> bool:
    try:
        inner = git.find(folder)
        # What was fetched by its id alone, as shallow submodules are, is on no branch that is known.
        is_told = inner.common_dir != repo.common_dir and not git.is_shallow(inner)
        return is_told and commit in git.unpushed(inner, [commit])
    except (GitError, NotFoundError, OSError):
        return False


# --- what has been looked at ----------------------------------------------------------------------------------------


class _Looked(NamedTuple):
    """The commit of the run branch whose runs' code a remote has, where its default branch stood then, and what it
    refused."""

    runs: str
    tip: str | None
    refused: frozenset[str]


def remember(
    repo: Repository,
    settings: Mapping[str, str],
    remote: str,
    commit: str,
    tip: str | None,
    refused: Iterable[str] | None = None,
) -> None:
    """Note that a remote has the code of all runs at a commit of the run branch, but what it `refused`; None where that
    is as it was."""
    known = _looked(repo, settings, remote)
    left = known.refused if refused is None and known is not None else frozenset(refused or ())
    if known == _Looked(commit, tip, left):
        return
    path = store.root(repo) / _LOOKED
    text = " ".join([commit, tip or _NONE, *sorted(left)])
    with contextlib.suppress(OSError):  # else all is looked at again
        path.parent.mkdir(exist_ok=True)
        textmap.write(path, textmap.read(path) | {_place(settings, remote): text})


def _looked(repo: Repository, settings: Mapping[str, str], remote: str) -> _Looked | None:
    words = textmap.read(store.root(repo) / _LOOKED).get(_place(settings, remote), "").split()
    if len(words) < 2:
        return None
    return _Looked(words[0], None if words[1] == _NONE else words[1], frozenset(words[2:]))


def _place(settings: Mapping[str, str], remote: str) -> str:
    """A remote as one place: of another URL it is another, which may have been given the branches alone."""
    urls = [settings.get(f"remote.{remote}.{what}", "") for what in ("url", "pushurl")]
    return f"{remote} {hashlib.sha256(' '.join(urls).encode()).hexdigest()[:16]}"


def _holds(repo: Repository, looked: _Looked, tip: str | None) -> bool:
    """Whether a default branch, which is at `tip` now, still leads to all that it led to."""
    if looked.tip in (None, tip):
        return True
    return tip is not None and git.is_ancestor(repo, str(looked.tip), tip)


# --- taking it off --------------------------------------------------------------------------------------------------


class Held(NamedTuple):
    """The code that a remote keeps: the commits that no run names, with what their refs are at; how many others."""

    nameless: Mapping[str, str]
    named: int


def nameless(repo: Repository, settings: Mapping[str, str], remote: str, talk: Talk) -> Held:
    """The code at a remote that no run names: on no branch or tag, there or here, and none that waits or records.

    Raises:
        NotFoundError: no such remote.
        UsageError: it has branches or tags that are not here, whose runs may name code.
        GitError: it cannot be reached.

    >>> nameless(repo, settings, "origin", Talk()).named  # doctest: +SKIP
    12
    """
    if remote not in git.remote_urls(settings):
        raise NotFoundError(f"no remote {quoted(remote)}", "`git remote` lists them")
    refs = git.remote_refs(repo, remote, "*", talk)
    codes = {ref.removeprefix(git.CODE): oid for ref, oid in refs.items() if ref.startswith(git.CODE)}
    heads = {ref: oid for ref, oid in refs.items() if ref.startswith(("refs/heads/", "refs/tags/"))}
    here = git.sizes(repo, list(dict.fromkeys(heads.values())))
    if unknown := sorted(ref for ref, oid in heads.items() if oid not in here):
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise UsageError(
            f"{remote} has {one_line(unknown[0])}{more}, which this clone lacks, and whose runs may name code",
            f"`git fetch --tags {remote} '+refs/heads/*:refs/remotes/{remote}/*'` brings all of it",
        )
    tips = [commit for commit in git.resolve(repo, list(dict.fromkeys(refs.values()))) if commit is not None]
    named = snapshots.named_anywhere(repo, tips)
    gone = {commit: oid for commit, oid in sorted(codes.items()) if commit not in named}
    return Held(gone, len(codes) - len(gone))


def take_off(repo: Repository, remote: str, held: Held, talk: Talk) -> None:
    """Take the code off a remote that no run names; it takes the objects away when it next collects garbage.

    Raises:
        GitError: it cannot be reached, or does not let refs be deleted.
    """
    for some in batches(list(held.nameless)):
        git.delete_remote_refs(repo, remote, {snapshots.ref_of(one): held.nameless[one] for one in some}, talk)


# --- bringing it ----------------------------------------------------------------------------------------------------


def bring(repo: Repository, settings: Mapping[str, str], commits: Iterable[str], talk: Talk) -> list[str]:
    """Have code here that remotes keep for runs, all of it at once; those commits that no remote keeps.

    Raises:
        GitError: a remote cannot be reached, or does not answer.
    """
    asked = list(dict.fromkeys(commits))
    left = [one for one, found in zip(asked, git.resolve(repo, asked), strict=True) if found is None]
    for remote in sorted(git.remote_urls(settings), key=lambda name: (name != "origin", name)):
        refs = git.remote_refs(repo, remote, f"{git.CODE}*", talk) if left else {}
        there = [ref for ref in map(snapshots.ref_of, left) if ref in refs]
        for some in batches(there) if there else ():
            git.fetch_refs(repo, remote, some, talk)
        left = [one for one in left if snapshots.ref_of(one) not in refs]
    return left
