"""Large artifacts of all runs, or of some: sent to where others find them, fetched, checked, cleared away."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import NamedTuple

from filelock import FileLock, Timeout

from gxt import catalog, git, large, layout, live, store
from gxt.errors import FileChangedError, GxtError, UsageError
from gxt.git import Repository
from gxt.large import Objects, Progress, Settings, Shown
from gxt.model import RUN_ID, Run
from gxt.pointers import Pointer, may_be_pointer, read_pointer

_AT_ONCE = 4
_ASKED_AT_ONCE = 16


def _shown(shown: Shown | None, size: int) -> AbstractContextManager[Progress | None]:
    return contextlib.nullcontext() if shown is None else shown(size)


Named = dict[Pointer, str]
"""Large artifacts, each with a place where it is named: `<run id>/<path>` of one of the runs that have it."""


class _Clone(NamedTuple):
    """What a transfer needs to know of a clone."""

    config: Mapping[str, str]
    settings: Settings
    objects: Objects

    @classmethod
    def of(cls, repo: Repository) -> _Clone:
        config = git.config(repo)
        settings = store.artifact_settings(repo, config)
        return cls(config, settings, store.objects(repo, settings))


class Sending(NamedTuple):
    """What became of sending.

    Attributes:
        place: where to, None where this clone knows no place.
        sent: what went there now.
        there: what was there already.
        missing: what is neither here nor in the store, with where it is named. A Git LFS server is not asked.
        failed: what did not go, and why.
    """

    place: str | None
    sent: list[Pointer]
    there: list[Pointer]
    missing: Named
    failed: dict[Pointer, GxtError]

    def check(self) -> None:
        """Raise GxtError where something was to go and did not.

        What is missing is no error: others have it, or nobody.
        """
        if self.failed:
            total = len(self.sent) + len(self.failed)
            first = next(iter(self.failed.values()))
            what = "1 large artifact was" if len(self.failed) == 1 else f"{len(self.failed)} large artifacts were"
            raise GxtError(
                f"{what} not sent ({total - len(self.failed)} of {total} were): {first.message}",
                first.hint or "`gxt artifacts push` goes on with what is not there yet",
            )


def named(repo: Repository, runs: Sequence[Run] | None = None) -> Named:
    """The large artifacts of some runs, or of every run at the tip of the run branch."""
    if runs is None:
        commit = store.tip(repo, git.config(repo)).commit
        return pointers_at(repo, [commit]) if commit else {}
    return {
        content.pointer: f"{run.id}/{path.removeprefix(f'{layout.ARTIFACTS}/')}"
        for run in runs
        for path, content in catalog.contents(repo, run).items()
        if isinstance(content, catalog.LargeFile)
    }


def pointers_at(repo: Repository, commits: Iterable[str]) -> Named:
    """Every pointer in the trees of these commits, a run's or not; those of runs are named."""
    places: dict[str, str] = {}
    for commit in commits:
        for file in git.list_files(repo, commit):
            if may_be_pointer(file.size):
                places.setdefault(file.oid, file.path)
    contents = git.read_objects(repo, places)
    found: Named = {}
    for path, data in zip(places.values(), contents, strict=True):
        pointer = read_pointer(data or b"")
        if pointer is not None:
            parts = path.split("/", 4)
            is_run = len(parts) == 5 and parts[0] == layout.EXPERIMENTS and RUN_ID.fullmatch(parts[2])
            found[pointer] = f"{parts[2]}/{parts[4]}" if is_run else path
    return found


