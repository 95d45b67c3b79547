"""Runs as tables, pages and documents: values in, text out. Nothing here prints."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, NamedTuple

from gxt.model import Run, Summary, flatten, format_duration, format_time
from gxt.query import Field

_MAX_CELL = 40
_STATUS_STYLES = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "killed": "yellow",
    "crashed": "yellow",
    "unreadable": "red",
}


class Column(NamedTuple):
    """A table's column: its title, and how a terminal shows its cells ("text", "number", "time", "duration",
    "size" or "status")."""

    title: str
    kind: str = "text"


class Table(NamedTuple):
    """Columns and rows of plain values; None is an empty cell."""

    columns: list[Column]
    rows: list[list[Any]]


# --- which columns ----------------------------------------------------------------------------------------------

_ATTRIBUTE_KINDS = {
    "duration": "duration",
    "started": "time",
    "ended": "time",
    "status": "status",
    "exit_code": "number",
}


def default_fields(runs: Sequence[Run], known: Sequence[Field]) -> list[Field]:
    """What a table shows when nobody said: first what most runs have and what tells them apart, so that it fits."""

    def weight(field: Field) -> tuple[int, int]:
        values = [field.of(run) for run in runs]
        return values.count(None), -len({repr(value) for value in values})

    fields = [Field("attributes", "name"), Field("attributes", "id")]
    if len({run.experiment for run in runs}) > 1:
        fields.append(Field("attributes", "experiment"))
    if any(run.status != "finished" for run in runs):
        fields.append(Field("attributes", "status"))
    if any(run.problem for run in runs):
        fields.append(Field("attributes", "problem"))
    fields += sorted((field for field in known if field.kind == "metrics"), key=lambda field: weight(field)[0])
    fields += [Field("attributes", "started"), Field("attributes", "duration")]
    params = sorted((field for field in known if field.kind == "params"), key=weight)
    differing = [field for field in params if len({repr(field.of(run)) for run in runs}) > 1]
    fields += differing + [field for field in params if field not in differing]
    return fields


def run_table(runs: Sequence[Run], fields: Sequence[Field]) -> Table:
    """A row for each run. A title leaves the kind out where nothing else in the table has the name."""
    names = [field.name for field in fields]
    columns = []
    for field in fields:
        title = field.name if names.count(field.name) == 1 else str(field)
        cells = [field.of(run) for run in runs]
        numeric = any(_is_number(cell) for cell in cells) and all(cell is None or _is_number(cell) for cell in cells)
        kind = _ATTRIBUTE_KINDS.get(field.name) if field.kind == "attributes" else None
        columns.append(Column(title, kind or ("number" if numeric else "text")))
    return Table(columns, [[field.of(run) for field in fields] for run in runs])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# --- cells ------------------------------------------------------------------------------------------------------


def cell_text(value: Any, kind: str, now: int) -> str:
    """A cell as people read it: numbers to six digits, times relative to `now` (milliseconds since 1970 UTC)."""
    if value is None:
        return ""
    if kind == "time":
        return when(value, now) if isinstance(value, int) else str(value)
    if kind == "duration":
        return format_duration(value)
    if kind == "size":
        return size(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
    text = " ".join(text.split("\n")) if "\n" in text else text
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


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


# --- a table on a terminal --------------------------------------------------------------------------------------


def terminal(table: Table, now: int, width: int | None = None, colour: bool = False) -> tuple[str, list[str]]:
    """The table drawn for people, and the titles of the columns that `width` left no room for."""
    from rich.cells import cell_len  # here for start-up time
    from rich.table import Table as RichTable
    from rich.text import Text

    texts = [
        [cell_text(value, column.kind, now) for value, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    widths = [
        max([cell_len(column.title), *(cell_len(row[i]) for row in texts)]) for i, column in enumerate(table.columns)
    ]
    shown = _fitting(widths, width)
    drawn = RichTable(box=None, pad_edge=False, header_style="bold", show_edge=False, padding=(0, 2, 0, 0))
    for i in shown:
        right = table.columns[i].kind in ("number", "duration", "size")
        drawn.add_column(Text(table.columns[i].title), justify="right" if right else "left", no_wrap=True)
    for row in texts:
        drawn.add_row(*(_styled(row[i], table.columns[i].kind) for i in shown))
    hidden = [column.title for i, column in enumerate(table.columns) if i not in shown]
    return rich_text(drawn, sum(widths) + 2 * len(widths) + 8, colour), hidden


def _fitting(widths: Sequence[int], width: int | None) -> list[int]:
    """The columns that fit, in order, the first always; a column after one that does not fit may."""
    if width is None:
        return list(range(len(widths)))
    shown: list[int] = []
    used = 0
    for i, needed in enumerate(widths):
        if not shown or used + 2 + needed <= width:
            shown.append(i)
            used += needed + (2 if len(shown) > 1 else 0)
    return shown


def _styled(text: str, kind: str) -> Any:
    from rich.text import Text

    return Text(text, style=_STATUS_STYLES.get(text, "") if kind == "status" else "")


def rich_text(drawing: Any, width: int, colour: bool) -> str:
    """What rich draws of something, as text without spaces at the lines' ends."""
    from rich.console import Console

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


# --- other formats ----------------------------------------------------------------------------------------------


