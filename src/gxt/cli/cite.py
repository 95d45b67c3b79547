"""gxt cite: citing runs in documents, and checking documents that do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from gxt import citing, layout, render
from gxt.citing import HOLDS, Cited, Verdict
from gxt.cli import output
from gxt.cli.params import complete_run, json_option, read_input, readable_repository
from gxt.errors import UsageError
from gxt.render import Column, Table


@click.command("cite")
@click.argument("cited", nargs=-1, required=True, metavar="RUN[:METRIC]…|FILE…", shell_complete=complete_run)
@click.option("--check", is_flag=True, help="Check the citations in these files; - is standard input.")
@click.option("--digits", type=click.IntRange(1, 17), help="So many significant digits. Default: all.")
@click.option("--latex", is_flag=True, help="For LaTeX: names as it needs them, the citation in \\texttt.")
@json_option
@click.pass_context
def cite_command(
    ctx: click.Context, cited: Sequence[str], check: bool, digits: int | None, latex: bool, as_json: bool
) -> int:
    """Cite a run in a document, or check a document that does.

    Prints a line that pins the run, the commit of the run branch and the value. Keep what is in parentheses beside the
    number, in the text or in a comment; the number may be rounded. Of a run with several metrics name the one you mean.

    --check fails where a number is no longer what the run says, where a run or metric is gone, and where a citation is
    not whole. Files: LaTeX, markdown, HTML, anything else that is text, and .docx and .odt.

    \b
    gxt cite @best:rmse
    gxt cite calm-otter:val_loss.min --digits 4 --latex
    gxt cite --check paper.tex README.md
    """
    if check and (latex or digits is not None):
        raise UsageError(f"--check with {'--latex' if latex else '--digits'}", "these are for a citation to print")
    repo = readable_repository(ctx)
    if check:
        texts = {name: citing.text_of(read_input(name), name) for name in dict.fromkeys(cited)}
        found = [(name, one) for name, text in texts.items() for one in citing.find(text)]
        verdicts = citing.check(repo, [one for _, one in found])
        return _show_checked([name for name, _ in found], verdicts, as_json)
    made = [citing.cite(repo, text) for text in cited]
    if as_json:
        output.page(render.json_text([_cited_json(one) for one in made]))
    else:
        for one in made:
            output.say(_line(one, digits, latex))
    return 0


def _line(cited: Cited, digits: int | None, latex: bool) -> str:
    token = citing.token(cited.citation)
    if latex:
        token = rf"\texttt{{{token}}}"
    if cited.value is None:
        name = cited.run.name or cited.run.id
        return f"{_latex(name) if latex else name} ({token})"
    metric, part = cited.citation.metric, cited.citation.part
    named = metric if part == "last" else f"{metric} ({part})"
    value = layout.metric_value(cited.value) if digits is None else f"{cited.value:#.{digits}g}".removesuffix(".")
    return f"{_latex(named)} = {value} ({token})" if latex else f"{named} = {value} ({token})"


_SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def _latex(text: str) -> str:
    return "".join(_SPECIAL.get(c) or (f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _show_checked(files: Sequence[str], verdicts: Sequence[Verdict], as_json: bool) -> int:
    code = 0 if all(verdict.status == HOLDS for verdict in verdicts) else 1
    if as_json:
        shown = [_verdict_json(file, verdict) for file, verdict in zip(files, verdicts, strict=True)]
        output.page(render.json_text(shown))
        return code
    if not verdicts:
        output.note("no citations found")
        return code
    columns = [Column("where"), Column("run"), Column("metric"), Column("printed"), Column("now", "number")]
    columns += [Column("verdict", "status"), Column("why", rank=1)]
    rows = [
        [
            f"{file}:{one.found.line}",
            (one.run.name or one.run.id) if one.run else one.found.citation.run if one.found.citation else None,
            _metric(one),
            one.found.printed or None,
            one.now,
            one.status,
            one.why if one.found.citation else f"{one.why}: {one.found.text}",
        ]
        for file, one in zip(files, verdicts, strict=True)
    ]
    output.page(render.terminal(Table(columns, rows), None, None, output.colour())[0])
    failed = sum(verdict.status != HOLDS for verdict in verdicts)
    count = f"{len(verdicts)} citation{'' if len(verdicts) == 1 else 's'}"
    output.note(f"{failed} of {count} do{'es' if failed == 1 else ''} not hold" if failed else f"{count}, all hold")
    return code


def _metric(one: Verdict) -> str | None:
    citation = one.found.citation
    if citation is None or not citation.metric:
        return None
    return citation.metric if citation.part == "last" else f"{citation.metric}.{citation.part}"


def _cited_json(cited: Cited) -> dict[str, Any]:
    run, citation = cited.run, cited.citation
    return {
        "citation": citing.token(citation),
        "run": run.id,
        "name": run.name,
        "experiment": run.experiment,
        "commit": citation.commit,
        "metric": citation.metric or None,
        "part": citation.part if citation.metric else None,
        "value": cited.value,
    }


def _verdict_json(file: str, one: Verdict) -> dict[str, Any]:
    citation = one.found.citation
    return {
        "file": file,
        "line": one.found.line,
        "citation": one.found.text,
        "run": citation.run if citation else None,
        "name": one.run.name if one.run else None,
        "experiment": one.run.experiment if one.run else None,
        "commit": citation.commit if citation else None,
        "metric": (citation.metric or None) if citation else None,
        "part": citation.part if citation and citation.metric else None,
        "printed": one.found.printed or None,
        "then": one.then,
        "now": one.now,
        "status": one.status,
        "why": one.why,
    }
