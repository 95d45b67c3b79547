"""Runs onto the branch, and changes of those on it: ended runs, checkpoints, edits, purges."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from gxt import git, large, layout, live, pins
from gxt.errors import FileChangedError, GxtWarning, NotFoundError
from gxt.git import Content, Repository
from gxt.live import Snapshot
from gxt.model import Run, now
from gxt.store.commits import change, commit_at_tip
from gxt.store.contents import artifact_settings, objects
from gxt.store.locking import committing
from gxt.store.reading import list_runs, read_experiments, read_run_at, read_runs
from gxt.store.tips import Changes, Tip, branch_name, branch_tip, root

_ROUNDS = 5  # of committing what is still being added to


def commit_pending(repo: Repository, run_id: str | None = None) -> list[Run]:
    """Put every ended run on the branch, crashed ones as killed, in one commit. Returns the runs committed.

    With `run_id`, it is enough that this run is there: where another process takes it along meanwhile, that will do.

    A run that cannot be read stays where it is, with a warning, and holds up no other.

    Raises:
        GitError: git does not take the commit; the runs stay pending and the next commit takes them along.
    """
    waiting = None if run_id is None else live.pending_path(root(repo), run_id)
    with committing(repo, unless=lambda: waiting is not None and not waiting.exists()) as ours:
        return commit_waiting(repo) if ours else []


def withdraw(repo: Repository, run: Run) -> None:
    """Take the folder of a run off the tip of the branch that was put there while it recorded."""
    path = layout.run_path(run.experiment, run.id)
    change(repo, lambda at: ([(path, None)], layout.edit_message(run, "withdrawn")), branch_of(repo, run.id))


def commit_waiting(repo: Repository) -> list[Run]:
    """As `commit_pending`, for a caller that holds the lock of `committing`."""
    base = root(repo)
    for folder in live.live_runs(base):
        with _set_aside(folder):
            if not live.is_alive(folder):
                live.recover(base, folder.name)
    committed: dict[str, Run] = {}
    for rounds_left in reversed(range(_ROUNDS)):
        taken: list[Snapshot] = []
        for folder in live.pending_runs(base):
            with _set_aside(folder):
                live.take_back_rescued(folder)
                taken.append(live.snapshot(folder))
        if not taken:
            break
        try:
            _commit_by_branch(repo, taken)
        except FileChangedError:  # somebody is still at it
            if rounds_left:
                continue
            raise
        committed |= {snapshot.run.id: snapshot.run for snapshot in taken}
        grown = [snapshot for snapshot in taken if not live.discard(base, snapshot)]
        if not grown:
            break
    pins.drop(base, committed)
    return list(committed.values())


def checkpoint(repo: Repository, run_id: str, since: Checkpoint | None = None) -> Checkpoint:
    """Put a run that still records on the branch as it stands now, with the status running.

    `since` is what the last call gave: what has not changed is not written again, and nothing at all where all is as
    it was.

    Raises:
        NotFoundError: the run is not recording.
        GitError: git does not take the commit; the run goes on in its folder.
    """
    folder = live.live_path(root(repo), run_id)
    with committing(repo):
        for rounds_left in reversed(range(_ROUNDS)):
            try:
                snapshot = live.snapshot(folder)
            except FileNotFoundError:
                raise NotFoundError(f"run {run_id} is not recording") from None
            if since is not None and since.snapshot.extent == snapshot.extent:
                return since
            try:
                return Checkpoint(snapshot, _commit_checkpoint(repo, snapshot, since))
            except FileChangedError:
                if not rounds_left:
                    raise
    raise AssertionError("unreachable")


class Checkpoint(NamedTuple):
    """A running run as it was committed, and the commit."""

    snapshot: Snapshot
    commit: str


def _commit_checkpoint(repo: Repository, snapshot: Snapshot, since: Checkpoint | None) -> str:
    run = snapshot.run
    folder = layout.run_path(run.experiment, run.id)
    (snapshot,) = _with_pointers(repo, [snapshot])
    before, attributes = _attributes(repo, [snapshot])

    def plan(at: Tip) -> tuple[Changes, str]:
        same: set[str] = set()
        if since and at.commit and git.is_same(repo, f"{since.commit}:{folder}", f"{at.commit}:{folder}"):
            same = {path for path, about in snapshot.extent.items() if since.snapshot.extent.get(path) == about}
        return _snapshot_changes(snapshot, same) + attributes(), layout.runs_message([run])

    return commit_at_tip(repo, plan, [run.experiment], before, branch=branch_of(repo, run.id))


def _commit_by_branch(repo: Repository, taken: Sequence[Snapshot]) -> None:
    by_branch: dict[str | None, list[Snapshot]] = {}
    for snapshot in taken:
        by_branch.setdefault(branch_of(repo, snapshot.run.id), []).append(snapshot)
    for branch, some in by_branch.items():
        _commit_snapshots(repo, some, branch)


def _commit_snapshots(repo: Repository, taken: Sequence[Snapshot], branch: str | None) -> None:
    taken = _with_pointers(repo, taken)
    changes = [change for snapshot in taken for change in _snapshot_changes(snapshot)]
    runs = [snapshot.run for snapshot in taken]
    before, attributes = _attributes(repo, taken)
    message = layout.runs_message(runs)
    commit_at_tip(
        repo, lambda at: (changes + attributes(), message), [run.experiment for run in runs], before, branch=branch
    )


def branch_of(repo: Repository, run_id: str) -> str | None:
    """The branch that a run which has not ended goes to, where that is not the one that runs begin on now."""
    branch = pins.read(root(repo)).get(run_id)
    if branch is None or branch == branch_name(settings := git.config(repo)):
        return None
    # A branch that is gone meanwhile would come back with this run alone on it.
    return branch if branch_tip(repo, branch, settings).commit is not None else None


def _with_pointers(repo: Repository, taken: Sequence[Snapshot]) -> list[Snapshot]:
    settings = lru_cache(lambda: artifact_settings(repo))
    return [large.with_pointers(snapshot, settings, lambda: objects(repo, settings())) for snapshot in taken]


def _attributes(repo: Repository, taken: Sequence[Snapshot]) -> tuple[dict[str, bytes | None], Callable[[], Changes]]:
    """The runs' .gitattributes to be read at the tip, and, once they are, what a commit changes in them."""
    settings = lru_cache(lambda: artifact_settings(repo))
    of_run = {
        f"{layout.run_path(snapshot.run.experiment, snapshot.run.id)}/{layout.GITATTRIBUTES}": snapshot
        for snapshot in taken
        if any(path.startswith(f"{layout.ARTIFACTS}/") for path in snapshot.files)
    }
    before: dict[str, bytes | None] = dict.fromkeys(of_run)

    def changes() -> Changes:
        found: Changes = []
        for path, snapshot in of_run.items():
            document = large.attributes_change(snapshot, before[path], settings)
            if document is not None:
                found.append((path, document or None))
        return found

    return before, changes


