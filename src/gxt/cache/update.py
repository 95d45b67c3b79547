"""Bringing the cache up to a commit: which runs it has, and reading those that nobody has read before."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gxt import git, layout, store
from gxt.cache.tables import Damaged, Rows, checksum, writing
from gxt.errors import FormatError, GitError
from gxt.git import Repository, TreeEntry
from gxt.layout import Documents, Unread
from gxt.model import RUN_ID, Experiment, clean_text, experiment_name

_CHUNK = 1000  # runs read and written in one go
_LISTINGS_KEPT = 8  # of each experiment

Progress = Callable[[int, int], None]
"""Called with how many runs have been read so far, and how many there are to read."""


class Place(NamedTuple):
    """An experiment at some commit: the cached listing of its runs there, None where git cannot give its folder, and
    what is wrong with its document.
    """

    listing: int | None
    experiment: Experiment
    problem: FormatError | None


class _RunTree(NamedTuple):
    """What a run is kept under: its id, and its tree's, which is the hash of all that is in it."""

    run_id: str
    tree: bytes


class _Listing(NamedTuple):
    """A folder's listing as the cache has it; `document` is its experiment.yaml."""

    id: int
    document: bytes | Unread | None


class _Plan(NamedTuple):
    """What the listing of an experiment's folder is made from: runs that a similar listing has, and other runs."""

    folder: TreeEntry
    document: bytes | Unread | None
    kept: set[int]
    added: list[_RunTree]


def places(
    db: sqlite3.Connection, repo: Repository, commit: str, progress: Progress | None = None
) -> tuple[list[Place], list[FormatError]]:
    """The experiments at a commit, all their runs in the cache, and what is wrong with the branch there."""
    top, experiments = git.read_trees(repo, [f"{commit}^{{tree}}", f"{commit}:{layout.EXPERIMENTS}"])
    if top is None:
        raise GitError(f"git lacks the tree of the commit {commit}", store.FETCH)
    problems = _problems(repo, store.entry_named(top, layout.GXT_YAML))
    if experiments is None and (entry := store.entry_named(top, layout.EXPERIMENTS)):
        why = store.lost(entry.oid).why if entry.is_tree else "is not a folder: there are no runs"
        problems.append(FormatError(f"{layout.EXPERIMENTS} {why}"))
    folders = [entry for entry in experiments or () if entry.is_tree]
    _look_for_lost(db, repo)
    known = _listings(db, folders)
    missing = [folder for folder in folders if folder.oid not in known]
    if missing:
        _add_listings(db, repo, missing, progress)
        known = _listings(db, folders, and_lost=True)
    return [_place(folder, known.get(folder.oid)) for folder in folders], problems


def _listings(db: sqlite3.Connection, folders: Sequence[TreeEntry], and_lost: bool = False) -> dict[str, _Listing]:
    """The cached listings of these folders by tree; those that something was missing for only with `and_lost`."""
    asked = json.dumps([folder.oid.upper() for folder in folders])
    found = db.execute(
        "select hex(tree), id, lost, folder, document, problem, runs, sum from listing"
        " where hex(tree) in (select value from json_each(?))",
        (asked,),
    )
    listings = {}
    for tree, key, is_lost, folder, document, problem, runs, known in found:
        if checksum(folder, document, problem, runs) != known:
            raise Damaged("a listing is not as it was written")
        if and_lost or not is_lost:
            listings[tree.lower()] = _Listing(key, document if problem is None else Unread(problem, bool(is_lost)))
    return listings


def _place(folder: TreeEntry, listing: _Listing | None) -> Place:
    try:
        if listing is None:
            raise FormatError(f"{layout.EXPERIMENTS}/{folder.name} {store.lost(folder.oid).why}", store.FETCH)
        return Place(listing.id, layout.read_experiment(folder.name, listing.document), None)
    except FormatError as error:
        name = experiment_name(folder.name)
        return Place(listing.id if listing else None, Experiment(name=name, id=""), error)


