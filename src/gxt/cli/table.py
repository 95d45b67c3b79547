"""Comparing runs in a table: its options, and how it is shown. What it holds is made in `asked`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gxt import catalog, render
from gxt.cli import output
from gxt.cli.asked import Answer, Asked, answer_to
from gxt.cli.look import elsewhere
from gxt.cli.params import (
    complete_experiment,
    complete_field,
    experiments_option,
    goals_option,
    json_option,
    readable_repository,
    sequence,
)
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import now, seconds_of


class _Seconds(click.ParamType[float]):
    """How often `--watch` draws."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return seconds_of(value)
        except UsageError:
            self.fail(f"{value!r} is no number of seconds; say --watch last, or --watch=2", param, ctx)


@click.command("table")
@click.argument("experiments", nargs=-1, metavar="[EXPERIMENT…]", shell_complete=complete_experiment)
@experiments_option("An experiment, as the argument. Default: all.", "more_experiments")
@click.option(
    "--where",
    multiple=True,
    metavar="FILTER",
    help="Only these runs: rmse < 6.5 and params.model = 'xgb'. Of several, all have to hold.",
)
@click.option(
    "--sort",
    "sort_keys",
    multiple=True,
    metavar="FIELD[:desc]",
    shell_complete=complete_field,
    help="Sort by a metric, param, tag or attribute. Default: started:desc, runs below their parents.",
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    help="Rows shown; 0: all. Default: 20; all in csv, tsv, json, jsonl and parquet.",
)
@click.option(
    "--columns",
    multiple=True,
    metavar="FIELD,…",
    shell_complete=complete_field,
    help="Exactly these columns: name, rmse, params.alpha, 'metrics.*'; with a - before it, all but that one.",
)
@click.option(
    "--all-columns",
    is_flag=True,
    help="Also columns that are the same in all runs, and those that do not fit: scroll sideways.",
)
@goals_option(", to mark its best values")
@click.option(
    "--group-by",
    multiple=True,
    metavar="FIELD,…",
    shell_complete=complete_field,
    help="A row for all runs that have the same values of these, with statistics of the metrics.",
)
@click.option(
    "--pivot",
    nargs=3,
    metavar="ROW COLUMN METRIC",
    shell_complete=complete_field,
    help="A row for each value of one field, a column for each of another, a metric in the cells.",
)
@click.option(
    "--agg",
    "aggregates",
    multiple=True,
    metavar="NAME,…",
    help="mean, std, count, min, max, median, best. Default: mean,std,count; with --pivot, mean.",
)
@click.option("--deleted", is_flag=True, help="The deleted runs instead.")
@click.option("--at", metavar="REV|TIME", help="As the branch was at a commit, tag or time: gxt~3, '2 weeks ago'.")
@click.option("--allow-unknown", is_flag=True, help="Let names be those that no run has.")
@json_option
@click.option(
    "--format",
    "form",
    type=click.Choice(render.FORMATS),
    help="How to write it; csv, tsv, json, jsonl and parquet have all columns, and values in full. Default: table.",
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file, in the format that its ending says: .md, .csv, .html, .tex, .parquet, …",
)
@click.option(
    "--watch",
    type=_Seconds(),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Draw it anew every 2 seconds, or so many, until Ctrl-C.",
)
@click.pass_context
def table_command(
    ctx: click.Context,
    /,
    experiments: Sequence[str],
    more_experiments: Sequence[str],
    sort_keys: Sequence[str],
    columns: Sequence[str],
    goals: Sequence[str],
    group_by: Sequence[str],
    aggregates: Sequence[str],
    as_json: bool,
    form: str | None,
    target: Path | None,
    watch: float | None,
    **options: Any,
) -> None:
    """Compare runs in a table: of some experiments, or all.

    What is the same in all runs stands in one line below it; columns that do not fit the terminal are named there too.

    \b
    gxt table nyc-taxi --sort rmse -n 10
    gxt table --where "rmse < 6.5 and params.model in ('xgb', 'lasso')"
    gxt table --columns 'name,metrics.*,params.opt*'
    gxt table --group-by params.model
    gxt table --pivot params.depth params.lr rmse --agg min
    gxt table -o results.tex
    """
    asked = Asked(
        experiments=(*experiments, *more_experiments),
        sort_keys=sequence(sort_keys),
        columns=sequence(columns),
        goals=sequence(goals),
        group_by=sequence(group_by),
        aggregates=sequence(aggregates),
        **options,
    )
    asked.check()
    form = _format(form, as_json, target)
    repo = readable_repository(ctx)
    if watch is not None:
        _watch(repo, asked, watch, form, target)
        return
    answer = answer_to(repo, asked, form, output.progress())
    if target is not None:
        output.save(target, _document(answer, form))
        if output.is_terminal():
            click.echo(f"wrote {target}: {_counted(len(answer.table.rows), 'row')}")
    elif form != "table":
        output.page(_document(answer, form).decode())
    elif answer.found.runs:
        _show(answer, asked.all_columns)
    if not answer.found.runs and form not in ("json", "jsonl"):
        output.note(_no_runs(repo, asked))
    output.problems(answer.found.problems)
    if len(answer.table.rows) < answer.total:
        output.note(f"{len(answer.table.rows)} of {_counted(answer.total, answer.rows)}; -n 0 shows all")
    for line in elsewhere(repo, answer.found.tip) if asked.at is None else ():
        output.note(line)


