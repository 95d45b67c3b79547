"""Charts as text for a terminal, drawn by uniplot and rich."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.bar import Bar as Stripe
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text
from uniplot import plot_to_string

from gxt import render
from gxt.plots import labels
from gxt.plots.charts import Axis, Bars, Chart, Curves, ImportanceChart, Parallel, Scatter
from gxt.plots.series import Floats

COLOURS = ("blue", "yellow", "green", "magenta", "cyan", "red")
"""Colours of the terminal's own palette, which its user has chosen to be readable."""
LETTERS = "abcdef"
"""What curves are drawn with where there is no colour."""

_HEIGHT = 17
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


def _along(axis: Axis, values: Floats) -> Any:
    return values.astype("datetime64[ms]") if axis.kind == "time" else values


def _canvas(
    title: str, axes: tuple[Axis, Axis], marked: Sequence[Marked], width: int, colour: bool, lettered: bool, **more: Any
) -> str:
    """One picture with its axes; lines, unless `more` says otherwise, drawn with letters if they are `lettered`."""
    x, y = axes
    marks, xs, ys = zip(*sorted(marked, key=lambda one: one[0] is not None), strict=True)  # the named ones on top
    letters = ["." if mark is None else LETTERS[mark % len(LETTERS)] for mark in marks] if lettered else ["o"]
    options = {
        "lines": True,
        "x_gridlines": [],
        "character_set": "ascii" if lettered else "braille",
        "force_ascii_characters": letters,
        **more,
    }
    drawn = plot_to_string(
        [_along(y, values) for values in ys],
        xs=[_along(x, values) for values in xs],
        width=width,
        line_length_hard_cap=width,
        height=_HEIGHT,
        color=["#888888" if mark is None else COLOURS[mark % len(COLOURS)] for mark in marks] if colour else False,
        x_as_log=x.log,
        y_as_log=y.log,
        y_gridlines=[],
        **options,
    )
    keys = [
        f"{axis.label}: {', '.join(f'{at} {name}' for at, name in enumerate(axis.categories))}"
        for axis in (x, y)
        if axis.kind == "category"
    ]
    return "".join(f"{line.rstrip()}\n" for line in (title, *drawn.splitlines(), *keys))


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
    loose = {"lines": False, "character_set": "ascii"}
    picture = _canvas(title, (chart.x, chart.y), marked, width, colour, not colour and len(marked) > 1, **loose)
    if not any(chart.names):
        return picture
    names = [(mark, chart.names[at]) for mark, at in zip(marks, filled, strict=True) if mark is not None]
    rest = len(filled) - len(names)
    return picture + _legend([*names, *([(None, f"{rest} others")] if rest else [])], width, colour)


def _parallel(chart: Parallel, width: int, colour: bool) -> str:
    across = np.arange(len(chart.axes), dtype=np.float64)
    placed = np.column_stack([labels.share(axis, chart.values[:, at]) for at, axis in enumerate(chart.axes)])
    last = len(COLOURS) - 1
    marked: list[Marked] = []
    for row, places in enumerate(placed):
        mark = chart.groups[row] if chart.names else min(int(places[-1] * len(COLOURS)), last)
        marked.append((mark if mark <= last else None, across, places))
    bare: dict[str, Any] = {"x_gridlines": across, "x_labels": False, "y_labels": False, "y_min": 0.0, "y_max": 1.0}
    picture = _canvas("", (Axis(""), Axis("")), marked, width, colour, not colour, **bare)
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    for title in ("axis", "", "from the bottom up"):
        table.add_column(title)
    for at, axis in enumerate(chart.axes):
        values = ", ".join(text for _, text in labels.ticks(axis, chart.values[:, at]))
        table.add_row(str(at + 1), Text(axis.label), Text(values))
    groups = sorted(set(chart.groups))
    legend = _legend([(at if at < len(COLOURS) else None, chart.names[at]) for at in groups], width, colour)
    return picture.lstrip("\n") + render.rich_text(table, width, colour) + legend


# --- bars -------------------------------------------------------------------------------------------------------


def _stripes(rows: Sequence[tuple[str, float, Sequence[str]]], titles: Sequence[str], width: int, colour: bool) -> str:
    """A table whose second column is a bar from 0 to the row's number."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    numbers = [number for _, number, _ in rows]
    low, high = min(0.0, *numbers), max(0.0, *numbers)
    span = high - low or 1.0
    taken = [max(cell_len(name) for name, _, _ in rows)]
    taken += [max(map(cell_len, (title, *(row[2][i] for row in rows)))) for i, title in enumerate(titles[1:])]
    room = max(width - sum(taken) - 2 * len(taken) - 2, 10)
    table.add_column(Text(titles[0]), no_wrap=True)
    table.add_column("", width=room)
    for title in titles[1:]:
        table.add_column(Text(title), justify="right", no_wrap=True)
    for name, number, cells in rows:
        begin, end = sorted((-low / span, (number - low) / span))
        stripe = Stripe(1.0, begin, end, width=room, color=COLOURS[0] if colour else "default")
        table.add_row(Text(name), stripe, *map(Text, cells))
    return render.rich_text(table, width, colour)


def _bars(chart: Bars, width: int, colour: bool) -> str:
    rows = [
        (bar.label, bar.value, [f"{bar.value:.6g}", "" if bar.low is None else f"{bar.low:.5g} … {bar.high:.5g}"])
        for bar in chart.bars
    ]
    return _stripes(rows, [chart.x.label, "", ""], width, colour)


def _importance(chart: ImportanceChart, width: int, colour: bool) -> str:
    rows = []
    for i, param in enumerate(chart.params):
        rho = chart.correlation[i]
        value = f"{round(chart.permutation[i], 3) + 0.0:.3f} ± {chart.deviation[i]:.3f}"
        rows.append(
            (labels.cut(param), chart.permutation[i], [value, f"{chart.impurity[i]:.3f}", f"{rho:+.2f}" if rho else ""])
        )
    return _stripes(rows, ["param", "permutation", "impurity", "rank correlation"], width, colour)


_DRAW: dict[type, Callable[[Any, int, bool], str]] = {
    Curves: _curves,
    Scatter: _scatter,
    Bars: _bars,
    Parallel: _parallel,
    ImportanceChart: _importance,
}
