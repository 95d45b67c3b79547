"""Commits on the run branch: made from an explicit tip, and again from the start when the tip has moved.

What the branch itself needs comes along, and what somebody else deleted or rewrote is kept and told.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from gxt import git, layout, live, temporary, textmap
from gxt.errors import FormatError, GitError, GxtWarning, RefLockedError, RefMovedError
from gxt.git import Repository
from gxt.store.aside import abandoned, remove_abandoned
from gxt.store.locking import committing, pause
from gxt.store.reading import missing_runs
from gxt.store.tips import Changes, Tip, ref_of, root, tip_and_files

TRIES = 20
_LOCK_TRIES = 6


def commit_at_tip(
    repo: Repository,
    plan: Callable[[Tip], tuple[Changes, str]],
    experiments: Iterable[str] = (),
    beside: dict[str, bytes | None] | None = None,
    joined: str | None = None,
    branch: str | None = None,
    settings: Mapping[str, str] | None = None,
) -> str:
    """Commit what `plan` says for the tip, again from the start while somebody else is faster.

    The paths in `beside` are read along with the tip, for `plan` to look at.
    What the branch itself needs comes along: gxt.yaml, .gitattributes, and the documents of new experiments. `joined`
    is the commit's second parent, `branch` another run branch than the one that runs begin on now, `settings` git's
    configuration where the caller has it already.
    """
    names = sorted(set(experiments))
    known = git.config(repo) if settings is None else settings
    settings = {**known, **({"gxt.branch": branch} if branch is not None else {})}
    for attempt in range(TRIES):
        of_branch = _branch_documents(names)
        at, documents = tip_and_files(repo, settings, [*of_branch, *(beside or ())])
        if beside:
            beside.update(zip(beside, documents[len(of_branch) :], strict=True))
            del documents[len(of_branch) :]
        check_not_checked_out(repo, at.ref, settings)
        compare_with_last(repo, at)
        changes, message = plan(at)
        begun = [name for name, document in zip(names, documents[1:], strict=True) if document is None]
        try:
            commit = git.commit_files(
                repo,
                at.ref,
                at.local_commit,
                at.commit,
                _new_documents(repo, at, names, documents) + changes,
                layout.with_new_experiments(message, begun),
                settings,
                joined,
            )
        except (RefMovedError, RefLockedError) as error:
            if locks := _remove_stale_locks(repo, at.ref):
                warnings.warn(GxtWarning(f"removed {locks[0]}, a lock that a crash left behind"), stacklevel=2)
                continue
            # Git itself holds a ref's lock for milliseconds; one that stays was left behind.
            if attempt >= (TRIES if isinstance(error, RefMovedError) else _LOCK_TRIES) - 1:
                raise
            pause(0.01 * 2 ** min(attempt, 6))
            continue
        for name in names:
            live.forget_experiment(root(repo), name)
        remember(repo, at.ref, commit)
        if git.maintain(repo, settings, root(repo) / "maintenance.lock"):
            clean_up(repo)
        return commit
    raise AssertionError("unreachable")


def change(repo: Repository, plan: Callable[[Tip], tuple[Changes, str]], branch: str | None = None) -> str:
    """Commit the changes, with their message, that `plan` says for the tip, which it may be asked for again."""
    with committing(repo):
        return commit_at_tip(repo, plan, branch=branch)


def check_not_checked_out(repo: Repository, ref: str, settings: Mapping[str, str]) -> None:
    """Raise GitError where a work tree has the run branch checked out.

    Its index would still be the old tip's: everything new would look deleted, and `git commit -a` do it.
    """
    if holder := git.checked_out_in(repo, ref, settings):
        raise GitError(
            f"the run branch is checked out in {holder}, where new runs would look deleted",
            "check out another branch there, then `gxt recover` commits what waits",
        )


def leftovers(repo: Repository) -> list[Path]:
    """What processes that were killed in the middle of a commit left behind."""
    ref = ref_of(git.config(repo))
    locks = [lock for name in _locked_with(ref) if (lock := git.stale_lock(repo, name))]
    return [
        *live.leftovers(root(repo)),
        *git.leftovers(repo, ref),
        *abandoned(repo),
        *temporary.abandoned(repo),
        *locks,
    ]


def clean_up(repo: Repository) -> list[Path]:
    """Take away what processes that were killed in the middle of a commit left behind. Returns what was taken."""
    ref = ref_of(git.config(repo))
    removed = live.remove_leftovers(root(repo)) + git.remove_leftovers(repo, ref) + remove_abandoned(repo)
    removed += temporary.clear(repo)
    return removed + _remove_stale_locks(repo, ref)


def _locked_with(ref: str) -> tuple[str, str]:
    """What git may hold a lock of while it moves or deletes a ref."""
    return ref, "packed-refs"


def _remove_stale_locks(repo: Repository, ref: str) -> list[Path]:
    return [lock for name in _locked_with(ref) if (lock := git.remove_stale_lock(repo, name))]


_LAST, _LOST = "last.json", "lost.json"


def _last_commits(repo: Repository) -> dict[str, str]:
    """Where this clone's last commit left each run branch."""
    return textmap.read(root(repo) / _LAST)


