"""A table on a terminal: aligned, coloured, and no wider than the screen."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gxt.render.cells import MAX_CELL, STATUS_STYLES, branch, cell_texts, same_line, titles
from gxt.render.table import Column, Table
from gxt.showing import one_line

_GAP = 2  # between columns
_TIGHT_CELL, _TIGHT_TITLE = 24, 16  # the most that a cell and a title take where not everything fits


def terminal(table: Table, now: int | None, width: int | None = None, colour: bool = False) -> tuple[str, list[str]]:
    """The table drawn for people, and the titles of the columns that `width` left no room for; nothing is cut without.

    Where there is too little room, long cells and titles are cut first; then columns of a high rank go. The best values
    are bold; without colour, a `*` follows them.
    """
    heads = titles(table.columns)
    for most in (MAX_CELL, _TIGHT_CELL) if width is not None else (None,):
        texts = _drawn(table, cell_texts(table, now, most), colour)
        cells = [max((_wide(row[i]) for row in texts), default=0) for i in range(len(heads))]
        if most == _TIGHT_CELL:
            heads = _short_titles(heads, cells)
        widths = [max(_wide(title), wide) for title, wide in zip(heads, cells, strict=True)]
        if width is None or sum(widths) + _GAP * (len(widths) - 1) <= width:
            break
    shown = _fitting(table.columns, widths, width)
    text = _draw(table, heads, texts, widths, shown, colour)
    hidden = [title for i, title in enumerate(titles(table.columns)) if i not in shown]
    return text + "".join(f"{line}\n" for line in _remarks(table, width)), hidden


def _drawn(table: Table, texts: list[list[str]], colour: bool) -> list[list[str]]:
    """The cells with what is put around their text: a branch before a nested run, a mark after a best value."""
    for row, depth in enumerate(table.depths):
        texts[row][0] = branch(depth) + texts[row][0]
    if not colour:
        for column in {column for _, column in table.best}:
            for row, cells in enumerate(texts):  # a blank elsewhere keeps the digits in line
                cells[column] += "*" if (row, column) in table.best else " "
    return texts


def _short_titles(titles: Sequence[str], cells: Sequence[int]) -> list[str]:
    """Titles no longer than their cells, or than a title has to be; as they are where they would become alike."""
    short = []
    for title, wide in zip(titles, cells, strict=True):
        most = max(wide, _TIGHT_TITLE)
        # The end of a dotted name says most.
        short.append(title if len(title) <= most else f"…{title[len(title) - most + 1 :]}")
    return [new if short.count(new) == 1 else title for new, title in zip(short, titles, strict=True)]


def _fitting(columns: Sequence[Column], widths: Sequence[int], width: int | None) -> list[int]:
    """The columns that fit, in their order; the first always. One after another that does not fit may."""
    if width is None:
        return list(range(len(columns)))
    shown = [0]
    used = widths[0]
    for i in sorted(range(1, len(columns)), key=lambda i: columns[i].rank):
        if used + _GAP + widths[i] <= width:
            shown.append(i)
            used += _GAP + widths[i]
    return sorted(shown)


def _draw(
    table: Table,
    titles: Sequence[str],
    texts: Sequence[Sequence[str]],
    widths: Sequence[int],
    shown: Sequence[int],
    colour: bool,
) -> str:
    # By hand: rich's own table takes ten seconds for ten thousand runs.
    def line(cells: Sequence[str], styles: Mapping[int, str]) -> str:
        parts = []
        for i in shown:
            text, blanks = cells[i], " " * (widths[i] - _wide(cells[i]))
            painted = _painted(text, styles.get(i, "")) if colour else text
            parts.append(f"{blanks}{painted}" if table.columns[i].is_numeric else f"{painted}{blanks}")
        return f"{(' ' * _GAP).join(parts).rstrip()}\n"

    lines = [line(titles, dict.fromkeys(shown, "bold"))]
    for number, row in enumerate(texts):
        styles = {i: _style(row[i]) for i in shown if table.columns[i].kind == "status"}
        lines.append(line(row, styles | {i: "best" for i in shown if (number, i) in table.best}))
    return "".join(lines)


# https://en.wikipedia.org/wiki/ANSI_escape_code#Select_Graphic_Rendition_parameters
_CODES = {"bold": "1", "best": "1;32", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def _painted(text: str, style: str) -> str:
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if style and text else text


def _style(status: str) -> str:
    return STATUS_STYLES.get(status.partition(",")[0], "")


def _wide(text: str) -> int:
    """How many of a terminal's cells a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # here for start-up time

    return cell_len(text)


def rich_text(drawing: Any, width: int, colour: bool) -> str:
    """What rich draws of something, as text without spaces at the lines' ends."""
    from rich.console import Console  # here for start-up time

    out = io.StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        legacy_windows=False,
    )
    console.print(drawing)
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


def _remarks(table: Table, width: int | None) -> Iterator[str]:
    """The lines below a table."""
    if table.same or table.notes:
        yield ""
    if table.same:
        yield same_line(table.same, width)
    for note in map(one_line, table.notes):
        yield from textwrap.wrap(note, width) if width else [note]
