"""Runs and points as Parquet, for whoever asks more of them than tables answer: DuckDB, Dask, pandas.

    <folder>/runs/experiment=<name>/runs.parquet        a row a run: attributes, code, params, last metrics, tags
    <folder>/points/experiment=<name>/points.parquet    a row a point
    <folder>/params/experiment=<name>/params.parquet    a row a param of a run
    <folder>/tags/experiment=<name>/tags.parquet        a row a tag of a run
    <folder>/_export.json                               what was written, so that the next export knows what it may keep

All files of a table have the same columns of the same types. Experiments' names are percent-encoded as on the branch.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from gxt import __version__, catalog, git, layout, store
from gxt.cache import Progress
from gxt.errors import GxtError, MissingPackageError, UsageError
from gxt.git import Repository
from gxt.model import MetricPoint, Run, experiment_folder, flatten
from gxt.query import ATTRIBUTES, scalar
from gxt.query.fields import CODE

TABLES = ("runs", "points", "params", "tags")
_MANIFEST = "_export.json"
_STAGING = ".gxt-export-"
_PAGE = 2000  # runs in memory
_POINTS_AT_ONCE = 1 << 18  # points in memory, but for a run that has more; also rows in a group of the file


class Exported(NamedTuple):
    """What was written.

    Attributes:
        folder: where to.
        runs, points: how many there are in it.
        experiments: those that it has a partition of.
        kept: of these, the ones whose points stand as they were, since nothing in them has changed.
        alike: columns of the table of runs that differ in upper and lower case alone, which some readers take for one.
    """

    folder: Path
    runs: int
    points: int
    experiments: Sequence[str]
    kept: Sequence[str]
    alike: Sequence[str]


def export(
    repo: Repository,
    folder: Path,
    experiments: Sequence[str] | None = None,
    *,
    where: catalog.Where = (),
    progress: Progress | None = None,
) -> Exported:
    """Write runs, live ones included, to a folder of Parquet files, in place of an earlier export that is there.

    Every file is replaced whole, and none before all are written. Runs of one experiment at a time, and points of few
    runs, are in memory.

    Raises:
        UsageError: the folder has other files in it, or the filter cannot be understood.
        NotFoundError: no such experiment, or no run has a field of the filter.
        MissingPackageError: pyarrow is not installed.
        GxtError: the folder cannot be written to, or another export is writing there.
    """
    try:
        import pyarrow
        import pyarrow.csv
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingPackageError("pyarrow", "gxt export", "export") from None
    _check_folder(folder)
    asked = _Asked(repo, tuple(where) if not isinstance(where, str) and isinstance(where, Sequence) else where)
    counts, _ = catalog.counts(repo, experiments, where=where, progress=progress)
    names = [count.experiment.name for count in counts if count.runs]
    partitions, columns = _look(asked, names)
    manifest = {
        "gxt": __version__,
        "columns": columns,
        "partitions": {name: partition.fingerprint for name, partition in partitions.items()},
        "files": [f"{table}/{_path(table, name)}" for name in names for table in TABLES],
    }
    total = sum(partition.runs for partition in partitions.values())
    staging = folder / f"{_STAGING}{os.getpid()}"
    with _writing_to(folder):
        before = _check_folder(folder)  # another export may just have ended
        kept = _unchanged(folder, before, manifest)
        done = 0
        for name in names:
            tables = [table for table in TABLES if name not in kept[table]]
            with contextlib.ExitStack() as stack:
                writers = {t: stack.enter_context(_Writer(staging / t / _path(t, name), t, columns)) for t in tables}
                for runs in asked.pages(name) if writers else ():
                    _write_runs(repo, runs, writers, columns)
                    done += len(runs)
                    if progress is not None:
                        progress(done, total)
        if progress is not None:
            progress(total, total)
        _put_in_place(folder, staging, before, manifest)
    points = sum(partition.points for partition in partitions.values())
    return Exported(folder, total, points, names, sorted(kept["points"]), _alike(columns))


def _alike(columns: Iterable[str]) -> list[str]:
    by_name: dict[str, list[str]] = {}
    for column in columns:
        by_name.setdefault(column.lower(), []).append(column)
    return [column for some in by_name.values() if len(some) > 1 for column in some]


# --- which runs -----------------------------------------------------------------------------------------------------


class _Asked(NamedTuple):
    repo: Repository
    where: catalog.Where

    def pages(self, experiment: str) -> Iterator[list[Run]]:
        """An experiment's runs by id, some at a time."""
        return catalog.pages(self.repo, [experiment], where=self.where, size=_PAGE)


