"""Sharing runs with remotes: sending what is new here, and joining what is new there.

Whatever a remote is told to do, it does at once or not at all; so does the local branch. A sync that is killed anywhere
has done a part of the work, and the next one does the rest.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from gxt import git, joining, large, layout, remotecode, snapshots, store, textmap
from gxt.errors import FormatError, GitError, GxtError, GxtWarning, NotFoundError, UsageError
from gxt.git import Entry, Repository, Talk
from gxt.joining import Moved
from gxt.large import Shown
from gxt.masking import mask_urls
from gxt.pointers import Pointer
from gxt.showing import one_line
from gxt.yamltext import load_mapping

_PATIENCE = 1800.0  # seconds for which others may be faster
_PAUSES = (0.2, 0.8, 3.0)  # seconds at most, after the first refusal, the second, and all others
_TURN, _CROWDED, _YIELD = 1.0, 60.0, 1.0  # seconds
_STUMBLES = 3
_IN_VAIN = 5, 20.0  # times, seconds
_SEEN, _CROWDS = "remotes.json", "crowds.json"
_TIMEOUT = 120.0

TAKE, UNDO = "take", "undo"
"""What to do about a branch that was rewritten: go on from what it is now, or bring back what was taken away."""


class RewrittenError(GitError):
    """A remote's branch does not contain any more what it was known to contain."""


@dataclass(frozen=True)
class Outcome:
    """What came of a sync with one remote.

    Attributes:
        remote: its name.
        received: runs that came from there, or changed by that.
        sent: runs that it got, or got changes of.
        artifacts: large artifacts that went, or, of a preview, would go.
        received_experiments, sent_experiments: folders of experiments whose own documents came, or went, changed.
        is_new_here, is_new_there: whether the local branch, or the remote's, has moved.
        commit: where the local branch stands; None where there is none.
        merges: how many merge commits that took.
        tries: how often it was sent, knowing what was there; more than once where others were faster.
        kept: the ref that keeps what was here before, where a rewritten branch was taken over.
        there: where the remote's branch stands, as far as is known.
        code: the commits of code that it got, or would get, for runs that it had already as they are.
    """

    remote: str
    received: Sequence[Moved] = ()
    sent: Sequence[Moved] = ()
    artifacts: Sequence[Pointer] = ()
    received_experiments: Sequence[str] = ()
    sent_experiments: Sequence[str] = ()
    is_new_here: bool = False
    is_new_there: bool = False
    commit: str | None = None
    merges: int = 0
    tries: int = 0
    kept: str | None = None
    there: str | None = None
    code: Sequence[str] = ()


def default_remote(settings: Mapping[str, str]) -> str:
    """The remote to share with: what git's configuration says for the run branch (branch.NAME.remote), or for pushing
    (remote.pushDefault), the only one, or origin.

    Raises:
        NotFoundError: there is none, or nothing tells which.
    """
    remotes = git.remote_urls(settings)
    branch = store.branch_name(settings)
    said = settings.get(f"branch.{branch}.remote") or settings.get("remote.pushdefault")
    if said and said in remotes:
        return said
    if len(remotes) == 1:
        return next(iter(remotes))
    if "origin" in remotes:
        return "origin"
    if not remotes:
        raise NotFoundError("this repository has no remote", "`git remote add origin URL` adds one")
    names = ", ".join(sorted(remotes))
    raise NotFoundError(f"which remote of {names}?", f"`git config branch.{branch}.remote NAME` sets the usual one")


def timeout(settings: Mapping[str, str]) -> float:
    """For how many seconds a remote may be silent: git config gxt.timeout; 0 for ever."""
    text = settings.get("gxt.timeout")
    try:
        return max(0.0, float(text)) if text is not None else _TIMEOUT
    except ValueError:
        raise UsageError(f"git config gxt.timeout: {text!r} is no number of seconds") from None


# --- what would go and come ---------------------------------------------------------------------------------------


