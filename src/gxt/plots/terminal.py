"""Charts as text for a terminal, drawn by uniplot and rich."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from rich.bar import Bar as Stripe
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text
from uniplot import plot_to_string

from gxt import render
from gxt.plots import labels, ticks
from gxt.plots.charts import Axis, Bars, Chart, Curves, ImportanceChart, Parallel, Scatter
from gxt.plots.series import Floats

COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red")
"""Colours of the terminal's own palette, which its user has chosen to be readable."""
LETTERS = "abcdef"
"""What curves are drawn with where there is no colour."""

_HEIGHT, _MOST_UP = 17, 6  # lines of a picture, and texts beside it
_LEAST_WIDTH = 40


def text(chart: Chart, width: int, colour: bool) -> str:
    """The chart in lines of at most `width` columns; without colour, curves are told apart by letters."""
    drawn = _DRAW[type(chart)](chart, max(width, _LEAST_WIDTH), colour)
    return f"{chart.title}\n{drawn}" if chart.title else drawn


def columns(width: int) -> int:
    """How many columns of dots a curve has: two in a character."""
    return 2 * max(width, _LEAST_WIDTH)


# --- lines and dots ---------------------------------------------------------------------------------------------

Marked = tuple[int | None, Floats, Floats]
"""A line or dots: its place in COLOURS and LETTERS, None for what has no name; x; y."""


class _Scale:
    """Where between an axis's two ends values are, from 0 to 1, and what is written beside it."""

    def __init__(self, axis: Axis, values: Floats, most: int) -> None:
        self._log = axis.log
        known = values[np.isfinite(values)]
        low, high = float(known.min()), float(known.max())
        self.ticks = ticks.of_axis(axis, low, high, most, ticks.is_whole(known))
        self._low, self._high = self._flat(np.array([low, high])).tolist()
        if self._low == self._high:
            about = (abs(self._low) or 1.0) / 10 if axis.kind == "number" else 1.0
            self._low, self._high = self._low - about, self._high + about

    def _flat(self, values: Floats) -> Floats:
        flat: Floats = np.log10(values) if self._log else values
        return flat

    def share(self, values: Floats) -> Floats:
        places: Floats = (self._flat(values) - self._low) / (self._high - self._low)
        return places

    def marks(self, steps: int) -> list[tuple[int, str]]:
        """The ticks, each with its place among so many steps."""
        shares = self.share(np.array([value for value, _ in self.ticks], dtype=np.float64))
        return [(min(int(share * steps), steps - 1), text) for share, (_, text) in zip(shares, self.ticks, strict=True)]


