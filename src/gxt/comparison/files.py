"""Two contents of one file: text by lines, tables by cells, JSON by key paths, notebooks by their cells."""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from gxt.comparison.values import ADDED, CHANGED, REMOVED, Difference, difference, differences, same_value
from gxt.model import plain

MOST_BYTES = 50_000_000
"""Larger files are not read to be compared."""

_MOST_LINES = 50_000
_MOST_ALIGNED = 2_000


@dataclass(frozen=True)
class FileDifference:
    """How the content of one file differs between two runs.

    Attributes:
        path: in the run's folder, `artifacts/…` for an artifact.
        kind: "added", "removed" or "changed".
        form: what it was compared as: "text", "table", "json", "notebook"; "binary" or "large" where it was not.
        sizes: bytes in each run, None where the run has no such file.
        different: cells of a table, or values of a JSON document, that differ.
        lines: a unified diff, without its file names; of a notebook what nbdime says, or a diff of its cells.
        remark: what a reader should know of how it was compared.
    """

    path: str
    kind: str
    form: str
    sizes: tuple[int | None, int | None]
    different: tuple[Difference, ...] = ()
    lines: tuple[str, ...] = ()
    remark: str = ""


def file_difference(path: str, one: bytes | None, other: bytes | None) -> FileDifference:
    """How a file differs; None stands for a run that has no such file. A file that is there in both has changed."""
    sizes = (None if one is None else len(one), None if other is None else len(other))
    kind = ADDED if one is None else REMOVED if other is None else CHANGED
    if one is not None and other is not None:
        ending = PurePosixPath(path).suffix.lower()
        try:
            if ending == ".ipynb":
                lines, remark = _notebook_lines(one, other)
                return FileDifference(path, kind, "notebook", sizes, lines=lines, remark=remark)
            if ending in _CONTENT:
                form, compare = _CONTENT[ending]
                return FileDifference(path, kind, form, sizes, different=compare(one, other))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, csv.Error):
            pass  # it is not what its name says: compare the text
    texts = [_text(data or b"") for data in (one, other)]
    if texts[0] is None or texts[1] is None:
        return FileDifference(path, kind, "binary", sizes)
    return FileDifference(path, kind, "text", sizes, lines=text_lines(texts[0], texts[1]))


def too_large(path: str, sizes: tuple[int | None, int | None]) -> FileDifference:
    """A file that is too large to be compared by content."""
    kind = ADDED if sizes[0] is None else REMOVED if sizes[1] is None else CHANGED
    return FileDifference(path, kind, "large", sizes)


# --- text -----------------------------------------------------------------------------------------------------------


def _text(data: bytes) -> str | None:
    """The text, None where it is none, by git's rule (a zero byte near the beginning), or not UTF-8."""
    if b"\0" in data[:8000]:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def text_lines(one: str, other: str) -> tuple[str, ...]:
    """A unified diff's lines, without line ends and file names.

    >>> text_lines("a\\nb\\n", "a\\nc\\n")
    ('@@ -1,2 +1,2 @@', ' a', '-b', '+c')
    """
    before, after = one.split("\n"), other.split("\n")
    for lines in (before, after):
        if lines[-1] == "":
            lines.pop()
        else:
            lines[-1] += "\n\\ No newline at end of file"  # git's words
    if len(before) + len(after) > 2 * _MOST_LINES:
        return (f"@@ {len(before)} and {len(after)} lines: too many to compare @@",)
    diff = list(difflib.unified_diff(before, after, lineterm=""))[2:]
    return tuple(part for line in diff for part in line.split("\n"))


# --- tables ---------------------------------------------------------------------------------------------------------


class _Table(NamedTuple):
    columns: list[str]
    rows: list[list[Any]]


_Row = tuple[Any, ...]
_Pairs = list[tuple[int | None, int | None]]


def _csv_differences(one: bytes, other: bytes) -> tuple[Difference, ...]:
    return _table_differences(_read_csv(one, ","), _read_csv(other, ","))


def _tsv_differences(one: bytes, other: bytes) -> tuple[Difference, ...]:
    return _table_differences(_read_csv(one, "\t"), _read_csv(other, "\t"))