def preview(repo: Repository, remote: str, talk: Talk) -> Outcome:
    """The runs that a sync would send and receive. Fetches, but changes neither side's branch."""
    settings = git.config(repo)
    talk = _prepare(settings, remote, talk)
    branch = store.branch_name(settings)
    fetched, here = _fetch(repo, remote, branch, talk)
    there = fetched.id if fetched else None
    seen = last_seen(repo).get(_name(settings, remote))
    if here is not None and fetched is not None and seen is not None and _lost(repo, here, seen, fetched):
        raise _rewritten(repo, settings, _name(settings, remote), seen, fetched.id)
    had = there or (_forked_from(repo, remote, branch, here) if here else None)
    return Outcome(
        remote,
        there=there,
        received=joining.moved_since(repo, settings, here, there) if there else [],
        sent=joining.moved_since(repo, settings, had, here) if here else [],
        is_new_here=bool(there) and (here is None or not git.is_ancestor(repo, str(there), here)),
        is_new_there=bool(here) and (there is None or not git.is_ancestor(repo, str(here), there)),
        artifacts=_unsent(repo, settings),
        commit=here,
        code=_code_that_would_go(repo, settings, remote, here, there, talk) if here else (),
    )


def names(repo: Repository, commits: Sequence[str | None], runs: Sequence[Moved]) -> dict[str, str]:
    """The names of runs, as the first of some commits has them that has them at all."""
    found: dict[str, str] = {}
    for commit in commits:
        left = [moved for moved in runs if moved.run not in found]
        paths = [f"{commit}:{layout.EXPERIMENTS}/{moved.folder}/{moved.run}/{layout.RUN_YAML}" for moved in left]
        for moved, data in zip(left, git.read_objects(repo, paths if commit else []), strict=bool(commit)):
            with contextlib.suppress(FormatError):
                if data is not None:
                    found[moved.run] = str(load_mapping(data, layout.RUN_YAML).get("name") or moved.run)
    return found


class Distance(NamedTuple):
    """How far apart the local branch and what is known of a remote's are: runs, and commits, that only one has; and
    whether the remote's was rewritten since this clone had all of it."""

    ref: str
    ahead: Sequence[Moved]
    behind: Sequence[Moved]
    commits_ahead: int
    commits_behind: int
    rewritten: bool


def distances(repo: Repository, settings: Mapping[str, str], at: store.Tip) -> list[Distance]:
    """How far the local branch is from what is known of each remote's."""
    found = []
    seen_before = last_seen(repo)
    for ref, commit in git.remote_branches(repo, store.branch_name(settings), settings).items():
        here = at.local_commit
        seen = seen_before.get(ref.removeprefix("refs/remotes/"))
        found.append(
            Distance(
                ref,
                joining.moved_since(repo, settings, commit, here) if here else [],
                joining.moved_since(repo, settings, at.commit, commit),
                git.count_commits(repo, here, commit) if here else 0,
                git.count_commits(repo, commit, at.commit) if at.commit else 0,
                bool(here and seen) and _lost(repo, str(here), str(seen), git.CommitAt(commit, [])),
            )
        )
    return found


# --- sync ---------------------------------------------------------------------------------------------------------