def _canvas(
    title: str, axes: tuple[Axis, Axis], marked: Sequence[Marked], width: int, colour: bool, lettered: bool, **more: Any
) -> str:
    """One picture with its axes; lines, unless `more` says otherwise, drawn with letters if they are `lettered`."""
    x, y = (_cut_names(axis, width // 4) for axis in axes)
    up = _Scale(y, np.concatenate([values for _, _, values in marked]), _HEIGHT if y.kind == "category" else _MOST_UP)
    beside = dict(up.marks(_HEIGHT))
    inner = width - 2 - max((1 + cell_len(text) for text in beside.values()), default=0)
    all_x = np.concatenate([values for _, values, _ in marked])
    across, below = _below(x, all_x, inner)
    placed = [(mark, across.share(xs), up.share(ys)) for mark, xs, ys in marked]
    rows = _drawing(placed, inner, colour, lettered, **more)
    drawn = [rows[0]]
    for row, line in enumerate(rows[1:-1]):
        text = beside.get(_HEIGHT - 1 - row, "")
        drawn.append(f"{line} {text}" if text else line)
    keys = []
    for axis, scale in ((x, across), (y, up)):
        if axis.kind == "category" and not scale.ticks:
            named = ", ".join(f"{at} {name}" for at, name in enumerate(axis.categories))
            keys += textwrap.wrap(f"{axis.label}: {named}", width)
    return "".join(f"{line.rstrip()}\n" for line in (*([title] if title else []), *drawn, rows[-1], *below, *keys))


def _cut_names(axis: Axis, most: int) -> Axis:
    return replace(axis, categories=tuple(labels.cut(name, most) for name in axis.categories))


def _below(axis: Axis, values: Floats, width: int) -> tuple[_Scale, list[str]]:
    """The scale across, and the line below the picture: as many ticks as have room for their texts."""
    for most in range(max(width // 8, 2), 1, -1):
        scale = _Scale(axis, values, most)
        marks = scale.marks(width)
        line, written = _spread(marks, width)
        if written == len(marks):
            return scale, [line] if line else []
    if axis.kind != "category":  # of the fewest ticks, those that fit
        return scale, [line]
    return _Scale(replace(axis, categories=()), values, 2), []


def _spread(marks: Sequence[tuple[int, str]], width: int) -> tuple[str, int]:
    """The texts of ticks on one line, and how many of them had room there."""
    line, written = "", 0
    for at, text in marks:
        long = cell_len(text)
        start = max(min(1 + at - long // 2, width + 2 - long), 0)
        if line and start < cell_len(line) + 2:
            continue
        line += " " * (start - cell_len(line)) + text
        written += 1
    return line, written


def _drawing(
    placed: Sequence[Marked], width: int, colour: bool, lettered: bool, lines: bool = True, grid: Sequence[float] = ()
) -> list[str]:
    """What uniplot draws of lines or dots whose places are from 0 to 1, in a frame and without texts."""
    marks, xs, ys = zip(*sorted(placed, key=lambda one: one[0] is not None), strict=True)  # the named ones on top
    letters = ["." if mark is None else LETTERS[mark % len(LETTERS)] for mark in marks]
    drawn: str = plot_to_string(
        list(ys),
        xs=list(xs),
        lines=lines,
        width=width,
        height=_HEIGHT,
        character_set="ascii" if lettered or not lines else "braille",
        # One for each, since uniplot looks the sign up by the line's number.
        force_ascii_characters=letters if lettered else ["o"] * len(marks),
        color=["#888888" if mark is None else COLOURS[mark % len(COLOURS)] for mark in marks] if colour else False,
        x_min=0.0,
        x_max=1.0,
        y_min=0.0,
        y_max=1.0,
        x_labels=False,
        y_labels=False,
        x_gridlines=list(grid),
        y_gridlines=[],
    )
    return drawn.splitlines()


def _legend(names: Sequence[tuple[int | None, str]], width: int, colour: bool) -> str:
    """Marks and names, as many in a line as fit."""
    lines: list[Text] = []
    for mark, name in names:
        style = "" if not colour else "bright_black" if mark is None else COLOURS[mark % len(COLOURS)]
        sign = "⣿⣿" if colour or len(names) == 1 else ("." if mark is None else LETTERS[mark % len(LETTERS)]) * 2
        entry = Text.assemble((sign, style), f" {name}")
        if lines and lines[-1].cell_len + 3 + entry.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], "   ", entry)
        else:
            lines.append(entry)
    return "".join(render.rich_text(line, max(width, line.cell_len), colour) for line in lines)


def _curves(chart: Curves, width: int, colour: bool) -> str:
    shown = labels.highlighted(chart, len(COLOURS), len(COLOURS))
    names: list[tuple[int | None, str]] = [(mark, chart.names[name]) for mark, name in enumerate(shown)]
    if len(chart.best) > len(shown):
        names.append((None, labels.others(chart, shown)))
    parts = []
    for panel in chart.panels:
        title = f"{panel.y.label} by {chart.x.label}"
        if not panel.curves:
            parts.append(f"{title}: no points\n")
            continue
        marked: list[Marked] = []
        for curve in panel.curves:
            mark = shown.index(curve.name) if curve.name in shown else None
            edges = [edge for edge in (curve.low, curve.high) if edge is not None and mark is not None]
            marked += [(mark, curve.x, y) for y in (*edges, curve.y)]
        parts.append(_canvas(title, (chart.x, panel.y), marked, width, colour, not colour and len(names) > 1))
    return "".join(parts) + _legend(names, width, colour)


def _scatter(chart: Scatter, width: int, colour: bool) -> str:
    filled = [at for at, dots in enumerate(chart.dots) if len(dots.x)]
    marks: list[int | None] = [mark if mark < len(COLOURS) else None for mark in range(len(filled))]
    marked = [(mark, chart.dots[at].x, chart.dots[at].y) for mark, at in zip(marks, filled, strict=True)]
    title = f"{chart.y.label} by {chart.x.label}"
    lettered = not colour and len(marked) > 1
    picture = _canvas(title, (chart.x, chart.y), marked, width, colour, lettered, lines=False)
    if not any(chart.names):
        return picture
    names = [(mark, chart.names[at]) for mark, at in zip(marks, filled, strict=True) if mark is not None]
    rest = len(filled) - len(names)
    return picture + _legend([*names, *([(None, f"{rest} others")] if rest else [])], width, colour)


def _parallel(chart: Parallel, width: int, colour: bool) -> str:
    across = np.linspace(0, 1, len(chart.axes))
    placed = np.column_stack([labels.share(axis, chart.values[:, at]) for at, axis in enumerate(chart.axes)])
    shades = labels.share(chart.axes[-1], chart.values[:, -1])
    lowest = min(float(placed.min()), 0.0)
    placed = (placed - lowest) / (1 - lowest)
    last = len(COLOURS) - 1
    marked: list[Marked] = []
    for row, places in enumerate(placed):
        mark = chart.groups[row] if chart.names else min(int(shades[row] * len(COLOURS)), last)
        marked.append((mark if mark <= last else None, across, places))
    # A little further up than the last share, so that the last line of the grid is inside.
    grid = np.linspace(0, 1 - 1e-9, len(chart.axes)).tolist()
    drawn = _drawing([(mark, xs, ys) for mark, xs, ys in marked], width - 2, colour, not colour, grid=grid)
    picture = "".join(f"{line.rstrip()}\n" for line in drawn)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    for title in ("axis", "", "from the bottom up"):
        table.add_column(title)
    for at, axis in enumerate(chart.axes):
        values = ", ".join(text for _, text in labels.ticks(axis, chart.values[:, at]))
        table.add_row(str(at + 1), Text(axis.label), Text(values))
    groups = sorted(set(chart.groups))
    legend = _legend([(at if at < len(COLOURS) else None, chart.names[at]) for at in groups], width, colour)
    return picture + render.rich_text(table, width, colour) + legend


# --- bars -------------------------------------------------------------------------------------------------------


_BAR, _NAME = 6, 10  # the least that a bar and a name take, in columns


def _stripes(rows: Sequence[tuple[str, float, Sequence[str]]], titles: Sequence[str], width: int, colour: bool) -> str:
    """A table whose second column is a bar from 0 to the row's number.

    Where there is too little room, the bars go first, then names are cut, and then the last columns go.
    """
    names = [name for name, _, _ in rows]
    others = [[cells[i] for _, _, cells in rows] for i in range(len(titles) - 1)]
    name = max(map(cell_len, (titles[0], *names)))
    wide = [max(map(cell_len, (title, *cells))) for title, cells in zip(titles[1:], others, strict=True)]
    if name + sum(wide) + 2 * len(wide) > width // 2:  # titles of several words take several lines
        wide = [max(map(cell_len, (*title.split(), *cells))) for title, cells in zip(titles[1:], others, strict=True)]
    while len(wide) > 1 and min(name, _NAME) + sum(wide) + 2 * len(wide) > width:
        wide.pop()
    name = min(name, width - sum(wide) - 2 * len(wide))
    room = width - name - sum(wide) - 2 * len(wide) - 2
    numbers = [number for _, number, _ in rows]
    low, high = min(0.0, *numbers), max(0.0, *numbers)
    span = high - low or 1.0
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    table.show_header = any(titles)
    table.add_column(Text(titles[0]), no_wrap=True, width=name)
    if room >= _BAR:
        table.add_column("", width=room)
    for title, needed in zip(titles[1:], wide, strict=False):
        table.add_column(Text(title), justify="right", width=needed)
    for text, number, cells in rows:
        begin, end = sorted((-low / span, (number - low) / span))
        stripe = Stripe(1.0, begin, end, width=room, color=COLOURS[0] if colour else "default")
        table.add_row(Text(text), *([stripe] if room >= _BAR else []), *map(Text, cells[: len(wide)]))
    return render.rich_text(table, width, colour)


def _bars(chart: Bars, width: int, colour: bool) -> str:
    rows = [
        (bar.label, bar.value, [f"{bar.value:.6g}", "" if bar.low is None else f"{bar.low:.5g} … {bar.high:.5g}"])
        for bar in chart.bars
    ]
    title = render.rich_text(Text(chart.x.label, style="bold"), width, colour)
    return title + _stripes(rows, ["", "", ""] if any(cells[1] for _, _, cells in rows) else ["", ""], width, colour)


def _importance(chart: ImportanceChart, width: int, colour: bool) -> str:
    rows = []
    for i, param in enumerate(chart.params):
        rho = chart.correlation[i]
        value = f"{round(chart.permutation[i], 3) + 0.0:.3f} ± {chart.deviation[i]:.3f}"
        correlation = "" if rho is None else f"{rho:+.2f}"
        rows.append((labels.cut(param), chart.permutation[i], [value, f"{chart.impurity[i]:.3f}", correlation]))
    return _stripes(rows, ["param", "permutation", "impurity", "rank correlation"], width, colour)


_DRAW: dict[type, Callable[[Any, int, bool], str]] = {
    Curves: _curves,
    Scatter: _scatter,
    Bars: _bars,
    Parallel: _parallel,
    ImportanceChart: _importance,
}