def _snapshot_changes(snapshot: Snapshot, same: Collection[str] = ()) -> Changes:
    """What to write for a run; the files in `same` are on the branch as they are."""
    target = layout.run_path(snapshot.run.experiment, snapshot.run.id)
    # A run that was resumed may have lost what it had before; taking away a path that is not there is no change.
    gone: Changes = [
        (f"{target}/{name}", None) for name in (layout.METRICS_CSV, layout.INPUTS_YAML) if name not in snapshot.files
    ]
    return gone + [
        (f"{target}/{name}", _content(content)) for name, content in snapshot.files.items() if name not in same
    ]


def _content(content: bytes | live.Piece) -> Content:
    if isinstance(content, bytes):
        return content
    return content.path, content.size if content.grows else None


@contextlib.contextmanager
def _set_aside(folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever is wrong with this one must not keep the others off the branch
        reason = str(error) or type(error).__name__
        warnings.warn(GxtWarning(f"a run cannot be committed and stays in {folder}: {reason}"), stacklevel=4)


def edit_run(repo: Repository, run_id: str, edit: Callable[[Run], Run], what: str) -> Run:
    """Change a run on the branch; `what` says so in the commit's message ("tagged stage=prod").

    Raises:
        NotFoundError: no such run on the branch.
    """
    edited: list[Run] = []

    def plan(at: Tip) -> tuple[Changes, str]:
        run = read_run_at(repo, at, run_id)
        edited[:] = [edit(run)]
        path = layout.run_path(run.experiment, run.id)
        # Documents that the edit does not concern stay as they are, with whatever else is in them.
        before = layout.run_files(run)
        after = layout.run_files(edited[0])
        changes: Changes = [(f"{path}/{name}", data) for name, data in after.items() if before.get(name) != data]
        return changes, layout.edit_message(edited[0], what)

    change(repo, plan)
    return edited[0]


def purge(repo: Repository, run_ids: Iterable[str]) -> list[Run]:
    """Take the folders of deleted runs off the tip of the branch; history keeps them. Returns those taken."""
    wanted = set(run_ids)
    purged: list[Run] = []

    def plan(at: Tip) -> tuple[Changes, str]:
        entries = [entry for entry in list_runs(repo, at.commit) if entry.run_id in wanted]
        experiments, _ = read_experiments(repo, at.commit)
        runs, _ = read_runs(repo, entries, experiments)
        closed = {e.name for e in experiments.values() if e.deleted}
        purged[:] = [run for run in runs if run.deleted or run.experiment in closed]
        if not purged:
            raise NotFoundError("no deleted run to purge", "`gxt rm RUN` deletes one")
        changes: Changes = [(layout.run_path(run.experiment, run.id), None) for run in purged]
        lines = "\n".join(f"{run.experiment}: {run.name} purged" for run in purged)
        trailers = "\n".join(f"{layout.RUN_TRAILER}: {run.id}" for run in purged)
        subject = f"purge {len(purged)} deleted run{'s' if len(purged) > 1 else ''}"
        return changes, f"{subject}\n\n{lines}\n\n{trailers}\n"

    change(repo, plan)
    return purged


def mark_deleted(repo: Repository, run_id: str, deleted: bool) -> Run:
    """Hide a run from every reader, or show it again."""
    return edit_run(
        repo,
        run_id,
        lambda run: replace(run, deleted=now() if deleted else None),
        "deleted" if deleted else "restored",
    )