def sync(
    repo: Repository,
    remote: str,
    talk: Talk,
    *,
    receive: bool = True,
    send: bool = True,
    rewritten: str | None = None,
    settings: Mapping[str, str] | None = None,
    shown: Shown | None = None,
) -> Outcome:
    """Have the local run branch and a remote's contain each other's runs.

    Runs that wait to be committed should be committed before.

    Args:
        receive: bring what is new there; else only where the remote does not take ours without.
        send: send what is new here.
        rewritten: TAKE or UNDO, where the remote's branch was rewritten.
        settings: git's configuration, where the caller has it already.
        shown: how it is shown that large artifacts go.

    Raises:
        RewrittenError: it was, and nobody said what to do.
        NotFoundError: no such remote, or it has no run branch to receive.
        GitError: the remote cannot be reached, refuses, or does not answer; or the run branch is checked out.
    """
    settings = git.config(repo) if settings is None else settings
    talk = _prepare(settings, remote, talk)
    branch = store.branch_name(settings)
    asked = [f"refs/heads/{branch}", git.tracking_ref(remote, branch), *git.default_refs(remote)]
    begin, known_at, *default = git.commits_at(repo, asked)
    before, known = (at.id if at else None for at in (begin, known_at))
    tip = next((at.id for at in default if at is not None), None)
    here = before
    done = Outcome(remote)
    began = time.monotonic()
    refused: _Refusals | None = None
    for attempt in itertools.count():
        # The first time, in the hope that nothing is new there: the remote refuses if that is not so.
        there = known
        might = not attempt and send and here is not None and (here != known or not receive)
        hopeful = might and _goes_on_from(repo, begin, known, _name(settings, remote))
        if hopeful:
            _let_others_go_first(repo, _name(settings, remote))
        else:
            fetched, here = _fetch(repo, remote, branch, talk)
            if fetched is None and not send:
                raise NotFoundError(f"{remote} has no branch {branch} yet", "`gxt push` makes it")
            there = fetched.id if fetched else None
            if fetched is not None:
                here, done = _join(repo, settings, here, fetched, done, rewritten)
        if here is None and (send or there is None):
            return done  # neither side has any run
        if not send:
            return _finish(repo, settings, done, before, here, there)
        assert here is not None
        had = there or _forked_from(repo, remote, branch, here)
        changed = joining.changed_files(repo, settings, had, here) if here != had else []
        went = _send_what_runs_need(repo, settings, remote, changed, shown)
        done = replace(done, artifacts=[*done.artifacts, *went])
        code = remotecode.to_send(repo, settings, remote, here, there, before, changed, tip)
        if here == there and not hopeful and not code.is_due:
            remotecode.remember(repo, settings, remote, here, tip)
            return _finish(repo, settings, done, before, here, there)
        pushed = _push(repo, settings, remote, here, there, code, tip, talk)
        late = code.commits if pushed.had else code.earlier
        got = [commit for commit in late if snapshots.ref_of(commit) in pushed.new]
        done = replace(done, tries=done.tries + (pushed.landed or not hopeful), code=[*done.code, *got])
        if pushed.landed:
            return _finish(repo, settings, done if pushed.had else _sent(done, changed), before, here, here)
        if not (pushed.moved or (pushed.stumbled and attempt < _STUMBLES)):
            raise _refused(remote, branch, pushed.words)
        if not hopeful:  # who only hoped that nothing was new there has been in nobody's way
            refused = refused.again(there) if refused is not None else _Refusals(there)
            if refused.is_lasting():
                raise _refused(remote, branch, pushed.words, _why_lasting(settings, remote, branch))
            _note_crowd(repo, _name(settings, remote))
            _pause(0, _PAUSES[min(attempt, len(_PAUSES)) - 1])
        if time.monotonic() - began > _PATIENCE:
            break
    raise GitError(f"others push to {remote} faster than this clone can join them", "try again; nothing is lost")


@dataclass
class _Refusals:
    """How often, and since when, a remote has refused as if somebody else were faster, with its branch at one place."""

    there: str | None
    times: int = 1
    since: float = dataclasses.field(default_factory=time.monotonic)

    def again(self, there: str | None) -> _Refusals:
        """After one more."""
        return replace(self, times=self.times + 1) if there == self.there else _Refusals(there)

    def is_lasting(self) -> bool:
        """Whether nobody else can be the reason: whoever is faster moves the branch."""
        return self.times >= _IN_VAIN[0] and time.monotonic() - self.since >= _IN_VAIN[1]


def _why_lasting(settings: Mapping[str, str], remote: str, branch: str) -> str:
    fetched, pushed = (settings.get(f"remote.{remote}.{what}") for what in ("url", "pushurl"))
    if pushed and pushed != fetched:
        return f"git config remote.{remote}.pushurl names another repository than its url, where {branch} is otherwise"
    return f"nobody else moves {branch} there: a push that died may have left a lock (refs/heads/{branch}.lock)"


def _forked_from(repo: Repository, remote: str, branch: str, here: str) -> str | None:
    """What a remote that has not seen the branch yet is known to have of it: what a review forked from."""
    prefix = f"refs/remotes/{remote}/"
    for ref, commit in git.list_refs(repo, prefix).items():
        if branch.startswith(f"{ref.removeprefix(prefix)}-"):
            return next(iter(git.merge_bases(repo, commit, here)), None)
    return None


