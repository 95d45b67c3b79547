"""`gxt export`: runs and points as Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from gxt import exports, render
from gxt.cli import output
from gxt.cli.params import experiments_option, json_option, readable_repository


@click.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@experiments_option("Only this experiment; may be given several times.")
@click.option("--where", multiple=True, metavar="FILTER", help="Only these runs: rmse < 6.5. Of several, all hold.")
@json_option
@click.pass_context
def export_command(
    ctx: click.Context, folder: Path, experiments: Sequence[str], where: Sequence[str], as_json: bool
) -> None:
    """Write runs and points as Parquet, for DuckDB, Dask and pandas.

    DIR gets the tables runs, points, params and tags, each with a folder for every experiment. What an earlier export
    wrote there is replaced, file by file and each whole; where nothing has changed, files stay.

    \b
    gxt export lake
    gxt export lake -e nyc-taxi --where "status = 'finished'"
    duckdb -c "select * from read_parquet('lake/runs/**/*.parquet', hive_partitioning=true)"
    """
    repo = readable_repository(ctx)
    done = exports.export(repo, folder, experiments or None, where=where, progress=output.progress())
    if done.alike:
        names = ", ".join(done.alike[:4]) + (" and more" if len(done.alike) > 4 else "")
        output.note(f"gxt: {names} differ in upper and lower case alone: DuckDB renames such columns")
    if as_json:
        found = {
            "folder": str(done.folder),
            "runs": done.runs,
            "points": done.points,
            "experiments": list(done.experiments),
            "unchanged": list(done.kept),
        }
        click.echo(render.json_text(found), nl=False)
        return
    said = f"{_count(done.runs, 'run')} with {_count(done.points, 'point')}"
    kept = f", {len(done.kept)} of them unchanged" if done.kept else ""
    click.echo(f"{folder}: {said} in {_count(len(done.experiments), 'experiment')}{kept}")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
