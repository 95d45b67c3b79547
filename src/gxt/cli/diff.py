"""`gxt diff`: what differs between runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from gxt import catalog, comparison, git, render, stats, worktrees
from gxt.cli import output
from gxt.cli.moving import talk
from gxt.cli.params import complete_run, goals_option, json_option, readable_repository, repository
from gxt.comparison.outline import stat_table
from gxt.comparison.terminal import terminal
from gxt.comparison.values import TOLERANCE
from gxt.errors import UsageError
from gxt.git import Repository
from gxt.model import now

_PATHS = "gxt.paths"


class _WithPaths(click.Command):
    """A command whose arguments after `--` are paths; click alone would take them for more runs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        before = args[: args.index("--")] if "--" in args else args
        ctx.meta[_PATHS] = args[len(before) + 1 :]
        return super().parse_args(ctx, list(before))


class _Share(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic from click 8.4 on
    """A share of a number, such as 0.01 or 1%."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1
        if not 0 <= share < 1:
            self.fail(f"{text!r} is no share: 1%, or 0.01", param, ctx)
        return share


@click.command("diff", cls=_WithPaths)
@click.argument("runs", nargs=-1, metavar="RUN RUN… [-- PATH…]", shell_complete=complete_run)
@click.option("--stat", is_flag=True, help="One line for each section.")
@click.option(
    "--code",
    is_flag=True,
    help="The code that ran, uncommitted changes included, as git shows it; PATHs are its files.",
)
@click.option("--artifacts", is_flag=True, help="The contents of artifacts too: lines, cells, values.")
@goals_option()
@click.option(
    "--tolerance",
    type=_Share(),
    default=TOLERANCE,
    metavar="SHARE",
    help="Metrics that differ by no more than this are the same: 1%, 0.01; 0 for the last bit. Default: 1e-9.",
)
@click.option("--all", "whole", is_flag=True, help="All packages and artifacts; on a terminal, many are folded.")
@click.option("--exit-code", is_flag=True, help="Exit with 1 where something differs, 0 where nothing does.")
@json_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "html", "json"]),
    default="text",
    help="How to write it: markdown for a pull request, html as a page of its own.",
)
@click.pass_context
def diff_command(
    ctx: click.Context,
    runs: Sequence[str],
    stat: bool,
    code: bool,
    artifacts: bool,
    goals: Sequence[str],
    tolerance: float,
    whole: bool,
    exit_code: bool,
    as_json: bool,
    form: str,
) -> int:
    """Compare runs: what differs, and what got better or worse.

    Everything is compared with the first run: params, metrics, curves, tags, inputs, code, environment, packages and
    artifacts. With PATHs, only the contents of these files (or folders, or patterns such as "*.csv") of two runs: text
    by lines, tables by cells, JSON by values, notebooks by cells.

    \b
    gxt diff @best:rmse @last
    gxt diff ridge lasso knn --stat
    gxt diff ridge lasso -- predictions.csv
    gxt diff ridge lasso --code -- train.py
    """
    if code:
        if as_json or artifacts or form != "text":
            raise UsageError("--code is git's own output", "it goes with --stat, --exit-code and -- PATH…")
        options = ["--stat"] * stat + ["--exit-code"] * exit_code
        return _diff_code(repository(ctx), runs, options, ctx.meta[_PATHS])
    form = "json" if as_json else form
    if stat and form in ("html", "json"):
        raise UsageError(f"--stat does not go with {form}", "text and markdown have it")
    repo = readable_repository(ctx)
    paths = ctx.meta[_PATHS]
    found = comparison.of(
        repo,
        [catalog.find(repo, run) for run in runs],
        dict(map(stats.parse_goal, goals)),
        paths or artifacts,
        tolerance,
    )
    if form == "json":
        output.page(render.json_text(found.to_dict()))
    elif form == "html":
        output.page(found.to_html())
    elif stat:
        output.page(_stat(stat_table(found.outline()), form))
    elif form == "markdown":
        output.page(found.to_markdown())
    else:
        whole = whole or not output.is_terminal()
        output.page(terminal(found.outline(now()), output.width(), output.paint, whole))
    return 1 if exit_code and found.different else 0


def _diff_code(repo: Repository, names: Sequence[str], options: Sequence[str], paths: Sequence[str]) -> int:
    if len(names) != 2:
        raise UsageError(f"--code compares two runs, not {len(names)}")
    settings = git.config(repo)
    found = [catalog.find(repo, name) for name in names]
    commits = [worktrees.fetched(repo, settings, run, talk("the repository")) for run in found]
    return git.show_diff(repo, commits[0], commits[1], options, paths)


def _stat(table: render.Table, form: str) -> str:
    if not table.rows:
        return "nothing differs\n"
    if form == "markdown":
        return render.markdown(table, now())
    return render.terminal(table, now(), output.width(), output.colour())[0]
