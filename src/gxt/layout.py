"""The run branch's format: what stands in which file, and how. docs/format.md is its specification.

gxt.yaml                                    format version and team settings
.gitattributes                              how git diffs, merges and shows what is here
experiments/<experiment>/experiment.yaml
experiments/<experiment>/<run-id>/run.yaml, params.yaml, metrics.yaml, inputs.yaml    from a Run
experiments/<experiment>/<run-id>/metrics.csv, system.csv, environment.txt, output.log, artifacts/...,
                                  code.patch, notebook.py    written while the run records, committed as they are
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from gxt.errors import FormatError
from gxt.model import (
    UNREADABLE,
    Experiment,
    MetricPoint,
    Run,
    Summary,
    experiment_folder,
    experiment_name,
    format_time,
    parse_time,
)
from gxt.showing import quoted, shortened
from gxt.yamltext import Flow, Plain, dump, load_mapping

FORMAT = 1
"""The version in gxt.yaml. A reader refuses to write to a branch with a greater one."""

GXT_YAML = "gxt.yaml"
GITATTRIBUTES = ".gitattributes"
EXPERIMENTS = "experiments"
EXPERIMENT_YAML = "experiment.yaml"

RUN_YAML, PARAMS_YAML, METRICS_YAML, INPUTS_YAML = "run.yaml", "params.yaml", "metrics.yaml", "inputs.yaml"
RUN_DOCUMENTS = (RUN_YAML, PARAMS_YAML, METRICS_YAML, INPUTS_YAML)
"""The files that make a Run; small, and all that a listing reads."""

METRICS_CSV, SYSTEM_CSV = "metrics.csv", "system.csv"
ENVIRONMENT_TXT, OUTPUT_LOG, ARTIFACTS = "environment.txt", "output.log", "artifacts"
CODE_PATCH, NOTEBOOK_PY = "code.patch", "notebook.py"
METRICS_HEADER = b"step,metric,value,time\n"
SYSTEM_HEADER = b"time,metric,value\n"

RUN_FILES = (
    *RUN_DOCUMENTS,
    METRICS_CSV,
    SYSTEM_CSV,
    ENVIRONMENT_TXT,
    OUTPUT_LOG,
    CODE_PATCH,
    NOTEBOOK_PY,
    GITATTRIBUTES,
)
"""What may be in a run's folder beside artifacts. Its .gitattributes says which of these are in Git LFS."""

GITATTRIBUTES_TEXT = b"""\
# Written by gxt: how git treats the runs on this branch.
# Bytes stay as they were recorded, on every platform.
* -text
# Merged key by key, where `gxt init` has set git up for it.
/gxt.yaml merge=gxt
/experiments/** merge=gxt
# Points that two sides added to one run are all kept, by any git.
metrics.csv merge=union
system.csv merge=union
# Generated or bulky: folded away in a review, on GitHub and on GitLab, so that what is open is the small YAML.
metrics.csv linguist-generated gitlab-generated
system.csv linguist-generated gitlab-generated -diff
environment.txt linguist-generated gitlab-generated
output.log linguist-generated gitlab-generated
code.patch linguist-generated gitlab-generated -whitespace
notebook.py linguist-generated gitlab-generated
experiments/*/*/artifacts/** linguist-generated gitlab-generated
"""

# What earlier versions of gxt wrote.
_FORMER_ATTRIBUTES = {
    b"# Points that two sides added to one run are all kept.",
    b"# Generated or bulky: folded away in a review on hosts that know the attribute.",
    b"metrics.csv linguist-generated",
    b"system.csv linguist-generated",
    b"environment.txt linguist-generated",
    b"output.log linguist-generated",
    b"code.patch linguist-generated -whitespace",
    b"experiments/*/*/artifacts/** linguist-generated",
}


def is_own_gitattributes(data: bytes) -> bool:
    """Whether a branch's .gitattributes has nothing in it but what some version of gxt wrote."""
    return set(data.splitlines()) <= _FORMER_ATTRIBUTES | set(GITATTRIBUTES_TEXT.splitlines())


def run_path(experiment: str, run_id: str) -> str:
    """A run's folder on the branch."""
    return f"{EXPERIMENTS}/{experiment_folder(experiment)}/{run_id}"


