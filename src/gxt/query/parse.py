"""From a filter's text to its expression. docs/guides/query.md describes the language.

    or      = and {"or" and}
    and     = not {"and" not}
    not     = "not" not | "(" or ")" | "exists" "(" field ")" | field test
    test    = ("=" | "==" | "!=" | "<>" | "<" | "<=" | ">" | ">=") value
            | ["not"] "in" "(" value {"," value} ")"
            | ["not"] "between" value "and" value
            | ["not"] ("like" | "ilike" | "rlike") text
            | "is" ["not"] "null"

MLflow's grammar is a part of this one: https://mlflow.org/docs/latest/ml/search/search-runs
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from gxt.errors import GxtError, UsageError, did_you_mean
from gxt.model import CRASHED, STATUSES, UNREADABLE, clean_text, now
from gxt.query.expression import And, Comparison, Expression, In, IsNull, Literal, Match, Not, Or, is_prefix
from gxt.query.fields import Field, Known, bounded, decimal, resolve
from gxt.query.patterns import check_pattern
from gxt.query.times import instant, parse_duration, parse_moment

MAX_LENGTH = 100_000
MAX_DEPTH = 50
MAX_TESTS = 400
"""What a filter may be at most: characters, parentheses in each other, and tests; of several texts, all together."""

_TOKEN = re.compile(
    r"""(?P<text>'(?:[^']|'')*')
    |(?P<sign><=|>=|<>|!=|==|[=<>(),])
    |(?P<word>(?:[^\s()=<>!,'"`]|`[^`]*`|"(?:[^"]|"")*")+)
    |(?P<space>\s+)""",
    re.VERBOSE,
)
_SIGNS = {"==": "=", "<>": "!=", "=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_RESERVED = ("and", "or", "not", "in", "like", "ilike", "rlike", "between", "is", "null")
_COMMIT = re.compile(r"[0-9a-f]{4,64}")
_STATUS = Field("attributes", "status")
_STATUSES = (*STATUSES, CRASHED, UNREADABLE)


class _Token(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def parse_filter(texts: str | Sequence[str], known: Known, allow_unknown: bool = False) -> Expression:
    """The expression that a filter's text means; of several texts, all must hold. No text holds for every run.

    Args:
        known: which names the runs in question have.
        allow_unknown: take a name that no run has for a field that every run lacks.

    Raises:
        UsageError: not in the language; the message shows the text with a caret under the place.
        NotFoundError: no run has a name, in the same form.
    """
    given = [text for text in ([texts] if isinstance(texts, str) else texts) if text.strip()]
    length = sum(map(len, given))
    if length > MAX_LENGTH:
        raise UsageError(f"a filter of {length} characters is too long", f"{MAX_LENGTH} fit")
    parsed = []
    tests = 0
    for text in given:
        parser = _Parser(text, known, allow_unknown, tests)
        parsed.append(parser.parse())
        tests = parser.tests
    return parsed[0] if len(parsed) == 1 else And(tuple(parsed))


class _Parser:
    def __init__(self, text: str, known: Known, allow_unknown: bool, tests: int) -> None:
        self.tests = tests
        self._text = clean_text(text)
        self._known = known
        self._allow_unknown = allow_unknown
        self._now = now()
        self._tokens = self._split()
        self._at = 0
        self._depth = 0

    def parse(self) -> Expression:
        expression = self._or()
        token = self._peek()
        if token.kind == "end":
            return expression
        if token.text == ")":
            self._fail("this parenthesis closes nothing", token)
        spelled = {"&&": "and", "&": "and", "||": "or", "|": "or", ";": "and", ",": "and"}.get(token.text)
        self._fail("expected `and`, `or` or the end", token, f"did you mean {spelled}?" if spelled else None)

    # --- tokens -------------------------------------------------------------------------------------------

    def _split(self) -> list[_Token]:
        tokens, at = [], 0
        while at < len(self._text):
            match = _TOKEN.match(self._text, at)
            if match is None or "\0" in match[0]:
                place = _Token("", self._text[at], at, at + 1)
                if self._text[at] in "'\"`":
                    self._fail(f"this quote {self._text[at]} is not closed", place)
                self._fail("a filter has no such sign", place, "not is `not` or !=" if place.text == "!" else None)
            kind = match.lastgroup or ""
            if kind != "space":
                tokens.append(_Token(kind, match[0], at, match.end()))
            at = match.end()
        return [*tokens, _Token("end", "", at, at + 1)]

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _is(self, word: str) -> bool:
        """Whether the next token is this word or sign."""
        return self._peek().text.lower() == word

    def _take(self, word: str) -> bool:
        """Go past this word or sign, if it is the next."""
        found = self._is(word)
        if found:
            self._next()
        return found

    def _expect(self, word: str, why: str) -> None:
        if not self._take(word):
            self._fail(f"expected {word} {why}", self._peek())

    def _fail(self, message: str, at: _Token, hint: str | None = None) -> NoReturn:
        raise UsageError(_pointing(message, self._text, at.start, at.end), hint)

    # --- structure ----------------------------------------------------------------------------------------

    def _or(self) -> Expression:
        operands = [self._and()]
        while self._take("or"):
            operands.append(self._and())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def _and(self) -> Expression:
        operands = [self._not()]
        while self._take("and"):
            operands.append(self._not())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def _not(self) -> Expression:
        negated = False
        while self._take("not"):
            negated = not negated
        found = self._group() if self._is("(") else self._test()
        return Not(found) if negated else found

    def _group(self) -> Expression:
        opening = self._next()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"parentheses over {MAX_DEPTH} deep", opening)
        found = self._or()
        if not self._take(")"):
            self._fail("this parenthesis is not closed", opening)
        self._depth -= 1
        return found

    # --- tests --------------------------------------------------------------------------------------------

    def _test(self) -> Expression:
        start = self._peek()
        if self._is("exists") and self._tokens[self._at + 1].text == "(":
            self._next()
            self._next()
            field = self._field()
            self._expect(")", "after the field")
            self._count(start)
            return Not(IsNull(field))
        field = self._field()
        sign = self._peek()
        negated = self._take("not")
        found = self._test_of(field, sign, negated)
        return Not(found) if negated else found

    def _count(self, at: _Token, tests: int = 1) -> None:
        self.tests += tests
        if self.tests > MAX_TESTS:
            self._fail(f"a filter may have {MAX_TESTS} tests", at)

    def _test_of(self, field: Field, sign: _Token, negated: bool) -> Expression:
        if self._take("in"):
            return self._in(field, sign)
        self._count(sign)
        if self._take("between"):
            low = self._value(field, ">=")
            self._expect("and", "between the two ends")
            return And((Comparison(field, ">=", low), Comparison(field, "<=", self._value(field, "<="))))
        for how in ("like", "ilike", "rlike"):
            if self._take(how):
                return self._match(field, "ilike" if field == _STATUS and how == "like" else how)
        if negated:
            self._fail("expected in, like, ilike, rlike or between after not", self._peek())
        if self._take("is"):
            negated = self._take("not")
            self._expect("null", "after is")
            return Not(IsNull(field)) if negated else IsNull(field)
        token = self._next()
        if token.text not in _SIGNS:
            hint = {
                "exists": f"exists({field}) asks whether a run has it",
                "regexp": "rlike asks for a regular expression",
                "contains": "like '%…%' asks for a part",
                "~": "rlike asks for a regular expression",
            }.get(token.text.lower())
            self._fail(f"expected a comparison after {field}: = != < <= > >= in like is …", token, hint)
        operator = _SIGNS[token.text]
        return Comparison(field, operator, self._value(field, operator))

    def _in(self, field: Field, sign: _Token) -> Expression:
        opening = self._peek()
        self._expect("(", "after in")
        values = [self._value(field, "=")]
        while self._take(","):
            values.append(self._value(field, "="))
        if not self._take(")"):
            self._fail("this parenthesis is not closed: expected , or )", opening)
        # Texts are looked up in one go, however many; others are tests of their own.
        self._count(sign, 1 if field.type == "text" else len(values))
        return In(field, tuple(values))

    def _match(self, field: Field, how: str) -> Expression:
        token = self._peek()
        if field.type not in ("text", "version", "any"):
            self._fail(f"{field} is no text that {how} could be asked of", token)
        pattern = self._quoted()
        self._pointed(token, lambda: check_pattern(how, pattern))
        return Match(field, how, pattern)

    def _field(self) -> Field:
        token = self._peek()
        if token.kind == "text":
            self._fail("a name stands in ` or \", not in '", token, f'"{token.text[1:-1]}" or `{token.text[1:-1]}`')
        if token.kind != "word" or token.text.lower() in _RESERVED:
            hint = f"a field of that name stands in quotes: `{token.text}`" if token.kind == "word" else None
            self._fail("expected a field such as metrics.rmse", token, hint)
        if _number(token.text) is not None and not self._known.kinds(token.text):
            self._fail("a test begins with a field, and the value comes after", token, f"metrics.rmse < {token.text}")
        self._next()
        field: Field = self._pointed(token, lambda: resolve(token.text, self._known, self._allow_unknown))
        return field

    def _pointed(self, token: _Token, call: Any) -> Any:
        """What the call gives; where it fails, the message shows the place."""
        try:
            return call()
        except GxtError as error:
            message = _pointing(error.message, self._text, token.start, token.end)
            raise type(error)(message, error.hint) from None

    # --- values -------------------------------------------------------------------------------------------

    def _quoted(self) -> str:
        token = self._peek()
        text = _unquoted(token)
        if text is None:
            self._fail("expected text in quotes", token, f"'{token.text}'" if token.kind == "word" else None)
        self._next()
        return text

    def _value(self, field: Field, operator: str) -> Literal:
        """The value that a field is compared with, in the form that goes with the field."""
        token = self._peek()
        if token.kind not in ("word", "text") or token.text.lower() in ("and", "or", "not", "in", "is"):
            self._fail(f"expected a value to compare {field} with", token)
        if token.text.lower() in ("null", "none"):
            self._fail(f"nothing equals {token.text}", token, f"say `{field} is null` or `{field} is not null`")
        value = getattr(self, f"_{field.type}_value")(field, token, operator)
        self._next()
        return value  # type: ignore[no-any-return]

    def _number_value(self, field: Field, token: _Token, operator: str) -> Literal:
        number = _number(_unquoted(token) or token.text)
        if number is None:
            other = token.kind == "word" and self._known.kinds(token.text)
            self._fail(f"{field} is a number, this is none", token, "two fields cannot be compared" if other else None)
        self._check_nan(number, operator, token)
        return number

    def _duration_value(self, field: Field, token: _Token, operator: str) -> Literal:
        text = _unquoted(token) or token.text
        seconds = decimal(text)
        seconds = parse_duration(text) if seconds is None else seconds
        if seconds is None:
            self._fail("this is no duration", token, "seconds, or such as 10m, '1h 30m', 500ms, 2d")
        return seconds

    def _time_value(self, field: Field, token: _Token, operator: str) -> Literal:
        text = _unquoted(token) or token.text
        after = self._tokens[self._at + 1]
        if token.kind == after.kind == "word" and after.text.lower() not in ("and", "or"):
            end = next((one for one in self._tokens[self._at :] if one.kind != "word"), after).start
            words = self._text[token.start : end].strip()
            self._fail("a time of several words stands in quotes", token, f"'{words}'" if len(words) < 40 else None)
        milliseconds = decimal(token.text)
        if milliseconds is not None:
            return instant(milliseconds)
        span = parse_moment(text, self._now)
        if span is None:
            self._fail(
                "this is no time",
                token,
                "such as '2026-11-23', '2026-11-23 08:30', '2 days ago', 'yesterday', or milliseconds since 1970",
            )
        return span

    def _text_value(self, field: Field, token: _Token, operator: str) -> Literal:
        text = _unquoted(token)
        if text is None and _number(token.text) is None:
            self._fail("text stands in quotes", token, f"'{token.text}'")
        text = token.text if text is None else text
        if field == Field("attributes", "id") and "-" in text:
            self._fail("id is the last part of a run's id", token, f"run_id is the whole: run_id = '{text}'")
        if field == _STATUS:
            text = text.lower()
            near = None if text in _STATUSES else did_you_mean(text, _STATUSES)
            if near:
                self._fail("no run has this status", token, near)
        return text

    def _version_value(self, field: Field, token: _Token, operator: str) -> Literal:
        text = _unquoted(token) or token.text
        if not any(c.isdecimal() for c in text):
            self._fail(f"{field} is a version, this is none", token, "such as '3.11'")
        return text

    def _any_value(self, field: Field, token: _Token, operator: str) -> Literal:
        text = _unquoted(token)
        if is_prefix(field, operator):
            commit = (token.text if text is None else text).lower()
            if not _COMMIT.fullmatch(commit):
                self._fail("this is no commit", token, "at least its first four hexadecimal digits")
            return commit
        if text is not None:
            return text
        if token.text.lower() in ("true", "false"):
            if operator not in ("=", "!="):
                self._fail(f"{token.text} can be compared by = and != only", token)
            return token.text.lower() == "true"
        number = _number(token.text)
        if number is None:
            self._fail("text stands in quotes", token, f"'{token.text}'")
        self._check_nan(number, operator, token)
        return number

    def _check_nan(self, number: int | float, operator: str, token: _Token) -> None:
        if number != number and operator not in ("=", "!="):
            self._fail("nan can be compared by = and != only", token)


def _unquoted(token: _Token) -> str | None:
    """The text of a token in single or double quotes, None for any other."""
    for quote in ("'", '"'):
        inner = token.text[1:-1]
        if (
            token.text[:1] == quote == token.text[-1:]
            and len(token.text) > 1
            and quote not in inner.replace(2 * quote, "")
        ):
            return inner.replace(2 * quote, quote)
    return None


def _number(text: str) -> int | float | None:
    """A number as a filter writes it; unlike a param's text, also nan and inf."""
    if text.lower() in ("nan", "inf", "+inf", "-inf"):
        return float(text)
    number = decimal(text)
    return None if number is None else bounded(number)


_SHOWN = 100


def _pointing(message: str, text: str, start: int, end: int) -> str:
    """A message with the text below it, and carets under the place; of a long text, what is around."""
    first = max(0, start - _SHOWN // 2)
    before, after = ("…" if first else ""), ("…" if len(text) > first + _SHOWN else "")
    shown = "".join(c if c.isprintable() else " " for c in text[first : first + _SHOWN])
    width = max(1, min(end, first + _SHOWN) - start)
    return f"{message}\n  {before}{shown}{after}\n  {' ' * (len(before) + start - first)}{'^' * width}"
