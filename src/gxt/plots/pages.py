"""Charts as interactive pages, drawn by plotly: one HTML file that needs no network."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from plotly import graph_objects
from plotly.subplots import make_subplots

from gxt.plots import labels, series, ticks
from gxt.plots.charts import Axis, Bars, Chart, Curves, ImportanceChart, Parallel, Scatter
from gxt.plots.labels import COLOURS, GREY
from gxt.plots.series import Floats

_DASHES = ("solid", "dash", "dot")
_FEW = 10

_CONFIG = {
    "displaylogo": False,
    "responsive": True,
    # What would send the plot's data to a server.
    "modeBarButtonsToRemove": ["sendChartToCloud", "sendDataToCloud"],
    "plotlyServerURL": "",
}
# Nothing may be fetched from or sent to anywhere; plotly.js itself is in the page.
_POLICY = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
body {{ font: 14px sans-serif; color: #333; max-width: 1200px; margin: 0 auto; padding: 1em 0; box-sizing: border-box }}
body.filled {{ min-height: 100vh; display: flex; flex-direction: column }}
p {{ margin: 0.3em 3em }}
.filled > .plot {{ flex: 1; position: relative; min-height: {least}px }}
.filled > .plot > div {{ position: absolute; inset: 0 }}
</style>
</head>
<body class="{filled}">
{paragraphs}
<div class="plot">
{plot}
</div>
</body>
</html>
"""


def page(chart: Chart) -> bytes:
    """The chart as a page: dragging zooms, the pointer shows values, a click on a name hides its curve."""
    drawn = _DRAW[type(chart)](chart)
    drawn.update_layout(template="plotly_white", margin={"t": 50})
    # plotly itself goes into the file, so that it needs no network.
    plot: str = drawn.to_html(full_html=False, include_plotlyjs=True, config=_CONFIG, div_id="plot")
    said = [chart.title, *chart.remarks]
    paragraphs = "\n".join(f"<p>{_text(line)}</p>" for line in said if line)
    title = _text(chart.title or "gxt plot")
    # Bars are as high as they are many; everything else fills the window.
    filled = "" if isinstance(chart, (Bars, ImportanceChart)) else "filled"
    return _PAGE.format(
        policy=_POLICY, title=title, paragraphs=paragraphs, plot=plot, filled=filled, least=_least_height(chart)
    ).encode()


def _least_height(chart: Chart) -> int:
    """In pixels, of what fills the window."""
    return 130 + 300 * len(chart.panels) if isinstance(chart, Curves) else 420


def _text(text: str) -> str:
    """Text as it stands: plotly would take tags in it, and mathematics between dollar signs."""
    return html.escape(text, quote=False).replace("$", "&#36;")


def _set_axis(axis: Axis, update: Callable[..., Any], values: Sequence[Floats] = (), **more: Any) -> None:
    """The axis's label and scale; of few whole numbers each is a tick, and none between them."""
    known = np.concatenate([some[np.isfinite(some)] for some in values]) if values else np.empty(0)
    if axis.kind == "number" and not axis.log and ticks.is_whole(known) and np.ptp(known) <= _FEW:
        more["dtick"] = 1
    update(title_text=_text(axis.label), type="log" if axis.log else {"time": "date"}.get(axis.kind, "linear"), **more)
    if axis.kind == "category":
        names = [_text(name) for name in axis.categories]
        update(tickmode="array", tickvals=list(range(len(names))), ticktext=names)


def _along(axis: Axis, values: Floats) -> Any:
    return values.astype("datetime64[ms]") if axis.kind == "time" else values


