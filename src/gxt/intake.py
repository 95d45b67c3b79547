"""Params and metric histories as people have them: YAML, JSON and TOML files, CSV, JSON lines, key=value lines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from gxt.errors import FormatError, UsageError
from gxt.model import check_name, flatten, number, parse_time, step_number
from gxt.yamltext import load_mapping, parse_value

STEP_KEYS = ("step", "epoch")
TIME_KEYS = ("time", "timestamp")


class Row(NamedTuple):
    """What one line of a history says. `step` and `time` (milliseconds since 1970 UTC) are None where it does not."""

    values: dict[str, float]
    step: int | None = None
    time: int | None = None


# --- assignments on a command line ------------------------------------------------------------------------------


def param_assignment(text: str) -> tuple[str, Any]:
    """`name=value` with the value typed as YAML types it, or `name:=text` taken literally.

    >>> param_assignment("lr=1e-3"), param_assignment("version:=1.0")
    (('lr', 0.001), ('version', '1.0'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"param {text!r} should be name=value")
    if name.endswith(":") and len(name) > 1:
        return check_name("param", name[:-1]), value
    return check_name("param", name), parse_value(value)


def metric_assignment(text: str) -> tuple[str, float]:
    """`name=number`."""
    name, equals, value = text.rpartition("=")
    if not equals or not name:
        raise UsageError(f"metric {text!r} should be name=number")
    return check_name("metric", name), _number(value, f"metric {name}")


def tag_assignment(text: str) -> tuple[str, str]:
    """`name=text`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"tag {text!r} should be name=text")
    return check_name("tag", name), value


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"{what}: {text!r} is not a number") from None


# --- params files -----------------------------------------------------------------------------------------------


def read_params(data: bytes, name: str) -> dict[str, Any]:
    """The params in a YAML, JSON or TOML file; the name's ending says which, YAML (and so JSON) where it has none.

    Raises:
        FormatError: the file is not what its ending says, or holds no mapping.
    """
    ending = PurePosixPath(name).suffix.lower()
    if ending not in ("", ".yaml", ".yml", ".json", ".toml"):
        raise UsageError(f"{name}: params come from .yaml, .json or .toml files, not {ending}")
    if ending == ".toml":
        return _toml(data, name)
    if ending == ".json":
        return _json_object(data, name)
    return load_mapping(data, name)


def _toml(data: bytes, name: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return dict(tomllib.loads(data.decode()))
    except ValueError as error:
        raise FormatError(f"{name}: not valid TOML: {error}") from None


# --- histories --------------------------------------------------------------------------------------------------


def read_history(text: str, name: str, step_keys: Sequence[str] = STEP_KEYS) -> list[Row]:
    """The metric history in a file's text: JSON lines, or CSV, wide (`step,loss,acc`) or long (`step,metric,value`).

    The step is the first of `step_keys` that a row has; a row without one takes its number, counted from 0. Empty
    cells are left out.

    Raises:
        FormatError: something is not a number, or a line not like the others; the message has the line.
    """
    if not text.strip():
        return []
    if text.lstrip().startswith("{"):
        lines = [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip()]
        return [_numbered(_json_row(line, f"{name}, line {at}", step_keys), i) for i, (at, line) in enumerate(lines)]
    import csv  # here for start-up time
    import io

    try:
        header, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff")))
    except csv.Error as error:
        raise FormatError(f"{name}: not valid CSV: {error}") from None
    columns = [column.strip() for column in header]
    if not set(step_keys) & set(columns) and all(_is_number(column) for column in columns):
        raise FormatError(f"{name}: the first line should name the columns, found {','.join(header)!r}")
    found = []
    for i, cells in enumerate(row for row in rows if row):
        where = f"{name}, line {i + 2}"
        if len(cells) > len(columns):
            raise FormatError(f"{where}: {len(cells)} cells under {len(columns)} columns")
        found.append(_numbered(_row(dict(zip(columns, cells, strict=False)), where, step_keys), i))
    return found


def _numbered(row: Row, index: int) -> Row:
    return row if row.step is not None else row._replace(step=index)


def _json_row(line: str, where: str, step_keys: Sequence[str]) -> Row:
    return _row(_json_object(line, where), where, step_keys)


def _json_object(text: str | bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise FormatError(f"{where}: not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise FormatError(f"{where}: expected an object, found {type(content).__name__}")
    return content


def _row(content: Mapping[str, Any], where: str, step_keys: Sequence[str]) -> Row:
    rest = {key: value for key, value in content.items() if value not in (None, "")}
    step = next((rest.pop(key) for key in step_keys if key in rest), None)
    time = next((rest.pop(key) for key in TIME_KEYS if key in rest), None)
    if set(rest) == {"metric", "value"}:
        rest = {str(rest["metric"]): rest["value"]}
    values = {}
    try:
        for key, value in flatten(rest).items():
            values[check_name("metric", key)] = number(_typed(value))
        return Row(values, None if step is None else step_number(float(step)), None if time is None else _time(time))
    except UsageError as error:
        raise FormatError(f"{where}: {error.message}") from None
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: {error}") from None


def _typed(value: Any) -> Any:
    return float(value) if isinstance(value, str) and _is_number(value) else value


def _time(value: Any) -> int:
    """Milliseconds from RFC 3339 text, or from a number of milliseconds or (below 1e11) seconds since 1970 UTC."""
    if isinstance(value, str) and not _is_number(value):
        return parse_time(value)
    since = float(value)
    return int(since * 1000 if since < 1e11 else since)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# --- streams ----------------------------------------------------------------------------------------------------

_PAIR = re.compile(r"(?P<name>[^\s=,;:]+)=(?P<value>[^\s,;]+)")


def stream_rows(lines: Iterable[str], step_keys: Sequence[str] = STEP_KEYS) -> Iterator[tuple[int, Row | FormatError]]:
    """The rows of a stream as they come, with their line numbers; a FormatError where a line says no metric.

    A line is a JSON object or holds `name=number` pairs. A row without a step takes the one after the last.
    """
    next_step = 0
    for at, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = (
                _json_row(line, f"line {at}", step_keys)
                if line.lstrip().startswith("{")
                else _pairs(line, at, step_keys)
            )
        except FormatError as error:
            yield at, error
            continue
        row = row if row.step is not None else row._replace(step=next_step)
        next_step = (row.step or 0) + 1
        yield at, row


def _pairs(line: str, at: int, step_keys: Sequence[str]) -> Row:
    pairs = {match["name"]: match["value"] for match in _PAIR.finditer(line)}
    if not pairs:
        raise FormatError(f"line {at}: no JSON object and no name=number: {line.strip()[:60]!r}")
    return _row(pairs, f"line {at}", step_keys)
