"""`gxt.reproduce` and `gxt.rerun`, and what they share with the command line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from gxt import catalog, fluent, history, stats
from gxt.commands import exit_code_of
from gxt.errors import NotFoundError, UsageError
from gxt.gate.limits import Tolerance, parse_tolerance
from gxt.git import Repository, Talk
from gxt.history import AnyRun
from gxt.model import Run, seconds_of
from gxt.replaying.again import CURRENT, REPRODUCES, RERUN_OF, VENV, Done, Watch, Wish, again
from gxt.replaying.echo import printer
from gxt.replaying.outcome import Reproduction, Rerun
from gxt.replaying.verdicts import verdicts
from gxt.showing import quoted

AnyTolerance = float | str | Tolerance


def reproduce(
    run: AnyRun,
    *,
    params: Mapping[str, Any] | None = None,
    command: str | Sequence[str] | None = None,
    env: str = CURRENT,
    with_paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    name: str | None = None,
    keep: bool = False,
    timeout: float | str | timedelta | None = None,
    metrics: str | Sequence[str] = (),
    tolerance: AnyTolerance | Mapping[str, AnyTolerance] | None = None,
    goals: Mapping[str, str] | None = None,
    quiet: bool = False,
) -> Reproduction:
    """Run a run again, from its own code, and say metric by metric whether it held; as `gxt reproduce` does.

    The code is checked out as it was, uncommitted changes included, in a temporary folder; the recorded command runs
    there in a process of its own, and is recorded as a new run. What it prints, and what is different from then, comes
    on standard output meanwhile. This runs what the run names, with your rights.

    Args:
        run: the run, or what names it: an id, a name, `@last`, `@best:rmse`.
        params: what should make no difference, where the command has it: `{"device": "cpu"}`.
        command: what is run in place of the recorded command: words, or a text as a shell would split it.
        env: "current" for the packages that are installed, "venv" for a fresh environment with the recorded ones.
        with_paths: files or folders of the work tree that neither the code nor the run's inputs have.
        name: the new run's.
        keep: whether the folder stays.
        timeout: how long the command may take, in seconds or as "30m"; then it is ended, and whether it
            held cannot be told.
        metrics: look at these alone.
        tolerance: values that differ by no more hold: "1%" of what was, or 0.05 in the metric's own unit; or a mapping
            of metrics to such. Default: a billionth of what was.
        goals: what is better of a metric, "min" or "max", where its experiment does not say so.
        quiet: nothing is printed; output.log of the new run has it.

    Raises:
        NotFoundError: no such run or metric, or its code or a package is nowhere.
        UsageError: it has no command that can be run, its data has changed, or an argument cannot be understood.
        GitError: its code cannot be brought.
        KeyboardInterrupt: the command was interrupted; the new run is kept, as killed.

    >>> found = gxt.reproduce("@best:rmse", tolerance="0.1%")  # doctest: +SKIP
    >>> found.held, found.metrics[0].difference  # doctest: +SKIP
    (True, 0.0)
    """
    repo = fluent.repository()
    wish = _wish(REPRODUCES, params, command, env, with_paths, name, keep, timeout)
    amounts = _tolerances(tolerance)
    then = catalog.find(repo, history.names_of(run)[0])
    watch, remarks = _watch(quiet)
    names = [metrics] if isinstance(metrics, str) else metrics
    return reproduction(repo, then, wish, watch, remarks, amounts, names, goals or {})


def rerun(
    run: AnyRun,
    *,
    params: Mapping[str, Any] | None = None,
    command: str | Sequence[str] | None = None,
    env: str = CURRENT,
    with_paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
    name: str | None = None,
    keep: bool = False,
    timeout: float | str | timedelta | None = None,
    quiet: bool = False,
) -> Rerun:
    """Run a run again, from its own code, with changes; as `gxt rerun` does.

    As `reproduce`, but with other params, another command or other data, and without a verdict.

    Args:
        run, params, command, env, with_paths, name, keep, timeout, quiet: as for `reproduce`.

    Raises:
        as `reproduce` does. A command that fails raises nothing: `exit_code` and `run.status` tell.

    >>> gxt.rerun("@best:rmse", params={"lr": 0.2}).metrics  # doctest: +SKIP
    {'rmse': (6.6247, 6.5012, 'better')}
    """
    repo = fluent.repository()
    wish = _wish(RERUN_OF, params, command, env, with_paths, name, keep, timeout)
    watch, remarks = _watch(quiet)
    return rerun_of(repo, catalog.find(repo, history.names_of(run)[0]), wish, watch, remarks)


# --- what the command line calls too ----------------------------------------------------------------------------------


def reproduction(
    repo: Repository,
    then: Run,
    wish: Wish,
    watch: Watch,
    remarks: Sequence[str],
    tolerances: Mapping[str, Tolerance],
    metrics: Sequence[str],
    goals: Mapping[str, str],
) -> Reproduction:
    """Run a run again and compare. Raises as `reproduce` does.

    Args:
        remarks: where what `watch` is told stands afterwards.
        tolerances: by metric; "" for all others.
    """
    check_metrics(then, metrics)
    for metric, goal in goals.items():
        stats.check_goal(metric, goal)
    done = again(repo, then, wish, watch)
    known = dict(catalog.find_experiment(repo, then.experiment).goals) | dict(goals)
    found = verdicts(then, done.counterpart, lambda metric: stats.goal_of(metric, known), tolerances, metrics)
    return Reproduction(*_of_all(then, done, remarks), tuple(found))


def rerun_of(repo: Repository, then: Run, wish: Wish, watch: Watch, remarks: Sequence[str]) -> Rerun:
    """Run a run again with changes. Raises as `rerun` does."""
    done = again(repo, then, wish, watch)
    return Rerun(*_of_all(then, done, remarks), catalog.find_experiment(repo, then.experiment).goals)


def _of_all(
    then: Run, done: Done, remarks: Sequence[str]
) -> tuple[Run, Run, Run, int, tuple[str, ...], tuple[str, ...], bool]:
    """What is said of every run that was run again, as `Again` has it."""
    code = exit_code_of(done.exit.code)
    return then, done.run, done.counterpart, code, tuple(remarks), tuple(done.pointers), done.exit.is_late


def check_metrics(then: Run, metrics: Sequence[str]) -> None:
    """Raises NotFoundError where a run has not all of these metrics."""
    for metric in metrics:
        if metric not in then.metrics:
            raise NotFoundError(f"run {then.name} has no metric {quoted(metric)}", f"`gxt show {then.id}` lists them")


# --- arguments --------------------------------------------------------------------------------------------------------


def _wish(
    link: str,
    params: Mapping[str, Any] | None,
    command: str | Sequence[str] | None,
    env: str,
    also: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    name: str | None,
    keep: bool,
    timeout: float | str | timedelta | None,
) -> Wish:
    if env not in (CURRENT, VENV):
        raise UsageError(f"no environment {quoted(env)}", f"{CURRENT} or {VENV}")
    try:
        words = shlex.split(command) if isinstance(command, str) else [str(word) for word in command or ()]
    except ValueError as error:
        raise UsageError(f"the command cannot be split into words: {error}", "pass a list") from None
    paths = [also] if isinstance(also, (str, os.PathLike)) else also
    seconds = None if timeout is None else seconds_of(timeout)
    changes = {key: str(value) for key, value in (params or {}).items()}
    return Wish(link, changes, words, env, [os.fspath(path) for path in paths], name, keep, seconds)


def _watch(quiet: bool) -> tuple[Watch, list[str]]:
    """What prints, unless it is to be quiet, and the list that remarks come to stand in."""
    echo, tell = printer()
    remarks: list[str] = []

    def said(text: str) -> None:
        remarks.append(text)
        if not quiet:
            tell(text)

    return Watch(said, (lambda piece: None) if quiet else echo, lambda remote: Talk()), remarks


def _tolerances(given: AnyTolerance | Mapping[str, AnyTolerance] | None) -> dict[str, Tolerance]:
    if given is None:
        return {}
    by_metric = {"": given} if isinstance(given, (Tolerance, str, int, float)) else given
    return {
        metric: one if isinstance(one, Tolerance) else parse_tolerance(str(one)) for metric, one in by_metric.items()
    }
