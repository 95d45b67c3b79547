"""Naming what runs hold: `metrics.rmse`, `metrics.rmse.min`, `params.model.depth`, `code.commit`, `started`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from gxt.errors import NotFoundError, UsageError, did_you_mean
from gxt.model import Run, flatten, format_time


class Attribute(NamedTuple):
    """One of a run's own fields: what it is compared as ("text", "number", "time" or "duration"), and its value."""

    type: str
    of: Callable[[Run], Any]


ATTRIBUTES: dict[str, Attribute] = {
    "id": Attribute("text", lambda run: run.short_id),
    "run_id": Attribute("text", lambda run: run.id),
    "name": Attribute("text", lambda run: run.name or None),
    "experiment": Attribute("text", lambda run: run.experiment),
    "status": Attribute("text", lambda run: run.status),
    "started": Attribute("time", lambda run: run.started),
    "ended": Attribute("time", lambda run: run.ended),
    "duration": Attribute("duration", lambda run: run.duration),
    "author": Attribute("text", lambda run: run.author),
    "parent": Attribute("text", lambda run: run.parent),
    "note": Attribute("text", lambda run: run.note),
    "exit_code": Attribute("number", lambda run: run.exit_code),
    "problem": Attribute("text", lambda run: run.problem),
}
"""A run's own fields, by the name that filters, columns and sort keys give them."""

CODE = ("command", "entrypoint", "cwd", "commit", "branch", "dirty", "remote", "snapshot", "reproduces", "rerun_of")
"""What every run's source may say, and so what `code.` can be followed by even where no run says it."""

ENVIRONMENT = (
    *("python", "implementation", "prefix", "python_of", "platform", "distribution", "cpu", "cpus", "memory"),
    *("gpus", "gpu_driver", "cuda", "container.kind", "ci.kind", "ci.job", "ci.url", "job.kind", "job.id"),
)
"""What every run's environment may say, and so what `environment.` can be followed by even where no run says it."""

_VERSIONS = ("python", "gpu_driver", "cuda")

DATASET: dict[str, str] = {
    "name": "text",
    "digest": "text",
    "context": "text",
    "source": "text",
    "dtype": "text",
    "dvc": "text",
    "lfs": "text",
    "rows": "number",
    "size": "number",
    "files": "number",
}
"""What can be asked of a run's datasets, and what it is compared as."""

PARTS = ("last", "min", "max", "first", "step", "count")
"""What is known of a metric without its history."""

KINDS = {
    **dict.fromkeys(("attributes", "attribute", "attr", "run"), "attributes"),
    **dict.fromkeys(("metrics", "metric"), "metrics"),
    **dict.fromkeys(("params", "parameters", "param", "parameter"), "params"),
    **dict.fromkeys(("tags", "tag"), "tags"),
    **dict.fromkeys(("datasets", "dataset"), "dataset"),
    "code": "code",
    "environment": "environment",
}
"""What a name may begin with, and the kind of field that it then means. All but `code` and `environment` are MLflow's
spellings."""

# MLflow's names of attributes: https://mlflow.org/docs/latest/ml/search/search-runs
_MLFLOW_ATTRIBUTES = {
    "run_id": "run_id",
    "run_name": "name",
    "run name": "name",
    "status": "status",
    "start_time": "started",
    "end_time": "ended",
    "created": "started",
    "user_id": "author",
}