def remember(repo: Repository, ref: str, commit: str) -> None:
    with contextlib.suppress(OSError):  # then the next commit has less to compare with
        textmap.write(root(repo) / _LAST, _last_commits(repo) | {ref: commit})


def last_commit(repo: Repository, ref: str) -> str:
    """Where this clone's last commit left a run branch; empty where it has made none."""
    return _last_commits(repo).get(ref, "")


def note_lost(repo: Repository, ref: str, commit: str) -> None:
    """Note that whoever uses this clone has been told, or need not be, that a run branch has lost a commit."""
    with contextlib.suppress(OSError):  # then `gxt verify` goes on telling
        textmap.write(root(repo) / _LOST, textmap.read(root(repo) / _LOST) | {commit: ref})


def noted_as_lost(repo: Repository) -> list[str]:
    """The commits that run branches have lost, and that was told."""
    return list(textmap.read(root(repo) / _LOST))


def is_as_left(repo: Repository, at: Tip) -> bool:
    """Whether the branch stands where this clone's last commit left it."""
    return at.local_commit is not None and at.local_commit == _last_commits(repo).get(at.ref)


def compare_with_last(repo: Repository, at: Tip) -> None:
    """Where somebody deleted or rewrote the branch since our last commit, keep what it held, and say so."""
    last = _last_commits(repo).get(at.ref)
    if not last or last == at.local_commit:
        return
    if at.commit is not None and git.is_ancestor(repo, last, at.commit):
        return
    if at.local_commit is None and git.ref_exists(repo, at.ref):
        return  # it is damaged, which git says in its own words
    there = git.resolve(repo, [last])[0] is not None
    note_lost(repo, at.ref, last)
    if there and at.commit is not None and not missing_runs(repo, at.commit, last):
        return  # its commits were written anew, and every run is there
    branch = at.ref.removeprefix("refs/heads/")
    kept = f"refs/gxt/kept/{branch}-{last[:12]}"
    what = "was rewritten" if at.local_commit else "was deleted"
    with contextlib.suppress(RefMovedError):  # it is kept already, or git refuses
        git.create_ref(repo, kept, last)
    if git.resolve(repo, [kept])[0]:
        then = f"what it held is kept as {kept} (`git update-ref -d {kept}` lets it go)"
    elif there:
        then = f"what it held is at {last} for as long as git keeps it: `git branch NAME {last[:12]}`"
    else:
        then = "the commits that it held are gone from this repository"
    remember(repo, at.ref, at.local_commit or "")
    warnings.warn(GxtWarning(f"the branch {branch} {what} since the last run was recorded here; {then}"), stacklevel=2)


def _branch_documents(experiments: Sequence[str]) -> list[str]:
    return [layout.GXT_YAML, *map(layout.experiment_path, experiments)]


def _new_documents(repo: Repository, at: Tip, experiments: Sequence[str], found: Sequence[bytes | None]) -> Changes:
    """What the branch itself needs and lacks; `found` are its documents so far."""
    changes: Changes = []
    if found[0] is None:
        changes += [
            (layout.GXT_YAML, layout.gxt_document()),
            (layout.GITATTRIBUTES, layout.GITATTRIBUTES_TEXT),
        ]
    elif (version := layout.read_format(found[0])) > layout.FORMAT:
        raise FormatError(
            f"{at.ref} is written in format {version}; this gxt writes format {layout.FORMAT}",
            "upgrade: pip install -U git-gxt",
        )
    for name, document in zip(experiments, found[1:], strict=True):
        if document is None:
            changes.append(
                (layout.experiment_path(name), layout.experiment_document(live.new_experiment(root(repo), name)))
            )
        elif b"\ndeleted: " in document:
            hint = f"`gxt restore --experiment {name}` shows them"
            warnings.warn(
                GxtWarning(f"experiment {name!r} is deleted, and so its runs are hidden; {hint}"), stacklevel=6
            )
    return changes
