"""One run on a page, as `gxt show` has it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from gxt.model import Run, flatten, format_duration, format_time
from gxt.query import Field
from gxt.render.cells import STATUS_STYLES, Paint, cell_text, size, when
from gxt.render.sources import source_pair
from gxt.render.table import Column, Table
from gxt.render.terminal import terminal
from gxt.showing import one_line


def run_page(run: Run, files: Mapping[str, int], now: int, paint: Paint) -> str:
    """A run as `gxt show` shows it. `paint(text, style)` colours headings and the status."""
    state = _state(run, paint) + ("" if run.place == "branch" else f" ({run.place})")
    lines = [f"{paint(one_line(run.name or run.id), 'bold')}  {state}", ""]
    lines += _pairs(
        {
            "id": run.id,
            "experiment": run.experiment,
            "started": None if run.started is None else f"{format_time(run.started)} ({when(run.started, now)})",
            "duration": None if run.duration is None else format_duration(run.duration),
            "exit code": run.exit_code,
            "author": run.author,
            "parent": run.parent,
            "problem": run.problem,
            **dict(source_pair(key, value) for key, value in run.source.items() if key != "dirty"),
            "dirty": "yes, the code had uncommitted changes" if run.source.get("dirty") else None,
            **{key: _of_machine(key, value) for key, value in run.environment.items() if value != "CPython"},
        },
        now,
    )
    if run.note:
        lines += ["", paint("note", "bold"), *(f"  {one_line(line)}".rstrip() for line in run.note.splitlines())]
    for title, pairs in (("params", flatten(run.params)), ("tags", run.tags)):
        if pairs:
            lines += ["", paint(title, "bold"), *_pairs(dict(sorted(pairs.items())), now, "  ")]
    if run.metrics:
        columns = [
            Column("metric"),
            *(Column(name, "number") for name in ("last", "min", "max", "first", "step", "points")),
        ]
        rows = [[name, *vars(summary).values()] for name, summary in run.metrics.items()]
        lines += ["", paint("metrics", "bold"), *_indented(Table(columns, rows), now)]
    if run.inputs:
        columns = [
            Column("input"),
            Column("for"),
            Column("rows", "number"),
            Column("digest"),
            Column("source"),
        ]
        rows = [
            [
                name,
                about.get("context"),
                about.get("rows"),
                str(about.get("digest", ""))[:19],
                about.get("source"),
            ]
            for name, about in run.inputs.items()
        ]
        lines += ["", paint("inputs", "bold"), *_indented(Table(columns, rows), now)]
    others = [path for path in files if not path.startswith("artifacts/") and path not in _ON_THE_PAGE]
    if others:
        columns = [Column("file"), Column("size", "size"), Column("to see it")]
        ordered = sorted(others, key=lambda path: (path not in _TO_SEE, [*_TO_SEE, path].index(path), path))
        rows = [
            [path, files[path], _TO_SEE.get(path, _GET).format(run=run.short_id, path=shlex.quote(path))]
            for path in ordered
        ]
        lines += ["", paint("files", "bold"), *_indented(Table(columns, rows), now)]
    artifacts = {path.removeprefix("artifacts/"): n for path, n in files.items() if path.startswith("artifacts/")}
    if artifacts:
        table = Table([Column("artifact"), Column("size", "size")], [[path, n] for path, n in artifacts.items()])
        lines += ["", paint("artifacts", "bold"), *_indented(table, now)]
    return "\n".join(lines) + "\n"


def best_page(run: Run, metric: Field, goal: str, total: int, now: int, paint: Paint) -> str:
    """The best run by a metric as `gxt best` shows it: what it is, its value and its params."""
    name = str(metric).removeprefix("metrics.")
    among = f", the {'least' if goal == 'min' else 'greatest'} of {total} runs" if total > 1 else ""
    about = {
        "id": run.id,
        "experiment": run.experiment,
        "started": None if run.started is None else f"{format_time(run.started)} ({when(run.started, now)})",
        name: f"{cell_text(metric.value(run), 'number', now)}{among}",
    }
    lines = [f"{paint(one_line(run.name or run.id), 'bold')}  {_state(run, paint)}", "", *_pairs(about, now)]
    if run.params:
        lines += ["", paint("params", "bold"), *_pairs(dict(sorted(flatten(run.params).items())), now, "  ")]
    return "\n".join(lines) + "\n"


def _state(run: Run, paint: Paint) -> str:
    return paint(one_line(run.status), STATUS_STYLES.get(run.status, ""))


_ON_THE_PAGE = ("run.yaml", "params.yaml", "metrics.yaml", "metrics.csv", "inputs.yaml")
_TO_SEE = {
    "output.log": "gxt tail --log {run}",
    "code.patch": "gxt code --patch {run}",
    "notebook.py": "gxt get {run} notebook.py",
    "system.csv": "gxt get {run} system.csv",
    "environment.txt": "gxt env {run}",
}
_GET = "gxt get {run} {path}"
_LONGEST = 400


def _pairs(pairs: Mapping[str, Any], now: int, indent: str = "") -> list[str]:
    known = {one_line(key): value for key, value in pairs.items() if value is not None and value != ""}
    width = max((len(key) for key in known), default=0)
    return [f"{indent}{key:<{width}}  {_whole(value, now)}" for key, value in known.items()]


def _whole(value: Any, now: int) -> str:
    """A value on one line, cut only where it is very long."""
    if isinstance(value, (list, dict)):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = value if isinstance(value, str) else cell_text(value, "text", now)
    shown = one_line(text[:_LONGEST])
    return shown if len(text) <= _LONGEST else f"{shown}… ({len(text)} characters; --json has all)"


def _of_machine(key: str, value: Any) -> Any:
    """Something of a run's environment: `64.0 GB`, `OMP_NUM_THREADS=4`, `slurm, id 4711, partition gpu`."""
    if key == "memory" and isinstance(value, int):
        return size(value)
    if isinstance(value, dict):
        if key == "variables":
            return ", ".join(f"{name}={text}" for name, text in value.items())
        kind = str(value.get("kind", ""))
        return ", ".join([*filter(None, [kind]), *(f"{name} {text}" for name, text in value.items() if name != "kind")])
    return _listed(value) if isinstance(value, list) else value


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _indented(table: Table, now: int) -> Iterable[str]:
    text, _ = terminal(table, now)
    return (f"  {line}" for line in text.splitlines())
