"""`gxt reproduce` and `gxt rerun`: a run once more, from its own code, as it was or with changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from gxt import catalog, layout, render, replaying, stats
from gxt.cli import output
from gxt.cli.again import CURRENT, VENV, Done, Wish, again
from gxt.cli.params import complete_metric, goals_option, json_option, repository, run_argument
from gxt.errors import NotFoundError
from gxt.gate.limits import Tolerance, parse_tolerance
from gxt.model import FINISHED, KILLED, Run, flatten
from gxt.render import Column, Table
from gxt.replaying import Verdict

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
    click.option("--dry-run", is_flag=True, help="Only say what would be run, and where it would differ from then."),
    click.option("--keep", is_flag=True, help="Keep the folder it ran in; it is kept too where the command fails."),
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
    with 2 or more where that cannot be told.

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
    for metric in metrics:
        if metric not in then.metrics:
            raise NotFoundError(f"run {then.name} has no metric {metric!r}", f"`gxt show {then.id}` lists them")
    wish = Wish("reproduces", replaying.parse_changes(params), command, env, also, name, dry_run, keep)
    done = again(repo, then, wish)
    if done is None:
        return 0
    known = dict(catalog.find_experiment(repo, then.experiment).goals) | stated
    found = replaying.verdicts(then, done.counterpart, lambda metric: stats.goal_of(metric, known), amounts, metrics)
    held = replaying.held(found) and (done.code == 0 or then.status != FINISHED) and done.run.status != KILLED
    is_told = not held or replaying.is_compared(found)
    if as_json:
        output.page(render.json_text(_json(then, done, found, held)))
    else:
        _report(then, done, found, held, is_told)
    return (0 if held else 1) if is_told else 2


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
    wish = Wish("rerun_of", replaying.parse_changes(params), command, env, also, name, dry_run, keep)
    done = again(repo, then, wish)
    if done is None:
        return 0
    known = catalog.find_experiment(repo, then.experiment).goals
    for line in _differences(then, done.counterpart, known):
        output.say(line)
    _remark_on(then, done)
    return done.code


# --- what is said of it -----------------------------------------------------------------------------------------------


def _tolerances(texts: Sequence[str]) -> dict[str, Tolerance]:
    found = {}
    for text in texts:
        metric, _, amount = text.rpartition("=")
        found[metric] = parse_tolerance(amount)
    return found


def _report(then: Run, done: Done, found: Sequence[Verdict], held: bool, is_told: bool) -> None:
    columns = [Column("metric"), Column("then", "number"), Column("now", "number")]
    columns += [Column("difference", "number"), Column("verdict")]
    rows = [[v.metric, _exact(v.then), _exact(v.now), v.difference or None, v.status] for v in found]
    if rows:
        output.page(render.terminal(Table(columns, rows), None, output.width(), output.colour())[0])
    _remark_on(then, done)
    counts = {status: sum(v.status == status for v in found) for status in _STATUSES}
    said = ", ".join(f"{count} {status}" for status, count in counts.items() if count) or "no metric to compare"
    word = ("held" if held else "did not hold") if is_told else "cannot be told"
    output.say(output.paint(f"{word}: {said}", "green" if held and is_told else "red"))


_STATUSES = (replaying.IDENTICAL, replaying.HELD, replaying.DIFFERS, replaying.MISSING, replaying.NEW)


def _exact(value: float | None) -> str | None:
    """To the last digit, which is what is asked about."""
    return None if value is None else layout.metric_value(value)


def _remark_on(then: Run, done: Done) -> None:
    if done.counterpart.id != done.run.id:
        output.say(f"compared with {done.counterpart.name} ({done.counterpart.id}), which it recorded")
    if done.code and then.status == FINISHED:
        output.say(f"the command failed with exit code {done.code}; then, it finished")
    for path in _other_inputs(then, done.counterpart):
        output.say(f"the input {path} is not what it was")
    output.say(f"{done.run.status}: {output.paint(done.run.name, 'bold')} ({done.run.id}) in {done.run.experiment}")


def _other_inputs(then: Run, now: Run) -> list[str]:
    """The inputs whose digest is another one."""
    digests = {name: about.get("digest") for name, about in now.inputs.items()}
    return [name for name, about in then.inputs.items() if name in digests and digests[name] != about.get("digest")]


def _differences(then: Run, now: Run, goals: Mapping[str, str]) -> list[str]:
    """What a rerun came to, a line for each param and metric that is another one."""
    before, after = flatten(then.params), flatten(now.params)
    lines = [
        f"{name}: {before.get(name, '(none)')} → {after.get(name, '(none)')}"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    for name in sorted({*then.metrics, *now.metrics}):
        old, new = (run.metrics[name].last if name in run.metrics else None for run in (then, now))
        better = {"min": lambda a, b: b < a, "max": lambda a, b: b > a}.get(stats.goal_of(name, goals) or "")
        word = ""
        if better is not None and old is not None and new is not None and old != new:
            word = "  better" if better(old, new) else "  worse"
        lines.append(f"{name}: {_exact(old) or '(none)'} → {_exact(new) or '(none)'}{word}")
    return lines


def _json(then: Run, done: Done, found: Sequence[Verdict], held: bool) -> dict[str, Any]:
    return {
        "run": then.id,
        "new_run": done.run.id,
        "compared_with": done.counterpart.id,
        "status": done.run.status,
        "exit_code": done.code,
        "held": held,
        "metrics": [verdict.to_dict() for verdict in found],
        "other_inputs": _other_inputs(then, done.counterpart),
    }
