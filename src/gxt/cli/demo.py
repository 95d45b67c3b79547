"""`gxt demo`: a repository with real runs of real models, to try things on."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import click

from gxt import catalog, git, query, render, tables
from gxt.cli import output
from gxt.errors import MissingPackageError, UsageError
from gxt.model import now

_COLUMNS = ("name", "rmse", "params.model", "duration")


@click.command("demo")
@click.argument("folder", default="gxt-demo", metavar="[FOLDER]")
def demo_command(folder: str) -> None:
    """Train some models in a throw-away repository and show their runs.

    Trains scikit-learn models that predict how long a taxi trip takes, on generated trips. Takes about half a
    minute; FOLDER (gxt-demo when not given) must not exist.
    """
    target = Path(folder)
    if target.exists():
        raise UsageError(f"{folder} exists already", "name another folder: gxt demo FOLDER")
    try:
        from gxt import demo
    except ImportError as error:
        raise MissingPackageError(error.name or "scikit-learn", "the demo", "demo") from None
    files = demo.files()
    output.note(f"making a repository in {folder}/")
    repo = git.init(target, files)
    demo.record_demo_runs(target, lambda message: output.note(f"  {message}"))
    runs = catalog.listing(repo).runs
    known = query.KnownOf(runs)
    runs = query.sort(runs, [query.parse_sort("rmse", known)])
    fields = [query.resolve(name, known) for name in _COLUMNS]
    output.note("")
    text, _ = render.terminal(tables.run_table(runs, fields), now(), output.width(), output.colour())
    click.echo(f"$ gxt table nyc-taxi --sort rmse --columns {','.join(_COLUMNS)}")
    click.echo(text)
    best = catalog.find(repo, "@best:rmse")
    click.echo(_NEXT.format(folder=folder, activate=_activation(), best=best.name))


def _activation() -> str:
    """How to get `gxt` and this Python into the shell's PATH, where they are in a virtual environment outside it."""
    activate = Path(sys.prefix, "bin", "activate")
    if sys.prefix == sys.base_prefix or shutil.which("gxt") is not None or not activate.is_file():
        return ""
    return f"  . {shlex.quote(os.path.relpath(activate))}\n"


_NEXT = """\
These runs are on the branch gxt of the repository {folder}/. Try next:

{activate}  cd {folder}
  gxt table                            all params and metrics
  gxt show {best:<27} one run: params, metrics, code, artifacts
  gxt show @best:rmse                  the same, by what it is best at
  python train.py --alpha 0.3          record a run of your own
  gxt plot rmse --run @best:rmse       its curve
  git log --stat gxt                   it is all plain git
  git show gxt:experiments/nyc-taxi"""
