"""Tables, runs and pages as text: values in, text out. Nothing here prints, or knows where runs are kept.

A table is values (`table`); people read it on a terminal (`terminal`), in markdown, or in HTML and LaTeX (`markup`),
programs as CSV (`text`), JSON or Parquet (`documents`).
"""

from gxt.render.cells import cell_text, size, when
from gxt.render.documents import json_line, json_text, parquet, run_json, table_json, time_text
from gxt.render.formats import ENDINGS, FORMATS, READABLE, document
from gxt.render.markup import html_text, latex
from gxt.render.page import best_page, run_page
from gxt.render.sources import not_kept, source_pair
from gxt.render.table import Column, Spread, Table
from gxt.render.terminal import rich_text, terminal
from gxt.render.text import csv_text, markdown

__all__ = [
    "ENDINGS",
    "FORMATS",
    "READABLE",
    "Column",
    "Spread",
    "Table",
    "best_page",
    "cell_text",
    "csv_text",
    "document",
    "html_text",
    "json_line",
    "json_text",
    "latex",
    "markdown",
    "not_kept",
    "parquet",
    "rich_text",
    "run_json",
    "run_page",
    "size",
    "source_pair",
    "table_json",
    "terminal",
    "time_text",
    "when",
]
