"""Curves in markdown that hosts really show: mermaid charts, and a row of block characters for a table's cell.

Comments on hosts take neither inline SVG nor images in `data:` URIs, and there is nowhere to upload an image from CI
without a token of a user's. Both GitHub and GitLab draw mermaid's xychart.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_POINTS = 48
COLOURS = {"#0072B2": "blue", "#D55E00": "orange"}
"""Those of the curves, in their order, and what people call them; they can be told apart with any eyes."""

Curve = Mapping[int, float]
"""A metric's value at each step."""


def sparkline(curve: Curve, width: int = 12) -> str:
    """A curve in so many characters at most; "" where there is none.

    >>> sparkline({0: 3, 1: 2, 2: 1})
    '█▅▁'
    """
    steps = [step for step in sorted(curve) if math.isfinite(curve[step])]
    if len(steps) < 2:
        return ""
    count = min(width, len(steps))
    values = [curve[steps[round(i * (len(steps) - 1) / (count - 1))]] for i in range(count)]
    least, greatest = min(values), max(values)
    span = greatest / 2 - least / 2  # halves: the difference of two doubles may be none
    if span == 0:
        return _BLOCKS[0] * count
    return "".join(_BLOCKS[min(7, int((value / 2 - least / 2) / span * 7 + 0.5))] for value in values)


def mermaid(metric: str, curves: Sequence[Curve]) -> tuple[list[str], tuple[int, int]] | None:
    """Curves in one chart, over the steps that all have, as the lines of a mermaid block; and these steps' ends.

    None where they have less than two steps between their ends in common, or nothing that can be drawn.
    """
    finite = [{step: value for step, value in curve.items() if math.isfinite(value)} for curve in curves]
    if not finite or not all(finite):
        return None
    first, last = max(min(curve) for curve in finite), min(max(curve) for curve in finite)
    if last - first < 1:
        return None
    count = min(_POINTS, last - first + 1)
    places = [first + i * (last - first) / (count - 1) for i in range(count)]
    rows = [[_value_at(curve, sorted(curve), place) for place in places] for curve in finite]
    least, greatest = min(map(min, rows)), max(map(max, rows))
    if not math.isfinite(greatest - least) or abs(first) > 1e15 or abs(last) > 1e15:
        return None
    size = max(abs(least), abs(greatest))
    if 0 < size < 1e-290:  # so small that a power of ten cannot be taken out
        return None
    power = _power(size)
    pad = (greatest - least) * 0.05 or abs(greatest) * 0.05 or 1.0
    palette = ", ".join(list(COLOURS)[: len(rows)])
    unit = f" (1e{power})" if power else ""
    lines = [
        f'%%{{init: {{"themeVariables": {{"xyChart": {{"plotColorPalette": "{palette}"}}}}}}}}%%',
        "xychart-beta",
        f'  x-axis "step" {first} --> {last}',
        f'  y-axis "{_label(metric)}{unit}" {_number(least - pad, power)} --> {_number(greatest + pad, power)}',
    ]
    lines += [f"  line [{', '.join(_number(value, power) for value in row)}]" for row in rows]
    return lines, (first, last)


def _value_at(curve: Curve, steps: Sequence[int], place: float) -> float:
    """The value at a step between the ends of a curve, on the straight line between its neighbours."""
    after = bisect_right(steps, place)
    if after == len(steps) or steps[after - 1] == place:
        return curve[steps[after - 1]]
    before, behind = steps[after - 1], steps[after]
    part = (place - before) / (behind - before)
    return curve[before] * (1 - part) + curve[behind] * part


def _power(size: float) -> int:
    """The power of ten to take out: mermaid's numbers have no exponent."""
    power = math.floor(math.log10(size)) if size else 0
    return 0 if -3 < power < 6 else power


def _number(value: float, power: int) -> str:
    text = f"{value / 10.0**power:.6f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _label(text: str) -> str:
    """Text between quotes in mermaid, where a quote would end it and a `#` or `;` begin something."""
    return re.sub(r"[^\w\s.,:/%+()@-]", "_", " ".join(text.split()))[:60]
