"""What is on the branch at a commit: experiments, runs, and the files of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, NamedTuple

from gxt import git, joining, layout
from gxt.errors import FormatError, NotFoundError
from gxt.git import Repository, TreeEntry
from gxt.layout import Documents, Unread
from gxt.model import RUN_ID, Experiment, Run, experiment_folder, experiment_name
from gxt.store.tips import Tip, tip


class RunEntry(NamedTuple):
    """A run folder on the branch: its experiment's folder, its id, and its tree's object id."""

    folder: str
    run_id: str
    tree: str


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


def read_run(repo: Repository, run_id: str) -> Run:
    """The run of that id at the tip. Raises NotFoundError where there is none."""
    return read_run_at(repo, tip(repo, git.config(repo)), run_id)


def resumable_files(repo: Repository, run: Run) -> dict[str, bytes]:
    """What a resumed run adds to: its points, its samples and its output so far."""
    commit = tip(repo, git.config(repo)).commit
    names = (layout.METRICS_CSV, layout.SYSTEM_CSV, layout.OUTPUT_LOG)
    path = layout.run_path(run.experiment, run.id)
    contents = git.read_objects(repo, [f"{commit}:{path}/{name}" for name in names])
    return {name: data for name, data in zip(names, contents, strict=True) if data is not None}


def read_run_at(repo: Repository, at: Tip, run_id: str) -> Run:
    entries = [entry for entry in list_runs(repo, at.commit) if entry.run_id == run_id]
    if not entries:
        raise NotFoundError(f"no run {run_id} on the branch")
    runs, problems = read_runs(repo, entries[:1], read_experiments(repo, at.commit)[0])
    if problems:
        raise problems[0]
    return runs[0]
