"""Runs on the run branch: commit them, list them, read them, edit them, take them away.

Every write is one commit made from an explicit tip and tried again when the tip has moved, so that any number of
processes can write at once. Nothing here touches the work tree or the index.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from gxt import git, joining, large, layout, live, pins, textmap
from gxt.errors import (
    FileChangedError,
    FormatError,
    GitError,
    GxtWarning,
    NotFoundError,
    RefLockedError,
    RefMovedError,
    UsageError,
)
from gxt.git import Content, Repository, TreeEntry
from gxt.layout import Documents, Unread
from gxt.live import Snapshot
from gxt.model import RUN_ID, Experiment, Run, experiment_folder, experiment_name, now
from gxt.pointers import Pointer, read_pointer

if TYPE_CHECKING:
    from filelock import FileLock

DEFAULT_BRANCH = "gxt"
_TRIES = 20
_LOCK_TRIES = 6
_ROUNDS = 5  # of committing what is still being added to
_LOCK_TIMEOUT = 60.0


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


class RunEntry(NamedTuple):
    """A run folder on the branch: its experiment's folder, its id, and its tree's object id."""

    folder: str
    run_id: str
    tree: str


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


def _ref(settings: Mapping[str, str]) -> str:
    return f"refs/heads/{branch_name(settings)}"


def branch_tip(repo: Repository, branch: str, settings: Mapping[str, str]) -> Tip:
    """Where a run branch of any name stands now; a remote's, while there is no local one."""
    return tip(repo, {**settings, "gxt.branch": branch})


def tip(repo: Repository, settings: Mapping[str, str]) -> Tip:
    """Where the run branch stands now; a remote's, while there is no local one."""
    return _tip_and_files(repo, settings, [])[0]


def _tip_and_files(
    repo: Repository, settings: Mapping[str, str], paths: Sequence[str]
) -> tuple[Tip, list[bytes | None]]:
    ref = _ref(settings)
    local, files = git.read_at(repo, ref, paths)
    if local:
        return Tip(ref, local), files
    for remote_ref in git.remote_branches(repo, branch_name(settings), settings):
        commit, files = git.read_at(repo, remote_ref, paths)
        return Tip(ref, commit, remote_ref), files
    return Tip(ref, None), files


# --- reading ---------------------------------------------------------------------------------------------------


def holds_runs(repo: Repository, commit: str) -> bool:
    """Whether a commit is one of a run branch."""
    return git.object_ids(repo, [f"{commit}:{layout.GXT_YAML}", f"{commit}:{layout.EXPERIMENTS}"]) != [None, None]


def read_experiments(repo: Repository, commit: str | None) -> tuple[dict[str, Experiment], list[FormatError]]:
    """The experiments at a commit by folder, deleted ones included, and what is wrong with documents of theirs.

    One whose document cannot be read is there by its folder's name.
    """
    if commit is None:
        return {}, []
    folders = _folders(repo, commit)
    trees = git.read_trees(repo, [folder.oid for folder in folders], skip_damaged=True)
    documents = read_entries(repo, [entry_named(tree or (), layout.EXPERIMENT_YAML) for tree in trees])
    experiments, problems = {}, []
    for folder, data in zip((folder.name for folder in folders), documents, strict=True):
        try:
            experiments[folder] = layout.read_experiment(folder, data)
        except FormatError as error:
            experiments[folder] = Experiment(name=experiment_name(folder), id="")
            problems.append(error)
    return experiments, problems


def _folders(repo: Repository, commit: str) -> list[TreeEntry]:
    """The experiments' folders at a commit."""
    (entries,) = git.read_trees(repo, [f"{commit}:{layout.EXPERIMENTS}"])
    return [entry for entry in entries or () if entry.is_tree]


def list_runs(repo: Repository, commit: str | None) -> list[RunEntry]:
    """The run folders at a commit, of all experiments, oldest first."""
    if commit is None:
        return []
    folders = _folders(repo, commit)
    trees = git.read_trees(repo, [folder.oid for folder in folders], skip_damaged=True)
    runs = [
        RunEntry(folder.name, entry.name, entry.oid)
        for folder, tree in zip(folders, trees, strict=True)
        for entry in tree or ()
        if entry.is_tree and RUN_ID.fullmatch(entry.name)
    ]
    return sorted(runs, key=lambda run: run.run_id)


