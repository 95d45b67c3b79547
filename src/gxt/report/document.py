"""A report as GitHub's and GitLab's markdown: what matters first, long parts folded, never too long to be posted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gxt import render, tables
from gxt.against import News
from gxt.comparison.markdown import code, escape
from gxt.model import FINISHED, Run, format_duration
from gxt.query import Field
from gxt.report import OfExperiment, Report
from gxt.report.cautions import Caution
from gxt.report.curves import COLOURS, mermaid, sparkline

MARKER = "<!-- gxt report -->"
"""The first line of a comment, which no reader sees, and by which the next run of CI finds it."""

_LONGEST = 60_000  # characters: a comment on GitHub holds 65,536, one on GitLab a million
_METRICS, _PARAMS = 3, 4  # columns
_NAMED = 5  # runs named in a warning


class _Extent(NamedTuple):
    """How much of a report is written: rows of a table, rows folded below it, experiments, and whether comparisons."""

    rows: int
    folded: int
    experiments: int
    comparisons: bool


_EXTENTS = (
    _Extent(20, 180, 12, True),
    _Extent(20, 30, 12, True),
    _Extent(20, 0, 12, False),
    _Extent(10, 0, 8, False),
    _Extent(3, 0, 4, False),
)


def markdown(found: Report, images: Mapping[str, str] | None = None) -> str:
    """The report, as much of it as a comment holds; `images` are the addresses of plots by experiment."""
    text = ""
    for extent in _EXTENTS:
        text = "\n".join(_lines(found, extent, images or {})) + "\n"
        if len(text) <= _LONGEST:
            return text
    return text[:_LONGEST].rpartition("\n")[0] + "\n\n… and more than a comment holds\n"


def comment(found: Report, images: Mapping[str, str] | None = None) -> str:
    """The same with the marker by which CI finds its own comment again."""
    return f"{MARKER}\n{markdown(found, images)}"


def _lines(found: Report, extent: _Extent, images: Mapping[str, str]) -> Iterator[str]:
    news = found.news
    yield f"## {_runs(len(news.runs)) if news.runs else 'No new runs'}: {code(news.branch)} → {code(news.base.name)}"
    if found.experiments:
        yield from ("", *(_headline(one) for one in found.experiments[: extent.experiments]))
    yield from _warnings(found.cautions, len(news.runs))
    yield from _changed(news)
    yield from _conflicts(found)
    for one in found.experiments[: extent.experiments]:
        yield from ("", *_experiment(one, extent, images))
    if len(found.experiments) > extent.experiments:
        more = found.experiments[extent.experiments :]
        yield from ("", f"… and {_runs(sum(len(one.runs) for one in more))} in {len(more)} more experiments")


def _runs(count: int) -> str:
    return f"{count} new run{'' if count == 1 else 's'}"


def _headline(one: OfExperiment) -> str:
    """`- taxi: rmse 6.5 → 6.1 (−6.2 %, better): `r1` against `base``."""
    about = f"- **{escape(one.name)}**, {_runs(len(one.runs))}"
    if one.metric is None:
        return f"{about}; no metric has a goal, so that none can be called best"
    metric = escape(_title(one.metric))
    if one.best is None:
        return f"{about}; none has a value of {metric}"
    value = render.cell_text(one.metric.value(one.best), "number", None)
    if one.reference is None:
        return f"{about}: {metric} {value} in {code(one.best.name)}; the base has nothing to compare with"
    before = one.metric.value(one.reference)
    other = f"{code(one.reference.name or one.reference.id)}{_of_another(one)}"
    if before is None:
        return f"{about}: {metric} {value} in {code(one.best.name)}; {other} has none"
    if one.change is None:
        return f"{about}: {metric} {value} in {code(one.best.name)}, the same as in {other}"
    amount = f"{one.change.percent:+.3g} %" if one.change.percent is not None else f"{one.change.difference:+.6g}"
    verdict = f"**{one.change.verdict}**" if one.change.verdict else "other"
    return (
        f"{about}: {metric} {render.cell_text(before, 'number', None)} → {value} "
        f"({amount.replace('-', '−')}, {verdict}): {code(one.best.name)} against {other}"
    )


def _of_another(one: OfExperiment) -> str:
    """That the reference is of another experiment, which somebody has named."""
    if one.reference is None or one.reference.experiment == one.name:
        return ""
    return f", a run of another experiment, **{escape(one.reference.experiment)}**"


def _title(metric: Field) -> str:
    return f"{metric.name}.{metric.part}" if metric.part else metric.name


def _warnings(cautions: Sequence[Caution], total: int) -> Iterator[str]:
    if not cautions:
        return
    yield ""
    for one in cautions:
        shown = ", ".join(code(run.name or run.id) for run in one.runs[:_NAMED])
        more = f" and {len(one.runs) - _NAMED} more" if len(one.runs) > _NAMED else ""
        count = "All" if len(one.runs) == total and total > 1 else str(len(one.runs))
        yield f"- ⚠️ {count} run{'' if len(one.runs) == 1 else 's'} {escape(one.text)}: {shown}{more}"


def _changed(news: News) -> Iterator[str]:
    changed = [unit for unit in news.changed if unit.run_id]
    if not changed:
        return
    yield ""
    for what in ("changed", "gone"):
        some = [unit for unit in changed if unit.what == what]
        if some:
            shown = ", ".join(code(unit.run_id or "") for unit in some[:_NAMED])
            more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
            runs = f"{len(some)} run{'' if len(some) == 1 else 's'} of the base"
            yield f"- ⚠️ {runs} {'taken away' if what == 'gone' else 'changed'}: {shown}{more}"


def _conflicts(found: Report) -> Iterator[str]:
    if not found.conflicts:
        return
    yield ""
    shown = ", ".join(map(code, found.conflicts[:_NAMED]))
    more = f" and {len(found.conflicts) - _NAMED} more" if len(found.conflicts) > _NAMED else ""
    joins = f"{code(found.remedy)} and a push, by whoever has the branch, resolve that"
    yield f"- ⚠️ Conflicts with {code(found.news.base.name)} on the host, in {shown}{more}: {joins}"


# --- an experiment -------------------------------------------------------------------------------------------------


def _experiment(one: OfExperiment, extent: _Extent, images: Mapping[str, str]) -> Iterator[str]:
    yield f"### {escape(one.name)}"
    yield ""
    yield from _table(one, one.runs[: extent.rows], with_reference=True)
    folded = one.runs[extent.rows : extent.rows + extent.folded]
    if folded:
        yield from ("", f"<details><summary>{len(folded)} more</summary>", "")
        yield from _table(one, folded, with_reference=False)
        yield from ("", "</details>")
    left = len(one.runs) - extent.rows - len(folded)
    if left > 0:
        yield from ("", f"… and {left} more: <code>gxt table {escape(one.name)}</code> shows all")
    if one.name in images:
        yield from ("", f"![{escape(_title(one.metric)) if one.metric else ''}]({images[one.name]})")
    else:
        yield from _chart(one)
    if extent.comparisons and one.comparison is not None:
        names = " → ".join(code(run.name or run.id) for run in one.comparison.runs)
        yield from ("", f"<details><summary>What differs: {_in_html(names)}</summary>", "")
        yield one.comparison.to_markdown().partition("\n")[2].strip("\n")
        yield from ("", "</details>")


def _in_html(text: str) -> str:
    """Code spans mean nothing in a summary."""
    parts = text.split("`")
    return "".join(f"<code>{escape(part)}</code>" if i % 2 else part for i, part in enumerate(parts))


def _table(one: OfExperiment, runs: Sequence[Run], with_reference: bool) -> Iterator[str]:
    """The reference first, in italics; the best values of the new runs in bold."""
    rows = [*([one.reference] if one.reference and with_reference else []), *runs]
    metrics = _metrics(one)
    params, _ = _told_apart(one)
    with_curves = any(sparkline(one.curves.get(run.id, {})) for run in rows)
    not_finished = any(run.status != FINISHED for run in one.runs)
    titles = ["run", *(f"{escape(_title(metric))}{_arrow(metric, one.goals)}" for metric in metrics)]
    marks = ["---", *("--:" for _ in metrics)]
    if with_curves and one.metric:
        titles, marks = [*titles, "curve"], [*marks, "---"]
    titles += [escape(field.name) for field in params] + (["status"] if not_finished else []) + ["duration"]
    marks += ["---"] * (len(params) + not_finished) + ["--:"]
    yield f"| {' | '.join(titles)} |"
    yield f"| {' | '.join(marks)} |"
    best = {metric: _best_values(one, metric) for metric in metrics}
    mark = f" (of {escape(one.reference.experiment)})" if one.reference and _of_another(one) else " (base)"
    for run in rows:
        is_reference = with_reference and run is one.reference
        cells = [f"{code(run.name or run.id)}{mark if is_reference else ''}"]
        for metric in metrics:
            value = metric.value(run)
            text = escape(render.cell_text(value, "number", None))
            cells.append(f"**{text}**" if not is_reference and value is not None and value == best[metric] else text)
        if with_curves and one.metric:
            cells.append(sparkline(one.curves.get(run.id, {})))
        cells += [_param(field.of(run)) for field in params]
        cells += [escape(run.status)] if not_finished else []
        cells.append(format_duration(run.duration) if run.duration is not None else "")
        yield f"| {' | '.join(cells)} |"


def _arrow(metric: Field, goals: Mapping[str, str]) -> str:
    return {"min": " ↓", "max": " ↑"}.get(goals.get(metric.name, ""), "")


def _metrics(one: OfExperiment) -> list[Field]:
    """The metric that counts, then others: with a goal, and what most runs have, first."""
    having: dict[str, int] = {}
    for run in one.runs:
        for name in run.metrics:
            having[name] = having.get(name, 0) + 1
    order = sorted(having, key=lambda name: (name not in one.goals, -having[name], name))
    others = [Field("metrics", name) for name in order if one.metric is None or name != one.metric.name]
    return [*([one.metric] if one.metric else []), *others][:_METRICS]


def _best_values(one: OfExperiment, metric: Field) -> float | None:
    values = [value for run in one.runs if (value := metric.value(run)) is not None and value == value]
    goal = one.goals.get(metric.name)
    if goal is None or len(values) < 2:
        return None
    best: float = min(values) if goal == "min" else max(values)
    return best


def _told_apart(one: OfExperiment) -> tuple[list[Field], list[str]]:
    runs = [*one.runs, *([one.reference] if one.reference else [])]
    fields = [field for field in tables.all_fields(runs, one.goals) if field.kind == "params"]
    different, same = tables.told_apart(runs, fields)
    return different[:_PARAMS], same


def _param(value: Any) -> str:
    return "" if value is None else code(render.cell_text(value, "text", None))


def _chart(one: OfExperiment) -> Iterator[str]:
    """The curve of the best new run, beside the reference's where that has one."""
    if one.metric is None or one.best is None:
        return
    shown = [(run, one.curves[run.id]) for run in (one.reference, one.best) if run and one.curves.get(run.id)]
    if one.best.id not in {run.id for run, _ in shown}:
        return
    drawn = mermaid(one.metric.name, [curve for _, curve in shown])
    if drawn is None:
        return
    lines, (first, last) = drawn
    legend = ", ".join(
        f"{code(run.name or run.id)} {colour}" for (run, _), colour in zip(shown, COLOURS.values(), strict=False)
    )
    yield from ("", f"{escape(one.metric.name)}, steps {first} to {last}: {legend}", "", "```mermaid", *lines, "```")