class Field(NamedTuple):
    """Something that a run may have: a param, a tag, an attribute, something of its code, environment or datasets, or
    what is known of a metric. `kind` is one of KINDS' values, `part` one of PARTS for a metric, else empty.

    >>> str(Field("metrics", "rmse", "min"))
    'metrics.rmse.min'
    """

    kind: str
    name: str
    part: str = ""

    def value(self, run: Run) -> Any:
        """The run's value, None where it has none; times in milliseconds. For a dataset's field, a list of values."""
        if self.kind == "metrics":
            summary = run.metrics.get(self.name)
            return None if summary is None else getattr(summary, self.part or "last")
        if self.kind == "params":
            return flatten(run.params).get(self.name)
        if self.kind == "tags":
            return run.tags.get(self.name)
        if self.kind == "code":
            return run.source.get(self.name)
        if self.kind == "environment":
            return flatten(run.environment).get(self.name)
        if self.kind == "dataset":
            return [about[self.name] for about in datasets(run) if about[self.name] is not None]
        return ATTRIBUTES[self.name].of(run)

    def of(self, run: Run) -> Any:
        """The run's value as tables show it: times as text."""
        value = self.value(run)
        if self.kind == "dataset":
            return ", ".join(map(str, value)) or None
        return format_time(value) if self.type == "time" and value is not None else value

    @property
    def type(self) -> str:
        """What it is compared as: "number", "text", "time", "duration", "version", or "any": each value has its own."""
        if self.kind == "metrics":
            return "number"
        if self.kind == "attributes":
            return ATTRIBUTES[self.name].type
        if self.kind == "environment" and self.name in _VERSIONS:
            return "version"
        return DATASET[self.name] if self.kind == "dataset" else "any"

    def __str__(self) -> str:
        name = self.name if self.kind == "attributes" else f"{self.kind}.{self.name}"
        return f"{name}.{self.part}" if self.part else name


# MLflow's system tags, where gxt keeps the same thing under a name of its own.
_MLFLOW_TAGS = {
    "mlflow.runName": Field("attributes", "name"),
    "mlflow.parentRunId": Field("attributes", "parent"),
    "mlflow.note.content": Field("attributes", "note"),
    "mlflow.user": Field("attributes", "author"),
    "mlflow.source.name": Field("code", "entrypoint"),
    "mlflow.source.git.commit": Field("code", "commit"),
    "mlflow.source.git.branch": Field("code", "branch"),
    "mlflow.source.git.repoURL": Field("code", "remote"),
}


# --- which fields there are ---------------------------------------------------------------------------------------


def fields_of(runs: Iterable[Run]) -> list[Field]:
    """Every param, metric and tag that some run has, each kind sorted by name."""
    names: dict[str, set[str]] = {"params": set(), "metrics": set(), "tags": set()}
    for run in runs:
        names["params"].update(flatten(run.params))
        names["metrics"].update(run.metrics)
        names["tags"].update(run.tags)
    return [Field(kind, name) for kind, found in names.items() for name in sorted(found)]


class Known(Protocol):
    """Which names the runs in question have."""

    def kinds(self, name: str) -> Collection[str]:
        """Under which of "params", "metrics", "tags", "code" and "environment" some run has the name."""

    def fields(self) -> Sequence[Field]:
        """Every param, metric and tag that some run has."""


class KnownOf:
    """The names that some runs at hand have."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self._fields = fields_of(runs)
        self._kinds: dict[str, set[str]] = {}
        for field in self._fields:
            self._kinds.setdefault(field.name, set()).add(field.kind)
        for run in runs:
            for name in run.source:
                self._kinds.setdefault(name, set()).add("code")
            for name in flatten(run.environment):
                self._kinds.setdefault(name, set()).add("environment")

    def kinds(self, name: str) -> Collection[str]:
        """As `Known` says."""
        return self._kinds.get(name, ())

    def fields(self) -> Sequence[Field]:
        """As `Known` says."""
        return self._fields


class KnownMetrics:
    """Some metrics' names, and no others."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def kinds(self, name: str) -> Collection[str]:
        """As `Known` says."""
        return ("metrics",) if name in self._names else ()

    def fields(self) -> Sequence[Field]:
        """As `Known` says."""
        return [Field("metrics", name) for name in sorted(self._names)]


# --- from text to field ---------------------------------------------------------------------------------------------


class _Name(NamedTuple):
    """A name as it was written: its kind where it says one, whether quotes mark where it ends, a metric's part after
    them, and the whole text without quotes."""

    kind: str | None
    name: str
    quoted: bool
    part: str
    whole: str


