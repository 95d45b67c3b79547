"""gxt list: which experiments, params, metrics and tags there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import click

from gxt import catalog, render
from gxt.cli import output
from gxt.cli.params import experiments_option, json_option, readable_repository
from gxt.git import Repository
from gxt.model import now
from gxt.render import Column, Table


class _Asked(NamedTuple):
    """What the options say."""

    repo: Repository
    experiments: Sequence[str] | None
    where: Sequence[str]
    deleted: bool
    at: str | None


@click.command("list")
@click.argument("what", type=click.Choice(["experiments", "params", "metrics", "tags"]), default="experiments")
@experiments_option("Only of this experiment; may be given several times.")
@click.option("--where", multiple=True, metavar="FILTER", help="Only of these runs: rmse < 6.5. Of several, all hold.")
@click.option("--deleted", is_flag=True, help="The deleted experiments, or what deleted runs have, instead.")
@click.option("--at", metavar="REV|TIME", help="As the branch was at a commit, tag or time.")
@json_option
@click.pass_context
def list_command(
    ctx: click.Context,
    what: str,
    experiments: Sequence[str],
    where: Sequence[str],
    deleted: bool,
    at: str | None,
    as_json: bool,
) -> None:
    """List experiments, or the params, metrics or tags of runs.

    Of a param or tag: how many runs have it, how many different values it has, and the most frequent of them. Of a
    metric: how many runs have it, and between what their last values lie.

    \b
    gxt list
    gxt list metrics -e nyc-taxi
    gxt list params --where "rmse < 5"
    """
    rows = _ROWS[what](_Asked(readable_repository(ctx), experiments or None, where, deleted, at))
    if as_json:
        output.page(render.json_text([_json(row) for row in rows]))
    elif not rows:
        output.note(f"no {what}{'' if experiments or where or deleted else ' yet'}")
    else:
        output.page(_table(rows))


def _json(row: dict[str, Any]) -> dict[str, Any]:
    return {name: render.time_text(value) if name == "last" else value for name, value in row.items()}


def _experiments(asked: _Asked) -> list[dict[str, Any]]:
    counts, problems = catalog.counts(
        asked.repo, asked.experiments, where=asked.where, at=asked.at, progress=output.progress()
    )
    output.problems(problems)
    return [
        {
            "experiment": count.experiment.name,
            "runs": count.runs,
            "live": count.live,
            "last": count.last,
            "description": count.experiment.description,
        }
        for count in counts
        if bool(count.experiment.deleted) == asked.deleted
    ]


def _values(kind: str) -> Callable[[_Asked], list[dict[str, Any]]]:
    def rows(asked: _Asked) -> list[dict[str, Any]]:
        found = catalog.values(
            asked.repo,
            kind,
            asked.experiments,
            asked.deleted,
            where=asked.where,
            at=asked.at,
            progress=output.progress(),
        )
        return [{kind.removesuffix("s"): name, "runs": runs, "values": n, "examples": e} for name, runs, n, e in found]

    return rows


def _metrics(asked: _Asked) -> list[dict[str, Any]]:
    found = catalog.metric_ranges(
        asked.repo, asked.experiments, asked.deleted, where=asked.where, at=asked.at, progress=output.progress()
    )
    return [{"metric": name, "runs": runs, "lowest": low, "highest": high} for name, runs, low, high in found]


_ROWS = {"experiments": _experiments, "params": _values("params"), "metrics": _metrics, "tags": _values("tags")}
_KINDS = dict.fromkeys(("runs", "live", "values", "lowest", "highest"), "number") | {"last": "time"}
_OPTIONAL = ("live", "last", "description")


def _table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows for people; a column that says nothing of any experiment is left out."""
    names = [name for name in rows[0] if name not in _OPTIONAL or any(row[name] for row in rows)]
    columns = [Column(name, _KINDS.get(name, "text")) for name in names]
    table = Table(columns, [[_examples(row) if name == "examples" else row[name] for name in names] for row in rows])
    text, _ = render.terminal(table, now(), output.width(), output.colour())
    return text


_WIDEST = 38  # leaves room for what says that there are more


def _examples(row: dict[str, Any]) -> str:
    """As many examples as fit, each whole where there are several."""
    texts = ["null" if value is None else render.cell_text(value, "text", now()) for value in row["examples"]]
    shown = texts[:1]
    for text in texts[1:]:
        if len(", ".join([*shown, text])) > _WIDEST:
            break
        shown.append(text)
    return ", ".join([*shown, "…"] if row["values"] > len(shown) else shown)
