"""Text that others wrote, made fit to be shown: on a terminal, which obeys control characters, in a table, a page or a
message. Values that programs take in stay as they are.
"""

from __future__ import annotations

import re
from typing import Any

_LONGEST = 60


def one_line(text: str) -> str:
    """Text on one line, without what would move a terminal's cursor, colour what follows or turn its direction.

    White space of any kind becomes a blank; the rest is spelled out.

    >>> one_line("a\\nb\\x1b[2J")
    'a b\\\\x1b[2J'
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def lines(text: str) -> str:
    """The same of a text of several lines, whose ends stay."""
    return "\n".join(map(one_line, text.replace("\r\n", "\n").split("\n")))


def tabbed(text: str) -> str:
    """As `one_line`, but tabs stay: a line of a file."""
    return "\t".join(map(one_line, text.split("\t")))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else repr(character)[1:-1]


def shortened(text: str, most: int) -> str:
    """A text of at most so many characters, an ellipsis for what is left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def quoted(value: Any) -> str:
    """A value as a message shows it: on one line, and never long."""
    cut = value[: _LONGEST + 1] if isinstance(value, str) else value
    return shortened(one_line(repr(cut)), _LONGEST)


# What `str.isprintable` refuses, but for control characters and for rare planes, which no terminal obeys.
_UNSEEN = "\x7f-\xa0\xad\u0600-\u0605\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb"
_OUTSIDE_JSON = re.compile(f"[{_UNSEEN}]")
_COLOUR_OR_UNSEEN = re.compile(f"(\x1b\\[[0-9;]*m)|[\x00-\x08\x0b-\x1f{_UNSEEN}]")


def json_escaped(text: str) -> str:
    """JSON whose texts hold no control character and nothing that turns the direction of writing: the same values."""
    return _OUTSIDE_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def drawn(text: str, keep: str = "") -> str:
    """A drawing of several lines in colour, without anything else that a terminal obeys but what is to be kept.

    The last gate before a terminal: what goes into a drawing is `one_line` already, where it is not data as it stands.
    """
    return _COLOUR_OR_UNSEEN.sub(lambda match: match[1] or (match[0] if match[0] in keep else _shown(match[0])), text)