_PIECE = re.compile(r'`([^`]*)`|"((?:[^"]|"")*)"|([^`"]+)')


def _parse_name(text: str) -> _Name:
    pieces = [
        (match[3] is None, match[3] or match[1] or (match[2] or "").replace('""', '"'))
        for match in _PIECE.finditer(text)
    ]
    whole = "".join(piece for _, piece in pieces)
    kind, part = None, ""
    if pieces and not pieces[0][0]:
        prefix, dot, rest = pieces[0][1].partition(".")
        if dot and prefix.lower() in KINDS and (rest or len(pieces) > 1):
            kind = KINDS[prefix.lower()]
            pieces[:1] = [(False, rest)] if rest else []
    quoted = any(is_quoted for is_quoted, _ in pieces)
    if quoted and not pieces[-1][0] and pieces[-1][1].removeprefix(".") in PARTS:
        part = pieces.pop()[1].removeprefix(".")
    return _Name(kind, "".join(piece for _, piece in pieces), quoted, part, whole)


def resolve(text: str, known: Known, allow_unknown: bool = False, of_metric: bool = False) -> Field:
    """The field that a text names: with its kind (`metrics.rmse`), or bare where only one thing can be meant.

    A part of a metric follows its name: `metrics.rmse.min`. A metric whose own name ends in `.min` wins over the part
    of another; quotes say which is meant: `metrics."rmse".min`, `metrics."rmse.min"`. A bare name of an attribute
    (`status`, `name`, ...) means that even where a param has it too, as MLflow's do.

    With `allow_unknown`, a name that no run has is taken for a field that every run lacks. Where only a metric makes
    sense, `of_metric` leaves attributes, tags, code and environment out of what may have been meant.

    Raises:
        NotFoundError: no run has it; the message has near names.
        UsageError: a bare name that may be several things.
    """
    name = _parse_name(text)
    if name.kind is not None:
        field = _in_kind(name.kind, name, known)
        if field is not None:
            return field
    bare = name if name.kind is None else _Name(None, name.whole, name.quoted, "", name.whole)
    attribute = _in_kind("attributes", bare, known)
    if attribute is not None and not bare.part:
        return attribute
    found = (_in_kind(kind, bare, known) for kind in ("params", "metrics", "tags", "code"))
    candidates = [field for field in found if field is not None]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        spelled = " or ".join(f"{field.kind}.{field.name}" for field in candidates)
        raise UsageError(f"{text!r} may be several things", f"say {spelled}")
    if allow_unknown and name.kind not in ("attributes", "dataset"):
        return _assumed(name)
    raise NotFoundError(f"no run has {name.whole!r}", _near(name, known, of_metric))


_ALWAYS = {"code": CODE, "environment": ENVIRONMENT}


def is_a_name(text: str, known: Known) -> bool:
    """Whether some run has a param, metric or tag with just this name, with or without its kind before it; or it is an
    attribute's.
    """
    kind, dot, rest = text.partition(".")
    return bool(known.kinds(text)) or text in ATTRIBUTES or bool(dot and KINDS.get(kind.lower()) in known.kinds(rest))


def _in_kind(kind: str, name: _Name, known: Known) -> Field | None:
    """The field of that kind that a name means, None where there is none."""
    if kind == "attributes":
        attribute = _MLFLOW_ATTRIBUTES.get(name.name.lower(), name.name.lower())
        return Field(kind, attribute) if attribute in ATTRIBUTES else None
    if kind == "dataset":
        return Field(kind, name.name.lower()) if name.name.lower() in DATASET else None
    if kind in known.kinds(name.name) or name.name in _ALWAYS.get(kind, ()):
        return Field(kind, name.name, name.part if kind == "metrics" else "")
    if kind == "tags":
        return _MLFLOW_TAGS.get(name.name)
    metric, dot, part = name.name.rpartition(".")
    if kind == "metrics" and dot and part in PARTS and not name.quoted and kind in known.kinds(metric):
        return Field(kind, metric, part)
    return None


