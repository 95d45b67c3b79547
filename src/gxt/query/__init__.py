"""Asking about runs: naming their fields, filtering and sorting by them.

A filter's text becomes an expression (`parse`), which says of a run in memory whether it holds (`expression`), and
becomes SQL for runs in a cache (`sql`). Nothing here knows where runs are kept.
"""

from gxt.query.columns import Columns, parse_columns
from gxt.query.deadline import Deadline
from gxt.query.expression import And, Comparison, Expression, In, IsNull, Match, Not, Or, Span, matches
from gxt.query.fields import ATTRIBUTES, Field, Known, KnownMetrics, KnownOf, decimal, fields_of, resolve, scalar
from gxt.query.order import SortKey, parse_order, parse_sort, sort
from gxt.query.parse import parse_filter
from gxt.query.times import parse_moment

__all__ = [
    "ATTRIBUTES",
    "And",
    "Columns",
    "Comparison",
    "Deadline",
    "Expression",
    "Field",
    "In",
    "IsNull",
    "Known",
    "KnownMetrics",
    "KnownOf",
    "Match",
    "Not",
    "Or",
    "SortKey",
    "Span",
    "decimal",
    "fields_of",
    "matches",
    "parse_columns",
    "parse_filter",
    "parse_moment",
    "parse_order",
    "parse_sort",
    "resolve",
    "scalar",
    "sort",
]
