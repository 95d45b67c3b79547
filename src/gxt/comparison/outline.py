"""What a comparison shows, whatever shows it: parts with a title, a table, remarks, and what is folded away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from gxt import codehistory, git, render
from gxt.comparison.curves import Divergence
from gxt.comparison.files import FileDifference
from gxt.comparison.findings import Blob, CodeChange, Findings
from gxt.comparison.values import ADDED, BETTER, CHANGED, REMOVED, WORSE, Change, Difference, Differences, same_value
from gxt.model import Run, format_duration, format_time
from gxt.showing import one_line

_MARKS = {ADDED: "+", REMOVED: "-"}
_MOST_COMMITS, _MOST_FILES, _MOST_NAMED, _BULKY = 20, 30, 5, 5


class Cell(NamedTuple):
    """A text and how it is meant: "better", "worse", "added", "removed", "place" (where in a file), or ""."""

    text: str
    tone: str = ""


class Row(NamedTuple):
    """A line of a part's table: what it is about, a value for each run, and what is said of the change."""

    mark: str
    name: str
    values: tuple[Cell, ...]
    change: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Part:
    """A section of a comparison.

    Attributes:
        title: such as "params", or a file's path.
        summary: what is in it: "2 changed, 1 added".
        about_change: titles of the columns after the runs', which say how a value changed.
        rows: what differs.
        same: how many are the same in all runs.
        remarks: sentences about it.
        lines: of a diff, or a list that belongs to it.
        bulky: whether it is folded where something can be unfolded.
        is_file: whether it is about the contents of a file.
    """

    title: str
    summary: str
    about_change: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    same: int = 0
    remarks: tuple[str, ...] = ()
    lines: tuple[Cell, ...] = ()
    bulky: bool = False
    is_file: bool = False


@dataclass(frozen=True)
class Outline:
    """A whole comparison.

    Attributes:
        labels: what the runs are called here: their names, with an id where names are not enough.
        head: what the runs are: ids, starts, durations.
        parts: what differs; parts in which nothing does are left out.
        same: what is the same throughout: "3 tags".
        verdict: says so where nothing differs; else empty.
    """

    labels: tuple[str, ...]
    head: tuple[Row, ...]
    parts: tuple[Part, ...]
    same: tuple[str, ...]
    verdict: str


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
    parts = [_with_code(part, found, labels) if part.title == "code" else part for part in parts]
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
    bulky = title in ("packages", "artifacts") and len(rows) > _BULKY
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
        who = _listed([labels[i] for i in seen_by])
        if len(names) == 1:
            remarks.append(f"{who} saw the same {next(iter(names))}")
        else:
            called = (f"{name} in {_listed([labels[i] for i in indices])}" for name, indices in names.items())
            remarks.append(f"{who} saw the same data: {', '.join(called)}")
    return replace(part, remarks=(*part.remarks, *remarks))


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


# --- code -----------------------------------------------------------------------------------------------------------


def _with_code(part: Part, found: Findings, labels: Sequence[str]) -> Part:
    """The part about code with the commits and files in between, and what is not known of it."""
    if not (found.source or found.source.same):
        return part  # nothing was said of the code, or only files were asked for
    codes = [(run.source.get("commit"), run.source.get("snapshot")) for run in found.runs]
    lines: list[Cell] = []
    facts: list[str] = []
    for change in found.code:
        if codes[change.run] in codes[: change.run]:
            continue  # said of an earlier run
        here = _listed(list(dict.fromkeys(labels[i] for i, code in enumerate(codes) if code == codes[change.run])))
        lines += _commit_lines(change, labels[0], here)
        facts = _code_facts(change)
        if change.files:
            lines += _file_lines(change, f"from {labels[0]} to {here}")
        elif change.as_it_ran:
            lines.append(Cell(f"{labels[0]} and {here} ran the same files", "place"))
    remarks = tuple(_code_remarks(found, labels, bool(part.rows)))
    summary = ", ".join(facts) if len(found.runs) == 2 and facts else part.summary
    bulky = len(lines) > _BULKY
    return replace(part, summary=summary, remarks=remarks, lines=tuple(lines), bulky=bulky)