def _sent(done: Outcome, changed: Sequence[tuple[str, str]]) -> Outcome:
    experiments = joining.experiments_in(changed)
    return replace(done, sent=joining.moved_in(changed), sent_experiments=experiments, is_new_there=True)


def _prepare(settings: Mapping[str, str], remote: str, talk: Talk) -> Talk:
    if remote not in git.remote_urls(settings):
        known = ", ".join(sorted(git.remote_urls(settings)))
        hint = f"there is {known}" if known else "`git remote add NAME URL` adds one"
        raise NotFoundError(f"no remote {mask_urls(remote)!r}", hint)
    said = talk.said
    if said is None:
        return replace(talk, timeout=timeout(settings))
    shown = said
    return replace(talk, said=lambda text: shown(mask_urls(text)), timeout=timeout(settings))


def _fetch(repo: Repository, remote: str, branch: str, talk: Talk) -> tuple[git.CommitAt | None, str | None]:
    """Bring a remote's branch here: where it stands, and where ours does."""
    with _masking():
        is_there = git.fetch(repo, remote, branch, talk)
    there, here = git.commits_at(repo, [git.tracking_ref(remote, branch), f"refs/heads/{branch}"])
    return there if is_there else None, here.id if here else None


def _push(
    repo: Repository,
    settings: Mapping[str, str],
    remote: str,
    commit: str,
    expected: str | None,
    code: remotecode.ToSend,
    tip: str | None,
    talk: Talk,
) -> git.Pushed:
    branch = store.branch_name(settings)
    *before, along = remotecode.batches(remotecode.refspecs(code.commits))
    refused: Mapping[str, str] = {}
    new: list[str] = []
    with _masking():
        for refs in before:
            went = git.push_refs(repo, remote, refs, talk)
            refused, new = {**refused, **went.refused}, [*new, *went.new]
        pushed = git.push(repo, remote, branch, commit, expected, talk, settings, along)
        if along and not (pushed.landed or pushed.moved or pushed.stumbled):  # it may be the code that it does not take
            words = pushed.words.replace("\n", "; ")
            refused = {**refused, **dict.fromkeys(map(snapshots.ref_of, code.commits), words)}
            pushed = git.push(repo, remote, branch, commit, expected, talk, settings)
    refused = {**refused, **pushed.refused}
    if pushed.landed:
        left = [one for one in code.commits if snapshots.ref_of(one) in refused]
        remotecode.remember(repo, settings, remote, commit, tip, left)
        _warn_of_submodules(repo, code.new)
        if refused:
            why = mask_urls(next(iter(refused.values())))[:300]
            what = f"{remote} does not take the code of runs, which stays here: {why}"
            warnings.warn(GxtWarning(what), stacklevel=2)
    return pushed._replace(new=[*new, *pushed.new])


def _warn_of_submodules(repo: Repository, code: Sequence[str]) -> None:
    unpushed = remotecode.unpushed_submodules(repo, code)
    if not unpushed:
        return
    first = unpushed[0]
    more = f", and {len(unpushed) - 1} more" if len(unpushed) > 1 else ""
    what = f"runs that were sent need the submodule {one_line(first.path)} at {first.commit[:12]}{more}"
    why = "which no remote of it is known to have: push it there, or nobody else can run them again"
    warnings.warn(GxtWarning(f"{what}, {why} (git -C {one_line(first.path)} push)"), stacklevel=3)


def _code_that_would_go(
    repo: Repository, settings: Mapping[str, str], remote: str, here: str, there: str | None, talk: Talk
) -> Sequence[str]:
    changed = joining.changed_files(repo, settings, there, here) if here != there else []
    tip = git.default_tip(repo, remote)
    code = remotecode.to_send(repo, settings, remote, here, there, here, changed, tip).earlier
    if not code:
        return ()
    known = git.remote_refs(repo, remote, f"{git.CODE}*", talk)
    return [commit for commit in code if snapshots.ref_of(commit) not in known]


