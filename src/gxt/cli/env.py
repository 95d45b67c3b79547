"""gxt env: a run's packages, for pip, conda or uv."""

from __future__ import annotations

from pathlib import Path

import click

from gxt import catalog, layout
from gxt.cli import output
from gxt.cli.params import readable_repository, run_argument
from gxt.environment import requirements
from gxt.errors import NotFoundError, UsageError


@click.command("env")
@run_argument
@click.option("-o", "--output", "target", metavar="FILE", help="Where to. Default: standard output.")
@click.option(
    "--format",
    "form",
    type=click.Choice(requirements.FORMATS),
    help="requirements.txt, conda's environment.yml, or a pyproject.toml that uv locks. Default: as FILE ends.",
)
@click.option("-f", "--force", is_flag=True, help="Replace a file that is there.")
@click.pass_context
def env_command(ctx: click.Context, run: str, target: str | None, form: str | None, force: bool) -> None:
    """Write a run's packages for pip, conda or uv.

    What cannot be installed elsewhere, such as editable folders, is left out, and named on standard error.

    \b
    gxt env @best:rmse -o requirements.txt
    gxt env calm-otter -o environment.yml
    gxt env calm-otter --format uv
    """
    repo = readable_repository(ctx)
    found = catalog.find(repo, run)
    data = catalog.read_file(repo, found, layout.ENVIRONMENT_TXT)
    packages = requirements.read(data or b"")
    if not packages:
        raise NotFoundError(f"run {found.name} has recorded no packages", "environment.txt would have them")
    text = requirements.write(found, packages, requirements.form_of(Path(target or "").name, form))
    if target is None or target == "-":
        click.echo(text, nl=False)
    else:
        if Path(target).exists() and not force:
            raise UsageError(f"{target} is there already", "-o names another file; --force replaces this one")
        output.save(Path(target), text.encode())
        click.echo(target)
    for remark in requirements.remarks(packages):
        output.note(f"gxt: {remark}")
