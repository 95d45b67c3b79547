"""The part of a comparison about code: the commits and files in between, and what is not known of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from gxt import codehistory, git
from gxt.comparison.findings import CodeChange, Findings
from gxt.comparison.parts import BULKY, Cell, Part, listed, many
from gxt.model import Run, format_time
from gxt.showing import one_line

_MOST_COMMITS, _MOST_FILES, _MOST_NAMED = 20, 30, 5


def with_code(part: Part, found: Findings, labels: Sequence[str]) -> Part:
    """The part about code with the commits and files in between, and what is not known of it."""
    if not (found.source or found.source.same):
        return part  # nothing was said of the code, or only files were asked for
    codes = [(run.source.get("commit"), run.source.get("snapshot")) for run in found.runs]
    lines: list[Cell] = []
    facts: list[str] = []
    for change in found.code:
        if codes[change.run] in codes[: change.run]:
            continue  # said of an earlier run
        here = listed(list(dict.fromkeys(labels[i] for i, code in enumerate(codes) if code == codes[change.run])))
        lines += _commit_lines(change, labels[0], here)
        facts = _code_facts(change)
        if change.files:
            lines += _file_lines(change, f"from {labels[0]} to {here}")
        elif change.as_it_ran:
            lines.append(Cell(f"{labels[0]} and {here} ran the same files", "place"))
    remarks = tuple(_code_remarks(found, labels, bool(part.rows)))
    summary = ", ".join(facts) if len(found.runs) == 2 and facts else part.summary
    bulky = len(lines) > BULKY
    return replace(part, summary=summary, remarks=remarks, lines=tuple(lines), bulky=bulky)


def _commit_lines(change: CodeChange, first: str, here: str) -> Iterator[Cell]:
    for commits, which in ((change.only_here, here), (change.only_first, first)):
        if commits:
            yield Cell(f"{many(len(commits), 'commit')} only in {which}:", "place")
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
    return ([many(commits, "commit")] if commits else []) + _file_facts(change)


def _file_facts(change: CodeChange) -> list[str]:
    if not change.files:
        return ["the same files"] if change.as_it_ran else []
    added = sum(file.added or 0 for file in change.files)
    removed = sum(file.removed or 0 for file in change.files)
    return [
        f"{many(len(change.files), 'file')} changed",
        *([f"+{added} -{removed} lines"] if added or removed else []),
    ]


def _code_remarks(found: Findings, labels: Sequence[str], is_shown: bool) -> Iterator[str]:
    """What is not known of the code, or known to be the same; `is_shown` where something else differs of its source."""
    codes = [codehistory.code_of(run) for run in found.runs]
    missing = dict.fromkeys(oid for change in found.code for oid in change.missing)
    commits = {codehistory.base_of(run) for run in found.runs}
    for oid in missing:
        if oid in commits:
            yield f"commit {oid[:10]} is not in this repository; `git fetch` may bring it"
    away = [label for label, code in zip(labels, codes, strict=True) if code in missing and code not in commits]
    if away:
        who = listed(list(dict.fromkeys(away)))
        yield f"the code of {who} is not in this repository; `{_to_see(found)}` fetches it"
    unknown = [label for label, run in zip(labels, found.runs, strict=True) if run.source.get("dirty")]
    if unknown and any(code is None or code in missing for code in codes):
        yield f"{listed(list(dict.fromkeys(unknown)))} ran with uncommitted changes, which may differ too"
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
