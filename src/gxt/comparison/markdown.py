"""A comparison as GitHub's markdown: tables, the long parts folded, nothing that others wrote taken for markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gxt.comparison.parts import Cell, Outline, Part, Row
from gxt.showing import one_line, tabbed

_MOST_ROWS, _MOST_LINES, _LONGEST = 100, 200, 300


def markdown(found: Outline) -> str:
    """The page. A comment on GitHub holds 65,536 characters, so that very long parts are cut, which they say."""
    labels = [code(label) for label in found.labels]
    lines = [f"### {' → '.join(labels) if len(labels) == 2 else ', '.join(labels)}", ""]
    lines += [_line(["", *labels]), _line(["---"] * (1 + len(labels)))]
    lines += [_line([row.name, *(escape(cell.text) for cell in row.values)]) for row in found.head]
    for part in found.parts:
        lines += ["", *_part(part, labels)]
    if found.verdict:
        lines += ["", f"**{found.verdict.capitalize()}.**"]
    if found.same:
        lines += ["", f"The same: {', '.join(found.same)}."]
    return "\n".join(lines) + "\n"


def _part(part: Part, labels: Sequence[str]) -> Iterator[str]:
    about = ", ".join(text for text in (part.summary, f"{part.same} the same" if part.same else "") if text)
    title = html_code(part.title) if part.is_file else part.title.capitalize()
    heading = f"{title}: {escape(about)}" if about else title
    if part.bulky:
        yield f"<details><summary>{heading}</summary>"
    else:
        yield f"**{title}**: {escape(about)}" if about else f"**{title}**"
    if part.rows:
        yield ""
        yield from _table(labels, part.rows[:_MOST_ROWS], part.about_change)
        if len(part.rows) > _MOST_ROWS:
            yield from ("", f"… and {len(part.rows) - _MOST_ROWS} more")
    if part.lines:
        shown = [line.text for line in part.lines[:_MOST_LINES]]
        if len(part.lines) > _MOST_LINES:
            shown.append(f"… and {len(part.lines) - _MOST_LINES} more lines")
        yield ""
        yield from _fenced(shown, "diff" if part.is_file else "")
    for remark in part.remarks:
        yield from ("", escape(remark))
    if part.bulky:
        yield from ("", "</details>")


_MARKS = {"+": " (added)", "-": " (removed)"}


def _table(labels: Sequence[str], rows: Sequence[Row], about_change: Sequence[str]) -> Iterator[str]:
    yield _line(["", *labels, *about_change])
    yield _line(["---"] * (1 + len(labels)) + ["--:"] * len(about_change))
    for row in rows:
        changes = [escape(cell.text) for cell in row.change[: len(about_change)]]
        changes += [""] * (len(about_change) - len(changes))
        yield _line([code(row.name) + _MARKS.get(row.mark, ""), *(_value(cell) for cell in row.values), *changes])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _value(cell: Cell) -> str:
    return code(cell.text) if cell.text else ""


def _fenced(lines: Sequence[str], language: str) -> list[str]:
    text = "\n".join(map(tabbed, lines))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [f"{fence}{language}", text, fence]


def code(text: str) -> str:
    """Text as a code span, where neither markup nor @names nor #numbers mean anything.

    >>> code("a*b"), code("a|b")
    ('`a*b`', '<code>a&#124;b</code>')
    """
    text = one_line(" ".join(text.split()))
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"`{text}`" if text and not set(text) & set("`|\\") else html_code(text)


def html_code(text: str) -> str:
    """The same where there can be no code span: around a `|` in a table, and in HTML."""
    return f"<code>{escape(text)}</code>"


def escape(text: str) -> str:
    """Text outside of code spans, each sign that markdown or a host could read something into spelled as a number.

    >>> escape("*now* @all")
    '&#42;now&#42; &#64;all'
    """
    return re.sub(r"[^\w\s.,:;%+−…()/→-]|_", lambda match: f"&#{ord(match[0])};", tabbed(text))
