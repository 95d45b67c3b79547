"""Naming what runs hold: fields such as `metrics.rmse`, sorting by them, and choosing the best run."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from gxt.errors import NotFoundError, UsageError
from gxt.model import Run, flatten, format_time

ATTRIBUTES: dict[str, Callable[[Run], Any]] = {
    "id": lambda run: run.short_id,
    "run_id": lambda run: run.id,
    "name": lambda run: run.name,
    "experiment": lambda run: run.experiment,
    "status": lambda run: run.status,
    "started": lambda run: format_time(run.started) if run.started is not None else None,
    "ended": lambda run: format_time(run.ended) if run.ended is not None else None,
    "duration": lambda run: run.duration,
    "author": lambda run: run.author,
    "parent": lambda run: run.parent,
    "note": lambda run: run.note,
    "exit_code": lambda run: run.exit_code,
    "command": lambda run: run.source.get("command"),
    "entrypoint": lambda run: run.source.get("entrypoint"),
    "commit": lambda run: run.source.get("commit"),
    "branch": lambda run: run.source.get("branch"),
    "dirty": lambda run: run.source.get("dirty"),
}
"""A run's own fields, by the name that columns and sort keys give them."""

# MLflow's names of the same: https://mlflow.org/docs/latest/search-runs
_ALIASES = {"run_name": "name", "start_time": "started", "end_time": "ended", "created": "started"}
_KINDS = {
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), "attributes"),
    **dict.fromkeys(("metrics", "metric"), "metrics"),
    **dict.fromkeys(("params", "parameters", "param", "parameter"), "params"),
    **dict.fromkeys(("tags", "tag"), "tags"),
}


class Field(NamedTuple):
    """Something that a run may have: a metric's last value, a param, a tag, or one of its own attributes."""

    kind: str
    name: str

    def of(self, run: Run) -> Any:
        """The run's value, None where it has none."""
        if self.kind == "metrics":
            summary = run.metrics.get(self.name)
            return None if summary is None else summary.last
        if self.kind == "params":
            return flatten(run.params).get(self.name)
        if self.kind == "tags":
            return run.tags.get(self.name)
        return ATTRIBUTES[self.name](run)

    def __str__(self) -> str:
        return self.name if self.kind == "attributes" else f"{self.kind}.{self.name}"


def fields_of(runs: Iterable[Run]) -> list[Field]:
    """Every param, metric and tag that some run has, each kind sorted by name."""
    names: dict[str, set[str]] = {"params": set(), "metrics": set(), "tags": set()}
    for run in runs:
        names["params"].update(flatten(run.params))
        names["metrics"].update(run.metrics)
        names["tags"].update(run.tags)
    return [Field(kind, name) for kind, found in names.items() for name in sorted(found)]


def resolve(text: str, known: Sequence[Field]) -> Field:
    """The field that a text names: with its kind (`metrics.rmse`), or bare where only one thing can be meant.

    Raises:
        NotFoundError: no run has it; the message has near names.
        UsageError: a bare name that may be several things.
    """
    text = text.replace("`", "").replace('"', "")
    kind, dot, name = text.partition(".")
    if dot and kind.lower() in _KINDS:
        field = Field(_KINDS[kind.lower()], name)
        if field.kind == "attributes":
            field = Field("attributes", _ALIASES.get(name.lower(), name.lower()))
        if field in known or (field.kind == "attributes" and field.name in ATTRIBUTES):
            return field
    candidates = [field for field in known if field.name == text]
    attribute = _ALIASES.get(text.lower(), text.lower())
    if attribute in ATTRIBUTES:
        candidates.append(Field("attributes", attribute))
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        spelled = " or ".join(f"{field.kind}.{field.name}" for field in candidates)
        raise UsageError(f"{text!r} may be several things", f"say {spelled}")
    raise NotFoundError(f"no run has {text!r}", _near(text, known))


def _near(text: str, known: Sequence[Field]) -> str | None:
    spelled = {field.name: str(field) for field in known} | {name: name for name in ATTRIBUTES}
    bare = text.partition(".")[2] if text.partition(".")[0].lower() in _KINDS else text
    near = difflib.get_close_matches(bare, spelled, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(spelled[name] for name in near)}?" if near else None


class SortKey(NamedTuple):
    """A field to sort by."""

    field: Field
    descending: bool


_SORT = re.compile(r"(?P<name>.+?)(?:[:\s]\s*(?P<direction>asc|desc))?", re.IGNORECASE)


def parse_sort(text: str, known: Sequence[Field]) -> SortKey:
    """`rmse`, `rmse:desc`, or MLflow's `metrics.rmse DESC`. Raises as `resolve` does."""
    name, colon, direction = text.partition(":")
    if colon and direction.strip().lower() not in ("asc", "desc") and not any(field.name == text for field in known):
        raise UsageError(f"sort {name!r} by {direction!r}?", f"{name}:asc or {name}:desc")
    match = _SORT.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"not a sort key: {text!r}", "a field, and perhaps :desc")
    return SortKey(resolve(match["name"].strip(), known), (match["direction"] or "asc").lower() == "desc")


def sort(runs: Sequence[Run], keys: Sequence[SortKey]) -> list[Run]:
    """The runs in order, the first key the strongest; what has no value, or NaN, comes last both ways."""
    ordered = list(runs)
    for key in reversed(keys):
        have = [run for run in ordered if not _absent(key.field.of(run))]
        lack = [run for run in ordered if _absent(key.field.of(run))]
        have.sort(key=lambda run: _comparable(key.field.of(run)), reverse=key.descending)
        ordered = have + lack
    return ordered


def _absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _comparable(value: Any) -> tuple[int, Any]:
    """Numbers before text before the rest, so that a param that is sometimes text can still be sorted."""
    if isinstance(value, (bool, int, float)):
        return (0, value)
    return (1, value) if isinstance(value, str) else (2, str(value))


def best(runs: Iterable[Run], metric: str, goal: str = "min") -> Run:
    """The run with the least ("min") or greatest ("max") last value of a metric, the earliest of equals.

    Raises:
        NotFoundError: no run has a number for it.
    """
    if goal not in ("min", "max"):
        raise UsageError(f"best by {goal!r}?", "min or max")
    having = [run for run in runs if metric in run.metrics and not math.isnan(run.metrics[metric].last)]
    if not having:
        raise NotFoundError(f"no run has a value of the metric {metric!r}")
    sign = 1 if goal == "min" else -1
    return min(having, key=lambda run: (sign * run.metrics[metric].last, run.started or 0, run.id))
