"""What a filter says, as a tree of frozen values, and which runs it holds for.

A run that lacks a field meets neither a comparison nor its opposite: as in SQL, the answer is unknown, and only
`is null` asks for the lack itself. NaN is a value that equals nothing but the literal `nan`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from gxt.model import Run
from gxt.query.deadline import Deadline
from gxt.query.fields import Field, Scalar, bounded, decimal, scalar
from gxt.query.patterns import matches_text
from gxt.query.versions import version_key


class Span(NamedTuple):
    """A stretch of time that a date or time names, in milliseconds since 1970 UTC, both ends in it."""

    low: int
    high: int


Literal = int | float | str | bool | Span
"""What a field is compared with. The parser gives a Span to times, text to text, and numbers to numbers."""


@dataclass(frozen=True)
class Comparison:
    """`metrics.rmse < 6.5`; `operator` is one of = != < <= > >=."""

    field: Field
    operator: str
    value: Literal


@dataclass(frozen=True)
class In:
    """`params.model in ('xgb', 'lasso')`."""

    field: Field
    values: tuple[Literal, ...]


@dataclass(frozen=True)
class Match:
    """`name like 'base%'`; `how` is like, ilike or rlike."""

    field: Field
    how: str
    pattern: str


@dataclass(frozen=True)
class IsNull:
    """`metrics.rmse is null`."""

    field: Field


@dataclass(frozen=True)
class Not:
    """`not ...`."""

    operand: Expression


@dataclass(frozen=True)
class And:
    """`... and ...`; of nothing, it holds for every run."""

    operands: tuple[Expression, ...]


@dataclass(frozen=True)
class Or:
    """`... or ...`."""

    operands: tuple[Expression, ...]


Expression = Comparison | In | Match | IsNull | Not | And | Or


def matches(expression: Expression, run: Run, deadline: Deadline | None = None) -> bool:
    """Whether a filter holds for a run: the meaning that the SQL of `compile_filter` has to have too.

    Raises:
        UsageError: the deadline is over.
    """
    return _truth(expression, run, deadline) is True


def _truth(expression: Expression, run: Run, deadline: Deadline | None) -> bool | None:
    if isinstance(expression, Not):
        truth = _truth(expression.operand, run, deadline)
        return None if truth is None else not truth
    if isinstance(expression, (And, Or)):
        decides = isinstance(expression, Or)
        truths = [_truth(operand, run, deadline) for operand in expression.operands]
        return decides if decides in truths else None if None in truths else not decides
    if deadline is not None:
        deadline.check()
    value = expression.field.value(run)
    if isinstance(expression, IsNull):
        return not value if expression.field.kind == "dataset" else value is None
    if expression.field.kind == "dataset":
        return any(_of_value(expression, item) is True for item in value)
    return _of_value(expression, value)


def _of_value(expression: Comparison | In | Match, value: Any) -> bool | None:
    if value is None:
        return None
    if isinstance(expression, Match):
        text = value if isinstance(value, str) else scalar(value).text
        return matches_text(expression.how, expression.pattern, str(text))
    if isinstance(expression, In):
        return any(_compare(expression.field, value, "=", literal) for literal in expression.values)
    return _compare(expression.field, value, expression.operator, expression.value)


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""The operators of a Comparison."""


def _compare(field: Field, value: Any, sign: str, literal: Literal) -> bool:
    if is_prefix(field, sign):
        return str(scalar(value).text).startswith(str(literal)) == (sign == "=")
    if isinstance(literal, Span):
        return _compare_time(value, sign, literal)
    if is_person(field, sign):
        return (literal in people(str(value))) == (sign == "=")
    if field.type == "version":
        return COMPARE[sign](version_key(str(scalar(value).text)), version_key(str(literal)))
    if field.type == "any":
        return _compare_any(scalar(value), sign, literal)
    return COMPARE[sign](value, literal) if isinstance(value, str) else _compare_number(bounded(value), sign, literal)


def is_prefix(field: Field, sign: str) -> bool:
    """Whether a comparison is one of beginnings: of commits, which nobody writes out."""
    return field.kind == "code" and field.name in ("commit", "snapshot") and sign in ("=", "!=")


def is_person(field: Field, sign: str) -> bool:
    """Whether a comparison is one of people, who are meant by their name, their address, or both."""
    return field == Field("attributes", "author") and sign in ("=", "!=")


def people(author: str) -> tuple[str, ...]:
    """What an author, `Ada Lovelace <ada@example.com>`, may be called."""
    name, less, address = author.partition(" <")
    return (author, name, address.rstrip(">")) if less else (author,)


def _compare_time(value: int, sign: str, span: Span) -> bool:
    if sign in ("=", "!="):
        return (span.low <= value <= span.high) == (sign == "=")
    return COMPARE[sign](value, span.low if sign in ("<", ">=") else span.high)


def _compare_number(value: int | float | None, sign: str, literal: Literal) -> bool:
    """None is NaN here."""
    if literal != literal:
        return (value is None) == (sign == "=")
    return sign == "!=" if value is None else COMPARE[sign](value, literal)


def _compare_any(value: Scalar, sign: str, literal: Literal) -> bool:
    """A param, tag, code or environment value: as numbers where both are, else as text."""
    if isinstance(literal, bool):
        return COMPARE[sign](str(value.text).lower(), "true" if literal else "false")
    if not isinstance(literal, str):
        if literal != literal:
            return (value.type == "number" and value.number is None) == (sign == "=")
        return _compare_number(value.number, sign, literal)
    if value.type == "number" and (number := decimal(literal)) is not None:
        return _compare_number(value.number, sign, number)
    # MLflow's users write 'True', as Python does.
    return COMPARE[sign](str(value.text), literal.lower() if value.type == "boolean" else literal)