def _assumed(name: _Name) -> Field:
    if name.kind != "metrics":
        return Field(name.kind or "params", name.name)
    metric, dot, part = name.name.rpartition(".")
    if dot and part in PARTS and not name.quoted:
        return Field("metrics", metric, part)
    return Field("metrics", name.name, name.part)


def _near(name: _Name, known: Known, of_metric: bool = False) -> str | None:
    """What may have been meant by a name that no run has."""
    if name.kind == "dataset":
        return f"a dataset has {', '.join(DATASET)}"
    metric, dot, _ = name.name.rpartition(".")
    if dot and name.kind in (None, "metrics") and "metrics" in known.kinds(metric):
        return f"a metric's summary has {', '.join(PARTS)}"
    kinds = ("metrics", "params") if of_metric else ("metrics", "params", "tags")
    fields = [field for field in known.fields() if name.kind in (None, field.kind) and field.kind in kinds]
    spelled = {field.name: str(field) for field in fields}
    if not of_metric:
        spelled |= {each: f"{kind}.{each}" for kind in reversed(_ALWAYS) for each in _ALWAYS[kind]}
    if name.kind in (None, "attributes") and not of_metric:
        spelled |= {attribute: attribute for attribute in (*ATTRIBUTES, *_MLFLOW_ATTRIBUTES)}
    lower = name.name.lower()
    ends_alike = [other for other in spelled if other.lower() == lower or other.lower().endswith(f".{lower}")]
    if ends_alike:
        return f"did you mean {' or '.join(spelled[other] for other in ends_alike[:3])}?"
    hint = did_you_mean(name.name, spelled, spelled)
    if hint is None and name.kind is not None:
        return _near(name._replace(kind=None), known, of_metric)
    return hint


# --- values ---------------------------------------------------------------------------------------------------------


class Scalar(NamedTuple):
    """A param, tag, code or environment value in the form in which it is compared and sorted.

    Attributes:
        type: "number", "boolean", "text", or "other" for lists and empty mappings.
        number: what it is, or reads as, in numbers; None for NaN and for what is no number.
        text: how it is written; None for a value that is None.
    """

    type: str
    number: int | float | None
    text: str | None


_DECIMAL = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LONGEST_DECIMAL = 400


def scalar(value: Any) -> Scalar:
    """A value as filters see it.

    >>> scalar("0.5")
    Scalar(type='text', number=0.5, text='0.5')
    """
    if isinstance(value, str):
        return Scalar("text", decimal(value), value)
    if isinstance(value, bool):
        return Scalar("boolean", int(value), "true" if value else "false")
    if isinstance(value, (int, float)):
        return Scalar("number", bounded(value), str(value))
    return Scalar("text", None, None) if value is None else Scalar("other", None, json.dumps(value, ensure_ascii=False))


def datasets(run: Run) -> list[dict[str, Any]]:
    """What DATASET names of each of a run's datasets, None for what is not known or of another type."""
    return [
        {key: _dataset_value(about.get(key) if key != "name" else name, kind) for key, kind in DATASET.items()}
        for name, about in run.inputs.items()
    ]


def _dataset_value(value: Any, kind: str) -> Any:
    if kind == "number":
        return bounded(value) if isinstance(value, (int, float)) else None
    return None if value is None else scalar(value).text


def decimal(text: str) -> int | float | None:
    """The number that a text is, None where it is none."""
    if len(text) > _LONGEST_DECIMAL or not _DECIMAL.fullmatch(text):
        return None
    return bounded(int(text) if text.lstrip("+-").isdecimal() else float(text))


def bounded(number: int | float) -> int | float | None:
    """A number that SQLite can hold: a whole one of over 64 bits becomes the nearest double, NaN becomes None."""
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        try:
            return float(number)
        except OverflowError:
            return math.inf if number > 0 else -math.inf
    return None if number != number else number
