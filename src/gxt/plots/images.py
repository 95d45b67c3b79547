"""Charts as matplotlib figures, and as the files that matplotlib writes."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from matplotlib import dates, font_manager, rc_context, ticker
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from gxt.plots import labels, series, ticks
from gxt.plots.charts import Axis, Bars, Chart, Curves, ImportanceChart, Parallel, Scatter
from gxt.plots.labels import COLOURS, GREY
from gxt.plots.series import Floats

ENDINGS = ("png", "svg", "pdf")

STROKES = ("-", "--", ":")
# What matplotlib takes for letters that its own font lacks, where one of them is installed.
_FURTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans CJK KR", "Source Han Sans", "WenQuanYi Zen Hei"),
    *("IPAexGothic", "Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS"),
    *("Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "SimHei"),
    *("Noto Emoji", "Symbola", "Segoe UI Emoji", "Segoe UI Symbol"),
)
_WIDTH = 8.0  # inches


class _Quiet(Figure):
    """A figure that says nothing of letters that no installed font has: they are drawn as boxes, which says it."""

    def draw(self, *args: Any, **options: Any) -> None:
        with _no_word_of_glyphs():
            super().draw(*args, **options)

    def get_tightbbox(self, *args: Any, **options: Any) -> Any:
        with _no_word_of_glyphs():
            return super().get_tightbbox(*args, **options)


@contextmanager
def _no_word_of_glyphs() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def figure(chart: Chart) -> Figure:
    """The chart as a figure of its own, unknown to pyplot."""
    installed = set(font_manager.get_font_names())
    fonts = ["DejaVu Sans", *(name for name in _FURTHER_FONTS if name in installed)]
    with rc_context({"font.family": fonts, "axes.spines.top": False, "axes.spines.right": False}):
        drawn: Figure = _DRAW[type(chart)](chart)
        if chart.title:  # above the axes and not the figure, where it would meet the legend
            _plain(drawn.axes[0].set_title(chart.title, loc="left", fontsize="medium"))
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
    drawn = _Quiet(figsize=(_WIDTH, height), layout="constrained")
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


class _Logarithmic(ticker.Locator):
    """Our own ticks of logarithmic axes: matplotlib's run into each other within a power of ten."""

    def __call__(self) -> list[float]:
        low, high = self.axis.get_view_interval()  # type: ignore[union-attr]  # it is set before it is asked
        return self.tick_values(low, high)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        return ticks.logarithmic(vmin, vmax, 8) if vmin > 0 else []


class _Texts(ticker.Formatter):
    """The texts of these ticks: 0.001 and not 10⁻³."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return ticks.texts([x])[0]


def _set_axis(axes: Axes, axis: Axis, direction: str, whole: bool = False) -> None:
    """The axis's label, scale and ticks; where all values are `whole` numbers, so are the ticks."""
    _plain(getattr(axes, f"set_{direction}label")(axis.label))
    drawn = getattr(axes, f"{direction}axis")
    if axis.log:
        getattr(axes, f"set_{direction}scale")("log")
        drawn.set_major_locator(_Logarithmic())
        drawn.set_major_formatter(_Texts())
        drawn.set_minor_formatter(ticker.NullFormatter())
    elif axis.kind == "time":
        locator = dates.AutoDateLocator(tz="UTC", maxticks=8)  # type: ignore[no-untyped-call]
        drawn.set_major_locator(locator)
        drawn.set_major_formatter(dates.ConciseDateFormatter(locator, tz="UTC"))  # type: ignore[no-untyped-call]
    elif axis.kind == "number":
        drawn.set_major_locator(ticker.MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=whole))
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
        _set_axis(axes, panel.y, "y", ticks.is_whole(*(curve.y for curve in panel.curves)))
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
    _set_axis(panels[-1], chart.x, "x", ticks.is_whole(*(curve.x for panel in chart.panels for curve in panel.curves)))
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
    _set_axis(axes, chart.x, "x", ticks.is_whole(*(dots.x for dots in chart.dots)))
    _set_axis(axes, chart.y, "y", ticks.is_whole(*(dots.y for dots in chart.dots)))
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
    _set_axis(axes, chart.x, "x", ticks.is_whole(values))
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
    # Right of the axes, so that the bars have all of them.
    beside: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"),
        "textcoords": "offset points",
        "va": "center",
        "fontsize": "small",
    }
    for place, rho in enumerate(chart.correlation):
        if rho is not None:
            axes.annotate(f"{rho:+.2f}", (1, place), (12, 0), **beside)
    heading = {**beside, "xycoords": "axes fraction", "va": "bottom"}
    axes.annotate("rank\ncorrelation", (1, 1), (12, 0), **heading)
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