def experiment_path(name: str) -> str:
    """Where an experiment's own document is."""
    return f"{EXPERIMENTS}/{experiment_folder(name)}/{EXPERIMENT_YAML}"


# --- runs ---------------------------------------------------------------------------------------------

# run.yaml's fields in their order: (key, attribute of Run, how it is written). Fields without a value are left out.
_RUN_FIELDS = (
    ("id", "id", "text"),
    ("name", "name", "text"),
    ("status", "status", "text"),
    ("started", "started", "time"),
    ("ended", "ended", "time"),
    ("exit_code", "exit_code", "number"),
    ("author", "author", "text"),
    ("parent", "parent", "text"),
    ("deleted", "deleted", "time"),
    ("tags", "tags", "sorted"),
    ("note", "note", "text"),
    ("source", "source", "mapping"),
    ("environment", "environment", "mapping"),
)


def run_files(run: Run) -> dict[str, bytes]:
    """A run's documents: file name to content. inputs.yaml is there only when the run has inputs."""
    files = {
        RUN_YAML: dump(_fields(run, _RUN_FIELDS)),
        PARAMS_YAML: dump(_sorted(run.params)),
        METRICS_YAML: metrics_document(run.metrics),
    }
    if run.inputs:
        files[INPUTS_YAML] = _inputs_document(run.inputs)
    return files


def metrics_document(metrics: Mapping[str, Summary]) -> bytes:
    """metrics.yaml."""
    return dump({name: Flow(vars(summary)) for name, summary in sorted(metrics.items())})


def _inputs_document(inputs: Mapping[str, Any]) -> bytes:
    # Sorted but for what is inside: the order of a table's columns is its own.
    abouts = {name: dict(sorted(about.items())) if isinstance(about, dict) else about for name, about in inputs.items()}
    return dump(dict(sorted(abouts.items())))


class Unread(NamedTuple):
    """Stands for the content of a file that is there but could not be read: why, and whether git lacks its object,
    which may change.
    """

    why: str
    is_lost: bool = False


Documents = Mapping[str, bytes | Unread]
"""The files of a run's folder by name."""


class Problem(NamedTuple):
    """What is wrong with one of a run's documents. One that is missing stands for an empty one."""

    document: str
    why: str
    is_missing: bool = False

    def __str__(self) -> str:
        return f"{self.document}{'' if self.why[:1] in ',:' else ' '}{self.why}"


def read_run(experiment: str, run_id: str, files: Documents) -> Run:
    """The Run that `run_files` wrote, or that somebody edited by hand since.

    Raises:
        FormatError: a document cannot be read, is no YAML, or holds something else than it should; or there is no
            run.yaml.
    """
    run, problems = examine_run(experiment, run_id, files)
    for problem in problems:
        if problem.document == RUN_YAML or not problem.is_missing:
            raise FormatError(f"{run_path(experiment, run_id)}/{problem}")
    return run


def read_run_as_far_as_possible(experiment: str, run_id: str, files: Documents) -> Run:
    """As `read_run`, but a document that cannot be read is left out, and the run's `problem` says why.

    Where that is run.yaml, the status is "unreadable" and the start that of the run id.
    """
    run, problems = examine_run(experiment, run_id, files)
    return replace(run, problem="; ".join(map(str, problems))) if problems else run


def examine_run(experiment: str, run_id: str, files: Documents) -> tuple[Run, list[Problem]]:
    """A run as far as its documents can be read, and what is wrong with each of the others."""
    found: dict[str, Any] = {}
    problems = []
    for name, (attribute, read) in _DOCUMENTS.items():
        data = files.get(name)
        if data is None:
            if name != INPUTS_YAML:
                problems.append(Problem(name, "is missing", is_missing=True))
            continue
        try:
            if isinstance(data, Unread):
                raise FormatError(f"{name} {data.why}")
            found[attribute] = read(data, name)
        except FormatError as error:
            problems.append(Problem(name, error.message.removeprefix(name).lstrip(" ")))
    about = found.pop("about", None)
    if about is None:
        about = {"status": UNREADABLE, "started": _start(run_id)}
    about.pop("id", None)  # the folder's name is the id
    return Run(id=run_id, experiment=experiment, **about, **found), problems


