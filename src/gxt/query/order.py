"""Sorting runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from gxt.errors import UsageError
from gxt.model import Run
from gxt.query.fields import Field, Known, bounded, is_a_name, resolve, scalar
from gxt.query.versions import version_key

_MOST_KEYS = 64


class SortKey(NamedTuple):
    """A field to sort by."""

    field: Field
    descending: bool


_DIRECTED = re.compile(r"(?P<name>.+?)(?:\s*:\s*|\s+)(?P<direction>[a-z]+)", re.IGNORECASE | re.DOTALL)


def parse_order(texts: Sequence[str], known: Known, allow_unknown: bool = False) -> list[SortKey]:
    """Sort keys, the first the strongest. Raises as `parse_sort` does."""
    if len(texts) > _MOST_KEYS:
        raise UsageError(f"{len(texts)} sort keys", f"at most {_MOST_KEYS}")
    return [parse_sort(text, known, allow_unknown) for text in texts]


def parse_sort(text: str, known: Known, allow_unknown: bool = False) -> SortKey:
    """`rmse`, `rmse:desc`, or MLflow's `metrics.rmse DESC`.

    Raises as `resolve` does, and UsageError for a direction that is none.
    """
    key = text.strip()
    if not key:
        raise UsageError("an empty sort key", "a field, and perhaps :desc")
    match = None if is_a_name(key, known) else _DIRECTED.fullmatch(key)
    if match is None:
        return SortKey(resolve(key, known, allow_unknown), False)
    direction = match["direction"].lower()
    if direction in ("asc", "desc"):
        return SortKey(resolve(match["name"], known, allow_unknown), direction == "desc")
    if is_a_name(match["name"], known):
        name = match["name"]
        raise UsageError(f"sort {name!r} by {match['direction']!r}?", f"{name}:asc or {name}:desc")
    return SortKey(resolve(key, known, allow_unknown), False)


def sort(runs: Iterable[Run], keys: Sequence[SortKey]) -> list[Run]:
    """The runs in order, the first key the strongest; what has no value, or NaN, comes last both ways."""
    ordered = list(runs)
    for key in reversed(keys):
        ranked = [(rank(key.field, run), run) for run in ordered]
        have = [(found, run) for found, run in ranked if found is not None]
        have.sort(key=lambda item: item[0], reverse=key.descending)
        ordered = [run for _, run in have] + [run for found, run in ranked if found is None]
    return ordered


def rank(field: Field, run: Run) -> tuple[int, Any] | None:
    """What a run is sorted by: numbers before text before the rest, so that a param that is sometimes text can still
    be sorted. None where it has no value, or NaN.
    """
    value = field.value(run)
    if field.kind == "dataset":
        value = min(value, default=None)
    if value is None:
        return None
    if field.type != "any":
        if field.type == "version":
            return (0, version_key(str(scalar(value).text)))
        known = value if isinstance(value, str) else bounded(value)
        return None if known is None else (0, known)
    found = scalar(value)
    if found.type in ("number", "boolean"):
        return None if found.number is None else (0, found.number)
    return (1 if found.type == "text" else 2, found.text)
