"""Charts as matplotlib figures, and as the files that matplotlib writes."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from gxt.plots import labels, series
from gxt.plots.charts import Axis, Bars, Chart, Curves, ImportanceChart, Parallel, Scatter
from gxt.plots.labels import COLOURS, GREY
from gxt.plots.series import Floats

ENDINGS = ("png", "svg", "pdf")

STROKES = ("-", "--", ":")
# What matplotlib takes for letters that its own font lacks, where one of them is installed.
_FURTHER_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans", "Microsoft YaHei")
_WIDTH = 8.0  # inches


def figure(chart: Chart) -> Figure:
    """The chart as a figure of its own, unknown to pyplot."""
    installed = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in _FURTHER_FONTS if name in installed)]
    with rc_context({"font.family": fonts, "axes.spines.top": False, "axes.spines.right": False}):
        drawn: Figure = _DRAW[type(chart)](chart)
        if chart.title:
            _plain(drawn.suptitle(chart.title, fontsize="medium"))
    if "IPython" in sys.modules:
        from matplotlib import pyplot

        # Sets up the backend, which tells a notebook how to show a figure.
        pyplot.draw_if_interactive()  # type: ignore[no-untyped-call]
    return drawn


def write(chart: Chart, ending: str) -> bytes:
    """The chart as a file of one of ENDINGS. The same chart gives the same bytes; text stays text."""
    drawn = figure(chart)
    buffer = io.BytesIO()
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "gxt", "pdf.fonttype": 42}):
        drawn.savefig(buffer, format=ending, dpi=150, metadata=undated.get(ending))
    return buffer.getvalue()


# --- what the kinds share ---------------------------------------------------------------------------------------


def _plain(text: Text) -> Text:
    """A text in which a dollar sign is one, and begins no formula."""
    text.set_parse_math(False)
    return text


def _subplots(height: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    drawn = Figure(figsize=(_WIDTH, height), layout="constrained")
    return drawn, list(drawn.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])


def _grid(axes: Axes) -> None:
    axes.grid(color="#E5E5E5", linewidth=0.8)
    axes.set_axisbelow(True)


def _style(number: int) -> dict[str, Any]:
    strokes = STROKES[number // len(COLOURS) % len(STROKES)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": strokes}


def _legend(drawn: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    # The names are set afterwards: matplotlib leaves out labels that begin with an underscore.
    stand_ins = [str(i) for i in range(len(names))]
    legend: Legend = drawn.legend(handles, stand_ins, loc="outside right upper", frameon=False)
    for text, name in zip(legend.get_texts(), names, strict=True):
        _plain(text).set_text(name)
        text.set_fontsize("small")


def _set_axis(axes: Axes, axis: Axis, direction: str) -> None:
    _plain(getattr(axes, f"set_{direction}label")(axis.label))
    if axis.log:
        getattr(axes, f"set_{direction}scale")("log")
    if axis.kind == "category":
        places = range(len(axis.categories))
        turned = direction == "x" and sum(map(len, axis.categories)) > 60
        ticks = getattr(axes, f"set_{direction}ticks")(places, axis.categories)
        for text in getattr(axes, f"get_{direction}ticklabels")() if ticks else ():
            _plain(text)
            if turned:
                text.set(rotation=30, ha="right")


def _beside(axes: Axes, end: float, place: float, text: str) -> None:
    """A text to the right of a bar."""
    axes.annotate(text, (end, place), (6, 0), textcoords="offset points", va="center", fontsize="small")


def _along(axis: Axis, values: Floats) -> Any:
    return values.astype("datetime64[ms]") if axis.kind == "time" else values


# --- the kinds --------------------------------------------------------------------------------------------------


def _curves(chart: Curves) -> Figure:
    drawn, panels = _subplots(1.5 + 3 * len(chart.panels), len(chart.panels))
    shown = labels.highlighted(chart)
    handles: dict[int, Any] = {}
    for axes, panel in zip(panels, chart.panels, strict=True):
        _grid(axes)
        _set_axis(axes, panel.y, "y")
        for curve in sorted(panel.curves, key=lambda one: one.name in shown):  # the named ones on top
            named = curve.name in shown
            style = _style(shown.index(curve.name)) if named else {"color": GREY, "linewidth": 0.8}
            x = _along(chart.x, curve.x)
            if curve.raw is not None and named:
                axes.plot(x, curve.raw, color=style["color"], alpha=0.25, linewidth=0.8)
            if curve.low is not None and curve.high is not None and named:
                axes.fill_between(x, curve.low, curve.high, color=style["color"], alpha=0.15, linewidth=0)
            (line,) = axes.plot(x, curve.y, **style)
            alone = series.alone(curve.y)
            axes.plot(x[alone], curve.y[alone], "o", markersize=4, color=style["color"])
            handles.setdefault(curve.name if named else -1, line)
    _set_axis(panels[-1], chart.x, "x")
    names = [(handles[name], chart.names[name]) for name in shown]
    if -1 in handles:
        names.append((handles[-1], labels.others(chart, shown)))
    _legend(drawn, *zip(*names, strict=True))
    return drawn


def _scatter(chart: Scatter) -> Figure:
    drawn, (axes,) = _subplots(4.5)
    _grid(axes)
    handles = []
    for number, dots in enumerate(chart.dots):
        marker = "os^Dv"[number // len(COLOURS) % 5]
        color = COLOURS[number % len(COLOURS)]
        handles.append(
            axes.scatter(
                _along(chart.x, dots.x),
                _along(chart.y, dots.y),
                s=36,
                color=color,
                marker=marker,
                alpha=0.8,
                linewidth=0,
            )
        )
    _set_axis(axes, chart.x, "x")
    _set_axis(axes, chart.y, "y")
    if any(chart.names):
        _legend(drawn, handles, chart.names)
    return drawn


def _bars(chart: Bars) -> Figure:
    drawn, (axes,) = _subplots(1.2 + 0.3 * len(chart.bars))
    places = np.arange(len(chart.bars))
    values = np.array([bar.value for bar in chart.bars])
    axes.barh(places, values, color=COLOURS[0], height=0.7)
    ends = [(bar.low, bar.high) for bar in chart.bars if bar.low is not None and bar.high is not None]
    if ends:
        low, high = np.array(ends).T
        axes.hlines(places, low, high, color="black", linewidth=1.5)
    for place, bar in enumerate(chart.bars):
        end = max(bar.value, 0 if bar.high is None else bar.high)
        _beside(axes, end, place, f"{bar.value:.5g}")
    axes.margins(x=0.12)
    axes.invert_yaxis()
    _set_axis(axes, chart.x, "x")
    _set_axis(axes, Axis("", "category", categories=tuple(bar.label for bar in chart.bars)), "y")
    return drawn


def _parallel(chart: Parallel) -> Figure:
    drawn, (axes,) = _subplots(4.8)
    placed = np.column_stack([labels.share(axis, chart.values[:, i]) for i, axis in enumerate(chart.axes)])
    across = np.arange(len(chart.axes))
    by_value = not chart.names
    scale = ScalarMappable(Normalize(0, 1.15), "viridis")  # without its end, a yellow that is hard to see on white
    handles: dict[int, Any] = {}
    for row, places in enumerate(placed):
        color = scale.to_rgba(places[-1]) if by_value else COLOURS[chart.groups[row] % len(COLOURS)]
        (line,) = axes.plot(across, places, color=color, alpha=0.7, linewidth=1.2)
        if not by_value:
            handles.setdefault(chart.groups[row], line)
    for at, axis in enumerate(chart.axes):
        axes.axvline(at, color="black", linewidth=0.8)
        for height, text in labels.ticks(axis, chart.values[:, at]):
            box = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8}
            _plain(axes.text(at + 0.02, height, text, fontsize="small", va="center", bbox=box))
    axes.set_xlim(-0.1, len(chart.axes) - 0.7)
    axes.set_xticks(across, [labels.cut(axis.label, 24) for axis in chart.axes])
    for label in axes.get_xticklabels():
        _plain(label)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if handles:
        _legend(drawn, list(handles.values()), [chart.names[group] for group in handles])
    return drawn


def _importance(chart: ImportanceChart) -> Figure:
    drawn, (axes,) = _subplots(1.6 + 0.45 * len(chart.params))
    places = np.arange(len(chart.params))
    axes.barh(places - 0.2, chart.permutation, 0.36, color=COLOURS[0], label="permutation")
    axes.errorbar(chart.permutation, places - 0.2, xerr=chart.deviation, fmt="none", ecolor="black", capsize=3)
    axes.barh(places + 0.2, chart.impurity, 0.36, color=COLOURS[1], label="impurity")
    for place, (value, deviation, rho) in enumerate(
        zip(chart.permutation, chart.deviation, chart.correlation, strict=True)
    ):
        end = max(value + deviation, chart.impurity[place])
        text = "" if rho is None else f"rank correlation {rho:+.2f}"
        _beside(axes, end, place, text)
    axes.set_xlim(right=1.35 * axes.get_xlim()[1])
    axes.invert_yaxis()
    _set_axis(axes, Axis(labels.IMPORTANCE), "x")
    _set_axis(axes, Axis("", "category", categories=tuple(labels.cut(name) for name in chart.params)), "y")
    axes.legend(loc="lower right", frameon=False, fontsize="small")
    if chart.remarks:
        drawn.supxlabel(chart.remarks[0], fontsize="x-small", color="#555555")
    return drawn


_DRAW: dict[type, Callable[[Any], Figure]] = {
    Curves: _curves,
    Scatter: _scatter,
    Bars: _bars,
    Parallel: _parallel,
    ImportanceChart: _importance,
}
