"""Choosing a table's columns: `name,metrics.*,params.opt*`, or all but some: `-params.seed`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from gxt.errors import NotFoundError
from gxt.query.fields import ATTRIBUTES, CODE, DATASET, ENVIRONMENT, KINDS, Field, Known, is_a_name, resolve


class Columns(NamedTuple):
    """The columns that somebody asked for.

    Attributes:
        chosen: those named or matched by a pattern, in order; nothing where nobody chose.
        matched: those of them that only a pattern matched.
        dropped: those that are not to be shown.
    """

    chosen: Sequence[Field] = ()
    matched: Collection[Field] = frozenset()
    dropped: Collection[Field] = frozenset()

    def without_dropped(self, fields: Iterable[Field]) -> list[Field]:
        """The fields that nobody dropped."""
        return [field for field in fields if field not in self.dropped]


def parse_columns(texts: Iterable[str], known: Known, allow_unknown: bool = False) -> Columns:
    """Names of fields, as `resolve` understands them, and patterns with `*` and `?`; a leading `-` drops.

    A pattern matches within what it begins with (`params.opt*`), else whole names of attributes, metrics, params and
    tags, with or without their kind.

    Raises:
        NotFoundError: no run has such a field.
        UsageError: a bare name that may be several things.
    """
    chosen: dict[Field, bool] = {}  # and whether by its name
    dropped: set[Field] = set()
    for text in texts:
        drops = text.startswith("-") and not known.kinds(text)
        name = text[1:] if drops else text
        if not _is_pattern(name, known):
            found, named = [resolve(name, known, allow_unknown)], True
        else:
            found, named = _matching(name, known), False
            if not found and not allow_unknown:
                raise NotFoundError(f"no run has anything like {name!r}")
        if drops:
            dropped.update(found)
        else:
            for field in found:
                chosen[field] = chosen.get(field, False) or named
    matched = frozenset(field for field, named in chosen.items() if not named)
    return Columns([field for field in chosen if field not in dropped], matched, frozenset(dropped))


def _is_pattern(name: str, known: Known) -> bool:
    """Whether a name has wildcards: not where it is quoted, and not where a run has it just so."""
    if not set("*?") & set(name) or set('`"') & set(name):
        return False
    return not is_a_name(name, known)


def _matching(pattern: str, known: Known) -> list[Field]:
    kind, dot, rest = pattern.partition(".")
    within = KINDS.get(kind.lower()) if dot else None
    if within is None:
        return [field for field in _all(known) if _matches(pattern, field.name) or _matches(pattern, str(field))]
    others = {"attributes": ATTRIBUTES, "code": CODE, "dataset": DATASET, "environment": ENVIRONMENT}
    fields = [Field(within, name) for name in others[within]] if within in others else known.fields()
    return [field for field in fields if field.kind == within and _matches(rest, field.name)]


def _all(known: Known) -> list[Field]:
    """Attributes, metrics, params and tags, in the order in which tables have them."""
    by_kind: dict[str, list[Field]] = {"metrics": [], "params": [], "tags": []}
    for field in known.fields():
        by_kind[field.kind].append(field)
    attributes = [Field("attributes", name) for name in ("name", *ATTRIBUTES)]
    return list(dict.fromkeys([*attributes, *(field for fields in by_kind.values() for field in fields)]))


def _matches(pattern: str, name: str) -> bool:
    return fnmatchcase(name, pattern.replace("[", "[[]"))  # brackets in a param's name stand for themselves
