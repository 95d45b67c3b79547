"""Reading YAML that anybody may have written: PyYAML's parser, the core schema of YAML 1.2, and bounds.

Only the events of PyYAML's parser are used. Its loaders put no bound on how deep values are nested, or on what a few
lines come to by aliases, and know tags that a run's documents never have. https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from gxt.errors import FormatError
from gxt.model import MAX_BITS, MAX_DEPTH
from gxt.showing import quoted

DEEPEST = MAX_DEPTH + 10
"""How many lists and mappings there may be in each other: more than is ever written."""

_MOST_VALUES = 1_000_000  # that a document with aliases comes to
_MOST_BYTES = 64 << 20

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_INT = 4000  # Python reads no integer of over 4,300 digits

WORDS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
"""The words that are no text, and their values."""
WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)


def parse_scalar(text: str) -> Any:
    """A plain scalar's value by the core schema of YAML 1.2: `1e-3` a float, `true` a boolean, `no` text.

    A whole number that is too large to be written as one is text.

    >>> parse_scalar("1e-3"), parse_scalar("007"), parse_scalar("lasso")
    (0.001, 7, 'lasso')
    """
    if text in WORDS:
        return WORDS[text]
    if _INT.fullmatch(text):
        return _whole_number(text)
    if _FLOAT.fullmatch(text):
        sign = "-" if text[0] == "-" else ""
        return float(sign + text[-3:]) if text[-1] in "fFnN" else float(text)
    return text


def _whole_number(text: str) -> int | str:
    if len(text) >= _LONGEST_INT:
        return text
    number = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return number if number.bit_length() <= MAX_BITS else text


def load(data: bytes, where: str) -> Any:
    """The document in `data`; `where` names it in errors. None for an empty one. Keys are text at every level.

    Raises:
        FormatError: not UTF-8; not YAML, the message has the line and column; a key twice in a mapping; a tag that is
            not of the core schema; nested too deep, or too much of it.
    """
    import yaml  # here, since recording a run reads no YAML

    if len(data) > _MOST_BYTES:
        raise FormatError(f"{where}: over {_MOST_BYTES >> 20} MiB of YAML")
    try:
        return _Reader(yaml.parse(data.decode("utf-8"), _parser()), where).document()
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: not UTF-8: {error.reason} at byte {error.start}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error).split("\n")[0]
        raise FormatError(f"{where}{at}: not valid YAML: {problem}") from None
    except ValueError as error:
        raise FormatError(f"{where}: not valid YAML: {error}") from None


@lru_cache(maxsize=1)
def _parser() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is six times as fast, where it was built


class _Node(NamedTuple):
    """A value, how deep it is nested, and how many values it comes to."""

    value: Any
    depth: int
    size: int


_CORE = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[type, ...]] = {
    f"{_CORE}null": (type(None),),
    f"{_CORE}bool": (bool,),
    f"{_CORE}int": (int,),
    f"{_CORE}float": (float, int),
}


class _Reader:
    """Makes a value of a parser's events."""

    def __init__(self, events: Iterator[Any], where: str) -> None:
        self._events = events
        self._where = where
        self._anchors: dict[str, _Node] = {}
        self._aliases = False

    def document(self) -> Any:
        """The only document there is, None where there is none."""
        self._next()  # the stream's start
        if type(self._next()).__name__ == "StreamEndEvent":
            return None
        found = self._node(self._next(), 0)
        self._next()  # the document's end
        after = self._next()
        if type(after).__name__ != "StreamEndEvent":
            self._fail("more than one document", after)
        return found.value

    def _next(self) -> Any:
        return next(self._events)

    def _fail(self, why: str, event: Any) -> NoReturn:
        mark = event.start_mark
        raise FormatError(f"{self._where}, line {mark.line + 1}, column {mark.column + 1}: {why}")

    def _node(self, event: Any, above: int) -> _Node:
        kind = type(event).__name__
        if kind == "AliasEvent":
            return self._alias(event, above)
        if kind == "ScalarEvent":
            found = _Node(self._scalar(event), 0, 1)
        else:
            if above >= DEEPEST:
                self._fail(f"nested over {DEEPEST} deep", event)
            self._check_tag(event, "seq" if kind == "SequenceStartEvent" else "map")
            found = self._sequence(above) if kind == "SequenceStartEvent" else self._mapping(above)
        if event.anchor:
            self._anchors[event.anchor] = found
        return found

    def _alias(self, event: Any, above: int) -> _Node:
        found = self._anchors.get(event.anchor)
        if found is None:
            self._fail(f"the alias *{event.anchor} stands for nothing before it", event)
        if above + found.depth > DEEPEST:
            self._fail(f"nested over {DEEPEST} deep", event)
        self._aliases = True
        return found

    def _sequence(self, above: int) -> _Node:
        items: list[Any] = []
        depth = size = 0
        while type(event := self._next()).__name__ != "SequenceEndEvent":
            item = self._node(event, above + 1)
            items.append(item.value)
            depth, size = max(depth, item.depth), self._sum(size, item, event)
        return _Node(items, depth + 1, size + 1)

    def _mapping(self, above: int) -> _Node:
        mapping: dict[str, Any] = {}
        depth = size = 0
        while type(event := self._next()).__name__ != "MappingEndEvent":
            key = self._key(event)
            if key in mapping:
                self._fail(f"the key {quoted(key)} is there twice", event)
            value = self._next()
            item = self._node(value, above + 1)
            mapping[key] = item.value
            depth, size = max(depth, item.depth), self._sum(size, item, value)
        return _Node(mapping, depth + 1, size + 1)

    def _sum(self, size: int, item: _Node, event: Any) -> int:
        if self._aliases and size + item.size > _MOST_VALUES:
            self._fail(f"its YAML aliases come to over {_MOST_VALUES} values", event)
        return size + item.size

    def _key(self, event: Any) -> str:
        """A key as it is written, whatever a value of that text would be."""
        kind = type(event).__name__
        if kind == "AliasEvent":
            found = self._alias(event, 0).value
            if isinstance(found, str):
                return found
        elif kind == "ScalarEvent":
            value = self._scalar(event)
            if event.anchor:
                self._anchors[event.anchor] = _Node(value, 0, 1)
            return str(event.value) or ("" if value == "" else "null")
        self._fail("a key is text", event)

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        text.encode("utf-8")  # a lone surrogate, which PyYAML's own parser lets pass
        tag: str | None = event.tag
        if tag is None or tag == "":
            return parse_scalar(text) if event.implicit[0] else text
        if tag in ("!", f"{_CORE}str"):
            return text
        if tag not in _SCALARS:
            self._check_tag(event, "str")
        value: Any = parse_scalar(text)
        if type(value) not in _SCALARS[tag]:
            self._fail(f"{quoted(text)} is no {tag.removeprefix(_CORE)}", event)
        return float(value) if tag == f"{_CORE}float" else value

    def _check_tag(self, event: Any, kind: str) -> None:
        tag = event.tag
        if tag not in (None, "", "!", f"{_CORE}{kind}"):
            shown = tag.replace(_CORE, "!!") if tag.startswith(_CORE) else tag
            self._fail(f"the tag {quoted(shown)} is none of YAML's core schema", event)