def read_runs(
    repo: Repository, entries: Sequence[RunEntry], experiments: Mapping[str, Experiment]
) -> tuple[list[Run], list[FormatError]]:
    """The runs in these folders, and what is wrong with those that cannot be read."""
    documents = read_documents(repo, [entry.tree for entry in entries])
    runs, problems = [], []
    for entry, files_of_run in zip(entries, documents, strict=True):
        known = experiments.get(entry.folder)
        name = known.name if known else experiment_name(entry.folder)
        try:
            runs.append(layout.read_run(name, entry.run_id, files_of_run))
        except FormatError as error:
            problems.append(error)
    return runs, problems


_EMPTY = {layout.PARAMS_YAML: b"", layout.METRICS_YAML: b""}


def read_documents(repo: Repository, trees: Sequence[str]) -> list[Documents]:
    """The documents in each of these run folders, given by tree id; what is there but cannot be read, as `Unread`."""
    found: list[dict[str, bytes | Unread]] = []
    wanted: list[tuple[int, TreeEntry]] = []
    for index, (oid, entries) in enumerate(zip(trees, git.read_trees(repo, trees, skip_damaged=True), strict=True)):
        # Of a folder that is lost, one mark is enough.
        found.append({layout.RUN_YAML: lost(oid), **_EMPTY} if entries is None else {})
        wanted += [(index, entry) for entry in entries or () if entry.name in layout.RUN_DOCUMENTS]
    for (index, entry), content in zip(wanted, read_entries(repo, [entry for _, entry in wanted]), strict=True):
        if content is not None:
            found[index][entry.name] = content
    return list(found)


FETCH = "`git fsck` says what git lacks; a fetch from a clone that has it brings it back"


def read_entries(repo: Repository, entries: Sequence[TreeEntry | git.TreeFile | None]) -> list[bytes | Unread | None]:
    """The content of files, as folders or listings of files have them; None for None."""
    wanted = [entry.oid for entry in entries if entry is not None and entry.is_file]
    contents = iter(git.read_objects(repo, wanted, skip_damaged=True))
    return [_content_of(entry, contents) if entry is not None else None for entry in entries]


def _content_of(entry: TreeEntry | git.TreeFile, contents: Iterator[bytes | None]) -> bytes | Unread:
    if not entry.is_file:
        return Unread("is a folder or a link, not a file")
    content = next(contents)
    return lost(entry.oid) if content is None else content


def entry_named(entries: Iterable[TreeEntry], name: str) -> TreeEntry | None:
    """The entry of that name in a folder, None where there is none."""
    return next((entry for entry in entries if entry.name == name), None)


def lost(oid: str) -> Unread:
    """Stands for an object that the branch names and git cannot give."""
    return Unread(f"cannot be read: git lacks the object {oid}, or finds it damaged", is_lost=True)


def run_files(repo: Repository, commit: str, run: Run) -> list[git.TreeFile]:
    """Every file of a run on the branch; links and submodules are none."""
    found = git.list_files(repo, f"{commit}:{layout.run_path(run.experiment, run.id)}")
    return [file for file in found if file.is_file]


def read_file(repo: Repository, commit: str, run: Run, path: str) -> bytes | None:
    """A file of a run on the branch, None where it has none of that name."""
    return git.read_objects(repo, [f"{commit}:{layout.run_path(run.experiment, run.id)}/{path}"])[0]


_FEW = 8  # runs, for which their experiment's list of runs is not read


def read_histories(repo: Repository, commit: str, runs: Sequence[Run]) -> list[bytes | None]:
    """Each run's metrics.csv on the branch, None where it has none."""
    paths = [f"{commit}:{layout.run_path(run.experiment, run.id)}" for run in runs]
    if len(runs) > _FEW:
        # git would go through the list of an experiment's runs for each path: with many runs, that takes milliseconds.
        folders = {f"{commit}:{layout.EXPERIMENTS}/{experiment_folder(name)}" for name in {r.experiment for r in runs}}
        wanted = set(paths)
        trees: dict[str, str] = {}
        for folder, entries in zip(folders, git.read_trees(repo, folders), strict=True):
            places = ((f"{folder}/{entry.name}", entry.oid) for entry in entries or ())
            trees |= {path: oid for path, oid in places if path in wanted}
        paths = [trees.get(path, path) for path in paths]
    return git.read_objects(repo, [f"{path}{'/' if ':' in path else ':'}{layout.METRICS_CSV}" for path in paths])


