"""Which formats a table can be written in, and the endings of their files."""

from __future__ import annotations

from gxt.render.documents import json_line, json_text, parquet, table_json
from gxt.render.markup import html_text, latex
from gxt.render.table import Table
from gxt.render.terminal import terminal
from gxt.render.text import csv_text, markdown

READABLE = ("table", "markdown", "html", "latex")
"""What people read; the other formats are for programs."""

FORMATS = (*READABLE, "csv", "tsv", "json", "jsonl", "parquet")

ENDINGS = {
    ".txt": "table",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".tex": "latex",
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}
"""The format that a file's ending means."""


def document(table: Table, form: str) -> bytes:
    """A table as a file in one of FORMATS holds it; times as they are. A table without columns gives nothing to read.

    Raises:
        MissingPackageError: `parquet` without pyarrow.
    """
    if form == "parquet":
        return parquet(table)
    return _text(table, form).encode()


def _text(table: Table, form: str) -> str:
    if form == "json":
        return json_text(table_json(table))
    if form == "jsonl":
        return "".join(map(json_line, table_json(table)))
    if not table.columns:
        return ""
    if form in ("csv", "tsv"):
        return csv_text(table, "," if form == "csv" else "\t")
    if form == "table":
        return terminal(table, None)[0]
    return {"markdown": markdown, "html": html_text, "latex": latex}[form](table, None)