# --- showing ----------------------------------------------------------------------------------------------------


def _format(form: str | None, as_json: bool, target: Path | None) -> str:
    if as_json and form not in (None, "json"):
        raise UsageError(f"--json and --format {form}", "one of them")
    chosen = "json" if as_json else form
    if chosen is None and target is not None:
        ending = target.suffix.lower()
        if ending not in render.ENDINGS:
            raise UsageError(
                f"{target}: no format has the ending {ending!r}", f"{' '.join(render.ENDINGS)}, or --format"
            )
        chosen = render.ENDINGS[ending]
    if chosen == "parquet" and target is None:
        raise UsageError("Parquet is no text", "-o FILE.parquet")
    return chosen or "table"


def _document(answer: Answer, form: str) -> bytes:
    if form in ("json", "jsonl") and answer.is_of_whole_runs:
        runs = [render.run_json(run) for run in answer.found.runs]
        return (render.json_text(runs) if form == "json" else "".join(map(render.json_line, runs))).encode()
    return render.document(answer.table, form)


def _show(answer: Answer, uncut: bool) -> None:
    text, hidden = _drawn(answer, uncut)
    output.page(text, wide=uncut)
    if hidden:
        output.note(hidden)


_SIDEWAYS = 1_000_000  # columns, more than there are


def _drawn(answer: Answer, uncut: bool) -> tuple[str, str]:
    """The table for people, and what to say of columns that do not fit."""
    # On a terminal a start is `5 min ago`; in a pipe it stays a time that sorts.
    at = now() if output.is_terminal() else None
    width = output.width()
    room = _SIDEWAYS if uncut and width is not None else width
    text, hidden = render.terminal(answer.table, at, room, output.colour())
    if not hidden or width is None:
        return text, ""
    count = f"{len(hidden)} columns do" if len(hidden) > 1 else "1 column does"
    start = f"{count} not fit (--all-columns shows all, --columns chooses): "
    return text, click.wrap_text(start + _listed(hidden, 2 * width - len(start)), width)


def _listed(names: Sequence[str], most: int) -> str:
    """Names in about so many characters, and how many are left."""
    said: list[str] = []
    for name in names:
        if said and len(", ".join([*said, name])) > most - len(" and 999 more"):
            return f"{', '.join(said)} and {len(names) - len(said)} more"
        said.append(name)
    return ", ".join(said)


def _watch(repo: Repository, asked: Asked, seconds: float, form: str, target: Path | None) -> None:
    """Draw the table again and again on a screen of its own, and leave the last one behind."""
    if not output.is_terminal() or form != "table" or target is not None:
        raise UsageError("--watch draws on a terminal only", "in a pipe or a file, ask again when you need to")
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    def draw() -> str:
        answer = answer_to(repo, asked, "table")
        text, hidden = _drawn(answer, uncut=False) if answer.found.runs else (_no_runs(repo, asked), "")
        return f"{text}{hidden}\n" if hidden else text

    last = draw()
    try:
        with Live(console=Console(), screen=True, auto_refresh=False) as screen:
            while True:
                shown = f"every {seconds:g} s, {time.strftime('%H:%M:%S')}, Ctrl-C ends\n\n{last}"
                screen.update(Text.from_ansi(_cut(shown), no_wrap=True, overflow="crop"), refresh=True)
                time.sleep(seconds)
                last = draw()
    except KeyboardInterrupt:
        click.echo(last, nl=False)


def _cut(text: str) -> str:
    """Text that is no higher than the terminal."""
    lines, most = text.splitlines(), output.height()
    return text if len(lines) <= most else "\n".join([*lines[: most - 1], f"… and {len(lines) - most + 1} lines more"])


def _no_runs(repo: Repository, asked: Asked) -> str:
    where = f" in {', '.join(asked.experiments)}" if asked.experiments else ""

    def count(deleted: bool) -> int:
        return catalog.listing(repo, asked.experiments or None, deleted, limit=0, at=asked.at).total

    there = count(asked.deleted) if asked.where else 0
    if there:
        return f"the filter holds for none of {there} {'deleted ' if asked.deleted else ''}runs{where}"
    if asked.deleted:
        return f"no deleted runs{where}"
    hidden = count(True)
    if hidden:
        return f"no runs{where}, but {hidden} deleted: `gxt table --deleted` shows them"
    if asked.at is not None:
        return f"no runs{where} at {asked.at}"
    return f"no runs yet{where}: `gxt log`, `gxt run` or gxt.start_run() in Python records one"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
