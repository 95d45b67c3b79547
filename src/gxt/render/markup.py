"""Tables for documents: HTML and LaTeX, where anything that a run may hold has to be escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from gxt.render.cells import cell_texts, remarks, titles
from gxt.render.table import Column, Table

_STYLE = """\
table { border-collapse: collapse; font: 14px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
th, td { padding: 2px 12px; text-align: left; border-bottom: 1px solid #ddd; white-space: nowrap }
th { border-bottom: 2px solid #888 }
.number { text-align: right }
p { font: 13px/1.5 system-ui, sans-serif; color: #555 }
"""


def html_text(table: Table, now: int | None) -> str:
    """A table as a page of its own, without scripts; the best values in bold."""
    lines = ["<!doctype html>", '<meta charset="utf-8">', "<title>gxt table</title>", f"<style>\n{_STYLE}</style>"]
    heads = [
        f"<th{_alignment(column)}>{html.escape(title)}</th>"
        for column, title in zip(table.columns, titles(table.columns), strict=True)
    ]
    lines += ["<table>", f"<thead><tr>{''.join(heads)}</tr></thead>", "<tbody>"]
    for number, row in enumerate(cell_texts(table, now)):
        cells = []
        for i, (text, column) in enumerate(zip(row, table.columns, strict=True)):
            content = html.escape(text)
            if i == 0 and table.depths and table.depths[number]:
                content = "&emsp;" * table.depths[number] + content
            if (number, i) in table.best:
                content = f"<b>{content}</b>"
            cells.append(f"<td{_alignment(column)}>{content}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines += ["</tbody>", "</table>", *(f"<p>{html.escape(remark)}</p>" for remark in remarks(table))]
    return "\n".join(lines) + "\n"


def _alignment(column: Column) -> str:
    return ' class="number"' if column.is_numeric else ""


# https://ctan.org/pkg/booktabs; brackets and asterisks would be taken for arguments of the `\\` before them.
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "…": r"\ldots{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"{{{character}}}" for character in "[]*"},
}
_EXPONENT = re.compile(r"^(-?[0-9.]+)e([-+]\d+)$")


def latex(table: Table, now: int | None) -> str:
    r"""A table for LaTeX's package booktabs; the best values in bold. Best with `\usepackage[T1]{fontenc}`."""
    lines = [
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{{''.join('r' if column.is_numeric else 'l' for column in table.columns)}}}",
        r"\toprule",
        _latex_row(map(_latex_text, titles(table.columns))),
        r"\midrule",
    ]
    for number, row in enumerate(cell_texts(table, now)):
        cells = [
            _latex_number(text) if column.is_numeric else _latex_text(text)
            for text, column in zip(row, table.columns, strict=True)
        ]
        if table.depths and table.depths[number]:
            cells[0] = r"\quad " * table.depths[number] + cells[0]
        for i, cell in enumerate(cells):
            if (number, i) in table.best:
                cells[i] = rf"\textbf{{{cell}}}"
        lines.append(_latex_row(cells))
    lines += [r"\bottomrule", r"\end{tabular}", *(f"% {' '.join(remark.split())}" for remark in remarks(table))]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _latex_number(text: str) -> str:
    """A number with a minus sign that is one, and powers of ten."""
    if match := _EXPONENT.match(text):
        return rf"${match[1]} \times 10^{{{int(match[2])}}}$"
    return re.sub(r"(?<!\S)-", "$-$", _latex_text(text))