def _send_what_runs_need(
    repo: Repository,
    settings: Mapping[str, str],
    remote: str,
    changed: Sequence[tuple[str, str]],
    shown: Shown | None,
) -> Sequence[Pointer]:
    """Whatever runs refer to goes to the remote before the commit that has them, so that nobody who sees a run finds a
    part of it missing: so far, large artifacts, and with them those that did not go when their runs did. `changed` are
    the files that the commit has and the remote's has not. Returns what went.
    """
    parts = [path.split("/", 4) for status, path in changed if status != "D"]
    runs = {part[2] for part in parts if len(part) == 5 and part[3] == layout.ARTIFACTS}
    left = _unsent(repo, settings)
    if not runs and not left:
        return []
    from gxt import catalog, transfer  # here for start-up time
    from gxt.query import Field, In

    asked = In(Field("attributes", "run_id"), tuple(sorted(runs)))
    listed = catalog.listing(repo, deleted=None, where=asked).runs if runs else []
    found = [run for run in listed if run.place == "branch"]
    sending = transfer.push(repo, remote, found, shown, also=left)
    try:
        sending.check()
    except GxtError as error:
        if not changed:
            raise
        why = f"no run was sent to {remote}, since none goes without what it needs"
        raise GxtError(f"{error.message}; {why}", error.hint) from None
    if sending.missing:
        count, first = len(sending.missing), next(iter(sending.missing.values()))
        what = f"{count} large artifact{'' if count == 1 else 's'} of the runs sent, such as {first}"
        warnings.warn(GxtWarning(f"{what}: the bytes are neither here nor in {sending.place}"), stacklevel=2)
    return sending.sent


def _unsent(repo: Repository, settings: Mapping[str, str]) -> Sequence[Pointer]:
    """Large artifacts on the branch that are here and, as far as this clone knows, nowhere else."""
    if not large.Objects(store.root(repo), store.root(repo)).has_recorded():
        return []
    from gxt import transfer  # here for start-up time

    return transfer.unsent(repo, settings)


@contextlib.contextmanager
def _masking() -> Iterator[None]:
    try:
        yield
    except GitError as error:
        raise type(error)(mask_urls(error.message), error.hint and mask_urls(error.hint)) from None


def _refused(remote: str, branch: str, words: str, why: str = "the runs stay here, committed") -> GitError:
    first, *rest = mask_urls(words).splitlines()
    said = f": {'; '.join(rest)[:400]}" if rest else ""
    return GitError(f"{remote} refuses the branch {branch} {first}{said}", why)


def _finish(
    repo: Repository,
    settings: Mapping[str, str],
    done: Outcome,
    before: str | None,
    here: str | None,
    there: str | None,
) -> Outcome:
    """What came of it: our branch was at `before`, and is at `here`; the remote's is at `there`."""
    if there is not None:
        _remember(repo, _name(settings, done.remote), there)
    changed = joining.changed_files(repo, settings, before, here) if before != here else []
    return replace(
        done,
        received=joining.moved_in(changed),
        received_experiments=joining.experiments_in(changed),
        is_new_here=before != here,
        commit=here,
        there=there,
    )


def _join(
    repo: Repository,
    settings: Mapping[str, str],
    here: str | None,
    fetched: git.CommitAt,
    done: Outcome,
    rewritten: str | None,
) -> tuple[str, Outcome]:
    """Have the local branch, which is `here`, contain the remote's; where it stands then."""
    there = fetched.id
    if here == there:
        return here, done
    name = _name(settings, done.remote)
    seen = last_seen(repo).get(name)
    if here is not None and seen is not None and _lost(repo, here, seen, fetched):
        if rewritten is None:
            raise _rewritten(repo, settings, name, seen, there)
        if rewritten == TAKE:
            new, kept = store.replace_tip(
                repo, there, lambda local: _carried_over(repo, settings, local, seen, there, name)
            )
            _remember(repo, name, there)
            return new, replace(done, kept=kept)
    joined = store.join(repo, there, name, fetched.parents, settings)
    return joined, replace(done, merges=done.merges + (joined not in (here, there)))


