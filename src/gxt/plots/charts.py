"""What a plot shows, whatever draws it: numbers with their labels, as frozen values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from gxt.plots.series import Floats


@dataclass(frozen=True)
class Axis:
    """What a direction of a plot means.

    Attributes:
        kind: "number", "time" (milliseconds since 1970 UTC) or "category" (0, 1, … stand for `categories`).
    """

    label: str
    kind: str = "number"
    log: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Curve:
    """A run's metric, or a group's mean of it with its band. `raw` is what it was before smoothing; NaN is a gap.

    `name` is its place among the chart's names: the same run has the same place in every panel.
    """

    name: int
    x: Floats
    y: Floats
    raw: Floats | None = None
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True)
class Panel:
    """One metric's curves."""

    y: Axis
    curves: list[Curve]


@dataclass(frozen=True)
class Curves:
    """Metrics over steps or time, a panel each.

    Attributes:
        names: of the runs or groups that are compared.
        best: places in `names`, the best first by its last value in the first panel.
        remarks: what a reader should know: what was left out, and why.
    """

    title: str
    x: Axis
    panels: list[Panel]
    names: list[str]
    best: list[int]
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Dots:
    """A group's runs in a scatter plot."""

    x: Floats
    y: Floats
    runs: list[str]


@dataclass(frozen=True)
class Scatter:
    """Two fields against each other, a dot a run; `dots` goes with `names`."""

    title: str
    x: Axis
    y: Axis
    names: list[str]
    dots: list[Dots]
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bar:
    """A run's value, or a group's mean with its spread."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Bars:
    """One field of many runs or groups, the best first."""

    title: str
    x: Axis
    bars: list[Bar]
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Parallel:
    """Parallel coordinates: a line a run through an axis a field.

    Attributes:
        values: a row a run, a column an axis.
        groups: for each run its place in `names`; empty where the last axis gives the colour.
    """

    title: str
    axes: list[Axis]
    values: Floats
    runs: list[str]
    names: list[str]
    groups: list[int]
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ImportanceChart:
    """Params by how much they have to do with a metric, see gxt.plots.importance; the greatest first."""

    title: str
    params: list[str]
    permutation: list[float]
    deviation: list[float]
    impurity: list[float]
    correlation: list[float | None]
    remarks: list[str] = field(default_factory=list)


Chart = Curves | Scatter | Bars | Parallel | ImportanceChart

_KINDS = {Curves: "curve", Scatter: "scatter", Bars: "bar", Parallel: "parallel", ImportanceChart: "importance"}


def chart_json(chart: Chart) -> dict[str, Any]:
    """A chart as `--json` gives it. docs/json.md is its description."""
    return {"kind": _KINDS[type(chart)], **asdict(chart, dict_factory=_plain)}


def _plain(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {key: value.tolist() if hasattr(value, "tolist") else value for key, value in pairs}