class _Partition(NamedTuple):
    """An experiment in numbers, and what tells whether anything in it has changed; None where that is not known."""

    runs: int
    points: int
    fingerprint: str | None


def _look(asked: _Asked, names: Sequence[str]) -> tuple[dict[str, _Partition], dict[str, str]]:
    """What there is to write, and the columns of the table of runs, each with its type."""
    settings = git.config(asked.repo)
    commit = store.tip(asked.repo, settings).commit
    paths = [f"{commit}:{layout.EXPERIMENTS}/{experiment_folder(name)}" for name in names] if commit else []
    trees = git.read_batch(asked.repo, paths) if paths else [None] * len(names)
    kinds: dict[str, set[str]] = {}
    partitions = {}
    for name, tree in zip(names, trees, strict=True):
        runs = points = 0
        is_settled = tree is not None and not asked.where
        for page in asked.pages(name):
            runs += len(page)
            for run in page:
                points += sum(summary.count for summary in run.metrics.values())
                is_settled = is_settled and run.place == "branch"
                for column, value in _values(run).items():
                    kinds.setdefault(column, set()).add(_kind(value))
        partitions[name] = _Partition(runs, points, tree.oid if tree is not None and is_settled else None)
    known = {name: _ATTRIBUTE_TYPES[about.type] for name, about in ATTRIBUTES.items() if name not in _LEFT_OUT}
    known["exit_code"] = "int64"
    known |= {f"code.{name}": "bool" if name == "dirty" else "string" for name in CODE}
    for column in sorted(kinds, key=lambda name: (_ORDER.index(name.split(".")[0]), name)):
        known.setdefault(column, "string" if column.startswith("code.") else _type(kinds[column]))
    return partitions, known


_LEFT_OUT = ("id", "experiment")
_ORDER = ("code", "params", "metrics", "tags")
_ATTRIBUTE_TYPES = {"text": "string", "time": "timestamp", "duration": "double", "number": "double"}


def _values(run: Run) -> dict[str, Any]:
    """What a run has beside its attributes, by column."""
    found: dict[str, Any] = {f"code.{name}": value for name, value in run.source.items() if value is not None}
    found |= {f"params.{name}": value for name, value in flatten(run.params).items()}
    found |= {f"metrics.{name}": float(summary.last) for name, summary in run.metrics.items()}
    found |= {f"tags.{name}": value for name, value in run.tags.items()}
    return found


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if -(2**63) <= value < 2**63 else "double"
    if isinstance(value, float):
        return "double"
    return "null" if value is None else "string"


def _type(kinds: set[str]) -> str:
    """The type of a column whose values are of these kinds: text, where they do not go together."""
    some = kinds - {"null"}
    if len(some) == 1:
        return next(iter(some))
    return "double" if some == {"int64", "double"} else "string"


def _converted(value: Any, type_: str) -> Any:
    if value is None:
        return None
    if type_ == "string":
        return value if isinstance(value, str) else scalar(value).text
    if type_ == "bool":
        return bool(value)
    return scalar(value).number if type_ == "double" and isinstance(value, int) else value


# --- writing --------------------------------------------------------------------------------------------------------

_RUN_ID = {"run_id": "string"}
_SCHEMAS: dict[str, dict[str, str]] = {
    "points": _RUN_ID | {"metric": "string", "step": "int64", "value": "double", "time": "timestamp"},
    "params": _RUN_ID | {"param": "string", "value": "string", "number": "double"},
    "tags": _RUN_ID | {"tag": "string", "value": "string"},
}


def _path(table: str, experiment: str) -> str:
    return f"experiment={experiment_folder(experiment)}/{table}.parquet"


def _schema(table: str, columns: Mapping[str, str]) -> Any:
    import pyarrow

    types = {
        "string": pyarrow.string(),
        "int64": pyarrow.int64(),
        "double": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "null": pyarrow.string(),
        "timestamp": pyarrow.timestamp("ms", tz="UTC"),
    }
    return pyarrow.schema([(name, types[type_]) for name, type_ in (_SCHEMAS.get(table) or columns).items()])


