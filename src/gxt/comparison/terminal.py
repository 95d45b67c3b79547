"""A comparison on a terminal: aligned, coloured by better and worse, what is too wide on lines of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from gxt.comparison.parts import Cell, Outline, Part, Row

Paint = Callable[[str, str], str]

_STYLES = {"better": "green", "worse": "red", "added": "green", "removed": "red", "place": "cyan"}
_FAINT = "bright_black"
_PIPE_WIDTH = 160
_NARROWEST, _LONGEST_NAME = 8, 36
_SHOWN = 8  # rows of a long list
_GAP = _INDENT = "  "


class _Columns(NamedTuple):
    """How wide the name and each run's column are, and from where on a value gets lines of its own."""

    name: int
    values: tuple[int, ...]
    limit: int


def terminal(found: Outline, width: int | None, paint: Paint, whole: bool = True) -> str:
    """The page as text; `width` in columns, None in a pipe. `paint(text, style)` colours.

    Unless it is to be `whole`, of long lists (packages, artifacts) only the beginning is shown.
    """
    if not whole:
        found = replace(found, parts=tuple(map(_folded, found.parts)))
    columns = _columns(found, width or _PIPE_WIDTH)
    heading = Row("", "", tuple(Cell(label) for label in found.labels))
    lines = [_INDENT + paint(line, "bold") for line in _table([heading], columns, found.labels, _unpainted)]
    lines += [_INDENT + line for line in _table(found.head, columns, found.labels, paint)]
    for part in found.parts:
        lines += ["", *_part(part, columns, found.labels, paint)]
    if found.verdict:
        lines += ["", found.verdict]
    if found.same:
        lines += ["", paint(f"the same: {', '.join(found.same)}", _FAINT)]
    return "\n".join(lines) + "\n"


def _folded(part: Part) -> Part:
    """A long list's beginning, and how many more there are."""
    left = len(part.rows) - _SHOWN
    if not part.bulky or part.is_file or left <= 1:
        return part
    return replace(part, rows=part.rows[:_SHOWN], remarks=(f"… and {left} more; --all shows them", *part.remarks))


def _unpainted(text: str, style: str) -> str:
    return text


def _part(part: Part, columns: _Columns, labels: Sequence[str], paint: Paint) -> Iterator[str]:
    yield paint(_clean(part.title), "bold") + (f"  {part.summary}" if part.summary else "")
    yield from (f"{_INDENT}{line}".rstrip() for line in _table(part.rows, columns, labels, paint))
    for line in part.lines:
        yield _INDENT + paint(_clean(line.text, "\t"), _STYLES.get(line.tone, ""))
    yield from (f"{_INDENT}{_clean(remark)}" for remark in part.remarks)
    if part.same:
        yield _INDENT + paint(f"{part.same} the same", _FAINT)


def _columns(found: Outline, width: int) -> _Columns:
    rows = [*found.head, *(row for part in found.parts for row in part.rows)]
    name = max((wide for row in rows if (wide := _width(row.name) + 2) <= _LONGEST_NAME), default=2)
    change = max((sum(_widths(part.rows)) + len(_GAP) * len(_widths(part.rows)) for part in found.parts), default=0)
    limit = (width - len(_INDENT) - name - change) // len(found.labels) - len(_GAP)
    if limit < _NARROWEST:
        return _Columns(name, (0,) * len(found.labels), 0)
    inside = [row for row in rows if all(_lines(cell.text, limit) for cell in row.values)]
    values = [
        max([_width(label), *(_width(line) for row in inside for line in _lines(row.values[i].text, limit) or ())])
        for i, label in enumerate(found.labels)
    ]
    return _Columns(name, tuple(min(needed, limit) for needed in values), limit)


def _widths(rows: Sequence[Row]) -> list[int]:
    """How wide a part's columns about changes are."""
    count = max((len(row.change) for row in rows), default=0)
    return [max(_width(row.change[i].text) for row in rows if len(row.change) > i) for i in range(count)]


def _lines(text: str, limit: int) -> list[str] | None:
    """A value in its column, what is said of its change below it where it is too long; None where that does not do."""
    if "\n" in text:
        return None
    value, bracket, said = text.rpartition(" (")
    for lines in ([text], [value, f"({said}"] if bracket else []):
        if lines and max(map(_width, lines)) <= limit:
            return lines
    return None


def _table(rows: Sequence[Row], columns: _Columns, labels: Sequence[str], paint: Paint) -> Iterator[str]:
    changes = _widths(rows)
    for row in rows:
        values = [_lines(cell.text, columns.limit) for cell in row.values]
        if None in values:
            yield from _on_lines_of_its_own(row, labels, paint)
            continue
        has_room = _width(row.name) + 2 <= columns.name
        if not has_room:
            yield f"{row.mark:<1} {_clean(row.name)}"
        for at in range(max(len(lines or ()) for lines in values)):
            cells = [
                Cell(lines[at] if lines and at < len(lines) else "", cell.tone)
                for lines, cell in zip(values, row.values, strict=True)
            ]
            name, mark = (row.name, row.mark) if at == 0 and has_room else ("", "")
            change = row.change if at == 0 else ()
            texts = [f"{mark:<1} {_padded(Cell(name), columns.name - 2, paint)}"]
            texts += [_padded(cell, needed, paint) for cell, needed in zip(cells, columns.values, strict=True)]
            last = len(changes) - 1
            texts += [_padded(cell, changes[i], paint, right=i < last) for i, cell in enumerate(change)]
            yield _GAP.join(texts).rstrip()


def _on_lines_of_its_own(row: Row, labels: Sequence[str], paint: Paint) -> Iterator[str]:
    """A row with a value that its column does not hold, as git shows a changed line."""
    if row.name:
        changes = "".join(f"{_GAP}{paint(cell.text, _STYLES.get(cell.tone, ''))}" for cell in row.change if cell.text)
        yield f"{row.mark:<1} {_clean(row.name)}{changes}"
    two = len(labels) == 2
    for i, (cell, label) in enumerate(zip(row.values, labels, strict=True)):
        if cell.text:
            before = ("- ", "+ ")[i] if two else f"{_clean(label)}: " if row.name else ""
            for line in cell.text.split("\n"):
                yield f"    {before}{paint(_clean(line), _STYLES.get(cell.tone, ''))}"


def _clean(text: str, allowed: str = "") -> str:
    """Text without what would move the cursor or change colours: others wrote it."""
    return "".join(c if c.isprintable() or c in allowed else c.encode("unicode_escape").decode() for c in text)


def _width(text: str) -> int:
    from rich.cells import cell_len  # here for start-up time

    return cell_len(_clean(text))


def _padded(cell: Cell, width: int, paint: Paint, right: bool = False) -> str:
    space = " " * (width - _width(cell.text))
    text = paint(_clean(cell.text), _STYLES.get(cell.tone, "")) if cell.text else ""
    return space + text if right else text + space