@contextlib.contextmanager
def open_file(repo: Repository, file: git.TreeFile) -> Iterator[IO[bytes]]:
    """A file of a run on the branch as a stream."""
    with git.open_blob(repo, file.oid) as stream:
        yield stream


def missing_runs(repo: Repository, have: str | None, other: str) -> set[str]:
    """The ids of the runs that came to `other` since the two were one, and that `have` lacks.

    So a run that was purged here is not missed.
    """
    since = joining.moved_since(repo, git.config(repo), have, other)
    return {moved.run for moved in since if moved.what == "new"}


# --- writing -----------------------------------------------------------------------------------------------------


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

    return _commit(repo, plan, [run.experiment], before, branch=branch_of(repo, run.id))


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
    _commit(repo, lambda at: (changes + attributes(), message), [run.experiment for run in runs], before, branch=branch)


# --- runs that record while the branch is switched ---------------------------------------------------------------


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


def branch_of(repo: Repository, run_id: str) -> str | None:
    """The branch that a run which has not ended goes to, where that is not the one that runs begin on now."""
    branch = pins.read(root(repo)).get(run_id)
    if branch is None or branch == branch_name(settings := git.config(repo)):
        return None
    # A branch that is gone meanwhile would come back with this run alone on it.
    return branch if branch_tip(repo, branch, settings).commit is not None else None


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
            _remember(repo, at.ref, commit)
    return True


def make_branch(repo: Repository, branch: str, commit: str) -> None:
    """A run branch that begins at a commit of another. Raises RefMovedError where there is one of that name."""
    with committing(repo):
        ref = f"refs/heads/{branch}"
        git.create_ref(repo, ref, commit)
        _remember(repo, ref, commit)


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
        _remember(repo, ref, "")
        git.remove_config_section(repo, f"branch.{branch}")


# --- large artifacts ---------------------------------------------------------------------------------------------


def artifact_settings(repo: Repository, config: Mapping[str, str] | None = None) -> large.Settings:
    """How this clone keeps large artifacts: git's configuration, and gxt.yaml at the tip.

    Raises:
        UsageError, FormatError: one of them cannot be understood.
    """
    known = git.config(repo) if config is None else config
    _, (document,) = _tip_and_files(repo, known, [layout.GXT_YAML])
    return large.read_settings(repo.common_dir, known, document)


def objects(repo: Repository, settings: large.Settings) -> large.Objects:
    """The copies of large artifacts in the git directory."""
    return large.Objects(settings.objects, root(repo))


def set_artifact_store(repo: Repository, url: str | None) -> None:
    """Name the team's store for large artifacts in gxt.yaml; None for none.

    Raises:
        UsageError: the URL cannot be one, or holds credentials.
    """
    checked = None if url is None else large.shared_url(url)

    def plan(at: Tip) -> tuple[Changes, str]:
        (before,) = git.read_objects(repo, [f"{at.commit}:{layout.GXT_YAML}"]) if at.commit else [None]
        document = layout.with_artifact_settings(before or layout.gxt_document(), {"store": checked})
        what = f"Keep large artifacts in {checked}" if checked else "Keep large artifacts in no store"
        return [(layout.GXT_YAML, document)], f"{what}\n"

    change(repo, plan)


def behind_pointer(repo: Repository, data: bytes) -> bytes:
    """A file's content, that of the large one where `data` is a pointer.

    Raises:
        NotFoundError, GxtError: its bytes are neither here nor to be had.
    """
    pointer = read_pointer(data)
    if pointer is None:
        return data
    out = io.BytesIO()
    save_artifact(repo, pointer, out)
    return out.getvalue()


def save_artifact(repo: Repository, pointer: Pointer, out: IO[bytes], progress: large.Progress | None = None) -> None:
    """Write the bytes of a large artifact into an empty file; fetched where they are not here, and checked.

    Raises:
        NotFoundError, GxtError: they are neither here nor to be had.
    """
    config = git.config(repo)
    settings = artifact_settings(repo, config)
    places = large.places_for(repo, settings, config)
    large.save_content(pointer, out, objects(repo, settings), places, progress)


