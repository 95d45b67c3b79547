"""`like`, `ilike` and `rlike`, in time that grows with the text and never explodes.

Filters come from untrusted places too, and Python's `re` can take years for a pattern such as `(a+)+$`. So a pattern
becomes a nondeterministic automaton that is run over the text once, all its states side by side, each set of states
remembered (https://swtch.com/~rsc/regexp/regexp1.html). What such an automaton cannot do is refused: back-references,
looking around, word boundaries.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache

from gxt.errors import UsageError

MAX_PATTERN = 500
_MAX_STATES = 2000
_MAX_REMEMBERED = 5000
_MAX_REPEAT = 200
_MAX_TEXT = 10_000  # characters of a text that are looked at

_OneCharacter = Callable[[str], object]


class _State:
    """A state: it takes one character that `accepts` allows and goes `on`; or, without `accepts`, goes to several
    states at once. `at` holds it back unless the text begins ("^") or ends ("$") there.
    """

    __slots__ = ("accepts", "at", "on", "ways")

    def __init__(self, accepts: _OneCharacter | None = None, at: str = "") -> None:
        self.accepts = accepts
        self.at = at
        self.on: _State | None = None
        self.ways: list[_State] = []


class _Part:
    """A piece of the automaton: where it begins, and the empty state where it ends."""

    __slots__ = ("begin", "end")

    def __init__(self, begin: _State, end: _State) -> None:
        self.begin = begin
        self.end = end


class Automaton:
    """A pattern made ready. `found_in(text)` says whether the text has the pattern somewhere."""

    def __init__(self, whole: _Part) -> None:
        self._end = whole.end
        self._begin = whole.begin
        self._steps: dict[tuple[frozenset[_State], str], frozenset[_State]] = {}
        self._accepting: dict[frozenset[_State], bool] = {}
        self._first = self._closure([whole.begin], begins=True, ends=False)

    def found_in(self, text: str) -> bool:
        """Whether the pattern is found anywhere in the text."""
        now = self._first
        for character in text:
            if self._end in now:
                return True
            following = self._steps.get((now, character))
            if following is None:
                following = self._step(now, character)
            now = following
        if self._end in now:
            return True
        found = self._accepting.get(now)
        if found is None or not text:
            found = self._end in self._closure([*now, self._begin], begins=not text, ends=True)
            if text:
                self._accepting[now] = found
        return found

    def _step(self, now: frozenset[_State], character: str) -> frozenset[_State]:
        moved = [state.on for state in now if state.accepts is not None and state.on and state.accepts(character)]
        # The pattern may begin at the next character too.
        following = self._closure([*moved, self._begin], begins=False, ends=False)
        if len(self._steps) >= _MAX_REMEMBERED:
            self._steps.clear()
            self._accepting.clear()
        self._steps[now, character] = following
        return following

    def _closure(self, states: Sequence[_State], begins: bool, ends: bool) -> frozenset[_State]:
        """The states that are reached without taking a character."""
        found: set[_State] = set()
        waiting = list(states)
        while waiting:
            state = waiting.pop()
            if state in found:
                continue
            found.add(state)
            if (state.at == "^" and not begins) or (state.at == "$" and not ends):
                continue
            waiting += state.ways
        return frozenset(found)


def matches_text(how: str, pattern: str, text: str) -> bool:
    """Whether a text is like a pattern: `how` is "like" (`%` any text, `_` one character), "ilike" (in any case), or
    "rlike" (a regular expression found anywhere in it). Of a text, the first 10,000 characters are looked at.

    Raises:
        UsageError: not a regular expression, or one that could take too long; see `check_pattern`.

    >>> matches_text("like", "base%", "baseline")
    True
    """
    text = text[:_MAX_TEXT]
    if how == "rlike":
        return _regular(pattern).found_in(text)
    return _like(pattern, text) if how == "like" else _like(pattern.casefold(), text.casefold())


def check_pattern(how: str, pattern: str) -> None:
    """Raise UsageError, saying why, where `matches_text` would."""
    if len(pattern) > MAX_PATTERN:
        raise UsageError(f"a pattern of {len(pattern)} characters", f"{MAX_PATTERN} fit")
    if how == "rlike":
        _regular(pattern)


def _like(pattern: str, text: str) -> bool:
    """What stands between two `%` is looked for from left to right, each where it comes first: no need to try again."""
    first, *others = _pieces(pattern)
    if not others:
        return first.fullmatch(text) is not None
    found = first.match(text)
    for piece in others[:-1]:
        found = found and piece.search(text, found.end())
    return found is not None and others[-1].search(text, found.end()) is not None


@lru_cache(maxsize=64)
def _pieces(pattern: str) -> list[re.Pattern[str]]:
    pieces = [re.escape(piece).replace("_", ".") for piece in pattern.split("%")]
    return [re.compile(piece, re.DOTALL) for piece in (*pieces[:-1], pieces[-1] + r"\Z")]


@lru_cache(maxsize=64)
def _regular(pattern: str) -> Automaton:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(f"not a regular expression: {error}") from None
    except Warning as warning:  # `[[:alpha:]]`, `[a--b]`: Python will read that otherwise one day
        hint = "classes are written out, as [A-Za-z] or \\d; a bracket in brackets has a backslash before it"
        raise UsageError(f"no clear regular expression: {warning}", hint) from None
    return Automaton(_Reader(pattern).read())


class _Builder:
    """Makes parts, and counts their states."""

    def __init__(self) -> None:
        self._count = 0

    def _state(self, accepts: _OneCharacter | None = None, at: str = "") -> _State:
        self._count += 1
        if self._count > _MAX_STATES:
            raise UsageError("this pattern repeats too much", f"it would take over {_MAX_STATES} states")
        return _State(accepts, at)

    def character(self, accepts: _OneCharacter) -> _Part:
        begin, end = self._state(accepts), self._state()
        begin.on = end
        return _Part(begin, end)

    def anchor(self, at: str) -> _Part:
        begin, end = self._state(at=at), self._state()
        begin.ways.append(end)
        return _Part(begin, end)

    def empty(self) -> _Part:
        return self.anchor("")

    def join(self, one: _Part, other: _Part) -> _Part:
        one.end.ways.append(other.begin)
        return _Part(one.begin, other.end)

    def either(self, parts: Sequence[_Part]) -> _Part:
        begin, end = self._state(), self._state()
        for part in parts:
            begin.ways.append(part.begin)
            part.end.ways.append(end)
        return _Part(begin, end)

    def repeat(self, make: Callable[[], _Part], least: int, most: int | None) -> _Part:
        """A part at least and at most so many times; `make` gives a new copy of it."""
        whole = self.empty()
        for _ in range(least):
            whole = self.join(whole, make())
        if most is None:
            part = make()
            begin, end = self._state(), self._state()
            begin.ways += [part.begin, end]
            part.end.ways.append(begin)
            return self.join(whole, _Part(begin, end))
        for _ in range(most - least):
            whole = self.join(whole, self.either([make(), self.empty()]))
        return whole


_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_REPEAT = re.compile(r"[*+?]|\{([0-9]*)(,?)([0-9]*)\}")
_UNSUPPORTED = re.compile(r"\\[0-9bBAZ]|\(\?(?!:)")


class _Reader(_Builder):
    """Reads a regular expression that `re` has accepted; what one character may be is left to `re`."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._flags = 0
        if pattern.startswith("(?i)"):
            self._flags, pattern = re.IGNORECASE, pattern.removeprefix("(?i)")
        self._pattern = pattern
        self._at = 0

    def read(self) -> _Part:
        return self._alternatives()

    def _alternatives(self) -> _Part:
        parts = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else self.either(parts)

    def _sequence(self) -> _Part:
        whole = self.empty()
        while self._peek() not in ("", "|", ")"):
            whole = self.join(whole, self._repeated())
        return whole

    def _repeated(self) -> _Part:
        begin = self._at
        part = self._one()
        end = self._at
        repeat = _REPEAT.match(self._pattern, self._at)
        if repeat is None or repeat[0] == "{}":  # as in `re`, those are characters
            return part
        self._at = repeat.end()
        if self._peek() in ("?", "+"):  # how greedy it is does not matter to whether there is a match
            if self._peek() == "+":
                raise UsageError(f"{repeat[0]}+ is not supported in a pattern", f"{repeat[0]} will do")
            self._at += 1
        after = self._at
        least, most = _bounds(repeat)
        if max(least, most or 0) > _MAX_REPEAT:
            raise UsageError(f"{repeat[0]} repeats too often", f"at most {_MAX_REPEAT} times")

        made_already = [part]

        def copy() -> _Part:
            if made_already:
                return made_already.pop()
            self._at = begin
            made = self._one()
            assert self._at == end
            return made

        whole = self.repeat(copy, least, most)
        self._at = after
        return whole

    def _one(self) -> _Part:
        unsupported = _UNSUPPORTED.match(self._pattern, self._at)
        if unsupported:
            raise UsageError(
                f"{unsupported[0]!r} is not supported in a pattern",
                "back-references, looking around, word boundaries and flags but a leading (?i) are not",
            )
        begin, character = self._at, self._pattern[self._at]
        self._at += 1
        if character == "(":
            if self._pattern.startswith("?:", self._at):
                self._at += 2
            part = self._alternatives()
            self._at += 1  # the closing one, which `re` has seen
            return part
        if character in "^$":
            return self.anchor(character)
        if character == "[":
            found = _CLASS.match(self._pattern, begin)
            assert found is not None
            self._at = found.end()
        elif character == "\\":
            escape = re.compile(r"\\(?:x..|u.{4}|U.{8}|N\{[^}]*\}|.)", re.DOTALL).match(self._pattern, begin)
            assert escape is not None
            self._at = escape.end()
        return self.character(re.compile(self._pattern[begin : self._at], self._flags).fullmatch)

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]


def _bounds(repeat: re.Match[str]) -> tuple[int, int | None]:
    if repeat[0] in "*+?":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[repeat[0]]
    least = int(repeat[1] or 0)
    return least, (int(repeat[3]) if repeat[3] else None) if repeat[2] else least