def push(
    repo: Repository,
    remote: str | None = None,
    runs: Sequence[Run] | None = None,
    shown: Shown | None = None,
    also: Iterable[Pointer] = (),
) -> Sending:
    """Send the large artifacts of runs that are on the branch to the store, or to Git LFS of a remote.

    Args:
        remote: for Git LFS; `origin`, or the only one, when it is None.
        runs: only those of these runs; of all when it is None.
        shown: how it is shown.
        also: others that are here, besides.

    The place is asked for each, since what was there once may be gone; nothing is sent twice. Look at `failed`, or call
    `check`.

    Raises:
        GxtError: the place cannot be opened at all.

    >>> transfer.push(repo, "origin").check()  # doctest: +SKIP
    """
    clone = _Clone.of(repo)
    wanted = {pointer: pointer.oid for pointer in also} | named(repo, runs)
    if not wanted:
        return Sending(None, [], [], {}, {})
    place = large.place_for(repo, clone.settings, remote, clone.config)
    if place is None:
        here = [pointer for pointer in wanted if clone.objects.has(pointer)]
        return Sending(None, [], [], {}, dict.fromkeys(here, _no_place(clone)))
    here = [pointer for pointer in wanted if clone.objects.has(pointer)]
    # Whoever clears the store has fetched what is on a remote, and does not know of what is not.
    branches = git.remote_branches(repo, store.branch_name(clone.config), clone.config)
    others_know = lru_cache(lambda: pointers_at(repo, branches.values()))

    def is_new(pointer: Pointer) -> bool:
        return pointer not in others_know()

    known = clone.objects.stored(place.key)
    with _shown(shown, sum(pointer.size for pointer in here if pointer.oid not in known)) as progress:
        done = place.send(here, clone.objects, progress, is_new) if here else large.Sent([], [], {})
    rest = _without(wanted, here)  # of others
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        answers = dict(zip(rest, pool.map(place.has, rest), strict=True))
    elsewhere = [pointer for pointer, answer in answers.items() if answer]
    clone.objects.note_stored(place.key, [pointer.oid for pointer in elsewhere])
    missing = {pointer: rest[pointer] for pointer, answer in answers.items() if answer is False}
    clone.objects.forget_stored(place.key, [pointer.oid for pointer in missing])
    return Sending(place.name, done.sent, [*elsewhere, *done.there], missing, done.failed)


def _no_place(clone: _Clone) -> GxtError:
    if git.has_lfs():
        hint = "`git remote add origin URL`, or `gxt artifacts store URL`"
        return GxtError("there is no remote to send them to", hint)
    return GxtError("there is no place for them", "install git-lfs, or `gxt artifacts store URL`")


def _without(pointers: Named, some: Iterable[Pointer]) -> Named:
    taken = set(some)
    return {pointer: where for pointer, where in pointers.items() if pointer not in taken}


class Fetching(NamedTuple):
    """What became of fetching: what came, what was here, and why the rest did not come."""

    fetched: list[Pointer]
    here: list[Pointer]
    failed: dict[Pointer, GxtError]


def pull(repo: Repository, runs: Sequence[Run] | None = None, shown: Shown | None = None) -> Fetching:
    """Fetch the large artifacts of some runs, or of all on the branch, that are not here."""
    clone = _Clone.of(repo)
    wanted = named(repo, runs)
    here = [pointer for pointer in wanted if clone.objects.has(pointer)]
    places = large.places_for(repo, clone.settings, clone.config)
    fetched: list[Pointer] = []
    failed: dict[Pointer, GxtError] = {}

    def one(pointer: Pointer, progress: Progress | None) -> None:
        try:
            large.fetch(pointer, clone.objects, places, progress)
            fetched.append(pointer)
        except GxtError as error:
            failed[pointer] = error

    missing = _without(wanted, here)
    with _shown(shown, sum(pointer.size for pointer in missing)) as progress, ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(one, missing, itertools.repeat(progress)))
    return Fetching(fetched, here, failed)


# --- while runs record ---------------------------------------------------------------------------------------------

_SETTLED = 10.0  # seconds: a file that is written anew each epoch need not go each time
_ROUNDS_WITH_TROUBLE = 3


def send_as_they_come(repo: Repository) -> GxtError | None:
    """Send to the store what is here and not there, runs that still record included, until nothing is left.

    Returns what went wrong last. None at once where another process is at it, or there is no store.
    """
    base = store.root(repo)
    base.mkdir(exist_ok=True)
    trouble: GxtError | None = None
    with contextlib.suppress(Timeout), FileLock(base / "upload.lock", timeout=0):
        for _ in range(_ROUNDS_WITH_TROUBLE):
            trouble = _send_until_done(repo)
            if trouble is None:
                break
            time.sleep(_SETTLED)
    return trouble


