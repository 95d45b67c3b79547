"""What tables of runs show: a run a row (`runs`), a group of runs a row, or a value for each pair of two fields' values
(`groups`). How that is written is render's part.
"""

from gxt.tables.groups import DEFAULT_AGGREGATES, group_table, pivot_table, sort_groups, value_fields
from gxt.tables.runs import all_fields, every_field, nested, run_table, told_apart, with_progress, without_empty

__all__ = [
    "DEFAULT_AGGREGATES",
    "all_fields",
    "every_field",
    "group_table",
    "nested",
    "pivot_table",
    "run_table",
    "sort_groups",
    "told_apart",
    "value_fields",
    "with_progress",
    "without_empty",
]
