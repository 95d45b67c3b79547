"""The cache's tables: making them, opening the file, and a run as rows. query/sql.py says what the tables mean."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from gxt import __version__
from gxt.model import UNREADABLE, Run, Summary, flatten
from gxt.query.fields import ATTRIBUTES, DATASET, PARTS, bounded, datasets, scalar
from gxt.query.patterns import matches_text
from gxt.query.sql import MATCH

FILE = "cache.db"
"""The file's name in gxt's folder of a clone."""

_VERSION = f"2 {__version__}"  # of the tables below, and of what reads a run
_LOCK_TIMEOUT = 15.0

# Columns without a type hold any value as it is.
_COLUMNS = [name for name in ATTRIBUTES if name not in ("id", "experiment")]
_SCHEMA = f"""
create table about (version text);
create table run (id integer primary key, tree blob, deleted, {", ".join(_COLUMNS)}, unique (tree, run_id));
create index run_problem on run (id) where problem is not null;
create table document (run integer primary key, content text);
create table field (id integer primary key, kind text, name text, unique (kind, name));
create table metric (field integer, run integer, {", ".join(PARTS)}, primary key (field, run)) without rowid;
create table value (field integer, run integer, type, number, text, primary key (field, run)) without rowid;
create table dataset (run integer, {", ".join(DATASET)});
create index dataset_run on dataset (run);
create table listing (id integer primary key, tree blob unique, folder text, document blob, size integer, runs text);
"""

Result = TypeVar("Result")


# --- opening ----------------------------------------------------------------------------------------------------


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
        except sqlite3.OperationalError:  # read-only, locked for too long, a full disk
            break
        except sqlite3.DatabaseError:  # broken; the next attempt begins a new one
            _remove(path)
        except OSError:
            break
    with contextlib.closing(_in_memory(path)) as connection:
        return work(connection)


def problem(root: Path) -> str | None:
    """Why the file does not serve as it is, None where it does or there is none. Whoever reads next makes it anew."""
    path = root / FILE
    if not path.is_file():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return None if _is_current(connection) else "is of another version of gxt"
    except sqlite3.OperationalError as error:
        return f"cannot be opened: {error}"
    except sqlite3.DatabaseError:
        return "is broken"


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
    with contextlib.closing(
        _prepared(sqlite3.connect(path, timeout=_LOCK_TIMEOUT, isolation_level=None))
    ) as connection:
        if not _is_current(connection):
            connection.execute("pragma journal_mode = wal")  # readers go on while somebody writes
            _make_tables(connection)
        yield connection


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("pragma synchronous = normal")  # a commit waits for no disk; a power cut loses the last at most
    connection.execute("pragma temp_store = memory")
    connection.create_function(MATCH, 3, _match, deterministic=True)
    return connection


def _match(how: str, pattern: str, text: Any) -> int | None:
    return None if text is None else int(matches_text(how, pattern, str(text)))


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

    def add(self, key: int, tree: bytes, run: Run) -> None:
        """A run under the id that it is to have; one that no table can hold becomes an unreadable one."""
        try:
            self._add(key, tree, run)
        except (ValueError, TypeError, RecursionError) as error:
            problem = f"holds what cannot be read: {error}".encode("utf-8", "replace").decode()
            self._add(key, tree, Run(run.id, "", status=UNREADABLE, started=run.started, problem=problem))

    def write(self) -> None:
        """Put what was added into the tables."""
        for table, rows in self._rows.items():
            if rows:
                self._db.executemany(f"insert into {table} values ({', '.join('?' * len(rows[0]))})", rows)

    def _add(self, key: int, tree: bytes, run: Run) -> None:
        content = run_to_json(run)
        content.encode("utf-8")  # raises for a lone surrogate, which SQLite would not take either
        attributes = [_storable(ATTRIBUTES[name].of(run)) for name in _COLUMNS]
        named = [("params", name, value) for name, value in flatten(run.params).items()]
        named += [("tags", name, value) for name, value in run.tags.items()]
        named += [("code", name, value) for name, value in run.source.items()]
        scalars = [(kind, name, scalar(value)) for kind, name, value in named]
        about_datasets = [(key, *about.values()) for about in datasets(run)]
        self._rows["run"].append((key, tree, run.deleted, *attributes))
        self._rows["document"].append((key, content))
        self._rows["dataset"] += about_datasets
        self._rows["value"] += [(self._field(k, name), key, s.type[0], s.number, s.text) for k, name, s in scalars]
        self._rows["metric"] += [
            (self._field("metrics", name), key, *(bounded(getattr(summary, part)) for part in PARTS))
            for name, summary in run.metrics.items()
        ]

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


def run_from_json(content: str, experiment: str) -> Run:
    """The run that `run_to_json` wrote."""
    values = json.loads(content)
    values["metrics"] = {name: Summary(*summary) for name, summary in values["metrics"].items()}
    return Run(experiment=experiment, **values)
