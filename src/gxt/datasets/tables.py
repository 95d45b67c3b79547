"""Tables in memory: those of pandas, pyarrow and polars, whose digests are the same where their values are.

A column's digest is of what its cells mean, not of how a library holds them: see "inputs.yaml" in docs/format.md. So it
does not depend on the process, on versions, on the width of numbers, or on whether text is categorical.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy

from gxt.datasets.arrays import plain
from gxt.datasets.formats import column as column_name
from gxt.errors import MissingPackageError, UsageError

_NANOS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class _Cells(NamedTuple):
    """A column's cells: what kind they are, which are missing, and all of them as bytes, zeros for the missing ones."""

    kind: str
    missing: Any
    content: list[bytes]


def describe(table: Any) -> dict[str, Any]:
    """What inputs.yaml says of a table: digest, rows, columns and their types.

    Raises:
        UsageError: cells hold objects of which no digest can be made.
    """
    if hasattr(table, "to_frame") and not hasattr(table, "columns"):  # a Series
        table = table.to_frame()
    if hasattr(table, "collect_schema") and hasattr(table, "collect"):  # a LazyFrame of polars
        raise UsageError("a LazyFrame has no rows yet", "log_input(frame.collect())")
    if hasattr(table, "iloc"):
        rows, columns = len(table), list(_of_pandas(table))
        types = {column_name(name): str(kind) for name, kind in zip(table.columns, table.dtypes, strict=True)}
    else:
        types = {column_name(name): str(kind) for name, kind in _types(table)}
        arrow = _as_arrow(table)
        rows, columns = (
            arrow.num_rows,
            [(name, _of_arrow(arrow.column(i))) for i, name in enumerate(arrow.column_names)],
        )
        columns = [(plain(name), cells) for name, cells in columns]
    sha = hashlib.sha256()
    for name, cells in columns:
        sha.update(f"{cells.kind} {_digest(cells)} {name}\n".encode("utf-8", "surrogatepass"))
    return {"digest": f"sha256:{sha.hexdigest()}", "rows": rows, "columns": types}


def _digest(cells: _Cells) -> str:
    sha = hashlib.sha256(numpy.asarray(cells.missing, dtype=numpy.uint8).tobytes())
    for piece in cells.content:
        sha.update(piece)
    return sha.hexdigest()


def _types(table: Any) -> list[tuple[str, Any]]:
    if hasattr(table, "schema") and hasattr(table.schema, "items"):  # polars
        return list(table.schema.items())
    return [(field.name, field.type) for field in table.schema]


def _as_arrow(table: Any) -> Any:
    objects = [name for name, kind in _types(table) if str(kind) == "Object"]
    if objects:  # polars gives their addresses to others
        raise UsageError(f"no digest can be made of the objects in column {str(objects[0])!r}", "name a file instead")
    try:
        import pyarrow

        if hasattr(table, "to_arrow"):
            table = table.to_arrow()
    except ImportError:
        raise MissingPackageError("pyarrow", "recording such a table as an input", "export") from None
    return pyarrow.Table.from_batches([table]) if isinstance(table, pyarrow.RecordBatch) else table


# --- cells of any library as the same bytes ---------------------------------------------------------------------------


def _of_values(values: list[Any], missing: Any) -> _Cells:
    """Cells that are Python's objects."""
    gone = missing.tolist()
    said = [value for value, is_missing in zip(values, gone, strict=True) if not is_missing]

    def filled(filling: Any) -> list[Any]:
        return [filling if is_missing else value for value, is_missing in zip(values, gone, strict=True)]

    kinds = set(map(type, said))
    if all(issubclass(kind, str) for kind in kinds):
        return _of_text(filled(""), missing)
    if all(issubclass(kind, (bool, numpy.bool_)) for kind in kinds):
        return _of_numbers("boolean", filled(False), missing)
    if all(issubclass(kind, (int, numpy.integer)) and kind is not bool for kind in kinds) and _fit(said):
        return _of_numbers("integer", filled(0), missing)
    if all(issubclass(kind, (float, numpy.floating)) for kind in kinds):
        return _of_numbers("number", filled(0.0), missing)
    texts = ["" if is_missing else plain(value) for value, is_missing in zip(values, gone, strict=True)]
    return _of_text(texts, missing)._replace(kind="object")


def _fit(values: list[Any]) -> bool:
    return all(-(2**63) <= int(value) < 2**63 for value in values)


def _of_text(texts: list[str], missing: Any) -> _Cells:
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = numpy.fromiter(map(len, encoded), dtype="<i8", count=len(encoded))
    return _Cells("text", missing, [lengths.tobytes(), b"".join(encoded)])