def markdown(table: Table, now: int) -> str:
    """A table as GitHub's markdown has it."""
    lines = [[column.title for column in table.columns]]
    lines.append(["--:" if column.kind in ("number", "duration", "size") else "---" for column in table.columns])
    lines += [
        [cell_text(value, column.kind, now) for value, column in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    escaped = ([cell.replace("\\", "\\\\").replace("|", "\\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def csv_text(table: Table) -> str:
    """A table as CSV (RFC 4180, `\\n` line ends), values in full."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    for row in table.rows:
        writer.writerow([_csv_cell(value) for value in row])
    return out.getvalue()


def _csv_cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def json_text(content: Any) -> str:
    """JSON with two spaces' indent. NaN and infinities, which JSON lacks, become the texts "nan", "inf", "-inf"."""
    return json.dumps(_json_value(content), indent=2, ensure_ascii=False) + "\n"


def json_line(content: Any) -> str:
    """The same on one line."""
    return json.dumps(_json_value(content), ensure_ascii=False) + "\n"


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Summary):
        return _json_value(vars(value))
    if isinstance(value, Mapping):
        return {key: _json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(item) for item in value]
    return value


def run_json(run: Run) -> dict[str, Any]:
    """A run as `--json` gives it. docs/json.md is its description."""
    return {
        "id": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "status": run.status,
        "place": run.place,
        "started": time_text(run.started),
        "ended": time_text(run.ended),
        "duration": run.duration,
        "exit_code": run.exit_code,
        "author": run.author,
        "parent": run.parent,
        "deleted": time_text(run.deleted),
        "note": run.note,
        "tags": dict(sorted(run.tags.items())),
        "params": dict(run.params),
        "metrics": dict(run.metrics),
        "inputs": dict(run.inputs),
        "source": dict(run.source),
        "environment": dict(run.environment),
        "problem": run.problem,
    }


def time_text(ms: int | None) -> str | None:
    """A time as JSON has it."""
    return None if ms is None else format_time(ms)


# --- one run ----------------------------------------------------------------------------------------------------


def run_page(run: Run, files: Mapping[str, int], now: int, paint: Callable[[str, str], str]) -> str:
    """A run as `gxt show` shows it. `paint(text, style)` colours headings and the status."""
    state = paint(run.status, _STATUS_STYLES.get(run.status, "")) + ("" if run.place == "branch" else f" ({run.place})")
    lines = [f"{paint(run.name or run.id, 'bold')}  {state}", ""]
    lines += _pairs(
        {
            "id": run.id,
            "experiment": run.experiment,
            "started": None if run.started is None else f"{format_time(run.started)} ({when(run.started, now)})",
            "duration": None if run.duration is None else format_duration(run.duration),
            "exit code": run.exit_code,
            "author": run.author,
            "parent": run.parent,
            "problem": run.problem,
            **{key: value for key, value in run.source.items() if key != "dirty"},
            "dirty": "yes, the code had uncommitted changes" if run.source.get("dirty") else None,
            **{key: value if key != "gpus" else ", ".join(value) for key, value in run.environment.items()},
        },
        now,
    )
    if run.note:
        lines += ["", paint("note", "bold"), *(f"  {line}".rstrip() for line in run.note.splitlines())]
    for title, pairs in (("params", flatten(run.params)), ("tags", run.tags)):
        if pairs:
            lines += ["", paint(title, "bold"), *_pairs(dict(sorted(pairs.items())), now, "  ")]
    if run.metrics:
        columns = [
            Column("metric"),
            *(Column(name, "number") for name in ("last", "min", "max", "step", "points")),
        ]
        rows = [[name, *vars(summary).values()] for name, summary in run.metrics.items()]
        lines += ["", paint("metrics", "bold"), *_indented(Table(columns, rows), now)]
    if run.inputs:
        columns = [
            Column("input"),
            Column("for"),
            Column("rows", "number"),
            Column("digest"),
            Column("source"),
        ]
        rows = [
            [
                name,
                about.get("context"),
                about.get("rows"),
                str(about.get("digest", ""))[:19],
                about.get("source"),
            ]
            for name, about in run.inputs.items()
        ]
        lines += ["", paint("inputs", "bold"), *_indented(Table(columns, rows), now)]
    recorded = [(name, files[name], use) for name, use in _OTHER_FILES if name in files]
    if recorded:
        columns = [Column("file"), Column("size", "size"), Column("to see it")]
        rows = [[name, n, use.format(run=run.short_id)] for name, n, use in recorded]
        lines += ["", paint("files", "bold"), *_indented(Table(columns, rows), now)]
    artifacts = {path.removeprefix("artifacts/"): n for path, n in files.items() if path.startswith("artifacts/")}
    if artifacts:
        table = Table([Column("artifact"), Column("size", "size")], [[path, n] for path, n in artifacts.items()])
        lines += ["", paint("artifacts", "bold"), *_indented(table, now)]
    return "\n".join(lines) + "\n"


_OTHER_FILES = (
    ("output.log", "gxt tail --log {run}"),
    ("system.csv", "gxt checkout {run} system.csv"),
    ("environment.txt", "gxt checkout {run} environment.txt"),
)
_LONGEST = 400


def _pairs(pairs: Mapping[str, Any], now: int, indent: str = "") -> list[str]:
    known = {key: value for key, value in pairs.items() if value is not None and value != ""}
    width = max((len(key) for key in known), default=0)
    return [f"{indent}{key:<{width}}  {_whole(value, now)}" for key, value in known.items()]


def _whole(value: Any, now: int) -> str:
    """A value on one line, cut only where it is very long."""
    if isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = " ".join(value.split("\n")) if isinstance(value, str) else cell_text(value, "text", now)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters; --json has all)"


def _indented(table: Table, now: int) -> Iterable[str]:
    text, _ = terminal(table, now)
    return (f"  {line}" for line in text.splitlines())