def _send_until_done(repo: Repository) -> GxtError | None:
    clone = _Clone.of(repo)
    if clone.settings.store is None:
        return None
    place = large.StorePlace(clone.settings.store)
    while True:
        settled, is_more_to_come = _of_waiting_runs(repo, clone)
        known = clone.objects.stored(place.key)
        new = [p for p in {*settled, *named(repo)} if p.oid not in known and clone.objects.has(p)]
        failed = place.send(new, clone.objects).failed if new else {}
        if failed:
            return next(iter(failed.values()))
        if not new and not is_more_to_come:
            return None
        if not new:
            time.sleep(_SETTLED / 4)


def _of_waiting_runs(repo: Repository, clone: _Clone) -> tuple[list[Pointer], bool]:
    """The large artifacts of runs that are not on the branch yet, but for those that were written just now, and
    whether there are such."""
    base = store.root(repo)
    found: list[Pointer] = []
    is_more_to_come = False
    for folder in [*live.live_runs(base), *live.pending_runs(base)]:
        for path, digest in live.digests(folder).items():
            if digest.size <= clone.settings.threshold:
                continue
            if time.time() - digest.changed / 1e9 < _SETTLED:
                is_more_to_come = True
                continue
            with contextlib.suppress(FileChangedError, OSError):  # the run moves on
                found.append(large.placed(folder, path, digest, clone.objects))
    return found, is_more_to_come


# --- looking ------------------------------------------------------------------------------------------------------


class Whereabouts(NamedTuple):
    """Where a large artifact's bytes are.

    Attributes:
        here: whether this clone has a copy.
        place: the place that is known to have them, None where none is.
        problem: what is wrong with them, None where nothing is.
    """

    pointer: Pointer
    named: str
    here: bool
    place: str | None
    problem: str | None = None


def whereabouts(repo: Repository, runs: Sequence[Run] | None = None) -> list[Whereabouts]:
    """Where the large artifacts of some runs, or of all on the branch, are, as this clone last learned."""
    clone = _Clone.of(repo)
    places = large.places_for(repo, clone.settings, clone.config)
    known = [(place.name, clone.objects.stored(place.key)) for place in places]

    def place_of(pointer: Pointer) -> str | None:
        return next((name for name, oids in known if pointer.oid in oids), None)

    wanted = sorted(named(repo, runs).items(), key=lambda item: item[1])
    return [Whereabouts(pointer, where, clone.objects.has(pointer), place_of(pointer)) for pointer, where in wanted]


def unsent(repo: Repository, config: Mapping[str, str]) -> list[Pointer]:
    """The large artifacts of runs on the branch that are here and, as far as this clone knows, nowhere else."""
    settings = store.artifact_settings(repo, config)
    objects = store.objects(repo, settings)
    alone = objects.recorded()
    for place in large.places_for(repo, settings, config) if alone else []:
        alone -= objects.stored(place.key)
    if not alone:
        return []
    pointers = {pointer for pointer in named(repo) if pointer.oid in alone and objects.has(pointer)}
    if pointers and settings.store is None and git.has_lfs_hook(repo, config):  # a plain `git push` took them along
        branches = git.remote_branches(repo, store.branch_name(config), config)
        pointers -= pointers_at(repo, branches.values()).keys()
    return sorted(pointers)


def verify(repo: Repository, runs: Sequence[Run] | None = None, shown: Shown | None = None) -> list[Whereabouts]:
    """Check every copy here against its digest, and ask the store for each artifact.

    A damaged copy is set aside, and fetched again when it is next opened.
    """
    clone = _Clone.of(repo)
    place = large.place_for(repo, clone.settings, None, clone.config)
    found = whereabouts(repo, runs)

    def check(about: Whereabouts, progress: Progress | None) -> Whereabouts:
        pointer, here, problem = about.pointer, about.here, None
        if here:
            with open(clone.objects.path(pointer.oid), "rb") as stream:
                is_whole = large.digest_of(stream) == pointer
            if not is_whole:
                here, problem = False, f"the copy here was damaged, and is now {clone.objects.set_aside(pointer.oid)}"
            if progress is not None:
                progress(pointer.size, 1)
        there = place.has(pointer) if place is not None else None
        if place is not None and there is not None:
            (clone.objects.note_stored if there else clone.objects.forget_stored)(place.key, [pointer.oid])
            about = about._replace(place=place.name if there else None)
        if not here and about.place is None and there is not None:
            problem = "; ".join(text for text in (problem, "its bytes are neither here nor there") if text)
        return about._replace(here=here, problem=problem)

    here = sum(about.pointer.size for about in found if about.here)
    with _shown(shown, here) as progress, ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(check, found, itertools.repeat(progress)))