class _Writer(contextlib.AbstractContextManager["_Writer"]):
    """A Parquet file that is written group of rows by group of rows."""

    def __init__(self, path: Path, table: str, columns: Mapping[str, str]) -> None:
        import pyarrow.parquet

        path.parent.mkdir(parents=True, exist_ok=True)
        self.schema = _schema(table, columns)
        self._writer = pyarrow.parquet.ParquetWriter(path, self.schema)
        self._waiting: list[Any] = []
        self._rows = 0

    def rows(self, columns: Sequence[Sequence[Any]]) -> None:
        """Add rows, given by column."""
        import pyarrow

        arrays = [pyarrow.array(values, field.type) for values, field in zip(columns, self.schema, strict=True)]
        self.add(pyarrow.table(arrays, schema=self.schema))

    def add(self, table: Any) -> None:
        """Add a table of these columns."""
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= _POINTS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        import pyarrow

        if self._rows:
            self._writer.write_table(pyarrow.concat_tables(self._waiting), row_group_size=_POINTS_AT_ONCE)
        self._waiting, self._rows = [], 0

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            self._flush()
        self._writer.close()


def _write_runs(
    repo: Repository, runs: Sequence[Run], writers: Mapping[str, _Writer], columns: Mapping[str, str]
) -> None:
    if "runs" in writers:
        values = [{name: about.of(run) for name, about in ATTRIBUTES.items()} | _values(run) for run in runs]
        writers["runs"].rows([[_converted(row.get(name), t) for row in values] for name, t in columns.items()])
    if "params" in writers:
        params = [(run.id, name, scalar(value)) for run in runs for name, value in flatten(run.params).items()]
        ids, names, about = _columns(params, 3)
        writers["params"].rows([ids, names, [one.text for one in about], [_number(one.number) for one in about]])
    if "tags" in writers:
        writers["tags"].rows(_columns([(run.id, *tag) for run in runs for tag in run.tags.items()], 3))
    if "points" in writers:
        for some in _together(runs):
            for table in _points(list(catalog.histories(repo, some, at_once=len(some))), writers["points"].schema):
                writers["points"].add(table)


def _columns(rows: Sequence[Sequence[Any]], count: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(count)]


def _number(number: Any) -> float | None:
    return None if number is None else float(number)


