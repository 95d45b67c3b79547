"""Filters and sort keys as SQL, for runs in the tables that cache.py makes.

    listed (run, experiment)                                 which runs are asked about
    run (id, run_id, name, status, started, ended, duration, exit_code, author, parent, note, ...)
    field (id, kind, name)
    metric (field, run, last, min, max, first, step, count)  NULL is NaN
    value (field, run, type, number, text)                   params, tags, code and environment; see fields.Scalar
    dataset (run, name, digest, context, source, dtype, dvc, lfs, rows, size, files)

What comes from a filter's text is bound, never written into the SQL: a filter can ask about runs and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from gxt.query.expression import (
    COMPARE,
    And,
    Comparison,
    Expression,
    In,
    IsNull,
    Literal,
    Match,
    Not,
    Or,
    Span,
    is_person,
    is_prefix,
)
from gxt.query.fields import ATTRIBUTES, DATASET, PARTS, Field, decimal
from gxt.query.order import SortKey

MATCH = "gxt_match"
"""The SQL function of three arguments that has to be `patterns.matches_text`, and NULL where the text is."""


VERSION = "gxt_version"
"""The SQL function of one argument that has to be `versions.version_key`, and NULL where the text is."""


class Sql(NamedTuple):
    """A piece of SQL, and the values for its question marks."""

    text: str
    values: tuple[Any, ...] = ()


_COLUMNS = {name: f"run.{name}" for name in ATTRIBUTES} | {
    "id": "substr(run.run_id, -8)",
    "experiment": "listed.experiment",
}


def compile_filter(expression: Expression) -> Sql:
    """A condition on `run` and `listed` that is true where `expression.matches` is.

    >>> compile_filter(Comparison(Field("attributes", "name"), "=", "x"))
    Sql(text='run.name = ?', values=('x',))
    """
    return _compiled(_flat(expression))


# SQLite's parser takes no more than 100 things that it cannot close yet: an opening parenthesis is one, what stands
# before `and (` two more. So there are as few parentheses as can be, and the deepest of several operands comes first.


def _flat(expression: Expression, negated: bool = False) -> Expression:
    """The same expression with `not` before tests alone, and no `and` directly in an `and`, nor `or` in an `or`."""
    if isinstance(expression, Not):
        return _flat(expression.operand, not negated)
    if not isinstance(expression, (And, Or)):
        return Not(expression) if negated else expression
    kind = And if isinstance(expression, And) != negated else Or
    operands: list[Expression] = []
    for operand in expression.operands:
        flat = _flat(operand, negated)
        operands += flat.operands if isinstance(flat, kind) else [flat]
    return operands[0] if len(operands) == 1 else kind(tuple(sorted(operands, key=_depth, reverse=True)))


def _depth(expression: Expression) -> int:
    """How deep `and` and `or` are in each other; their first operand is the deepest."""
    depth = 0
    while isinstance(expression, (And, Or)) and expression.operands:
        expression, depth = expression.operands[0], depth + 1
    return depth


def _compiled(expression: Expression) -> Sql:
    if isinstance(expression, (And, Or)):
        return _joined(expression)
    if isinstance(expression, Not):
        operand = _compiled(expression.operand)
        return Sql(f"not ({operand.text})", operand.values)
    field = expression.field
    if isinstance(expression, IsNull):
        return _is_null(field)
    if field.kind == "attributes":
        return _test(expression, _COLUMNS[field.name])
    if field.kind == "dataset":
        test = _test(expression, _column(field))
        return Sql(f"exists (select 1 from dataset where run = run.id and ({test.text}))", test.values)
    test = _test(expression, _column(field))
    return _looked_up(test, field)


def compile_order(keys: Sequence[SortKey]) -> Sql:
    """What follows `order by` so that runs come as `order.sort` has them, the earliest first among equals."""
    terms: list[Sql] = []
    for key in keys:
        direction = "desc" if key.descending else "asc"
        terms += [Sql(f"{value.text} {direction} nulls last", value.values) for value in _ranks(key.field)]
    terms.append(Sql("coalesce(run.started, 0), run.run_id"))
    return Sql(", ".join(term.text for term in terms), tuple(value for term in terms for value in term.values))


def _joined(expression: And | Or) -> Sql:
    is_and = isinstance(expression, And)
    if not expression.operands:
        return Sql("1" if is_and else "0")
    texts: list[str] = []
    values: list[Any] = []
    for operand in expression.operands:
        part = _compiled(operand)
        # A list of values is several tests with `or` between.
        loose = isinstance(operand, (Or, In)) if is_and else False
        texts.append(f"({part.text})" if loose else part.text)
        values += part.values
    return Sql((" and " if is_and else " or ").join(texts), tuple(values))


def _column(field: Field) -> str:
    """Where a value is in its table. Names come from this module's own lists, whatever the field says."""
    if field.kind == "metrics":
        return PARTS[PARTS.index(field.part or "last")]
    return next(name for name in DATASET if name == field.name) if field.kind == "dataset" else "text"