def _of_numbers(kind: str, values: Any, missing: Any) -> _Cells:
    values = numpy.array(values, dtype="<f8" if kind == "number" else "<i8")
    values[missing] = 0
    if kind == "number":
        values += 0.0  # -0.0 becomes 0.0, which it is equal to
    return _Cells(kind, missing, [values.tobytes()])


def _of_times(kind: str, counts: Any, unit: str, missing: Any) -> _Cells:
    """Times or spans as whole seconds and nanoseconds, whatever unit they are counted in."""
    counts = numpy.array(counts, dtype="<i8")
    counts[missing] = 0
    per_second = _NANOS["s"] // _NANOS[unit]
    seconds, rest = numpy.divmod(counts, per_second)
    return _Cells(kind, missing, [seconds.astype("<i8").tobytes(), (rest * _NANOS[unit]).astype("<i8").tobytes()])


def _no_cells(missing: Any) -> _Cells:
    return _Cells("missing", missing, [])


# --- pandas -----------------------------------------------------------------------------------------------------------


def _of_pandas(frame: Any) -> Iterator[tuple[str, _Cells]]:
    """Each column's name and cells; before them the index, unless it is just the rows' numbers."""
    import pandas

    if not _is_plain_index(frame.index):
        for level in range(frame.index.nlevels):
            values = pandas.Series(frame.index.get_level_values(level))
            yield f"index {plain(frame.index.names[level])}", _of_series(values)
    for i, name in enumerate(frame.columns):
        yield plain(name), _of_series(frame.iloc[:, i])


def _is_plain_index(index: Any) -> bool:
    if index.nlevels > 1 or index.dtype.kind not in "iu":
        return False
    return bool((numpy.asarray(index) == numpy.arange(len(index))).all())


def _of_series(series: Any) -> _Cells:
    missing = series.isna().to_numpy(dtype=bool)
    if missing.all():
        return _no_cells(missing)
    dtype = series.dtype
    kind = getattr(dtype, "kind", "O")
    if kind == "u" and series.max() >= 2**63:
        kind = "O"
    if hasattr(dtype, "categories"):
        return _of_categories(series, missing)
    # Libraries' own arrays know a value for what is missing, numpy's have none.
    filled = {} if isinstance(dtype, numpy.dtype) else {"na_value": 0}
    if kind == "b":
        return _of_numbers("boolean", series.to_numpy(dtype="bool", **filled), missing)
    if kind in "iu":
        return _of_numbers("integer", series.to_numpy(dtype="int64", **filled), missing)
    if kind == "f":
        return _of_numbers("number", series.to_numpy(dtype="float64", **filled), missing)
    if kind == "M" and hasattr(series, "dt"):
        zone = series.dt.tz
        naive = series if zone is None else series.dt.tz_convert("UTC").dt.tz_localize(None)
        return _of_times("time" if zone is None else f"time {zone}", *_counted(naive), missing)
    if kind == "m":
        return _of_times("duration", *_counted(series), missing)
    return _of_values(series.astype(object).tolist(), missing)


def _counted(series: Any) -> tuple[Any, str]:
    values = series.to_numpy()
    if values.dtype.kind not in "mM":  # pyarrow's, with something missing
        values = series.to_numpy(dtype=f"{series.dtype.kind}8[ns]")
    return values.view("i8"), numpy.datetime_data(values.dtype)[0]


def _of_categories(series: Any, missing: Any) -> _Cells:
    """Categories as what they stand for: each is looked at once."""
    values = series.cat.categories.astype(object).to_numpy()
    codes = series.cat.codes.to_numpy()
    return _of_values(numpy.append(values, [None])[codes].tolist(), missing)


# --- pyarrow, and polars by it ----------------------------------------------------------------------------------------


def _of_arrow(column: Any) -> _Cells:
    import pyarrow
    from pyarrow import compute, types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    missing = compute.is_null(column, nan_is_null=True).to_numpy(zero_copy_only=False).astype(bool)
    if missing.all():
        return _no_cells(missing)

    def numbers(to: Any) -> Any:
        return column.cast(to).fill_null(0).to_numpy(zero_copy_only=False)

    if types.is_boolean(column.type):
        return _of_numbers("boolean", numbers(pyarrow.int8()), missing)
    if types.is_integer(column.type) and not (types.is_uint64(column.type) and compute.max(column).as_py() >= 2**63):
        return _of_numbers("integer", numbers(pyarrow.int64()), missing)
    if types.is_floating(column.type):
        return _of_numbers("number", numbers(pyarrow.float64()), missing)
    if types.is_timestamp(column.type):
        kind = f"time {column.type.tz}" if column.type.tz else "time"
        return _of_times(kind, numbers(pyarrow.int64()), column.type.unit, missing)
    if types.is_duration(column.type):
        return _of_times("duration", numbers(pyarrow.int64()), column.type.unit, missing)
    return _of_values(column.to_pylist(), missing)