def _together(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs in groups that have no more points than may be in memory; one that has more stands alone."""
    some: list[Run] = []
    size = 0
    for run in runs:
        points = sum(summary.count for summary in run.metrics.values())
        if some and size + points > _POINTS_AT_ONCE:
            yield some
            some, size = [], 0
        some.append(run)
        size += points
    if some:
        yield some


_PIECE = 4 << 20  # bytes of metrics.csv that are read at once

Lines = tuple[Run, bytes]
"""A run, and whole lines of its metrics.csv without the header."""


def _points(files: Sequence[tuple[Run, bytes]], schema: Any) -> Iterator[Any]:
    """The points of some runs as tables; those of many lines at once where none of them is unusual."""
    import pyarrow

    for piece in _pieces(files):
        clean = _read_clean([lines for _, lines in piece])
        if clean is not None:
            ids = pyarrow.concat_arrays([pyarrow.repeat(run.id, lines.count(b"\n")) for run, lines in piece])
            yield clean.add_column(0, "run_id", ids).select(schema.names).cast(schema)
            continue
        for run, lines in piece:
            yield _table(run, list(layout.read_points(lines)), schema)


def _pieces(files: Sequence[tuple[Run, bytes]]) -> Iterator[list[Lines]]:
    piece: list[Lines] = []
    size = 0
    for run, data in files:
        at = len(layout.METRICS_HEADER) if data.startswith(layout.METRICS_HEADER) else 0
        end = data.rfind(b"\n") + 1  # what follows was never finished
        while at < end:
            cut = data.rfind(b"\n", at, at + _PIECE) + 1 or data.index(b"\n", at) + 1
            piece.append((run, data[at:cut]))
            size += cut - at
            at = cut
            if size >= _PIECE:
                yield piece
                piece, size = [], 0
    if piece:
        yield piece


def _read_clean(some: Sequence[bytes]) -> Any:
    """The points in lines of metrics.csv, None where one may not be what pyarrow takes it for."""
    import pyarrow
    import pyarrow.csv

    text = b"".join([layout.METRICS_HEADER, *some])
    count = text.count(b"\n")
    # If all lines together have three commas each, and none lacks its last field, each has its four fields.
    if b'"' in text or b"\r" in text or text.count(b",") != 3 * count:
        return None
    types = {"step": pyarrow.int64(), "metric": pyarrow.string(), "value": pyarrow.float64(), "time": pyarrow.int64()}
    convert = pyarrow.csv.ConvertOptions(column_types=types, null_values=[], strings_can_be_null=False)
    options = pyarrow.csv.ReadOptions(use_threads=False)
    try:
        found = pyarrow.csv.read_csv(io.BytesIO(text), options, convert_options=convert)
    except pyarrow.ArrowInvalid:
        return None
    return found if found.num_rows == count - 1 else None


def _table(run: Run, points: Sequence[MetricPoint], schema: Any) -> Any:
    import pyarrow

    columns: list[list[Any]] = [
        [run.id] * len(points),
        [point.metric for point in points],
        [_fitting(point.step) for point in points],
        [point.value for point in points],
        [_fitting(point.time) for point in points],
    ]
    return pyarrow.table([pyarrow.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _fitting(number: int) -> int:
    return max(-(2**63), min(2**63 - 1, number))


@contextlib.contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Be the only export into a folder, and leave nothing there that was meant to be moved to its place.

    Raises:
        GxtError: another is at it, or the folder cannot be written to.
    """
    from filelock import lock_descriptor  # here for start-up time

    path = folder / f"{_STAGING}lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as lock:
            if not lock_descriptor(lock.fileno(), blocking=False) or not _is_at(lock, path):
                raise GxtError(f"another export is writing to {folder}", "wait for it, or name another folder")
            try:
                _remove_staged(folder)
                yield
            finally:
                _remove_staged(folder)
                with contextlib.suppress(OSError):  # Windows removes no open file
                    path.unlink()
    except OSError as error:
        raise GxtError(f"{folder} cannot be written to: {error.strerror or error}") from None


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether an open file has that path still: who had it locked takes it away."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _remove_staged(folder: Path) -> None:
    for path in folder.glob(f"{_STAGING}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != f"{_STAGING}lock":
            path.unlink(missing_ok=True)


# --- in place -------------------------------------------------------------------------------------------------------


def _check_folder(folder: Path) -> dict[str, Any]:
    """What the export that is there says of itself; empty where there is none.

    Raises:
        UsageError: something else is there.
    """
    if folder.is_symlink() and not folder.exists():
        raise UsageError(f"{folder} is a link to {os.readlink(folder)}, which is not there")
    if not folder.exists():
        return {}
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file")
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / _MANIFEST).read_bytes())
        if _is_manifest(found):
            return cast(dict[str, Any], found)
    if any(not entry.name.startswith(_STAGING) for entry in folder.iterdir()):
        raise UsageError(f"{folder} has files in it that are of no export", "name a new folder")
    return {}


def _is_manifest(found: Any) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("gxt"), str):
        return False
    files = found.get("files")
    return (
        isinstance(files, list)
        and all(isinstance(name, str) for name in files)
        and isinstance(found.get("partitions"), dict)
        and isinstance(found.get("columns", {}), dict)
    )


def _unchanged(folder: Path, before: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, set[str]]:
    """Of each table, the experiments whose file can stay."""
    known = before.get("partitions", {}) if before.get("gxt") == __version__ else {}
    new: Mapping[str, str | None] = manifest["partitions"]
    same = {name for name, fingerprint in new.items() if fingerprint is not None and known.get(name) == fingerprint}
    found = {table: {name for name in same if (folder / table / _path(table, name)).is_file()} for table in TABLES}
    return found | {"runs": found["runs"] if before.get("columns") == manifest["columns"] else set()}


def _put_in_place(folder: Path, staging: Path, before: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Move what was written to its place, and take away what an earlier export had and this one has not."""
    # If this ends half-way, the next export must not take a new file for an old one.
    files = sorted({*before.get("files", ()), *manifest["files"]})
    _write_manifest(folder, {"gxt": __version__, "partitions": {}, "files": files})
    for file in sorted(path for path in staging.rglob("*.parquet")):
        target = folder / file.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)
    for name in set(before.get("files", ())) - set(manifest["files"]):
        path = folder / name
        if _is_ours(name):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()
    _write_manifest(folder, manifest)


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    beside = folder / f"{_STAGING}{os.getpid()}.json"
    beside.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    beside.replace(folder / _MANIFEST)


def _is_ours(name: str) -> bool:
    table, _, rest = name.partition("/")
    partition, _, file = rest.partition("/")
    return table in TABLES and partition.startswith("experiment=") and file == f"{table}.parquet"