def _looked_up(selected: Sql, field: Field, where: str = "") -> Sql:
    """What is selected from the run's row of a field; NULL where it has none."""
    table = "metric" if field.kind == "metrics" else "value"
    of_field = "field = (select id from field where kind = ? and name = ?)"
    text = f"(select {selected.text} from {table} where {of_field} and {table}.run = run.id{where})"
    return Sql(text, (*selected.values, field.kind, field.name))


def _is_null(field: Field) -> Sql:
    if field.kind == "attributes":
        return Sql(f"{_COLUMNS[field.name]} is null")
    if field.kind == "dataset":
        return Sql(f"not exists (select 1 from dataset where run = run.id and {_column(field)} is not null)")
    found = _looked_up(Sql("1"), field, "" if field.kind == "metrics" else " and text is not null")
    return Sql(f"not exists {found.text}", found.values)


# --- tests of one value ---------------------------------------------------------------------------------------------


def _test(expression: Comparison | In | Match, column: str) -> Sql:
    if isinstance(expression, Match):
        return Sql(f"{MATCH}(?, ?, {column})", (expression.how, expression.pattern))
    if isinstance(expression, Comparison):
        return _comparison(expression.field, column, expression.operator, expression.value)
    if expression.field.type == "text" and not is_person(expression.field, "="):
        return Sql(
            f"{column} in (select value from json_each(?))",
            (json.dumps(expression.values, ensure_ascii=False),),
        )
    tests = [_comparison(expression.field, column, "=", value) for value in expression.values]
    return Sql(" or ".join(test.text for test in tests), tuple(value for test in tests for value in test.values))


def _comparison(field: Field, column: str, sign: str, literal: Literal) -> Sql:
    assert sign in COMPARE  # it stands in the SQL
    if is_prefix(field, sign):
        return Sql(f"substr({column}, 1, length(?)) {sign} ?", (literal, literal))
    if is_person(field, sign):
        start = f"instr({column}, ' <')"
        name = f"case {start} when 0 then {column} else substr({column}, 1, {start} - 1) end"
        address = f"case {start} when 0 then {column} else rtrim(substr({column}, {start} + 2), '>') end"
        return Sql(f"? {'' if sign == '=' else 'not '}in ({column}, {name}, {address})", (literal,))
    if isinstance(literal, Span):
        return _time_comparison(column, sign, literal)
    if field.type == "version":
        return Sql(f"{VERSION}({column}) {sign} {VERSION}(?)", (literal,))
    if field.type == "any":
        return _any_comparison(sign, literal)
    if field.type == "text":
        return Sql(f"{column} {sign} ?", (literal,))
    if field.kind == "metrics":
        return _number_comparison(column, sign, literal)
    if literal != literal:  # a number that is there is not NaN
        return Sql(f"case when {column} is not null then {int(sign == '!=')} end")
    return Sql(f"{column} {sign} ?", (literal,))


def _time_comparison(column: str, sign: str, span: Span) -> Sql:
    if sign in ("=", "!="):
        return Sql(f"{column} {'' if sign == '=' else 'not '}between ? and ?", span)
    return Sql(f"{column} {sign} ?", (span.low if sign in ("<", ">=") else span.high,))


def _number_comparison(column: str, sign: str, literal: Literal) -> Sql:
    """Of a column that holds NULL for NaN, which only != is true of."""
    if literal != literal:
        return Sql(f"{column} is {'' if sign == '=' else 'not '}null")
    return Sql(f"coalesce({column} {sign} ?, {int(sign == '!=')})", (literal,))


def _any_comparison(sign: str, literal: Literal) -> Sql:
    """Of a row of `value`; one whose text is NULL is a param that is None."""
    if isinstance(literal, bool):
        return Sql(f"lower(text) {sign} ?", ("true" if literal else "false",))
    if not isinstance(literal, str):
        if literal != literal:
            test = Sql(f"(type = 'n' and number is null) = {int(sign == '=')}")
        else:
            test = _number_comparison("number", sign, literal)
        return Sql(f"case when text is not null then {test.text} end", test.values)
    cases, values = f"when 'b' then text {sign} ?", [literal.lower()]
    number: Any = decimal(literal)
    if number is not None:
        as_number = _number_comparison("number", sign, number)
        cases, values = f"when 'n' then {as_number.text} {cases}", [*as_number.values, *values]
    return Sql(f"case type {cases} else text {sign} ? end", (*values, literal))


def _ranks(field: Field) -> list[Sql]:
    """What to sort by, the strongest first; NULL where the run has no value, or NaN."""
    if field.kind == "attributes":
        return [Sql(_COLUMNS[field.name])]
    if field.kind == "dataset":
        return [Sql(f"(select min({_column(field)}) from dataset where run = run.id)")]
    if field.kind == "metrics":
        return [_looked_up(Sql(_column(field)), field)]
    if field.type == "version":
        return [_looked_up(Sql(f"{VERSION}(text)"), field)]
    group = "case type when 't' then 1 when 'o' then 2 else case when number is not null then 0 end end"
    return [
        _looked_up(Sql(group), field, " and text is not null"),
        _looked_up(Sql("case when type in ('n', 'b') then number else text end"), field),
    ]
