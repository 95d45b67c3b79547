"""A comparison as HTML: a fragment for notebooks, or a page that needs nothing else. All text is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence

from gxt.comparison.parts import Cell, Outline, Part, Row
from gxt.showing import tabbed

_MOST_ROWS, _MOST_LINES = 1_000, 2_000

# Jupyter aligns all cells of tables to the right, by a rule that only one marked as important overrides.
# Colours that can be told apart on light and dark grounds; better and worse are words as well.
_STYLE = """\
.gxt-diff { font: 14px/1.45 system-ui, sans-serif; max-width: 75em }
.gxt-diff h1 { font-size: 1.3em; margin: 0 0 .6em }
.gxt-diff h2, .gxt-diff summary { font-size: 1em; font-weight: 600; margin: 1.2em 0 .3em }
.gxt-diff summary { cursor: pointer }
.gxt-diff .about { font-weight: normal; opacity: .7 }
.gxt-diff table { border-collapse: collapse; margin: 0; font-size: inherit }
.gxt-diff th, .gxt-diff td { text-align: left !important; vertical-align: top; padding: .2em 1em .2em 0; border: 0;
  border-bottom: 1px solid rgba(128, 128, 128, .25); white-space: pre-wrap; overflow-wrap: anywhere; background: none }
.gxt-diff tbody th { font-weight: normal; white-space: nowrap }
.gxt-diff td { min-width: 5em }
.gxt-diff td.change { text-align: right !important; white-space: nowrap; font-variant-numeric: tabular-nums }
.gxt-diff .mark { font-family: monospace; opacity: .6 }
.gxt-diff pre { font: 12px/1.4 monospace; margin: .3em 0; padding: .6em; overflow: auto; max-height: 40em;
  border: 1px solid rgba(128, 128, 128, .25); background: none; color: inherit }
.gxt-diff p { margin: .3em 0 }
.gxt-diff .same { opacity: .65 }
.gxt-diff .better, .gxt-diff .added { color: #1a7f37 }
.gxt-diff .worse, .gxt-diff .removed { color: #cf222e }
.gxt-diff .place { opacity: .65 }
@media (prefers-color-scheme: dark) {
  .gxt-diff .better, .gxt-diff .added { color: #3fb950 }
  .gxt-diff .worse, .gxt-diff .removed { color: #f85149 }
}
"""


def page(found: Outline) -> str:
    """A whole document."""
    title = escape(f"{', '.join(found.labels)}: what differs")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n</head>\n<body>\n{fragment(found)}</body>\n</html>\n"
    )


def fragment(found: Outline) -> str:
    """What stands in the page's body, with its style."""
    arrow = " → " if len(found.labels) == 2 else ", "
    lines = ['<div class="gxt-diff">', f"<style>\n{_STYLE}</style>"]
    lines += [f"<h1>{arrow.join(map(escape, found.labels))}</h1>", *_table(found.labels, found.head)]
    for part in found.parts:
        lines += _part(part, found.labels)
    if found.verdict:
        lines.append(f"<p><b>{escape(found.verdict.capitalize())}.</b></p>")
    if found.same:
        lines.append(f'<p class="same">The same: {escape(", ".join(found.same))}.</p>')
    return "\n".join([*lines, "</div>"]) + "\n"


def _part(part: Part, labels: Sequence[str]) -> Iterator[str]:
    about = ", ".join(text for text in (part.summary, f"{part.same} the same" if part.same else "") if text)
    title = f"<code>{escape(part.title)}</code>" if part.is_file else escape(part.title.capitalize())
    heading = f'{title} <span class="about">{escape(about)}</span>'
    yield f"<details><summary>{heading}</summary>" if part.bulky else f"<h2>{heading}</h2>"
    if part.rows:
        yield from _table(labels, part.rows[:_MOST_ROWS], part.about_change)
        if len(part.rows) > _MOST_ROWS:
            yield f"<p>… and {len(part.rows) - _MOST_ROWS} more</p>"
    if part.lines:
        shown = [_span(line) for line in part.lines[:_MOST_LINES]]
        if len(part.lines) > _MOST_LINES:
            shown.append(f"… and {len(part.lines) - _MOST_LINES} more lines")
        yield "<pre>" + "\n".join(shown) + "</pre>"
    yield from (f"<p>{escape(remark)}</p>" for remark in part.remarks)
    if part.bulky:
        yield "</details>"


def _table(labels: Sequence[str], rows: Sequence[Row], about_change: Sequence[str] = ()) -> Iterator[str]:
    yield "<table>"
    yield _heading(["", *labels], about_change)
    yield "<tbody>"
    for row in rows:
        mark = f'<span class="mark">{escape(row.mark)}</span> ' if row.mark else ""
        values = "".join(f"<td>{_span(cell)}</td>" for cell in row.values)
        cells = [*row.change, *[Cell("")] * len(about_change)][: len(about_change)]
        changes = "".join(f'<td class="change">{_span(cell)}</td>' for cell in cells)
        yield f"<tr><th>{mark}{escape(row.name)}</th>{values}{changes}</tr>"
    yield "</tbody></table>"


def _heading(titles: Sequence[str], about_change: Sequence[str]) -> str:
    cells = "".join(f"<th>{escape(title)}</th>" for title in titles)
    changes = "".join(f'<td class="change">{escape(title)}</td>' for title in about_change)
    return f"<thead><tr>{cells}{changes}</tr></thead>"


def _span(cell: Cell) -> str:
    return f'<span class="{cell.tone}">{escape(cell.text)}</span>' if cell.tone else escape(cell.text)


def escape(text: str) -> str:
    """Text for a page, without the control characters that HTML has no way to write."""
    return html.escape(tabbed(text))
