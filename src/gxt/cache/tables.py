"""The cache's tables: making them, opening the file, and a run as rows. query/sql.py says what the tables mean."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from gxt import __version__
from gxt.errors import GxtError
from gxt.model import Run, Summary, flatten
from gxt.query.fields import ATTRIBUTES, DATASET, PARTS, bounded, datasets, scalar

FILE = "cache.db"
"""The file's name in gxt's folder of a clone."""

_VERSION = f"5 {__version__}"  # of the tables below, and of what reads a run
_LOCK_TIMEOUT = 15.0

# Columns without a type hold any value as it is.
_COLUMNS = [name for name in ATTRIBUTES if name not in ("id", "experiment")]
_SCHEMA = f"""
create table about (version text);
create table run (id integer primary key, tree blob, lost, deleted, {", ".join(_COLUMNS)}, unique (tree, run_id));
create index run_problem on run (id) where problem is not null;
create index run_lost on run (id) where lost;
create table document (run integer primary key, content text, sum integer);
create table field (id integer primary key, kind text, name text, unique (kind, name));
create table metric (field integer, run integer, {", ".join(PARTS)}, primary key (field, run)) without rowid;
create table value (field integer, run integer, type, number, text, primary key (field, run)) without rowid;
create table dataset (run integer, {", ".join(DATASET)});
create index dataset_run on dataset (run);
create table listing (
    id integer primary key, tree blob unique, lost, folder text, document blob, problem text, size integer, runs text,
    sum integer
);
"""

Result = TypeVar("Result")


# --- opening ----------------------------------------------------------------------------------------------------


class Damaged(sqlite3.DatabaseError):
    """The cache does not hold what was written to it."""


class Gone(sqlite3.OperationalError):
    """What was looked up a moment ago has been replaced by other processes."""


# SQLite's words where it is not the content of the file that is wrong. Only Python 3.11 has its error codes.
_NOT_THE_CONTENT = ("unable to open", "readonly", "locked", "busy", "is full", "disk I/O")


def use(root: Path, work: Callable[[sqlite3.Connection], Result], keep: bool = True) -> Result:
    """What `work` gives on the cache in gxt's folder of a clone; on one in memory where the file does not serve, or
    where there is nothing to `keep`.

    `work` may be called again from the start.
    """
    path = root / FILE
    for _ in range(2 if keep else 0):
        try:
            with _connected(path) as connection:
                return work(connection)
        except (GxtError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) or not _may_be_damage(error):
                break
            # The file is broken, or gave what nobody wrote; the next attempt begins a new one. An error that is not
            # the file's fault comes again.
            _remove(path)
    with contextlib.closing(_in_memory(path)) as connection:
        return work(connection)


def _may_be_damage(error: Exception) -> bool:
    if isinstance(error, Gone):
        return False
    return not isinstance(error, sqlite3.Error) or not any(words in str(error) for words in _NOT_THE_CONTENT)


def problem(root: Path) -> str | None:
    """Why the file does not serve as it is, None where it does or there is none."""
    path = root / FILE
    if not path.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            # One of another version is made anew by whoever reads next.
            return None if not _is_current(connection) or _is_sound(connection) else "is broken"
    except sqlite3.Error as error:
        return "is broken" if _may_be_damage(error) else f"cannot be opened: {error}"


def remove(root: Path) -> Path:
    """Take the file away; whoever reads next makes it anew."""
    _remove(root / FILE)
    return root / FILE


def _is_sound(connection: sqlite3.Connection) -> bool:
    """Whether tables and indexes agree, and every run and listing is as it was written."""
    if connection.execute("pragma integrity_check(1)").fetchone() != ("ok",):
        return False
    documents = connection.execute("select content, sum from document")
    listings = connection.execute("select folder, document, problem, runs, sum from listing")
    return all(checksum(content) == known for content, known in documents) and all(
        checksum(*content) == known for *content, known in listings
    )


def checksum(*parts: str | bytes | None) -> int:
    """What a changed byte in a row of the cache is noticed by."""
    found = 0
    for part in parts:
        found = zlib.crc32(part.encode() if isinstance(part, str) else part or b"", found)
    return found


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """A transaction that writes: one process at a time."""
    connection.execute("begin immediate")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    path.parent.mkdir(exist_ok=True)
    if _is_cut(path):
        _remove(path)
    with contextlib.closing(
        _prepared(sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None))
    ) as connection:
        if not _is_current(connection):
            connection.execute("pragma journal_mode = wal")  # readers go on while somebody writes
            _make_tables(connection)
        yield connection


def _is_cut(path: Path) -> bool:
    """Whether the file is shorter than its own header says, which SQLite would read as blank pages.

    https://www.sqlite.org/fileformat2.html#the_database_header
    """
    try:
        if path.with_name(f"{path.name}-wal").exists():  # others are at work, or SQLite will mend it
            return False
        with open(path, "rb") as file:
            header = file.read(100)
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return False
    page, pages = int.from_bytes(header[16:18], "big"), int.from_bytes(header[28:32], "big")
    return len(header) == 100 and size < (65536 if page == 1 else page) * pages


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("pragma synchronous = normal")  # a commit waits for no disk; a power cut loses the last at most
    connection.execute("pragma temp_store = memory")
    return connection


def _is_current(connection: sqlite3.Connection) -> bool:
    if not connection.execute("select 1 from sqlite_master where name = 'about'").fetchone():
        return False
    return bool(connection.execute("select 1 from about where version = ?", (_VERSION,)).fetchone())


def _make_tables(connection: sqlite3.Connection) -> None:
    """Begin anew, in one transaction: others may be reading what is there."""
    with writing(connection):
        if _is_current(connection):  # another process was faster
            return
        for (name,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            connection.execute('drop table "{}"'.format(name.replace('"', '""')))
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute("insert into about values (?)", (_VERSION,))


def _in_memory(path: Path) -> sqlite3.Connection:
    """A cache in memory; it begins with what is in the file, where nobody can be writing to that."""
    memory = sqlite3.connect(":memory:", isolation_level=None)
    if path.is_file() and not os.access(path.parent, os.W_OK):
        with contextlib.suppress(sqlite3.DatabaseError):
            # Without `immutable`, SQLite would want to write beside the file before it reads.
            file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
            with contextlib.closing(file):
                file.backup(memory)
    with contextlib.suppress(sqlite3.DatabaseError):
        if _is_current(memory):
            return _prepared(memory)
    memory.close()
    memory = _prepared(sqlite3.connect(":memory:", isolation_level=None))
    _make_tables(memory)
    return memory


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


# --- a run as rows ----------------------------------------------------------------------------------------------


class Rows:
    """Runs on their way into the tables; `write` puts them there, within the caller's transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self._fields = {(kind, name): key for key, kind, name in connection.execute("select id, kind, name from field")}
        self._rows: dict[str, list[tuple[Any, ...]]] = {
            table: [] for table in ("run", "document", "field", "metric", "value", "dataset")
        }

    def add(self, key: int, tree: bytes, run: Run, is_lost: bool = False) -> None:
        """A run under the id that it is to have; `is_lost` where git lacks a part of it, so that it is read again."""
        content = run_to_json(run)
        attributes = [_storable(ATTRIBUTES[name].of(run)) for name in _COLUMNS]
        named = [("params", name, value) for name, value in flatten(run.params).items()]
        named += [("tags", name, value) for name, value in run.tags.items()]
        named += [("code", name, value) for name, value in run.source.items()]
        named += [("environment", name, value) for name, value in flatten(run.environment).items()]
        scalars = [(kind, name, scalar(value)) for kind, name, value in named]
        self._rows["run"].append((key, tree, int(is_lost), run.deleted, *attributes))
        self._rows["document"].append((key, content, checksum(content)))
        self._rows["dataset"] += [(key, *about.values()) for about in datasets(run)]
        self._rows["value"] += [(self._field(k, name), key, s.type[0], s.number, s.text) for k, name, s in scalars]
        self._rows["metric"] += [
            (self._field("metrics", name), key, *(bounded(getattr(summary, part)) for part in PARTS))
            for name, summary in run.metrics.items()
        ]

    def remove(self, key: int) -> None:
        """Take a run out of the tables."""
        for table in ("document", "metric", "value", "dataset"):
            self._db.execute(f"delete from {table} where run = ?", (key,))
        self._db.execute("delete from run where id = ?", (key,))

    def write(self) -> None:
        """Put what was added into the tables."""
        for table, rows in self._rows.items():
            if rows:
                self._db.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)

    def _field(self, kind: str, name: str) -> int:
        key = self._fields.get((kind, name))
        if key is None:
            key = self._fields[kind, name] = len(self._fields) + 1  # rows of `field` are never deleted
            self._rows["field"].append((key, kind, name))
        return key


def _storable(value: Any) -> Any:
    return bounded(value) if isinstance(value, (int, float)) else value


_DOCUMENT = [field.name for field in fields(Run) if field.name not in ("experiment", "metrics", "place")]


def run_to_json(run: Run) -> str:
    """A run as the cache keeps it: all but its experiment, which the folder says."""
    content = {name: value for name in _DOCUMENT if (value := getattr(run, name)) not in (None, {})}
    content["metrics"] = {name: list(vars(summary).values()) for name, summary in run.metrics.items()}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def runs_from_json(contents: Sequence[str], experiments: Sequence[str]) -> list[Run]:
    """The runs that `run_to_json` wrote, with the experiment of each."""
    found = json.loads(f"[{','.join(contents)}]")  # as one text: a call for each takes half as long again
    for values in found:
        values["metrics"] = {name: Summary(*summary) for name, summary in values["metrics"].items()}
    return [Run(experiment=experiment, **values) for values, experiment in zip(found, experiments, strict=True)]