@contextlib.contextmanager
def checked_artifact(repo: Repository, pointer: Pointer, progress: large.Progress | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a large artifact as a file, after they were checked. Raises as `save_artifact`."""
    import tempfile  # here for start-up time

    settings = artifact_settings(repo)
    settings.objects.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=settings.objects) as copy:  # not in /tmp, which may be memory
        save_artifact(repo, pointer, copy, progress)
        copy.seek(0)
        yield copy


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
        run = _read_one(repo, at, run_id)
        edited[:] = [edit(run)]
        path = layout.run_path(run.experiment, run.id)
        # Documents that the edit does not concern stay as they are, with whatever else is in them.
        before = layout.run_files(run)
        after = layout.run_files(edited[0])
        changes: Changes = [(f"{path}/{name}", data) for name, data in after.items() if before.get(name) != data]
        return changes, layout.edit_message(edited[0], what)

    change(repo, plan)
    return edited[0]


def read_run(repo: Repository, run_id: str) -> Run:
    """The run of that id at the tip. Raises NotFoundError where there is none."""
    return _read_one(repo, tip(repo, git.config(repo)), run_id)


def resumable_files(repo: Repository, run: Run) -> dict[str, bytes]:
    """What a resumed run adds to: its points, its samples and its output so far."""
    commit = tip(repo, git.config(repo)).commit
    names = (layout.METRICS_CSV, layout.SYSTEM_CSV, layout.OUTPUT_LOG)
    path = layout.run_path(run.experiment, run.id)
    contents = git.read_objects(repo, [f"{commit}:{path}/{name}" for name in names])
    return {name: data for name, data in zip(names, contents, strict=True) if data is not None}


def read_artifact(repo: Repository, experiment: str, run_id: str, path: str) -> bytes | None:
    """An artifact of a run at the tip, None where it has none of that name."""
    commit = tip(repo, git.config(repo)).commit
    name = f"{commit}:{layout.run_path(experiment, run_id)}/{layout.ARTIFACTS}/{path}"
    (data,) = git.read_objects(repo, [name])
    return None if data is None else behind_pointer(repo, data)


def _read_one(repo: Repository, at: Tip, run_id: str) -> Run:
    entries = [entry for entry in list_runs(repo, at.commit) if entry.run_id == run_id]
    if not entries:
        raise NotFoundError(f"no run {run_id} on the branch")
    runs, problems = read_runs(repo, entries[:1], read_experiments(repo, at.commit)[0])
    if problems:
        raise problems[0]
    return runs[0]


def edit_experiment(
    repo: Repository, experiment: Experiment, edit: Callable[[Experiment], Experiment], what: str
) -> Experiment:
    """Change an experiment's document on the branch, or write it there as it is created; `what` says so in the commit's
    message. What others changed since `experiment` was read stays.
    """
    message = layout.experiment_message(experiment.name, what)
    _open_experiments.discard((repo.common_dir, experiment.name))
    path = layout.experiment_path(experiment.name)
    edited: list[Experiment] = []

    def plan(at: Tip) -> tuple[Changes, str]:
        (data,) = git.read_objects(repo, [f"{at.commit}:{path}"]) if at.commit else [None]
        now_there = layout.read_experiment(experiment_folder(experiment.name), data) if data is not None else experiment
        edited[:] = [edit(now_there)]
        return [(path, layout.experiment_document(edited[0]))], message

    change(repo, plan)
    live.forget_experiment(root(repo), experiment.name)
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
            _commit(repo, lambda at: ([], "Begin the run branch\n"))
    return True


def _commit(
    repo: Repository,
    plan: Callable[[Tip], tuple[Changes, str]],
    experiments: Iterable[str] = (),
    beside: dict[str, bytes | None] | None = None,
    joined: str | None = None,
    branch: str | None = None,
) -> str:
    """Commit what `plan` says for the tip, again from the start while somebody else is faster.

    The paths in `beside` are read along with the tip, for `plan` to look at.
    What the branch itself needs comes along: gxt.yaml, .gitattributes, and the documents of new experiments. `joined`
    is the commit's second parent, `branch` another run branch than the one that runs begin on now.
    """
    names = sorted(set(experiments))
    settings = git.config(repo) | ({"gxt.branch": branch} if branch is not None else {})
    for attempt in range(_TRIES):
        of_branch = _branch_documents(names)
        at, documents = _tip_and_files(repo, settings, [*of_branch, *(beside or ())])
        if beside:
            beside.update(zip(beside, documents[len(of_branch) :], strict=True))
            del documents[len(of_branch) :]
        check_not_checked_out(repo, at.ref, settings)
        _compare_with_last(repo, at)
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
            if attempt >= (_TRIES if isinstance(error, RefMovedError) else _LOCK_TRIES) - 1:
                raise
            _pause(0.01 * 2 ** min(attempt, 6))
            continue
        for name in names:
            live.forget_experiment(root(repo), name)
        _remember(repo, at.ref, commit)
        if git.maintain(repo, settings, root(repo) / "maintenance.lock"):
            clean_up(repo)
        return commit
    raise AssertionError("unreachable")


def change(repo: Repository, plan: Callable[[Tip], tuple[Changes, str]], branch: str | None = None) -> str:
    """Commit the changes, with their message, that `plan` says for the tip, which it may be asked for again."""
    with committing(repo):
        return _commit(repo, plan, branch=branch)


def check_not_checked_out(repo: Repository, ref: str, settings: Mapping[str, str]) -> None:
    """Raise GitError where a work tree has the run branch checked out.

    Its index would still be the old tip's: everything new would look deleted, and `git commit -a` do it.
    """
    if holder := git.checked_out_in(repo, ref, settings):
        raise GitError(
            f"the run branch is checked out in {holder}, where new runs would look deleted",
            "check out another branch there, then `gxt recover` commits what waits",
        )


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


def join(repo: Repository, theirs: str, name: str) -> str:
    """Have the local run branch contain another commit of it: as it is, by moving on to it, or by a merge.

    `name` is what the merge's message calls it. Returns where the branch stands then.

    Raises:
        FormatError: theirs is in a later format, or no run branch at all.
        GitError: git does not take the commit, or the branch is checked out in a work tree.
    """
    with committing(repo):
        settings = git.config(repo)
        for _ in range(_TRIES):
            at = tip(repo, settings)
            if at.local_commit == theirs:
                return theirs
            if at.commit is None or git.is_ancestor(repo, at.commit, theirs):
                joining.check_format(repo, theirs, name, writing=False)
                with contextlib.suppress(RefMovedError):
                    return _move_to(repo, at, theirs, settings)
                continue
            if git.is_ancestor(repo, theirs, at.commit):
                if at.local_commit is not None:
                    return at.local_commit
                with contextlib.suppress(RefMovedError):
                    return _move_to(repo, at, at.commit, settings)
                continue

            def plan(at: Tip) -> tuple[Changes, str]:
                assert at.commit is not None
                merge = joining.plan(repo, settings, at.commit, theirs, name)
                return merge.changes, merge.message

            return _commit(repo, plan, joined=theirs)
    raise RefMovedError(f"{_ref(settings)} moves faster than it can be merged", "try again")


def _move_to(repo: Repository, at: Tip, commit: str, settings: Mapping[str, str]) -> str:
    check_not_checked_out(repo, at.ref, settings)
    _compare_with_last(repo, at)
    git.move_ref(repo, at.ref, at.local_commit, commit)
    _remember(repo, at.ref, commit)
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
        _remember(repo, at.ref, new)
        return new, kept


def leftovers(repo: Repository) -> list[Path]:
    """What processes that were killed in the middle of a commit left behind."""
    locks = [lock for name in _locked_with(_ref(git.config(repo))) if (lock := git.stale_lock(repo, name))]
    return [*live.leftovers(root(repo)), *git.leftovers(repo), *locks]


def clean_up(repo: Repository) -> list[Path]:
    """Take away what processes that were killed in the middle of a commit left behind. Returns what was taken."""
    removed = live.remove_leftovers(root(repo)) + git.remove_leftovers(repo)
    return removed + _remove_stale_locks(repo, _ref(git.config(repo)))


def _locked_with(ref: str) -> tuple[str, str]:
    """What git may hold a lock of while it moves or deletes a ref."""
    return ref, "packed-refs"


def _remove_stale_locks(repo: Repository, ref: str) -> list[Path]:
    return [lock for name in _locked_with(ref) if (lock := git.remove_stale_lock(repo, name))]


def _pause(most: float) -> None:
    """Wait a random while, so that those who were in each other's way are not again."""
    import random  # here for start-up time

    time.sleep(random.uniform(0, most))


# --- a branch that somebody else changes ------------------------------------------------------------------------

_LAST = "last.json"


def _last_commits(repo: Repository) -> dict[str, str]:
    """Where this clone's last commit left each run branch."""
    return textmap.read(root(repo) / _LAST)


def _remember(repo: Repository, ref: str, commit: str) -> None:
    with contextlib.suppress(OSError):  # then the next commit has less to compare with
        textmap.write(root(repo) / _LAST, _last_commits(repo) | {ref: commit})


def _compare_with_last(repo: Repository, at: Tip) -> None:
    """Where somebody deleted or rewrote the branch since our last commit, keep what it held, and say so."""
    last = _last_commits(repo).get(at.ref)
    if not last or last == at.local_commit:
        return
    if at.commit is not None and git.is_ancestor(repo, last, at.commit):
        return
    if at.local_commit is None and git.ref_exists(repo, at.ref):
        return  # it is damaged, which git says in its own words
    there = git.resolve(repo, [last])[0] is not None
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
    _remember(repo, at.ref, at.local_commit or "")
    warnings.warn(GxtWarning(f"the branch {branch} {what} since the last run was recorded here; {then}"), stacklevel=2)


# --- what the branch itself needs -------------------------------------------------------------------------------


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


_committers: set[tuple[int, int]] = set()
"""The threads that are committing: process and thread id."""


@contextlib.contextmanager
def committing(repo: Repository, unless: Callable[[], bool] = lambda: False) -> Iterator[bool]:
    """One committer at a time in a clone; the others' runs wait in pending and are taken along.

    Gives False, without the lock, where `unless` holds while somebody else has it.

    The lock only saves work: what keeps two writers apart is git's own check when the ref moves.
    """
    lock = _acquire(repo, unless)
    if lock is None:
        yield False
        return
    me = (os.getpid(), threading.get_ident())
    _committers.add(me)
    try:
        yield True
    finally:
        _committers.discard(me)
        lock.release()


def _acquire(repo: Repository, unless: Callable[[], bool]) -> FileLock | None:
    """The committers' lock; None where there is no need for it any more while somebody else has it."""
    check_writable(repo)
    from filelock import FileLock, Timeout  # here for start-up time

    if os.environ.get(git.IN_COMMIT):
        raise GitError("gxt was called by a hook of its own commit", "the next commit takes along what waits")
    me = (os.getpid(), threading.get_ident())
    if me in _committers:  # a signal's handler, in the middle of it
        raise GitError("this thread is just committing", "the next commit takes along what waits")
    base = root(repo)
    deadline = time.monotonic() + _LOCK_TIMEOUT
    try:
        base.mkdir(exist_ok=True)
        lock = FileLock(base / "commit.lock")
        while True:
            with contextlib.suppress(Timeout):
                lock.acquire(blocking=False)
                return lock
            if unless():
                return None
            if time.monotonic() > deadline:
                raise GitError(
                    f"another process has been committing for over {_LOCK_TIMEOUT:.0f} seconds",
                    "`gxt recover` commits what waits",
                )
            _pause(0.005)
    except OSError as error:
        raise GitError(f"cannot write to {base}: {error.strerror}") from None


# --- experiments -----------------------------------------------------------------------------------------------


def experiment(repo: Repository, name: str) -> Experiment:
    """The experiment of that name: on the branch, or the one that the first commit of a run will put there.

    Raises:
        UsageError: it was deleted.
    """
    commit = tip(repo, git.config(repo)).commit
    path = layout.experiment_path(name)
    (data,) = git.read_objects(repo, [f"{commit}:{path}"]) if commit else [None]
    if data is None:
        check_writable(repo)
        return live.new_experiment(root(repo), name)
    found = layout.read_experiment(experiment_folder(name), data)
    if found.deleted:
        raise UsageError(f"experiment {name!r} is deleted", f"`gxt restore --experiment {name}` brings it back")
    return found


_open_experiments: set[tuple[Path, str]] = set()


def check_open(repo: Repository, name: str) -> None:
    """Raise UsageError where the experiment was deleted; looked up once a process, since it takes git to tell."""
    if (repo.common_dir, name) not in _open_experiments:
        experiment(repo, name)
        _open_experiments.add((repo.common_dir, name))


def has_experiment(repo: Repository, name: str) -> bool:
    """Whether the experiment is on the branch."""
    commit = tip(repo, git.config(repo)).commit
    return commit is not None and git.read_objects(repo, [f"{commit}:{layout.experiment_path(name)}"]) != [None]


def mark_deleted(repo: Repository, run_id: str, deleted: bool) -> Run:
    """Hide a run from every reader, or show it again."""
    return edit_run(
        repo,
        run_id,
        lambda run: replace(run, deleted=now() if deleted else None),
        "deleted" if deleted else "restored",
    )