def _read_csv(data: bytes, delimiter: str) -> _Table:
    lines = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter) if row]
    rows = [[_number_in(cell) for cell in row] for row in lines]
    if rows and all(isinstance(cell, (int, float)) for cell in rows[0]):  # a table without a header
        return _Table([str(i + 1) for i in range(len(rows[0]))], rows)
    return _Table(lines[0], rows[1:]) if lines else _Table([], [])


def _number_in(cell: str) -> Any:
    """The number that a cell spells, so that 1.0 and 1 are the same; else its text. NaN, equal to nothing, is text."""
    for kind in (int, float):
        try:
            value = kind(cell)
        except ValueError:
            continue
        return value if value == value else "nan"
    return cell


def _table_differences(one: _Table, other: _Table) -> tuple[Difference, ...]:
    """Columns and rows added and removed, and cells changed.

    Raises:
        ValueError: a column's name comes twice, or a row has another length than the header.
    """
    for table in (one, other):
        if len(set(table.columns)) < len(table.columns) or any(len(row) != len(table.columns) for row in table.rows):
            raise ValueError("not a plain table")
    columns = differences([dict.fromkeys((f"column {name}" for name in table.columns), "") for table in (one, other)])
    common = [name for name in one.columns if name in other.columns]
    before, after = _project(one, common), _project(other, common)
    found = list(columns)
    keyed = _has_key(before, after)
    for i, j in _pairs_by_key(before, after) if keyed else _pairs_by_place(before, after):
        old, new = (None if i is None else before[i]), (None if j is None else after[j])
        if old == new:
            continue
        name = f"{common[0]}={(old or new or ('',))[0]}" if keyed else f"row {1 + ((j if i is None else i) or 0)}"
        found += _row_differences(name, common, old, new)
    return tuple(found)


def _project(table: _Table, names: Sequence[str]) -> list[_Row]:
    at = [table.columns.index(name) for name in names]
    return [tuple(row[i] for i in at) for row in table.rows]


def _row_differences(name: str, columns: Sequence[str], old: _Row | None, new: _Row | None) -> list[Difference]:
    if old is None or new is None:
        rows = [None if row is None else dict(zip(columns, row, strict=True)) for row in (old, new)]
        return [difference(name, rows, [0 if old is None else 1])]
    cells = zip(columns, old, new, strict=True)
    return [difference(f"{name}, {column}", (a, b)) for column, a, b in cells if not same_value(a, b)]


def _has_key(before: Sequence[_Row], after: Sequence[_Row]) -> bool:
    """Whether the first column names the rows: no value twice, and most of the shorter table's in the other too."""
    if not before or not after or not before[0] or len(before[0]) < 2:
        return False
    old, new = {row[0] for row in before}, {row[0] for row in after}
    unique = len(old) == len(before) and len(new) == len(after)
    return unique and 2 * len(old & new) >= min(len(old), len(new))


def _pairs_by_key(before: Sequence[_Row], after: Sequence[_Row]) -> _Pairs:
    places = {row[0]: j for j, row in enumerate(after)}
    known = {row[0] for row in before}
    pairs: _Pairs = [(i, places.get(row[0])) for i, row in enumerate(before)]
    return pairs + [(None, j) for j, row in enumerate(after) if row[0] not in known]


def _pairs_by_place(before: Sequence[_Row], after: Sequence[_Row]) -> _Pairs:
    """Which row stands where: tables of one length row by row, others aligned by the rows that they share."""
    start = 0
    if len(before) != len(after):
        shorter = min(len(before), len(after))
        while start < shorter and before[start] == after[start]:
            start += 1
        end = 0
        while end < shorter - start and before[-1 - end] == after[-1 - end]:
            end += 1
        old, new = before[start : len(before) - end], after[start : len(after) - end]
        if max(len(old), len(new)) <= _MOST_ALIGNED:
            matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
            pairs: _Pairs = []
            for tag, i1, i2, j1, j2 in matcher.get_opcodes():
                if tag != "equal":
                    pairs += _side_by_side(range(start + i1, start + i2), range(start + j1, start + j2))
            return pairs
    return _side_by_side(range(start, len(before)), range(start, len(after)))