def _problems(repo: Repository, entry: TreeEntry | None) -> list[FormatError]:
    """What gxt.yaml says of how the branch can be read."""
    (about,) = store.read_entries(repo, [entry])
    try:
        if isinstance(about, Unread):
            raise FormatError(f"{layout.GXT_YAML} {about.why}")
        version = layout.read_format(about) if about is not None else layout.FORMAT
    except FormatError as error:
        return [error]
    if version <= layout.FORMAT:
        return []
    said = f"the branch is written in format {version}, this gxt knows format {layout.FORMAT}: what is new is not shown"
    return [FormatError(said, "upgrade: pip install -U git-gxt")]


# --- adding ---------------------------------------------------------------------------------------------------------


def _look_for_lost(db: sqlite3.Connection, repo: Repository) -> None:
    """Read runs again that git lacked a part of: a fetch may have brought it."""
    found = db.execute("select id, run_id, tree from run where lost").fetchall()
    if not found:
        return
    documents = store.read_documents(repo, [tree.hex() for _, _, tree in found])
    there = [(one, files) for one, files in zip(found, documents, strict=True) if not _is_lost(files)]
    if not there:
        return
    with writing(db):
        rows = Rows(db)
        for (key, run_id, tree), files in there:
            rows.remove(key)
            rows.add(key, tree, layout.read_run_as_far_as_possible("", run_id, files))
        rows.write()


def _is_lost(files: Documents) -> bool:
    return any(isinstance(content, Unread) and content.is_lost for content in files.values())


def _add_listings(
    db: sqlite3.Connection, repo: Repository, folders: Sequence[TreeEntry], progress: Progress | None
) -> None:
    plans = [plan for folder in folders if (plan := _plan(db, repo, folder)) is not None]
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


def _plan(db: sqlite3.Connection, repo: Repository, folder: TreeEntry) -> _Plan | None:
    """The least there is to do for a folder's listing: against the longest that the cache has of the same folder. None
    where git cannot give the folder.
    """
    base = db.execute(
        "select hex(tree), document, runs from listing where folder = ? and problem is null"
        " order by size desc, id desc limit 1",
        (clean_text(folder.name),),
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
                    (document,) = store.read_entries(repo, [change.new])
            return _Plan(folder, document, kept, _runs(change.new for change in changes))
    (entries,) = git.read_trees(repo, [folder.oid], skip_damaged=True)
    if entries is None:
        return None
    (document,) = store.read_entries(repo, [store.entry_named(entries, layout.EXPERIMENT_YAML)])
    return _Plan(folder, document, set(), _runs(entries))


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
    documents = store.read_documents(repo, [run.tree.hex() for run in runs])
    (last,) = db.execute("select coalesce(max(id), 0) from run").fetchone()
    rows = Rows(db)
    for key, ((run_id, tree), files) in enumerate(zip(runs, documents, strict=True), last + 1):
        rows.add(key, tree, layout.read_run_as_far_as_possible("", run_id, files), _is_lost(files))
    rows.write()


def _write(db: sqlite3.Connection, plan: _Plan) -> None:
    keys = sorted(plan.kept | {key for run in plan.added if (key := _key(db, run)) is not None})
    folder, runs = clean_text(plan.folder.name), json.dumps(keys)
    unread = plan.document if isinstance(plan.document, Unread) else None
    content = (folder, None, unread.why) if unread else (folder, plan.document, None)
    is_lost = unread is not None and unread.is_lost
    columns = "lost, folder, document, problem, size, runs, sum"
    db.execute(
        f"insert into listing (tree, {columns}) values (?, ?, ?, ?, ?, ?, ?, ?)"
        # Others may have been faster; what they lacked may be there now. The id stays as it is for those who use it.
        f" on conflict (tree) do update set ({columns}) = (excluded.{columns.replace(', ', ', excluded.')})"
        " where listing.lost",
        (bytes.fromhex(plan.folder.oid), int(is_lost), *content, len(keys), runs, checksum(*content, runs)),
    )
    newest = "select id from listing where folder = ? order by id desc limit ?"
    db.execute(f"delete from listing where folder = ? and id not in ({newest})", (folder, folder, _LISTINGS_KEPT))