def _start(run_id: str) -> int | None:
    text = start_in_id(run_id)
    return None if text == "null" else parse_time(text)


def start_in_id(run_id: str) -> str:
    """The start that a run's id says, as YAML has it; "null" where that is no time."""
    day, time, _ = run_id.split("-")
    text = f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}Z"
    try:
        parse_time(text)
    except ValueError:
        return "null"
    return text


def _inputs(data: bytes, where: str) -> dict[str, dict[str, Any]]:
    inputs = load_mapping(data, where)
    for name, about in inputs.items():
        if not isinstance(about, dict):
            raise FormatError(f"{where}: {shortened(name, 60)}: expected a mapping, found {quoted(about)}")
    return inputs


def read_summaries(data: bytes, where: str) -> dict[str, Summary]:
    """What a metrics.yaml says; `where` names it in errors. Raises FormatError where it is none."""
    return {
        name: _summary(value, f"{where}: {shortened(name, 60)}") for name, value in load_mapping(data, where).items()
    }


def _summary(value: Any, where: str) -> Summary:
    try:
        last, least, greatest, first = (float(value[key]) for key in ("last", "min", "max", "first"))
        return Summary(last, least, greatest, first, step=int(value["step"]), count=int(value["count"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        raise FormatError(f"{where}: expected {{last, min, max, first, step, count}}, found {quoted(value)}") from None


def _about(data: bytes, where: str) -> dict[str, Any]:
    return _attributes(data, _RUN_FIELDS, where)


_DOCUMENTS: dict[str, tuple[str, Callable[[bytes, str], Any]]] = {
    RUN_YAML: ("about", _about),
    PARAMS_YAML: ("params", load_mapping),
    METRICS_YAML: ("metrics", read_summaries),
    INPUTS_YAML: ("inputs", _inputs),
}
"""What each document holds of a run, and what reads it."""


# --- experiments and the branch itself --------------------------------------------------------------------

_EXPERIMENT_FIELDS = (
    ("id", "id", "text"),
    ("name", "name", "text"),
    ("created", "created", "time"),
    ("description", "description", "text"),
    ("tags", "tags", "sorted"),
    ("goals", "goals", "sorted"),
    ("deleted", "deleted", "time"),
)


def experiment_document(experiment: Experiment) -> bytes:
    """experiment.yaml."""
    return dump(_fields(experiment, _EXPERIMENT_FIELDS))


def read_experiment(folder: str, data: bytes | Unread | None) -> Experiment:
    """The experiment in a folder of the branch; one without experiment.yaml is named by its folder.

    Raises:
        FormatError: experiment.yaml cannot be read, is no YAML, or holds something else than it should.
    """
    where = f"{EXPERIMENTS}/{folder}/{EXPERIMENT_YAML}"
    if isinstance(data, Unread):
        raise FormatError(f"{where} {data.why}")
    values = _attributes(data or b"", _EXPERIMENT_FIELDS, where)
    # The folder is what runs are found by; a name that does not belong to it was edited by hand.
    if experiment_folder(values.get("name") or "-") != folder:
        values["name"] = experiment_name(folder)
    return Experiment(id=values.pop("id", None) or "", **values)


def written_name(data: bytes, where: str) -> str | None:
    """The name that an experiment.yaml itself says, None where it says none; `where` names it in errors."""
    return _attributes(data, _EXPERIMENT_FIELDS, where).get("name")


def gxt_document() -> bytes:
    """gxt.yaml of a new branch."""
    return dump({"format": FORMAT})


def read_format(data: bytes) -> int:
    """The format version in gxt.yaml. Raises FormatError when there is none."""
    version = load_mapping(data, GXT_YAML).get("format")
    if type(version) is not int:
        raise FormatError(f"{GXT_YAML}: `format:` should be a number, found {quoted(version)}")
    return version


def read_artifact_settings(data: bytes) -> dict[str, Any]:
    """What gxt.yaml says of large artifacts: `threshold` and `store`, where it does."""
    settings = load_mapping(data, GXT_YAML).get("artifacts")
    if settings is not None and not isinstance(settings, dict):
        raise FormatError(f"{GXT_YAML}: `artifacts:` should be a mapping, found {settings!r}")
    return settings or {}


def with_artifact_settings(data: bytes, changes: Mapping[str, str | None]) -> bytes:
    """gxt.yaml with some of these settings changed, None for those to take away; all else stays."""
    document = load_mapping(data, GXT_YAML)
    settings = {key: value for key, value in {**read_artifact_settings(data), **changes}.items() if value is not None}
    document.pop("artifacts", None)
    return dump({**document, **({"artifacts": dict(sorted(settings.items()))} if settings else {})})


def write_document(name: str, content: Mapping[str, Any]) -> bytes:
    """The document of that file name, in the form in which gxt writes it; the mapping may hold more than gxt knows."""
    if name == INPUTS_YAML:
        return _inputs_document(content)
    fields = {RUN_YAML: _RUN_FIELDS, EXPERIMENT_YAML: _EXPERIMENT_FIELDS}.get(name)
    if fields is None:
        return dump(_sorted(content))
    known: dict[str, Any] = {}
    for key, _, kind in fields:
        if key in content:
            value = content[key]
            if kind == "time" and isinstance(value, str) and _TIME.fullmatch(value):
                value = Plain(value)
            known[key] = _sorted(value) if kind == "sorted" and isinstance(value, Mapping) else value
    return dump(known | _sorted({key: value for key, value in content.items() if key not in known}))


_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


# --- fields -------------------------------------------------------------------------------------------------


def _fields(value: Any, fields: Sequence[tuple[str, str, str]]) -> dict[str, Any]:
    document = {}
    for key, attribute, kind in fields:
        content = getattr(value, attribute)
        if content is None or content in ("", {}):
            continue
        if kind == "time":
            content = Plain(format_time(content))
        elif kind == "sorted":
            content = _sorted(content)
        document[key] = content
    return document | _sorted(value.extra)


def _attributes(data: bytes, fields: Sequence[tuple[str, str, str]], where: str) -> dict[str, Any]:
    document = load_mapping(data, where)
    values: dict[str, Any] = {}
    for key, attribute, kind in fields:
        content = document.pop(key, None)
        if content is None:
            continue
        try:
            values[attribute] = _READ[kind](content)
        except (TypeError, ValueError, AttributeError, OverflowError):
            raise FormatError(f"{where}: {key}: expected {_EXPECTED[kind]}, found {quoted(content)}") from None
    return values | {"extra": document}


def _mapping(content: Any) -> dict[str, Any]:
    return dict(content.items())


def _as_text(value: Any) -> str:
    """A tag as text, also where somebody wrote `stage: true` by hand."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


_READ: dict[str, Any] = {
    "text": str,
    "time": lambda content: parse_time(str(content)),
    "number": int,
    "mapping": _mapping,
    "sorted": lambda content: {key: _as_text(value) for key, value in _mapping(content).items()},
}
_EXPECTED = {
    "text": "text",
    "time": "a time such as 2026-11-23T08:30:00.123Z",
    "number": "a number",
    "mapping": "a mapping",
    "sorted": "a mapping",
}


def _sorted(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _sorted(value) if isinstance(value, Mapping) else value for key, value in sorted(mapping.items())}


# --- metrics.csv ----------------------------------------------------------------------------------------------


def metric_value(value: float) -> str:
    """The shortest decimal that reads back as the same double; `nan`, `inf` and `-inf` as they are."""
    text = repr(value)
    return text.removesuffix(".0")


def csv_name(metric: str) -> str:
    """A metric's name as a CSV field (RFC 4180): quoted where it holds a comma or a quote."""
    if "," in metric or '"' in metric:
        return '"' + metric.replace('"', '""') + '"'
    return metric


def read_points(data: bytes) -> Iterator[MetricPoint]:
    """The points of a metrics.csv in logging order. A line that is not whole (a crash cut it) is passed over."""
    for line in data.split(b"\n")[:-1]:  # what follows the last newline was never finished
        try:
            if b'"' in line:
                raise ValueError
            step, metric, value, time = line.decode().split(",")
            yield MetricPoint(int(step), metric, float(value), int(time))
        except ValueError:
            point = _quoted_point(line) if b'"' in line else None  # else the header, or a broken line
            if point is not None:
                yield point


_POINT = re.compile(rb"-?[0-9]+,[^,\"\n]*,(?:-?[0-9]+(?:\.[0-9]+)?(?:e[-+]?[0-9]+)?|-?inf|nan),-?[0-9]+\n")
"""A point as it is written here; others can be read too."""


def broken_lines(data: bytes) -> list[bytes]:
    """The lines of a metrics.csv that `read_points` passes over, but for the header; one that was never finished too.

    >>> broken_lines(b"step,metric,value,time\\n0,rmse,9.5,1763886601123\\n1,rmse\\n")
    [b'1,rmse']
    """
    points = data.removeprefix(METRICS_HEADER)
    if not _POINT.sub(b"", points):  # a million points in a quarter of a second
        return []
    *lines, rest = points.split(b"\n")
    return [line for line in lines if not _is_point(line + b"\n")] + ([rest] if rest else [])


def _is_point(line: bytes) -> bool:
    return _POINT.fullmatch(line) is not None or any(True for _ in read_points(line))


def _quoted_point(line: bytes) -> MetricPoint | None:
    import csv  # here for start-up time: few names need it
    import io

    try:
        ((step, metric, value, time),) = csv.reader(io.StringIO(line.decode()))
        return MetricPoint(int(step), metric, float(value), int(time))
    except (ValueError, csv.Error):
        return None


def write_points(points: Iterable[MetricPoint]) -> bytes:
    """A whole metrics.csv."""
    lines = (f"{p.step},{csv_name(p.metric)},{metric_value(p.value)},{p.time}\n" for p in points)
    return METRICS_HEADER + "".join(lines).encode()


# --- commit messages --------------------------------------------------------------------------------------------

RUN_TRAILER, EXPERIMENT_TRAILER = "Gxt-Run", "Gxt-Experiment"
_VERBS = {"running": "running", "finished": "finished", "failed": "failed", "killed": "was killed"}


def runs_message(runs: Sequence[Run]) -> str:
    """A journal line, a line for each run where there are several, and trailers that git understands."""
    trailers = []
    for run in runs:
        trailers.append(f"{RUN_TRAILER}: {run.id}")
        if commit := run.source.get("commit"):
            trailers.append(f"Gxt-Code: {commit}")
    if len(runs) == 1:
        return f"{_journal_line(runs[0])}\n\n" + "\n".join(trailers) + "\n"
    experiments = sorted({run.experiment for run in runs})
    subject = f"{experiments[0] if len(experiments) == 1 else f'{len(experiments)} experiments'}: {len(runs)} runs"
    body = "\n".join(_journal_line(run) for run in runs)
    return f"{subject}\n\n{body}\n\n" + "\n".join(trailers) + "\n"


def edit_message(run: Run, what: str) -> str:
    """The message of an edit to a run that is already on the branch."""
    # On one line, and not for ever: a tag's text must not look like a trailer.
    said = " ".join(what.split())
    return f"{run.experiment}: {run.name or run.id} {said[:100]}\n\n{RUN_TRAILER}: {run.id}\n"


def experiment_message(name: str, what: str) -> str:
    """The message of a commit that creates or changes an experiment's document."""
    return f"{name}: {what}\n\n{EXPERIMENT_TRAILER}: {name}\n"


def with_new_experiments(message: str, names: Sequence[str]) -> str:
    """The message of a commit of runs that begins experiments too."""
    return message + "".join(f"{EXPERIMENT_TRAILER}: {name}\n" for name in names)


def _journal_line(run: Run) -> str:
    """`nyc-taxi: calm-otter finished, rmse=6.3017`, with as many metrics as keep it short."""
    line = f"{run.experiment}: {run.name or run.id} {_VERBS.get(run.status, run.status)}"
    metrics = [f"{name}={summary.last:.6g}" for name, summary in sorted(run.metrics.items())]
    for metric in metrics[:4]:
        if len(line) + len(metric) > 70 and "=" in line:
            break
        line += f", {metric}"
    return line
