"""Tables as text that other programs take in: markdown, CSV, tab-separated values."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from gxt.model import format_time
from gxt.render.cells import branch, cell_texts, remarks, titles
from gxt.render.table import Table


def markdown(table: Table, now: int | None) -> str:
    """A table as GitHub's markdown has it; the best values in bold."""
    texts = [[_escaped(cell) for cell in row] for row in cell_texts(table, now)]
    for row, depth in enumerate(table.depths):
        texts[row][0] = branch(depth).replace("  ", "&emsp;") + texts[row][0]
    for row, column in table.best:
        texts[row][column] = f"**{texts[row][column]}**"
    lines = [[_escaped(title) for title in titles(table.columns)]]
    lines.append(["--:" if column.is_numeric else "---" for column in table.columns])
    drawn = "".join(f"| {' | '.join(line)} |\n" for line in [*lines, *texts])
    return drawn + "".join(f"\n{_escaped(remark)}\n" for remark in remarks(table))


# An underscore inside a word means nothing there.
_MARKDOWN = re.compile(r"[\\|*`<\[]|(?<!\w)_|_(?!\w)")


def _escaped(text: str) -> str:
    return _MARKDOWN.sub(lambda match: f"\\{match[0]}", text)


def csv_text(table: Table, delimiter: str = ",") -> str:
    """A table as CSV (RFC 4180, `\\n` line ends), values in full; with a tab as `delimiter`, as TSV."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow([column.name or column.title for column in table.columns])
    for row in table.rows:
        writer.writerow([_csv_cell(value, column.kind) for value, column in zip(row, table.columns, strict=True)])
    return out.getvalue()


def _csv_cell(value: Any, kind: str) -> Any:
    if value is None:
        return ""
    if kind == "time" and isinstance(value, int):
        return format_time(value)
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value
