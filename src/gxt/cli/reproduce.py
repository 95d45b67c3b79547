"""`gxt reproduce` and `gxt rerun`: a run once more, from its own code, as it was or with changes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from gxt import capture, catalog, render, replaying, stats
from gxt.cli import output
from gxt.cli.moving import talk
from gxt.cli.params import complete_metric, goals_option, json_option, repository, run_argument
from gxt.cli.run import sink_of
from gxt.gate.limits import Tolerance, parse_tolerance
from gxt.model import seconds_of
from gxt.render import Column, Table
from gxt.replaying import CURRENT, REPRODUCES, RERUN_OF, VENV, Rehearsal, Reproduction, Rerun, Watch, Wish, exact
from gxt.showing import one_line

_OPTIONS = [
    click.option(
        "-p",
        "--param",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        help="Another value of a param, where the command has it: --NAME VALUE, --NAME=VALUE or NAME=VALUE.",
    ),
    click.option(
        "--env",
        type=click.Choice([CURRENT, VENV]),
        default=CURRENT,
        show_default=True,
        help="The packages that are installed here, or a fresh environment with the recorded ones.",
    ),
    click.option(
        "--with",
        "also",
        multiple=True,
        metavar="PATH",
        type=click.Path(),
        help="A file or folder of the work tree that it needs, and that neither the code nor the run's inputs have.",
    ),
    click.option("-n", "--name", metavar="NAME", help="The new run's name. Default: one such as calm-otter."),
    click.option("--timeout", metavar="TIME", help="End the command after that long: 30s, 5m, 1h."),
    click.option("--dry-run", is_flag=True, help="Only say what would be run, and where it would differ from then."),
    click.option(
        "--keep", is_flag=True, help="Keep the folder it ran in. Where the command fails, it stays for a day."
    ),
]


def _shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND…]")(command)


@click.command("reproduce")
@run_argument
@_shared_options
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="METRIC",
    shell_complete=complete_metric,
    help="Only look at this metric. Default: all.",
)
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="[METRIC=]AMOUNT",
    help="Values that differ by no more hold: 1% of what was, or 0.05 in the metric's own unit. Default: 1e-7%.",
)
@goals_option()
@json_option
@click.pass_context
def reproduce_command(
    ctx: click.Context,
    run: str,
    command: Sequence[str],
    params: Sequence[str],
    env: str,
    also: Sequence[str],
    name: str | None,
    timeout: str | None,
    dry_run: bool,
    keep: bool,
    metrics: Sequence[str],
    tolerances: Sequence[str],
    goals: Sequence[str],
    as_json: bool,
) -> int:
    """Run a run again, from its own code; say whether its metrics held.

    The code is checked out as it was, uncommitted changes included, in a folder of its own; the recorded command is run
    there, and recorded as a new run of the experiment that says which one it reproduces. Datasets that git ignores come
    from the work tree, once their digest is that of then. Exits with 0 where every metric held, with 1 where not, and
    with 2 or more where that cannot be told: with 8 where the command failed or was ended early.

    This runs what the run names, with your rights: look at a run of somebody else with --dry-run before. What the
    command prints goes to standard error. COMMAND is run in place of the recorded one.

    \b
    gxt reproduce @best:rmse
    gxt reproduce calm-otter --env venv --tolerance 0.1%
    """
    repo = repository(ctx)
    then = catalog.find(repo, run)
    amounts = _tolerances(tolerances)
    stated = dict(map(stats.parse_goal, goals))
    replaying.check_metrics(then, metrics)
    wish = _wish(REPRODUCES, params, command, env, also, name, keep, timeout)
    watch, remarks = _watch()
    if dry_run:
        _say_plan(replaying.rehearse(repo, then, wish, watch))
        return 0
    found = replaying.reproduction(repo, then, wish, watch, remarks, amounts, metrics, stated)
    if as_json:
        output.page(render.json_text(found.to_dict()))
    else:
        _report(found)
    return found.verdict_code


@click.command("rerun")
@run_argument
@_shared_options
@click.pass_context
def rerun_command(
    ctx: click.Context,
    run: str,
    command: Sequence[str],
    params: Sequence[str],
    env: str,
    also: Sequence[str],
    name: str | None,
    timeout: str | None,
    dry_run: bool,
    keep: bool,
) -> int:
    """Run a run again, from its own code, with changes.

    As `gxt reproduce`, but with other params or data, and without a verdict: the new run says of which one it is a
    rerun, and `gxt diff` compares the two. Exits with the command's own exit code.

    \b
    gxt rerun @best:rmse -p lr=0.2
    gxt rerun calm-otter -- python train.py --lr 0.2 --epochs 30
    """
    repo = repository(ctx)
    then = catalog.find(repo, run)
    wish = _wish(RERUN_OF, params, command, env, also, name, keep, timeout)
    watch, remarks = _watch()
    if dry_run:
        _say_plan(replaying.rehearse(repo, then, wish, watch))
        return 0
    found = replaying.rerun_of(repo, then, wish, watch, remarks)
    for line in _differences(found):
        output.say(line)
    _remark_on(found)
    return found.exit_code


def _wish(
    link: str,
    params: Sequence[str],
    command: Sequence[str],
    env: str,
    also: Sequence[str],
    name: str | None,
    keep: bool,
    timeout: str | None,
) -> Wish:
    seconds = None if timeout is None else seconds_of(timeout)
    return Wish(link, replaying.parse_changes(params), command, env, also, name, keep, seconds)


def _watch() -> tuple[Watch, list[str]]:
    """What the command prints goes to standard error, since standard output has the answer; so do remarks, which come
    to stand in the list too."""
    remarks: list[str] = []

    def said(text: str) -> None:
        remarks.append(text)
        output.note(f"gxt: {text}")

    return Watch(said, sink_of(sys.stderr), talk), remarks


# --- what is said of it -----------------------------------------------------------------------------------------------


def _say_plan(found: Rehearsal) -> None:
    made = found.plan
    for one in made.replaced:
        output.say(f"{one.param}: {one.before} → {one.after}")
    for name, value in made.params.items():
        output.say(f"{name}: {value}")
    command = capture.command_text(made.command) if made.command else f"(the notebook {made.notebook})"
    where = f" in {made.cwd}" if str(made.cwd) != "." else ""
    output.say(f"would run{where}, at {found.commit[:12]}: {command}")


def _tolerances(texts: Sequence[str]) -> dict[str, Tolerance]:
    found = {}
    for text in texts:
        metric, _, amount = text.rpartition("=")
        found[metric] = parse_tolerance(amount)
    return found


def _report(found: Reproduction) -> None:
    columns = [Column("metric"), Column("then", "number"), Column("now", "number")]
    columns += [Column("difference", "number"), Column("verdict")]
    rows = [[v.metric, exact(v.then), exact(v.now), v.difference or None, v.status] for v in found.metrics]
    if rows:
        output.page(render.terminal(Table(columns, rows), None, output.width(), output.colour())[0])
    _remark_on(found)
    output.say(output.paint(found.summary, "green" if found.held else "red"))


def _remark_on(found: Reproduction | Rerun) -> None:
    for line in found.lines():
        output.say(one_line(line))
    run = found.run
    output.say(f"{run.status}: {output.paint(run.name, 'bold')} ({run.id}) in {run.experiment}")


def _differences(found: Rerun) -> Iterator[str]:
    """What a rerun came to, a line for each param that is another one, and for each metric."""
    for name, (before, after) in found.params.items():
        yield f"{name}: {'(none)' if before is None else before} → {'(none)' if after is None else after}"
    for name, (old, new, word) in found.metrics.items():
        yield f"{name}: {exact(old) or '(none)'} → {exact(new) or '(none)'}{f'  {word}' if word else ''}"
