"""A command's words as the text that one would type, and that text's words again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

# Arguments that are not text: Python has a byte that UTF-8 cannot read as U+DC80 to U+DCFF, https://peps.python.org/pep-0383.
_UNREADABLE = re.compile("[\ud800-\udfff]")
_SPELLED = re.compile(r"\\(?:x(?P<byte>[0-9a-f]{2})|u(?P<code>[0-9a-f]{4})|(?P<backslash>\\))")
_WORD = re.compile(r"""\$'(?P<spelled>[^']*)'(?!\S)|(?:\\.|'[^']*'|"(?:[^"\\]|\\.)*"|[^\s'"\\])+""", re.DOTALL)
_SPACE = re.compile(r"\s*")


def typed(words: Sequence[str]) -> str:
    r"""A command line that a shell splits into these words. What is not text is spelled as bash and zsh have it.

    >>> print(typed(["python", "a b.py", "lat\udce9"]))
    python 'a b.py' $'lat\xe9'
    """
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    if not _UNREADABLE.search(word):
        return shlex.quote(word)
    spelled = word.replace("\\", "\\\\").replace("'", r"\x27")
    return "$'" + _UNREADABLE.sub(_spell, spelled) + "'"


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def words_of(text: str) -> list[str]:
    r"""The words of a command line, as `typed` made it.

    Raises:
        ValueError: a quotation has no end.

    >>> words_of(r"python 'a b.py' $'lat\xe9'") == ["python", "a b.py", "lat\udce9"]
    True
    """
    if "$'" not in text:
        return shlex.split(text)
    words, at = [], _end(_SPACE, text, 0)
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            raise ValueError("No closing quotation")
        words += shlex.split(match[0]) if match["spelled"] is None else [_SPELLED.sub(_read, match["spelled"])]
        at = _end(_SPACE, text, match.end())
    return words


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()


def _read(match: re.Match[str]) -> str:
    if match["backslash"]:
        return "\\"
    code = int(match["byte"] or match["code"], 16)
    return chr(code + 0xDC00 if match["byte"] and code > 0x7F else code)