def _curves(chart: Curves) -> Any:
    rows = len(chart.panels)
    drawn = make_subplots(rows, 1, shared_xaxes=True, vertical_spacing=0.25 / (rows + 1))
    shown = labels.highlighted(chart)
    listed: set[int] = set()
    for row, panel in enumerate(chart.panels, 1):
        _set_axis(panel.y, drawn.update_yaxes, [curve.y for curve in panel.curves], row=row, col=1)
        for curve in sorted(panel.curves, key=lambda one: one.name in shown):
            named = curve.name in shown
            number = shown.index(curve.name) if named else 0
            color = COLOURS[number % len(COLOURS)] if named else GREY
            group = str(curve.name) if named else "others"
            x = _along(chart.x, curve.x)
            if curve.low is not None and curve.high is not None and named:
                _band(drawn, row, x, curve.low, curve.high, color, group)
            if curve.raw is not None and named:
                faint = {"mode": "lines", "line": {"color": color, "width": 1}, "opacity": 0.25}
                drawn.add_scatter(
                    x=x, y=curve.raw, **faint, legendgroup=group, showlegend=False, hoverinfo="skip", row=row, col=1
                )
            entry = curve.name if named else -1
            drawn.add_scatter(
                x=x,
                y=curve.y,
                mode="lines+markers",
                marker={"size": np.where(series.alone(curve.y), 6, 0), "line": {"width": 0}, "opacity": 1},
                line={"color": color, "width": 2 if named else 1, "dash": _DASHES[number // len(COLOURS) % 3]},
                name=_text(chart.names[curve.name] if named else labels.others(chart, shown)),
                hovertemplate=f"%{{y:.6g}}<extra>{_text(chart.names[curve.name])}</extra>",
                legendgroup=group,
                legendrank=number if named else 1000,
                showlegend=entry not in listed,
                row=row,
                col=1,
            )
            listed.add(entry)
    everywhere = [curve.x for panel in chart.panels for curve in panel.curves]
    _set_axis(chart.x, drawn.update_xaxes, everywhere, row=rows, col=1)
    if chart.x.log:
        drawn.update_xaxes(type="log")
    drawn.update_layout(showlegend=True, legend={"groupclick": "togglegroup"})
    return drawn


def _band(drawn: Any, row: int, x: Any, low: Floats, high: Floats, color: str, group: str) -> None:
    edge = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False, "legendgroup": group}
    red, green, blue = (int(color[i : i + 2], 16) for i in (1, 3, 5))
    drawn.add_scatter(x=x, y=low, **edge, row=row, col=1)
    drawn.add_scatter(x=x, y=high, **edge, fill="tonexty", fillcolor=f"rgba({red},{green},{blue},0.15)", row=row, col=1)


def _scatter(chart: Scatter) -> Any:
    drawn = graph_objects.Figure()
    symbols = ("circle", "square", "triangle-up", "diamond", "x")
    for number, dots in enumerate(chart.dots):
        marker = {
            "size": 10,
            "color": COLOURS[number % len(COLOURS)],
            "symbol": symbols[number // len(COLOURS) % len(symbols)],
        }
        drawn.add_scatter(
            x=_along(chart.x, dots.x),
            y=_along(chart.y, dots.y),
            mode="markers",
            marker=marker,
            name=_text(chart.names[number]),
            text=[_text(name) for name in dots.runs],
            hovertemplate="%{text}<br>%{x}, %{y:.6g}<extra></extra>",
        )
    _set_axis(chart.x, drawn.update_xaxes, [dots.x for dots in chart.dots])
    _set_axis(chart.y, drawn.update_yaxes, [dots.y for dots in chart.dots])
    drawn.update_layout(showlegend=any(chart.names))
    return drawn


def _bars(chart: Bars) -> Any:
    values = [bar.value for bar in chart.bars]
    places = list(range(len(values)))
    error = None
    if any(bar.low is not None for bar in chart.bars):
        above = [bar.value if bar.high is None else bar.high for bar in chart.bars]
        below = [bar.value if bar.low is None else bar.low for bar in chart.bars]
        error = {"array": np.subtract(above, values), "arrayminus": np.subtract(values, below), "symmetric": False}
    drawn = graph_objects.Figure()
    drawn.add_bar(
        x=values, y=places, orientation="h", marker_color=COLOURS[0], error_x=error, hovertemplate="%{x}<extra></extra>"
    )
    _set_axis(chart.x, drawn.update_xaxes)
    names = Axis("", "category", categories=tuple(bar.label for bar in chart.bars))
    _set_axis(names, drawn.update_yaxes, autorange="reversed", automargin=True)
    drawn.update_layout(height=160 + 28 * len(values))
    return drawn


def _parallel(chart: Parallel) -> Any:
    dimensions = []
    lowest = labels.MISSING if np.isnan(chart.values).any() else 0.0
    for at, axis in enumerate(chart.axes):
        values = chart.values[:, at]
        # Places from 0 to 1, with ticks of our own: plotly has no place for a run without a value.
        places, texts = zip(*labels.ticks(axis, values), strict=True)
        ends = {"range": [lowest, 1.0], "tickvals": places, "ticktext": list(map(_text, texts))}
        dimensions.append({"label": _text(axis.label), "values": labels.share(axis, values), **ends})
    shades = labels.share(chart.axes[-1], chart.values[:, -1])
    # Not up to the scale's end, a yellow that is hard to see on white.
    most = float(shades.max() + 0.15 * np.ptp(shades))
    line: dict[str, Any] = {"color": shades, "colorscale": "Viridis", "cmin": float(shades.min()), "cmax": most}
    if chart.names:
        last = max(len(chart.names) - 1, 1)
        steps = [[at / last, COLOURS[at % len(COLOURS)]] for at in range(len(chart.names))]
        line = {"color": chart.groups, "colorscale": steps if len(steps) > 1 else "Viridis", "cmin": 0, "cmax": last}
    drawn = graph_objects.Figure(graph_objects.Parcoords(dimensions=dimensions, line=line))
    for at, name in enumerate(chart.names):  # a legend, which this kind of plot has none of
        marker = {"color": COLOURS[at % len(COLOURS)], "size": 10}
        drawn.add_scatter(x=[None], y=[None], mode="markers", marker=marker, name=_text(name))
    drawn.update_xaxes(visible=False)
    drawn.update_yaxes(visible=False)
    drawn.update_layout(margin={"l": 180, "b": 40}, showlegend=bool(chart.names))
    return drawn


def _importance(chart: ImportanceChart) -> Any:
    places = list(range(len(chart.params)))
    drawn = graph_objects.Figure()
    hover = ["" if rho is None else f"<br>rank correlation {rho:+.2f}" for rho in chart.correlation]
    for name, values, color, error in (
        ("permutation", chart.permutation, COLOURS[0], {"array": chart.deviation}),
        ("impurity", chart.impurity, COLOURS[1], None),
    ):
        drawn.add_bar(
            x=values,
            y=places,
            name=name,
            orientation="h",
            marker_color=color,
            error_x=error,
            text=hover,
            textposition="none",
            hovertemplate="%{x:.3f}%{text}<extra>" + name + "</extra>",
        )
    _set_axis(Axis(labels.IMPORTANCE), drawn.update_xaxes)
    params = Axis("", "category", categories=tuple(labels.cut(name) for name in chart.params))
    _set_axis(params, drawn.update_yaxes, autorange="reversed", automargin=True)
    drawn.update_layout(height=220 + 45 * len(places), barmode="group")
    return drawn


_DRAW: dict[type, Callable[[Any], Any]] = {
    Curves: _curves,
    Scatter: _scatter,
    Bars: _bars,
    Parallel: _parallel,
    ImportanceChart: _importance,
}
