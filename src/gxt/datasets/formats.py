"""What files of tables say of themselves: rows and columns of CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gxt.datasets.digests import Digests, Stamp
from gxt.model import clean_text

if TYPE_CHECKING:
    from gxt.datasets.files import Member

_PIECE = 1 << 20
_HEAD = 1 << 16  # bytes in which a CSV file's columns and their types are looked for
_MOST_FOOTERS = 1000
_MOST_COLUMNS = 2000
_LONGEST_NAME = 200
_TYPES = (
    ("boolean", re.compile("true|false", re.IGNORECASE)),
    ("integer", re.compile(r"[+-]?\d+")),
    ("number", re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)),
)


def of_files(members: Sequence[Member], known: Digests | None) -> dict[str, Any]:
    """`rows` and `columns`, as far as the files tell them: of a CSV file, or of Parquet files with the same columns."""
    endings = {member.path.suffix.lower() for member in members}
    if endings == {".parquet"} and len(members) <= _MOST_FOOTERS:
        return _of_parquet([member.path for member in members])
    if len(members) == 1 and endings <= {".csv", ".tsv"}:
        return _kept(members[0].path, known)
    return {}


def column(name: object) -> str:
    """A column's name as a key in YAML, which may not be long."""
    return clean_text(str(name))[:_LONGEST_NAME]


def _of_parquet(paths: Sequence[Path]) -> dict[str, Any]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        return {}
    rows, columns = 0, None
    try:
        for path in paths:
            with parquet.ParquetFile(path) as file:
                rows += file.metadata.num_rows
                here = {column(field.name): str(field.type) for field in file.schema_arrow}
            if columns not in (None, here):
                return {}
            columns = here
    except (ArrowException, OSError, ValueError):  # it is called so, and is something else
        return {}
    return {"rows": rows, **({"columns": columns} if columns and len(columns) <= _MOST_COLUMNS else {})}


# --- CSV ----------------------------------------------------------------------------------------------------------


def _kept(path: Path, known: Digests | None) -> dict[str, Any]:
    """What a CSV file says, read at most once."""
    begun = time.time_ns()
    try:
        stamp = Stamp.of(os.stat(path))
        if known is not None and stamp.size > _PIECE and (text := known.find([path], [stamp], "table").get(0)):
            about: dict[str, Any] = json.loads(text)
            return about
        about = _of_csv(path)
    except OSError:
        return {}
    if known is not None and stamp.size > _PIECE:
        known.keep([path], [stamp], [json.dumps(about)], begun, "table")
    return about


def _of_csv(path: Path) -> dict[str, Any]:
    with open(path, "rb") as stream:
        head = stream.read(_HEAD)
        whole = len(head) < _HEAD
        if b"\0" in head:  # UTF-16, or no text
            return {}
        lines = _count_lines(stream, head)
    header, records = _records(head, whole, "\t" if path.suffix.lower() == ".tsv" else None)
    if not _is_header(header):
        return {"rows": lines} if lines else {}
    if len(header) > _MOST_COLUMNS:
        return {"rows": lines - 1}
    types = [_type_of([record[i] for record in records if i < len(record)]) for i in range(len(header))]
    return {"rows": lines - 1, "columns": dict(zip(map(column, header), types, strict=True))}


def _count_lines(stream: io.BufferedReader, head: bytes) -> int:
    """The lines of a CSV file that are not empty and not within quotes, which in RFC 4180 come in pairs."""
    count, quoted, last, piece = 0, False, b"\n", head
    while piece:
        parts = piece.split(b'"') if b'"' in piece else [piece]
        for i, part in enumerate(parts):
            if i:
                quoted = not quoted
            if not quoted:
                count += part.count(b"\n") - part.count(b"\n\n") - part.count(b"\n\r\n")
        last = piece[-1:]
        piece = stream.read(_PIECE)
    return count + (last != b"\n")


def _records(head: bytes, whole: bool, delimiter: str | None) -> tuple[list[str], list[list[str]]]:
    """The first record, and those after it that are whole."""
    text = head.decode("utf-8-sig", "replace")
    if not whole:
        text = text[: text.rfind("\n") + 1]
    first = text.partition("\n")[0]
    delimiter = delimiter or max(",;\t|", key=first.count)
    try:
        records = [record for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if record]
    except csv.Error:
        return [], []
    return (records[0], records[1:] if whole else records[1:-1]) if records else ([], [])


def _is_header(record: Sequence[str]) -> bool:
    """Whether a first record names columns: all different, none empty but the first (an index), none a number."""
    names = [name.strip() for name in record]
    return (
        bool(names)
        and len(set(names)) == len(names)
        and all(names[1:])
        and not any(pattern.fullmatch(name) for name in names if name for _, pattern in _TYPES[1:])
    )


def _type_of(cells: Sequence[str]) -> str:
    """The type of which all cells are that say something."""
    said = [cell.strip() for cell in cells if cell.strip()]
    return next((name for name, pattern in _TYPES if said and all(map(pattern.fullmatch, said))), "text")