# --- clearing away ------------------------------------------------------------------------------------------------


class Pruning(NamedTuple):
    """What is, or would be, cleared away.

    Attributes:
        removed: digest to size in bytes.
        kept: copies that no run names, but that are not known to be anywhere else.
    """

    removed: dict[str, int]
    kept: dict[str, int]


def prune(repo: Repository, dry_run: bool = False, force: bool = False, everything: bool = False) -> Pruning:
    """Take away copies here of artifacts that no run on any ref, and none that waits, names.

    Copies of the user's own Git LFS files are not touched.

    Args:
        dry_run: only say what would go.
        force: also what is not known to be in the store or on the server.
        everything: also copies that runs name, as long as they are elsewhere.

    A store is asked for the copies. Git LFS is asked only in order to send what it lacks: so of what went there once,
    and not for a `dry_run`, which goes by what is known.
    """
    clone = _Clone.of(repo)
    in_use = _waiting(repo) | _staged(repo) if everything else _in_use(repo)
    copies = clone.objects.copies(clone.objects.ours() - in_use)
    going = set(copies) if force and not everything else _elsewhere(repo, clone, copies, dry_run)
    removed = {copy.oid: copy.size for copy in copies if copy in going}
    kept = {copy.oid: copy.size for copy in copies if copy not in going}
    if not dry_run:
        for oid in removed:
            clone.objects.remove(oid)
        clone.objects.remove_leftovers(_STALE)
    return Pruning(removed, kept)


def _elsewhere(repo: Repository, clone: _Clone, copies: Sequence[Pointer], dry_run: bool) -> set[Pointer]:
    """Which of some copies here some place has too."""
    found: set[Pointer] = set()
    for place in large.places_for(repo, clone.settings, clone.config):
        left = [copy for copy in copies if copy not in found]
        found |= place.confirmed(left, clone.objects, dry_run) if left else set()
    return found


_STALE = 86_400.0  # seconds


def prune_store(repo: Repository, dry_run: bool = False, grace: float = large.GRACE) -> Pruning:
    """Take away objects of the store that no run on any ref of this clone, remote-tracking ones included, names.

    Younger objects than `grace` seconds stay: they may be of a run that is not pushed yet.

    Raises:
        UsageError: this clone has no store.
    """
    clone = _Clone.of(repo)
    if clone.settings.store is None:
        raise UsageError("there is no artifact store", "`gxt artifacts store URL` names one")
    place = large.StorePlace(clone.settings.store)
    in_use = _in_use(repo)
    removed: dict[str, int] = {}
    kept: dict[str, int] = {}
    for stored in place.listing():
        if stored.oid not in in_use:
            is_old = stored.time is not None and time.time() - stored.time >= grace
            (removed if is_old else kept)[stored.oid] = stored.size
    if not dry_run:
        place.remove(list(removed))
        place.remove_leftovers(time.time() - _STALE)
        clone.objects.forget_stored(place.key, removed)
    return Pruning(removed, kept)


def _in_use(repo: Repository) -> set[str]:
    """The digests that any ref names, branches of code included (their own Git LFS files may have the same bytes), the
    index of a work tree, or a run that waits."""
    waiting = _waiting(repo) | _staged(repo)  # first: what is committed meanwhile is then seen at least once
    return waiting | {pointer.oid for pointer in pointers_at(repo, git.tips(repo))}


def _staged(repo: Repository) -> set[str]:
    """The digests that the index of a work tree names: the user's own Git LFS files, of which no ref may know yet."""
    small = [file.oid for file in git.staged_files(repo) if may_be_pointer(file.size)]
    pointers = [read_pointer(data or b"") for data in git.read_objects(repo, small)]
    return {pointer.oid for pointer in pointers if pointer is not None}


def _waiting(repo: Repository) -> set[str]:
    """The digests of large files of runs that are not on the branch yet, as far as they are known."""
    base = store.root(repo)
    folders = [*live.live_runs(base), *live.pending_runs(base)]
    return {digest.oid for folder in folders for digest in live.digests(folder).values() if digest.oid}
