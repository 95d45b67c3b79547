"""Values as people read them, each on one line."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from gxt.model import format_duration, format_time
from gxt.render.table import Column, Spread, Table
from gxt.showing import one_line, shortened

MAX_CELL = 40


def cell_text(value: Any, kind: str, now: int | None, most: int | None = MAX_CELL) -> str:
    """A cell as people read it: numbers to six digits, times relative to `now` (milliseconds since 1970 UTC), or as
    they are where that is None; text of at most so many characters, all of it with None.
    """
    if value is None:
        return ""
    if kind == "time":
        if isinstance(value, int):
            return format_time(value) if now is None else when(value, now)
        return one_line(str(value))
    if isinstance(value, Spread):
        return spread(value, kind)
    if kind == "duration":
        return format_duration(value)
    if kind == "size":
        return size(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = one_line(json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value))
    return text if most is None else shortened(text, most)


def titles(columns: Sequence[Column]) -> list[str]:
    """What stands above a table's columns: names that others gave their params."""
    return [one_line(column.title) for column in columns]


def cell_texts(table: Table, now: int | None, most: int | None = None) -> list[list[str]]:
    """Every cell of a table as `cell_text` has it, the first column never cut further than it does by itself."""
    first = most and MAX_CELL
    return [
        [
            cell_text(value, column.kind, now, first if i == 0 else most)
            for i, (value, column) in enumerate(zip(row, table.columns, strict=True))
        ]
        for row in table.rows
    ]


def branch(depth: int) -> str:
    """What stands before the name of a run that is nested so deep."""
    return "  " * (depth - 1) + "└ " if depth else ""


def same_line(same: Sequence[str], width: int | None = None) -> str:
    """`same in all: params.seed=1, params.data=v2`, on one line of at most `width` characters."""
    texts = [one_line(text) for text in same]
    line = f"same in all: {', '.join(texts)}"
    shown = len(texts)
    while width is not None and len(line) > width and shown:
        shown -= 1
        line = f"same in all: {', '.join(texts[:shown])} and {len(texts) - shown} more (--all-columns)"
    return line


def remarks(table: Table) -> list[str]:
    """What stands below a table."""
    return [*([same_line(table.same)] if table.same else []), *map(one_line, table.notes)]


_MOST_DECIMALS = 6


def spread(value: Spread, kind: str = "number") -> str:
    """`4.93 ± 0.12`: the deviation to two digits, the mean to the same decimals."""
    mean, std = value
    if kind == "duration":
        return format_duration(mean) if std is None else f"{format_duration(mean)} ± {format_duration(std)}"
    if std is None:
        return f"{mean:.6g}"
    if not math.isfinite(mean) or not math.isfinite(std) or std == 0:
        return f"{mean:.6g} ± {std:.2g}"
    digit = math.floor(math.log10(std))
    decimals = max(0, 1 - digit)
    if decimals > _MOST_DECIMALS or abs(mean) >= 10**_MOST_DECIMALS:
        before = math.floor(math.log10(abs(mean))) - digit if mean else 0
        return f"{mean:.{min(max(before + 2, 2), 6)}g} ± {std:.2g}"
    return f"{mean:.{decimals}f} ± {std:.{decimals}f}"


def when(ms: int, now: int) -> str:
    """`just now`, `5 min ago`, `3 h ago`; a date and time of day, in the local zone, for what is over a day old."""
    ago = (now - ms) // 1000
    if 0 <= ago < 60:
        return "just now"
    if 0 <= ago < 3600:
        return f"{ago // 60} min ago"
    if 0 <= ago < 86400:
        return f"{ago // 3600} h ago"
    moment = datetime.fromtimestamp(ms / 1000, timezone.utc)
    with contextlib.suppress(ValueError, OverflowError, OSError):  # at the ends of the calendar
        moment = moment.astimezone()
    return f"{moment.year:04}-{moment:%m-%d %H:%M}"


def size(count: float) -> str:
    """Bytes as `512 B`, `2.0 KB`, `1.5 MB`."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


Paint = Callable[[str, str], str]
"""Text in a style, "bold" or a colour's name."""

STATUS_STYLES = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "killed": "yellow",
    "crashed": "yellow",
    "unreadable": "red",
    **dict.fromkeys(("ok", "good", "holds"), "green"),
    **dict.fromkeys(("unchecked", "unsigned", "unknown key", "expired"), "yellow"),
    **dict.fromkeys(("bad", "revoked key", "changed", "disagrees", "gone"), "red"),
}