def _commit_lines(change: CodeChange, first: str, here: str) -> Iterator[Cell]:
    for commits, which in ((change.only_here, here), (change.only_first, first)):
        if commits:
            yield Cell(f"{_many(len(commits), 'commit')} only in {which}:", "place")
            yield from (Cell(f"  {_commit_line(commit)}") for commit in commits[:_MOST_COMMITS])
            yield from _more(len(commits) - _MOST_COMMITS)


def _file_lines(change: CodeChange, which: str) -> Iterator[Cell]:
    yield Cell(f"{which}: {', '.join(_file_facts(change))}", "place")
    names = [_file_name(file) for file in change.files[:_MOST_FILES]]
    width = max(map(len, names))
    for name, file in zip(names, change.files, strict=False):
        yield Cell(f"  {name:<{width}}  {_lines_changed(file)}")
    yield from _more(len(change.files) - _MOST_FILES)


def _code_facts(change: CodeChange) -> list[str]:
    commits = len(change.only_here) + len(change.only_first)
    return ([_many(commits, "commit")] if commits else []) + _file_facts(change)


def _file_facts(change: CodeChange) -> list[str]:
    if not change.files:
        return ["the same files"] if change.as_it_ran else []
    added = sum(file.added or 0 for file in change.files)
    removed = sum(file.removed or 0 for file in change.files)
    return [
        f"{_many(len(change.files), 'file')} changed",
        *([f"+{added} -{removed} lines"] if added or removed else []),
    ]


def _code_remarks(found: Findings, labels: Sequence[str], is_shown: bool) -> Iterator[str]:
    """What is not known of the code, or known to be the same; `is_shown` where something else differs of its source."""
    codes = [codehistory.code_of(run) for run in found.runs]
    missing = dict.fromkeys(oid for change in found.code for oid in change.missing)
    commits = {run.source.get("commit") for run in found.runs}
    for oid in missing:
        if oid in commits:
            yield f"commit {oid[:10]} is not in this repository; `git fetch` may bring it"
    away = [label for label, code in zip(labels, codes, strict=True) if code in missing and code not in commits]
    if away:
        who = _listed(list(dict.fromkeys(away)))
        yield f"the code of {who} is not in this repository; `{_to_see(found)}` fetches it"
    unknown = [
        label
        for label, run, code in zip(labels, found.runs, codes, strict=True)
        if run.source.get("dirty") and (code is None or code in missing)
    ]
    if unknown:
        yield f"{_listed(list(dict.fromkeys(unknown)))} ran with uncommitted changes, which may differ too"
    elif any(change.files and change.as_it_ran for change in found.code):
        yield f"`{_to_see(found)}` shows the lines"
    left_out = list(dict.fromkeys(path for run in found.runs for path in _left_out(run)))
    if is_shown and found.runs[0].source.get("dirty") and codes[0] is not None and len(set(codes)) == 1:
        yield "the same code, uncommitted changes included"
    if left_out:
        more = f" and {len(left_out) - _MOST_NAMED} more" if len(left_out) > _MOST_NAMED else ""
        yield f"not kept, and so not compared: {', '.join(left_out[:_MOST_NAMED])}{more}"


def _to_see(found: Findings) -> str:
    """The command that shows the lines, by ids, which name one run and need no quotes."""
    other = found.code[0].run if len(found.runs) == 2 else None
    return f"gxt diff {found.runs[0].short_id} {'RUN' if other is None else found.runs[other].short_id} --code"


def _left_out(run: Run) -> Iterable[str]:
    left_out = run.source.get("left_out")
    return map(str, left_out) if isinstance(left_out, dict) else ()


def _commit_line(commit: git.Commit) -> str:
    return f"{commit.id[:10]}  {commit.subject[:72]}  ({commit.author}, {format_time(commit.time)[:10]})"


def _file_name(file: git.FileChange) -> str:
    return f"{one_line(file.was)} => {one_line(file.path)}" if file.was is not None else one_line(file.path)


def _lines_changed(file: git.FileChange) -> str:
    if file.kind == "mode" or (file.kind == "renamed" and file.added == file.removed == 0):
        return file.kind
    counts = "binary" if file.added is None else f"+{file.added} -{file.removed}"
    return f"{counts}, {file.kind}" if file.kind != "changed" else counts


def _more(count: int) -> list[Cell]:
    return [Cell(f"  … and {count} more")] if count > 0 else []


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


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
