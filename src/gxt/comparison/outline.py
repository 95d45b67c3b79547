"""What a comparison shows, whatever shows it: parts with a title, a table, remarks, and what is folded away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from gxt import render
from gxt.comparison.codepart import with_code
from gxt.comparison.curves import Divergence
from gxt.comparison.files import FileDifference
from gxt.comparison.findings import Blob, Findings
from gxt.comparison.parts import BULKY, Cell, Outline, Part, Row, listed
from gxt.comparison.values import ADDED, BETTER, CHANGED, REMOVED, WORSE, Change, Difference, Differences, same_value
from gxt.model import Run, format_duration, format_time

_MARKS = {ADDED: "+", REMOVED: "-"}


def outline_of(found: Findings, now: int | None = None) -> Outline:
    """The comparison as people read it. Starts are relative to `now` (milliseconds since 1970 UTC) where it is given,
    as suits a terminal; else they are dates, as suits a page that is kept."""
    labels = tuple(_labels(found.runs))
    sections = {
        "run": found.attributes,
        "params": found.params,
        "metrics": found.metrics,
        "curves": found.curves,
        "tags": found.tags,
        "inputs": found.inputs,
        "code": found.source,
        "environment": found.environment,
        "packages": found.packages,
        "artifacts": found.artifacts,
    }
    parts = [_part(title, differences, len(found.runs)) for title, differences in sections.items()]
    parts = [with_code(part, found, labels) if part.title == "code" else part for part in parts]
    parts = [_with_same_data(part, found, labels) if part.title == "inputs" else part for part in parts]
    shown = [part for part in parts if part.rows or part.lines or part.remarks]
    unchanged = [_unchanged(part) for part in parts if part.same and part not in shown and part.title != "run"]
    verdict = "" if found.different else "nothing differs"
    if len({run.id for run in found.runs}) == 1 and verdict:
        verdict = "nothing differs: it is one and the same run"
    shown += [_file_part(file) for file in found.files]
    return Outline(labels, tuple(_head(found.runs, now)), tuple(shown), tuple(unchanged), verdict)


def stat_table(found: Outline) -> render.Table:
    """One line for each part in which something differs."""
    columns = [render.Column("section"), render.Column("differs"), render.Column("same", "number")]
    return render.Table(columns, [[part.title, part.summary, part.same] for part in found.parts if part.summary])


def _labels(runs: Sequence[Run]) -> list[str]:
    names = [run.name or run.id for run in runs]
    ids_of = {name: {run.id for run, other in zip(runs, names, strict=True) if other == name} for name in names}
    return [f"{name} {run.short_id}" if len(ids_of[name]) > 1 else name for name, run in zip(names, runs, strict=True)]


def _head(runs: Sequence[Run], now: int | None) -> Iterator[Row]:
    """What tells the runs apart by nature, and is no difference."""

    def row(name: str, texts: Iterable[str]) -> Row:
        return Row("", name, tuple(Cell(text) for text in texts))

    yield row("id", (run.short_id for run in runs))
    if len({run.experiment for run in runs}) == 1:
        yield row("experiment", (run.experiment for run in runs))
    yield row("started", (_start(run.started, now) for run in runs))
    yield row("duration", (format_duration(run.duration) if run.duration is not None else "" for run in runs))


def _start(started: int | None, now: int | None) -> str:
    if started is None:
        return ""
    return f"{format_time(started)[:16].replace('T', ' ')} UTC" if now is None else render.when(started, now)


def _unchanged(part: Part) -> str:
    """`3 tags`, `1 param`, `code`."""
    if part.title in ("code", "environment"):
        return part.title
    return f"{part.same} {part.title if part.same > 1 else part.title.removesuffix('s')}"


# --- the parts ------------------------------------------------------------------------------------------------------


_NUMBERS, _CURVES = ("change", "%", ""), ("largest gap", "where")


def _part(title: str, differences: Differences, runs: int) -> Part:
    if title == "curves":
        rows = tuple(_curve_row(difference) for difference in differences)
    else:
        rows = tuple(_row(difference, title) for difference in differences)
    about_change = _CURVES if title == "curves" else _NUMBERS
    bulky = title in ("packages", "artifacts") and len(rows) > BULKY
    used = _used(rows)
    # `rmse.min` stands beside `rmse`: one metric, counted once.
    names = {difference.name for difference in differences} if title == "metrics" else set()
    counted = [difference for difference in differences if difference.name.rpartition(".")[0] not in names]
    return Part(title, _summary(counted, runs), about_change[:used], tuple(rows), differences.same, bulky=bulky)


def _used(rows: Iterable[Row]) -> int:
    """How many columns about changes have something in them."""
    return max((i + 1 for row in rows for i, cell in enumerate(row.change) if cell.text), default=0)


_KINDS = (BETTER, WORSE, CHANGED, "upgraded", "downgraded", ADDED, REMOVED)


def _summary(differences: Iterable[Difference], runs: int) -> str:
    """`2 changed, 1 added`; for metrics `1 better, 2 worse`; `3 differ` for more than two runs."""
    kinds = [_kind(difference) for difference in differences]
    if runs > 2 and kinds:
        return f"{len(kinds)} {'differ' if len(kinds) > 1 else 'differs'}"
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in _KINDS if kind in kinds)


def _kind(difference: Difference) -> str:
    change = difference.changes[-1] if difference.changes else None
    return change.verdict if change is not None and change.verdict else difference.kind


def _row(difference: Difference, title: str) -> Row:
    texts = _texts(difference, title)
    name = render.source_pair(difference.name, None)[0] if title == "code" else difference.name
    mark = _MARKS.get(difference.kind, "~")
    if len(texts) == 2:
        change = _change_cells(difference.changes[1]) if difference.changes else ()
        if difference.kind in ("upgraded", "downgraded"):
            change = (Cell(difference.kind),)
        tone = change[-1].tone if change else ""
        return Row(mark, name, (Cell(texts[0]), Cell(texts[1], tone)), change)
    cells = [Cell(text) for text in texts]
    for i, change_ in enumerate(difference.changes):
        if change_ is not None and title == "metrics":
            percent = "" if change_.percent is None else _percent(change_.percent)
            # The verdict in words too: there may be no colour.
            said = " ".join(text for text in (percent, change_.verdict) if text)
            cells[i] = Cell(f"{texts[i]} ({said})" if said else texts[i], change_.verdict or "")
    return Row("", name, tuple(cells))


def _change_cells(change: Change | None) -> tuple[Cell, ...]:
    """`+0.59`, `+11.9%`, `worse`."""
    if change is None:
        return ()
    tone = change.verdict or ""
    percent = "" if change.percent is None else _percent(change.percent)
    return Cell(_signed(change.difference), tone), Cell(percent, tone), Cell(tone, tone)


def _signed(value: float) -> str:
    return f"{value:+d}" if isinstance(value, int) else f"{value:+.6g}"


def _percent(value: float) -> str:
    return f"{value:+,.0f}%" if abs(value) >= 1000 else f"{value:+.3g}%"


def _curve_row(difference: Difference) -> Row:
    divergences: list[Divergence | None] = list(difference.values[1:])
    if len(divergences) > 1:
        far = (f"{_number(at.largest)} at step {at.step}" if at else "" for at in divergences)
        return Row("", difference.name, (Cell(""), *map(Cell, far)))
    at = divergences[0]
    assert at is not None  # else there would be no difference
    values = Cell(_number(at.first)), Cell(_number(at.here))
    return Row("~", difference.name, values, (Cell(f"{_number(at.largest)} apart"), Cell(f"at step {at.step}")))


# --- values as text -------------------------------------------------------------------------------------------------


def _texts(difference: Difference, title: str) -> list[str]:
    """The values as text, so exact that what differs looks different."""
    has = [i for i in range(len(difference.values)) if i not in difference.absent]
    some_other = not all(isinstance(difference.values[i], str) for i in has)
    texts = [""] * len(difference.values)
    for digits in (6, 9, 12, 15, 17):
        exact = digits > 6
        for i in has:
            value = difference.values[i]
            if title == "code":
                value = render.source_pair(difference.name, value)[1]
            if isinstance(value, float):
                texts[i] = repr(value) if digits == 17 else f"{value:.{digits}g}"
            else:
                texts[i] = _text(value, title, exact, exact or some_other)
        alike = [(i, j) for i in has for j in has if i < j and texts[i] == texts[j]]
        if all(same_value(difference.values[i], difference.values[j]) for i, j in alike):
            break
    return texts


def _text(value: Any, title: str, exact: bool, quoted: bool) -> str:
    if isinstance(value, Blob):
        return f"{render.size(value.size)} {(value.oid or '')[:7]}".rstrip() if exact else render.size(value.size)
    if title == "inputs" and isinstance(value, dict):
        return _input(value, exact)
    if isinstance(value, str):
        if title == "code" and len(value) >= 40 and not value.strip("0123456789abcdef"):
            return value[:10]
        # Beside a number or null, the text "1" or "null" should look like text.
        return json.dumps(value, ensure_ascii=False) if quoted and _reads_as_other(value) else value
    if title == "file" and isinstance(value, dict) and value:
        return ", ".join(f"{column}={cell}" for column, cell in value.items())  # a table's row
    return json.dumps(value, ensure_ascii=False)


def _reads_as_other(text: str) -> bool:
    try:
        return not isinstance(json.loads(text), str)
    except ValueError:
        return not text


def _number(value: float) -> str:
    return f"{value:.6g}"


def _input(about: dict[str, Any], exact: bool) -> str:
    """`3c5feb73d4, 12 rows`; where it came from and what for, if need be."""
    digest = str(about.get("digest", "")).partition(":")[2][:10]
    rows = f"{about['rows']} row{'' if about['rows'] == 1 else 's'}" if "rows" in about else ""
    known = {**about, "digest": digest, "rows": rows}
    keys = ["digest", "rows", "source", "context"] if exact or not digest else ["digest", "rows"]
    return ", ".join(str(known[key]) for key in keys if known.get(key))


# --- inputs ---------------------------------------------------------------------------------------------------------


def _with_same_data(part: Part, found: Findings, labels: Sequence[str]) -> Part:
    """The part about inputs with which runs saw the same data, where it is not just that all did, under one name."""
    if not (found.inputs or found.inputs.same):
        return part  # only files were asked for
    by_digest: dict[str, dict[str, list[int]]] = {}
    for i, run in enumerate(found.runs):
        for name, about in run.inputs.items():
            if digest := about.get("digest"):
                by_digest.setdefault(str(digest), {}).setdefault(name, []).append(i)
    remarks = []
    for names in by_digest.values():
        seen_by = sorted({i for indices in names.values() for i in indices})
        if len(seen_by) < 2 or (len(names) == 1 and len(seen_by) == len(found.runs)):
            continue
        who = listed([labels[i] for i in seen_by])
        if len(names) == 1:
            remarks.append(f"{who} saw the same {next(iter(names))}")
        else:
            called = (f"{name} in {listed([labels[i] for i in indices])}" for name, indices in names.items())
            remarks.append(f"{who} saw the same data: {', '.join(called)}")
    return replace(part, remarks=(*part.remarks, *remarks))


# --- the contents of files ------------------------------------------------------------------------------------------

_LINE_TONES = {"+": "added", "-": "removed", "@": "place", "#": "place"}


def _file_part(file: FileDifference) -> Part:
    rows = tuple(_row(difference, "file") for difference in file.different)
    tones = _LINE_TONES if file.form == "notebook" else {**_LINE_TONES, "#": ""}
    lines = tuple(Cell(line, tones.get(line[:1], "")) for line in file.lines)
    remarks = (file.remark,) if file.remark else ()
    used = _NUMBERS[: _used(rows)]
    return Part(file.path, _file_summary(file), used, rows, remarks=remarks, lines=lines, bulky=True, is_file=True)


def _file_summary(file: FileDifference) -> str:
    if file.lines:
        counts = {sign: sum(line.startswith(sign) for line in file.lines) for sign in "+-"}
        return f"{file.kind}, +{counts['+']} -{counts['-']} lines"
    if file.different:
        return _summary(file.different, 2)
    sizes = " → ".join(render.size(size) for size in file.sizes if size is not None)
    if file.form in ("table", "json"):
        return f"{file.kind}: the same content in other bytes, {sizes}"
    return f"{file.kind}: {'too large to compare' if file.form == 'large' else file.form}, {sizes}"