def _name(settings: Mapping[str, str], remote: str) -> str:
    """What a remote's branch is called, such as `origin/gxt`."""
    return f"{remote}/{store.branch_name(settings)}"


def _goes_on_from(repo: Repository, here: git.CommitAt | None, known: str | None, name: str) -> bool:
    """Whether ours goes on from what is known of the remote's branch."""
    seen = last_seen(repo).get(name)
    if known is None or here is None:
        return seen is None
    return (seen is None or seen == known) and git.goes_on_from(repo, here, known)


# --- many at once -------------------------------------------------------------------------------------------------
# Whoever has just landed is up to date, and so would land again and again, while those that have to join first come too
# late each time. So a clone that has met a crowd stands back once when it has had its turn; then another one has.


def _pause(least: float, most: float) -> None:
    import random  # here for start-up time

    time.sleep(random.uniform(least, most))


def _let_others_go_first(repo: Repository, name: str) -> None:
    path = store.root(repo) / _CROWDS
    met = textmap.read(path)
    with contextlib.suppress(ValueError, OSError):
        if name in met and not 0 <= (since := time.time() - float(met.pop(name))) < _TURN:
            textmap.write(path, met)
            if since < _CROWDED:
                _pause(_YIELD / 2, _YIELD)


def _note_crowd(repo: Repository, name: str) -> None:
    path = store.root(repo) / _CROWDS
    with contextlib.suppress(OSError):
        textmap.write(path, textmap.read(path) | {name: f"{time.time():.3f}"})


# --- a branch that was rewritten ----------------------------------------------------------------------------------


def last_seen(repo: Repository) -> dict[str, str]:
    """Where each remote's branch stood when this clone last had all of it."""
    return textmap.read(store.root(repo) / _SEEN)


def _remember(repo: Repository, name: str, commit: str) -> None:
    seen = last_seen(repo)
    if seen.get(name) == commit:
        return
    path = store.root(repo) / _SEEN
    with contextlib.suppress(OSError):  # else a rewritten branch may go unnoticed, no more
        path.parent.mkdir(exist_ok=True)
        textmap.write(path, seen | {name: commit})


def _lost(repo: Repository, here: str, seen: str, there: git.CommitAt) -> bool:
    """Whether a remote's branch has lost what it was seen to have, and what we still have."""
    return not git.goes_on_from(repo, there, seen) and git.is_ancestor(repo, seen, here)


def _rewritten(repo: Repository, settings: Mapping[str, str], name: str, seen: str, there: str) -> RewrittenError:
    gone = [moved for moved in joining.moved(repo, settings, seen, there) if moved.what != "new"]
    runs = f"; {len(gone)} run{' is' if len(gone) == 1 else 's are'} gone from it or changed" if gone else ""
    return RewrittenError(
        f"{name} was rewritten: it has no longer {seen[:10]}, which it had when this clone last saw it{runs}",
        "--take-rewrite goes on from what it is now, with what was not sent yet on top; "
        "--undo-rewrite brings back what was taken away",
    )


def _carried_over(
    repo: Repository, settings: Mapping[str, str], local: str, seen: str, there: str, name: str
) -> tuple[store.Changes, str] | None:
    """What was new here since `seen`, as changes to the rewritten branch; what the rewriting took away stays away."""
    changes: store.Changes = []
    runs: list[str] = []
    for unit in joining.differing(repo, settings, seen, local, there):
        (now_there,) = unit.bases
        if not unit.theirs or unit.theirs == now_there or (unit.ours and not now_there):
            continue
        if unit.ours is None or now_there is None or unit.ours == now_there:
            changes.append((unit.path, Entry(unit.theirs.oid, unit.theirs.is_tree)))
        else:
            changes += joining.on_top(repo, unit.path, unit.ours, unit.theirs, now_there)
        if unit.is_run:
            runs.append(unit.path.rpartition("/")[2])
    if not changes:
        return None
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    trailers = "".join(f"{layout.RUN_TRAILER}: {run}\n" for run in runs)
    return changes, f"carry over {count} onto {name}, which was rewritten\n\n{trailers}"
