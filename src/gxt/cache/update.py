"""Bringing the cache up to a commit: which runs it has, and reading those that nobody has read before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gxt import git, layout
from gxt.cache.tables import Rows, writing
from gxt.errors import FormatError, GitError
from gxt.git import Repository, TreeEntry
from gxt.model import RUN_ID, Experiment, experiment_name

_CHUNK = 1000  # runs read and written in one go
_LISTINGS_KEPT = 8  # of each experiment

Progress = Callable[[int, int], None]
"""Called with how many runs have been read so far, and how many there are to read."""


class Place(NamedTuple):
    """An experiment at some commit: the cached listing of its runs there, and what is wrong with its document."""

    listing: int
    experiment: Experiment
    problem: FormatError | None


class _RunTree(NamedTuple):
    """What a run is kept under: its id, and its tree's, which is the hash of all that is in it."""

    run_id: str
    tree: bytes


class _Plan(NamedTuple):
    """What the listing of an experiment's folder is made from: runs that a similar listing has, and other runs."""

    folder: TreeEntry
    document: bytes | None
    kept: set[int]
    added: list[_RunTree]


def places(
    db: sqlite3.Connection, repo: Repository, commit: str, progress: Progress | None = None
) -> tuple[list[Place], list[FormatError]]:
    """The experiments at a commit, all their runs in the cache, and what is wrong with the branch there."""
    tree, about = git.read_objects(repo, [f"{commit}:{layout.EXPERIMENTS}", f"{commit}:{layout.GXT_YAML}"])
    folders = [entry for entry in git.tree_entries(tree or b"", len(commit)) if entry.is_tree]
    known = _listings(db, folders)
    missing = [folder for folder in folders if folder.oid not in known]
    if missing:
        _add_listings(db, repo, missing, progress)
        known = _listings(db, folders)
    return [_place(folder.name, *known[folder.oid]) for folder in folders], _problems(about)


def _listings(db: sqlite3.Connection, folders: Sequence[TreeEntry]) -> dict[str, tuple[int, bytes | None]]:
    """The cached listings of these folders by tree."""
    asked = json.dumps([folder.oid.upper() for folder in folders])
    found = db.execute(
        "select hex(tree), id, document from listing where hex(tree) in (select value from json_each(?))", (asked,)
    )
    return {tree.lower(): (key, document) for tree, key, document in found}


def _place(folder: str, listing: int, document: bytes | None) -> Place:
    try:
        return Place(listing, layout.read_experiment(folder, document), None)
    except FormatError as error:
        return Place(listing, Experiment(name=experiment_name(folder), id=""), error)


def _problems(about: bytes | None) -> list[FormatError]:
    """What gxt.yaml says of how the branch can be read."""
    try:
        version = layout.read_format(about) if about is not None else layout.FORMAT
    except FormatError as error:
        return [error]
    if version <= layout.FORMAT:
        return []
    said = f"the branch is written in format {version}, this gxt knows format {layout.FORMAT}: what is new is not shown"
    return [FormatError(said, "upgrade: pip install -U git-gxt")]


# --- adding ---------------------------------------------------------------------------------------------------------


def _add_listings(
    db: sqlite3.Connection, repo: Repository, folders: Sequence[TreeEntry], progress: Progress | None
) -> None:
    plans = [_plan(db, repo, folder) for folder in folders]
    wanted = _lacking(db, (run for plan in plans for run in plan.added))
    for at in range(0, len(wanted), _CHUNK):
        if progress is not None:
            progress(at, len(wanted))
        with writing(db):
            # By now others may have added some of them.
            _add_runs(db, repo, _lacking(db, wanted[at : at + _CHUNK]))
    if progress is not None and wanted:
        progress(len(wanted), len(wanted))
    with writing(db):
        for plan in plans:
            _write(db, plan)


def _plan(db: sqlite3.Connection, repo: Repository, folder: TreeEntry) -> _Plan:
    """The least there is to do for a folder's listing: against the longest that the cache has of the same folder."""
    base = db.execute(
        "select hex(tree), document, runs from listing where folder = ? order by size desc, id desc limit 1",
        (folder.name,),
    ).fetchone()
    if base is not None:
        tree, document, runs = base
        try:
            changes = git.changed_entries(repo, tree.lower(), folder.oid)
        except GitError:  # that tree was purged, and collected since
            pass
        else:
            gone = _runs(change.old for change in changes)
            kept = set(json.loads(runs)) - {_key(db, run) for run in gone}
            for change in changes:
                if layout.EXPERIMENT_YAML in (entry.name for entry in change if entry):
                    document = _document(repo, change.new)
            return _Plan(folder, document, kept, _runs(change.new for change in changes))
    (content,) = git.read_objects(repo, [folder.oid])
    entries = git.tree_entries(content or b"", len(folder.oid))
    about = next((entry for entry in entries if entry.name == layout.EXPERIMENT_YAML), None)
    return _Plan(folder, _document(repo, about), set(), _runs(entries))


def _document(repo: Repository, entry: TreeEntry | None) -> bytes | None:
    return None if entry is None else git.read_objects(repo, [entry.oid])[0]


def _runs(entries: Iterable[TreeEntry | None]) -> list[_RunTree]:
    return [
        _RunTree(entry.name, bytes.fromhex(entry.oid))
        for entry in entries
        if entry is not None and entry.is_tree and RUN_ID.fullmatch(entry.name)
    ]


def _key(db: sqlite3.Connection, run: _RunTree) -> int | None:
    """The id of a run in the tables, None where it is not there."""
    found = db.execute("select id from run where tree = ? and run_id = ?", (run.tree, run.run_id)).fetchone()
    return None if found is None else int(found[0])


def _lacking(db: sqlite3.Connection, runs: Iterable[_RunTree]) -> list[_RunTree]:
    return [run for run in dict.fromkeys(runs) if _key(db, run) is None]


def _add_runs(db: sqlite3.Connection, repo: Repository, runs: Sequence[_RunTree]) -> None:
    names = [f"{run.tree.hex()}:{name}" for run in runs for name in layout.RUN_DOCUMENTS]
    contents = iter(git.read_objects(repo, names))
    (last,) = db.execute("select coalesce(max(id), 0) from run").fetchone()
    rows = Rows(db)
    for key, (run_id, tree) in enumerate(runs, last + 1):
        found = {name: next(contents) for name in layout.RUN_DOCUMENTS}
        documents = {name: content for name, content in found.items() if content is not None}
        rows.add(key, tree, layout.read_run_as_far_as_possible("", run_id, documents))
    rows.write()


def _write(db: sqlite3.Connection, plan: _Plan) -> None:
    keys = sorted(plan.kept | {key for run in plan.added if (key := _key(db, run)) is not None})
    values = (bytes.fromhex(plan.folder.oid), plan.folder.name, plan.document, len(keys), json.dumps(keys))
    db.execute("insert or ignore into listing (tree, folder, document, size, runs) values (?, ?, ?, ?, ?)", values)
    newest = "select id from listing where folder = ? order by id desc limit ?"
    db.execute(
        f"delete from listing where folder = ? and id not in ({newest})",
        (plan.folder.name, plan.folder.name, _LISTINGS_KEPT),
    )
