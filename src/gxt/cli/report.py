"""`gxt report`: what a review brings, as markdown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from gxt import against, plots, render, stats
from gxt.cli import output
from gxt.cli.params import complete_metric, complete_run, goals_option, json_option, repository
from gxt.errors import GxtError, UsageError
from gxt.git import Repository
from gxt.model import experiment_folder
from gxt.plots import Options, Selection
from gxt.report import Report, report
from gxt.report.document import comment, markdown

_DRAWN = 12  # runs in an image


@click.command("report")
@click.option("--base", "base_text", metavar="BRANCH|REV", help="What the branch is to be merged into.")
@click.option(
    "--against",
    "reference",
    metavar="RUN|REV|@best:METRIC",
    shell_complete=complete_run,
    help="What the best new runs are compared with. Default: the best of the same experiment on the base.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_metric,
    help="The metric that tells which run is best. Default: one with a goal.",
)
@goals_option()
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), help="Write the markdown to this file.")
@click.option(
    "--comment-file",
    type=click.Path(path_type=Path),
    help="Write it to this file with a hidden first line, by which CI finds its comment to update it.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    help="Plot curves into this folder, for a page that can show images; else they are mermaid charts.",
)
@json_option
@click.pass_context
def report_command(
    ctx: click.Context,
    base_text: str | None,
    reference: str | None,
    metrics: Sequence[str],
    goals: Sequence[str],
    target: Path | None,
    comment_file: Path | None,
    images: Path | None,
    as_json: bool,
) -> None:
    """Write as markdown what a review brings.

    That is the new runs, and the best of them against the base's. New are the runs that the review, or the local run
    branch, has and its base has not: the run branch on the remote. The report fits into a comment on GitHub or GitLab,
    however many runs there are.

    \b
    gxt report
    gxt report --against @best:rmse -o report.md
    gxt report --base origin/gxt --comment-file comment.md
    """
    if as_json and (target or comment_file or images):
        raise UsageError("--json goes without files", "`gxt report --json > FILE` writes one")
    repo = repository(ctx)
    base = against.base_of(repo, base_text)
    found = report(repo, base, reference, metrics, dict(map(stats.parse_goal, goals)), output.progress())
    if as_json:
        output.page(render.json_text(found.to_dict()))
        return
    addresses = _draw(repo, found, images) if images else {}
    for path, write in ((target, markdown), (comment_file, comment)):
        if path is not None:
            near = {name: _address(image, path) for name, image in addresses.items()}
            output.save(path, write(found, near).encode())
    if target is None and comment_file is None:
        near = {name: _address(image, Path("report.md")) for name, image in addresses.items()}
        output.page(markdown(found, near))


def _draw(repo: Repository, found: Report, folder: Path) -> dict[str, Path]:
    """A plot for each experiment that has curves: the first of its new runs, and what they stand against."""
    drawn = {}
    for one in found.experiments:
        runs = [run for run in one.runs[:_DRAWN] if one.curves.get(run.id)]
        if one.metric is None or not runs:
            continue
        listed = plots.select(repo, [run.id for run in runs])
        selection = Selection(listed.runs, listed.found)
        if one.reference is not None and one.curves.get(one.reference.id):
            before = one.reference  # which the branch may not have, or have otherwise
            selection = Selection([before, *listed.runs], listed.found, elsewhere={before.id: found.measured.commit})
        goals = {one.metric.name: one.goal}
        chart = plots.build(repo, selection, [one.metric.name], Options(goals=goals))
        content = plots.file_content(chart, "svg")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GxtError(f"{folder} cannot be made: {error.strerror}") from None
        drawn[one.name] = folder / f"{experiment_folder(one.name).replace('%', '-')}.svg"
        output.save(drawn[one.name], content)
    return drawn


def _address(image: Path, page: Path) -> str:
    from urllib.parse import quote  # here for start-up time

    return quote(Path(os.path.relpath(image, page.parent)).as_posix())