def _side_by_side(old: Sequence[int], new: Sequence[int]) -> _Pairs:
    both = min(len(old), len(new))
    pairs: _Pairs = list(zip(old[:both], new[:both], strict=True))
    return pairs + [(i, None) for i in old[both:]] + [(None, j) for j in new[both:]]


# --- JSON -----------------------------------------------------------------------------------------------------------


def _json_differences(one: bytes, other: bytes) -> tuple[Difference, ...]:
    documents = _document(one), _document(other)
    tables = [_json_table(document) for document in documents]
    if tables[0] is not None and tables[1] is not None:
        return _table_differences(tables[0], tables[1])
    return tuple(differences([_leaves(document) for document in documents]))


def _document(data: bytes) -> Any:
    """A JSON document, its text such that UTF-8 can hold it. Raises ValueError, also where it is nested very deep."""
    return plain(json.loads(data))


def _json_table(document: Any) -> _Table | None:
    """A document that is a table as `log_table` writes it, None where it is something else."""
    if not isinstance(document, dict) or document.keys() != {"columns", "data"}:
        return None
    cells = [[json.dumps(cell) if isinstance(cell, (list, dict)) else cell for cell in row] for row in document["data"]]
    return _Table([str(name) for name in document["columns"]], cells)


def _leaves(value: Any, path: str = "") -> dict[str, Any]:
    """What is at the end of each key path: `{"a": {"b": [1]}}` gives `{"a.b[0]": 1}`."""
    if isinstance(value, dict) and value:
        inner = ((_key(path, name), item) for name, item in value.items())
    elif isinstance(value, list) and value:
        inner = ((f"{path}[{i}]", item) for i, item in enumerate(value))
    else:
        return {path or "(all)": value}
    return {name: leaf for inner_path, item in inner for name, leaf in _leaves(item, inner_path).items()}


def _key(path: str, name: str) -> str:
    if not name or set(name) & set('.[]"'):
        return f"{path}[{json.dumps(name, ensure_ascii=False)}]"
    return f"{path}.{name}" if path else name


# --- notebooks ------------------------------------------------------------------------------------------------------


def _notebook_lines(one: bytes, other: bytes) -> tuple[tuple[str, ...], str]:
    """What nbdime, where it is installed, says of two notebooks; else a diff of their cells, outputs left out. And a
    remark where nbdime could not make sense of them."""
    cells = text_lines(*(_cells_text(_document(data)) for data in (one, other)))
    try:
        import nbdime
        import nbformat
        from nbdime.prettyprint import PrettyPrintConfig, pretty_print_notebook_diff
    except ImportError:
        return cells, ""
    out = io.StringIO()
    config = PrettyPrintConfig(out=out, use_color=False, use_git=False, use_diff=False)
    try:
        # nbformat joins sources that are lists of lines, as Jupyter writes them, and which nbdime does not take.
        old, new = (nbformat.reads(data.decode(), as_version=4) for data in (one, other))  # type: ignore[no-untyped-call]
        pretty_print_notebook_diff("a", "b", old, nbdime.diff_notebooks(old, new), config)
    except Exception as error:  # whatever a library for files of others' making may raise; AssertionError is one
        return cells, f"by the source of its cells: nbdime cannot compare it ({type(error).__name__})"
    return tuple(out.getvalue().rstrip("\n").split("\n")[3:]), ""  # less the names and times of files


def _cells_text(notebook: dict[str, Any]) -> str:
    """A notebook as text: a line that says what a cell is, and its source."""
    texts = []
    for cell in notebook["cells"]:
        source = cell["source"]
        texts.append(f"# %% [{cell['cell_type']}]\n{source if isinstance(source, str) else ''.join(source)}\n")
    return "\n".join(texts)


_CONTENT: dict[str, tuple[str, Callable[[bytes, bytes], tuple[Difference, ...]]]] = {
    ".csv": ("table", _csv_differences),
    ".tsv": ("table", _tsv_differences),
    ".json": ("json", _json_differences),
}
