"""Runs and tables for programs: JSON, JSON lines, Parquet. docs/json.md describes what is in them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gxt.errors import MissingPackageError
from gxt.model import Run, Summary, format_time
from gxt.query.fields import bounded
from gxt.render.table import Table
from gxt.showing import json_escaped


def json_text(content: Any) -> str:
    """JSON with two spaces' indent. NaN and infinities, which JSON lacks, become the texts "nan", "inf", "-inf".

    What a terminal would obey is spelled out in JSON's own way.
    """
    return json_escaped(json.dumps(_json_value(content), indent=2, ensure_ascii=False)) + "\n"


def json_line(content: Any) -> str:
    """The same on one line."""
    return json_escaped(json.dumps(_json_value(content), ensure_ascii=False)) + "\n"


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Summary):
        return _json_value(vars(value))
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    return value


def run_json(run: Run) -> dict[str, Any]:
    """A run as `--json` gives it. docs/json.md is its description."""
    return {
        "id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "place": run.place,
        "started": time_text(run.started),
        "ended": time_text(run.ended),
        "duration": run.duration,
        "exit_code": run.exit_code,
        "author": run.author,
        "parent": run.parent,
        "deleted": time_text(run.deleted),
        "note": run.note,
        "tags": dict(sorted(run.tags.items())),
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "inputs": dict(run.inputs),
        "source": dict(run.source),
        "environment": dict(run.environment),
        "problem": run.problem,
    }


def time_text(ms: int | None) -> str | None:
    """A time as JSON has it."""
    return None if ms is None else format_time(ms)


def table_json(table: Table) -> list[dict[str, Any]]:
    """A table as a list of mappings from the columns' names to values; times as text."""
    names = [column.name or column.title for column in table.columns]
    kinds = [column.kind for column in table.columns]
    return [
        {
            name: time_text(value) if kind == "time" and isinstance(value, int) else value
            for name, kind, value in zip(names, kinds, row, strict=True)
        }
        for row in table.rows
    ]


def parquet(table: Table) -> bytes:
    """A table as a Parquet file, each column of one type: where a param is now a number and now a text, all is text.

    Raises:
        MissingPackageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingPackageError("pyarrow", "writing Parquet") from None
    columns = []
    for i, column in enumerate(table.columns):
        values = [row[i] for row in table.rows]
        if column.kind == "time":
            columns.append(pyarrow.array(values, pyarrow.timestamp("ms", tz="UTC")))
        else:
            empty = all(value is None for value in values)
            no_type = pyarrow.float64() if column.is_numeric else pyarrow.string()
            columns.append(pyarrow.array(_of_one_type(values), no_type if empty else None))
    names = [column.name or column.title for column in table.columns]
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns, names=names), out)
    content: bytes = out.getvalue()
    return content


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool} or kinds <= {str}:
        return list(values)
    if kinds <= {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return list(values)
    if kinds <= {int, float}:
        return [float(bounded(value) or 0) if isinstance(value, int) else value for value in values]
    return [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
