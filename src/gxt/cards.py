"""Cards as notebooks show them: HTML from plain values, escaped. What stands on a card is its owner's to say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gxt.showing import lines

_MOST_ROWS, _LONGEST = 200, 400

# The notebook's own text colour and no ground, and tones that can be read on white and on black: a front end's dark
# theme is its own, and no media query tells.
_STYLE = """\
.gxt-card { font: 13px/1.45 system-ui, sans-serif; max-width: 60em; padding: .6em .9em; overflow-x: auto;
  border: 1px solid rgba(128, 128, 128, .4); border-radius: 6px; box-sizing: border-box }
.gxt-card p { margin: 0 0 .4em }
.gxt-card .title { font-size: 1.15em; font-weight: 600 }
.gxt-card .about { opacity: .7 }
.gxt-card .state { font-size: .8em; font-weight: normal; padding: .1em .6em; margin-left: .5em; border-radius: 1em;
  border: 1px solid currentColor; color: #b08000 }
.gxt-card .finished { color: #26993f }
.gxt-card .running { color: #2a86d1 }
.gxt-card .failed, .gxt-card .unreadable, .gxt-card .deleted { color: #e0483e }
.gxt-card details { margin: .5em 0 0 }
.gxt-card summary { cursor: pointer; font-weight: 600 }
.gxt-card summary .about { font-weight: normal }
.gxt-card table { border-collapse: collapse; margin: .2em 0 0; font-size: inherit }
.gxt-card tr, .gxt-card tr:nth-child(even) { background: none }
.gxt-card th, .gxt-card td { text-align: left; vertical-align: top; padding: .15em 1.2em .15em 0; border: 0;
  background: none; overflow-wrap: anywhere; max-width: 45em; white-space: pre-wrap }
.gxt-card tbody th { font-weight: normal; opacity: .7; white-space: nowrap }
.gxt-card thead th { font-weight: normal; opacity: .7 }
.gxt-card td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.gxt-card thead th.number { text-align: right }
.gxt-card pre { font: 12px/1.4 ui-monospace, monospace; margin: .3em 0 0; white-space: pre-wrap; background: none;
  color: inherit; padding: 0; border: 0 }
"""


class Section(NamedTuple):
    """A part of a card that folds: rows whose first cell names them, or a text."""

    title: str
    rows: Sequence[Sequence[Any]] = ()
    header: Sequence[str] = ()
    text: str = ""
    is_open: bool = True


def card(title: str, state: str, facts: Mapping[str, Any], sections: Iterable[Section]) -> str:
    """A card: its title, a state such as "finished" (empty for none), facts of which those that are None are left out,
    and the sections that hold something.

    >>> card("ridge", "finished", {"id": "5424d951"}, [])[:22]
    '<div class="gxt-card">'
    """
    badge = f' <span class="state {_escape(state)}">{_escape(state)}</span>' if state else ""
    known = [(name, value) for name, value in facts.items() if value is not None and value != ""]
    lines = ['<div class="gxt-card">', f"<style>\n{_STYLE}</style>", f'<p class="title">{_escape(title)}{badge}</p>']
    lines += _table(known, ())
    for section in sections:
        if section.rows or section.text:
            lines += _folding(section)
    return "\n".join([*lines, "</div>"]) + "\n"


def _escape(text: str) -> str:
    """Text as HTML has it, its lines as they are."""
    import html  # here for start-up time: recording a run imports this module and shows nothing

    return html.escape(lines(text))


def _folding(section: Section) -> Iterator[str]:
    count = f' <span class="about">{len(section.rows)}</span>' if section.rows else ""
    yield f"<details{' open' if section.is_open else ''}><summary>{_escape(section.title)}{count}</summary>"
    if section.text:
        yield f"<pre>{_escape(section.text)}</pre>"
    yield from _table(section.rows, section.header)
    yield "</details>"


def _table(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> Iterator[str]:
    if not rows:
        return
    yield "<table>"
    if header:
        first, *others = header
        titles = "".join(f'<th class="number">{_escape(title)}</th>' for title in others)
        yield f"<thead><tr><th>{_escape(first)}</th>{titles}</tr></thead>"
    yield "<tbody>"
    for name, *values in rows[:_MOST_ROWS]:
        yield f"<tr><th>{_escape(str(name))}</th>{''.join(_cell(value, bool(header)) for value in values)}</tr>"
    yield "</tbody></table>"
    if len(rows) > _MOST_ROWS:
        yield f'<p class="about">… and {len(rows) - _MOST_ROWS} more</p>'


def _cell(value: Any, in_columns: bool) -> str:
    kind = ' class="number"' if in_columns and isinstance(value, (int, float)) else ""
    return f"<td{kind}>{_escape(_text(value))}</td>"


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
