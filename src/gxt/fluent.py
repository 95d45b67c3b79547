"""The module-level functions: MLflow's fluent names, acting on the run that is active.

Each thread has its own stack of active runs; a thread without one logs to the main thread's. A child process joins
its parent's run: a forked one by inheriting it, any other by GXT_RUN_ID in its environment.
"""

from __future__ import annotations

import contextlib
import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from gxt import git, lifecycle, live, recorder, store
from gxt.errors import GitError, GxtWarning, MissingPackageError, NotFoundError, UsageError
from gxt.git import Repository
from gxt.masking.values import mask_value
from gxt.model import (
    DEFAULT_EXPERIMENT,
    FINISHED,
    RUN_ID,
    Experiment,
    check_experiment_name,
    check_name,
    clean_text,
    seconds_of,
)
from gxt.recorder import ActiveRun
from gxt.system import check_available

RUN_ID_VARIABLE = "GXT_RUN_ID"
TRACKING_URI_VARIABLE = "GXT_TRACKING_URI"
EXPERIMENT_VARIABLE = "GXT_EXPERIMENT_NAME"
AGAIN_VARIABLE = "GXT_RUN_AGAIN"
"""The run that a program is run again for: it has a name of its own, whatever the program says."""
_VARIABLES = (RUN_ID_VARIABLE, TRACKING_URI_VARIABLE, EXPERIMENT_VARIABLE)


class _Stack(threading.local):
    """A thread's active runs, the innermost last."""

    def __init__(self) -> None:
        self.runs: list[ActiveRun] = _main if threading.current_thread() is threading.main_thread() else []


class _Process:
    """What is set for the whole process."""

    repo: Repository | None = None
    experiment: str | None = None
    last_run: str | None = None
    inherited: str | None = None  # the run named by the environment we were started with
    environment: tuple[int | None, dict[str, str | None]] = (None, {})  # what _export replaced, and in which process
    joined_in: int | None = None  # the process id in which the inherited run was joined
    failed_cell: tuple[str, int] | None = None  # a notebook's cell raised: the status that means, and when


_main: list[ActiveRun] = []
_local = _Stack()
_process = _Process()
if RUN_ID.fullmatch(os.environ.get(RUN_ID_VARIABLE, "")):
    _process.inherited = os.environ[RUN_ID_VARIABLE]


# --- where and what ---------------------------------------------------------------------------------------------


def set_tracking_uri(uri: str | os.PathLike[str]) -> None:
    """Choose the repository: a path to it, or to anything in it. The default is the current directory's.

    The URL of a repository elsewhere (`https://…`, `ssh://…`, `git@host:path`) is for looking at its runs, with
    `search_runs` and the like: only the run branch is fetched, what is read of it, and what is new from time to time.

    Raises:
        UsageError: an address that is none of a git repository, such as a tracking server's `databricks`.
        NotARepositoryError: there is none at that path.
        GitError, NotFoundError: the one elsewhere cannot be reached, or has no runs.

    >>> gxt.set_tracking_uri("https://example.com/team/taxi.git")  # doctest: +SKIP
    >>> gxt.search_runs(order_by=["rmse"])  # doctest: +SKIP
    """
    _process.repo = _located(os.fspath(uri))


def _located(place: str) -> Repository:
    if "://" not in place and ":" not in place:
        return git.find(Path(place).expanduser())
    from gxt import mirrors  # here for start-up time: recording does without

    return mirrors.locate(place, remark=_remark)


def _remark(text: str) -> None:
    warnings.warn(GxtWarning(text), stacklevel=7)  # the call of set_tracking_uri


def get_tracking_uri() -> str:
    """The path of the repository that runs go to; for one elsewhere, its URL without credentials."""
    repo = repository()
    return repo.origin.name if repo.origin is not None else str(repo.work_tree or repo.common_dir)


_FRESH = 30.0  # seconds, for which nobody asks again what is new elsewhere


def repository() -> Repository:
    """The repository that runs go to: what was set, or GXT_TRACKING_URI, or the current directory's."""
    if _process.repo is None:
        _process.repo = _located(os.environ.get(TRACKING_URI_VARIABLE) or ".")
    if _process.repo.origin is not None:
        from gxt import mirrors  # here for start-up time: recording does without

        _process.repo = mirrors.refreshed(_process.repo, _FRESH, _remark)
    return _process.repo


def current_experiment() -> str:
    """The experiment that new runs go to: what was set, GXT_EXPERIMENT_NAME, git config gxt.experiment, "default"."""
    return _chosen_experiment() or git.config(repository()).get("gxt.experiment", DEFAULT_EXPERIMENT)


def experiments_to_read() -> list[str] | None:
    """Where readers look when they are told no experiment: in the one that was chosen for new runs, else in all."""
    chosen = _chosen_experiment() or git.config(repository()).get("gxt.experiment")
    return [chosen] if chosen else None


def _chosen_experiment() -> str | None:
    return _process.experiment or os.environ.get(EXPERIMENT_VARIABLE)


def set_experiment(experiment_name: str | None = None, experiment_id: str | None = None) -> Experiment:
    """Choose the experiment that new runs go to, by name or id; one that does not exist comes with its first run.

    Raises:
        NotFoundError: no experiment has that id.
        UsageError: the name cannot be one, or the experiment was deleted.
    """
    if (experiment_name is None) == (experiment_id is None):
        raise UsageError("set_experiment takes either a name or an experiment_id")
    name = check_experiment_name(experiment_name) if experiment_name is not None else _name_of(str(experiment_id))
    try:
        experiment = store.experiment(repository(), name)
    except (GitError, OSError) as error:  # a broken repository does not stop a training script
        warnings.warn(GxtWarning(f"experiment {name!r} could not be looked up: {error}"), stacklevel=2)
        experiment = Experiment(name=name, id="")
    _process.experiment = name
    return experiment


def _name_of(experiment_id: str) -> str:
    repo = repository()
    experiments, _ = store.read_experiments(repo, store.tip(repo, git.config(repo)).commit)
    found = [e.name for e in experiments.values() if e.id == experiment_id]
    found += [e.name for e in live.new_experiments(store.root(repo)) if e.id == experiment_id]
    if not found:
        raise NotFoundError(f"no experiment has the id {experiment_id!r}", "`gxt list` shows names")
    return found[0]


def create_experiment(name: str, *, description: str | None = None, tags: Mapping[str, Any] | None = None) -> str:
    """Create an experiment and give its id back. Raises UsageError where it exists already."""
    repo = repository()
    check_experiment_name(name)
    experiment = store.experiment(repo, name)
    if store.has_experiment(repo, name):
        raise UsageError(f"experiment {name!r} exists already", "set_experiment chooses it")
    said = clean_text(description) if description else None
    checked = {check_name("tag", key): mask_value(key, clean_text(str(v))) for key, v in (tags or {}).items()}
    return store.edit_experiment(
        repo, experiment, lambda known: replace(known, description=said, tags=checked), "created"
    ).id


# --- the active run ---------------------------------------------------------------------------------------------


def start_run(
    run_id: str | None = None,
    experiment_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    parent_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
    *,
    experiment_name: str | None = None,
    resume_from_step: int | None = None,
    commit_every: float | str | timedelta | None = None,
) -> ActiveRun:
    """Start a run and make it the active one; also a context manager that ends it.

    In a process whose parent recorded a run (`gxt run`, a worker process), the first `start_run` joins that run;
    later ones are its children.

    Args:
        run_id: go on with this run, instead of a new one.
        run_name: a readable name; `calm-otter` or the like when not given.
        nested: start a child of the active run.
        parent_run_id: the parent, where it is not the active run.
        description: the run's note.
        log_system_metrics: sample CPU, memory, GPUs; git config `gxt.systemMetrics` when not given.
        experiment_name, experiment_id: where the run goes; `set_experiment`'s when not given.
        resume_from_step: with `run_id`, drop the points after this step.
        commit_every: put the run on the branch that often while it records ("5m", or seconds), for machines that may
            be taken away; git config `gxt.commitEvery` when not given.

    Raises:
        UsageError: a run is active already and `nested` is not set.
        NotFoundError: no run has that id.

    >>> with gxt.start_run(run_name="baseline"):  # doctest: +SKIP
    ...     gxt.log_metric("rmse", 6.3)
    """
    stack = _local.runs
    _end_runs_of_failed_cell(stack)
    active = stack[-1] if stack and stack[-1].pid == os.getpid() else None
    if active is not None and not nested:
        raise UsageError(
            f"run {active.name} ({active.run_id}) is active already",
            "end it by gxt.end_run(), or start a child by start_run(nested=True)",
        )
    outer = _outer_run()
    experiment = _name_of(experiment_id) if experiment_id else experiment_name
    lifecycle.watch(_end_all)
    joined = None if run_id is not None or nested else _join_outer(outer)
    if run_id is not None:
        seconds = commit_interval(commit_every, git.config(repository()))
        run = _go_on(run_id, resume_from_step)
        if seconds and run.owner:
            run.commit_every(seconds)
    elif joined is not None:
        run = joined
        is_again = os.environ.get(AGAIN_VARIABLE) == run.run_id
        if (run_name or tags or description) and not is_again:
            warnings.warn(GxtWarning(f"joined the run {run.name} of the parent process; its name stays"), stacklevel=2)
    else:
        parent = parent_run_id or (active.run_id if active else outer)
        run = create_run(
            experiment_name=experiment or (active.experiment if active and nested else None),
            run_name=run_name,
            parent_run_id=parent,
            log_system_metrics=log_system_metrics,
            commit_every=commit_every,
        )
        run._on_end = _forget
    if tags:
        run.set_tags(tags)
    if description:
        run.set_note(description)
    stack.append(run)
    _process.last_run = run.run_id
    _export()
    lifecycle.watch_cells(_remember_failed_cell)
    return run


def create_run(
    *,
    experiment_name: str | None = None,
    run_name: str | None = None,
    parent_run_id: str | None = None,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
    commit_every: float | str | timedelta | None = None,
) -> ActiveRun:
    """Start a run without making it the active one: any number can be open at once, each through its own methods."""
    repo = repository()
    settings = recorder.settings_of(repo)
    sampled = _is_sampled(log_system_metrics, settings)
    seconds = commit_interval(commit_every, settings)
    run = recorder.begin(
        repo,
        experiment_name or _chosen_experiment() or settings.get("gxt.experiment", DEFAULT_EXPERIMENT),
        settings,
        name=run_name,
        parent=parent_run_id,
        tags=tags,
        note=description,
    )
    if sampled:
        run.sample_system()
    if seconds:
        run.commit_every(seconds)
    lifecycle.watch(_end_all)
    return run


def commit_interval(asked: float | str | timedelta | None, settings: Mapping[str, str]) -> float | None:
    """Every how many seconds to commit a run while it records: as asked, or as git config `gxt.commitEvery` says."""
    every = settings.get("gxt.commitevery") if asked is None else asked
    return seconds_of(every) if every is not None else None


def _is_sampled(asked: bool | None, settings: Mapping[str, str]) -> bool:
    """Whether to sample the machine. Raises MissingPackageError only where this very call asks for what it cannot."""
    if asked is False or (asked is None and not git.is_true(settings.get("gxt.systemmetrics"))):
        return False
    try:
        check_available()
    except MissingPackageError as error:
        if asked:
            raise
        warnings.warn(GxtWarning(f"gxt.systemMetrics is set, but {error}"), stacklevel=4)
        return False
    return True


def end_run(status: str = FINISHED) -> None:
    """End the active run, if there is one. MLflow's FINISHED, FAILED and KILLED are taken too."""
    if _local.runs and _local.runs[-1].pid == os.getpid():
        _local.runs[-1].end(status)


def active_run() -> ActiveRun | None:
    """The run that logging calls here go to; None when they would start one."""
    runs = _local.runs or _main
    return runs[-1] if runs else None


def last_active_run() -> Any:
    """The run that is active, or was last: as it stands now. None when there was none in this process."""
    active = active_run()
    if active is not None:
        return active.record
    if _process.last_run is None:
        return None
    from gxt import catalog  # here for start-up time

    return catalog.find(repository(), _process.last_run)


def _current() -> ActiveRun:
    runs = _local.runs or _main
    return runs[-1] if runs else start_run()


def _go_on(run_id: str, from_step: int | None) -> ActiveRun:
    repo = repository()
    base = store.root(repo)
    if not RUN_ID.fullmatch(run_id):
        from gxt import catalog  # here for start-up time

        run_id = catalog.find(repo, run_id).id
    folder = live.live_path(base, run_id)
    if folder.is_dir() and live.is_alive(folder):
        if from_step is not None:
            raise UsageError(f"run {run_id} is still recording; it can be joined, not taken back to a step")
        with contextlib.suppress(NotFoundError):  # it has just ended
            return recorder.join(repo, run_id, _forget)
    return recorder.resume(repo, run_id, from_step, _forget)


def inherited_run() -> str | None:
    """The run named by the environment that this process was started with."""
    return _process.inherited


def _outer_run() -> str | None:
    """The run that this process was born into: by fork, or by the environment."""
    if _main and _main[0].pid != os.getpid():
        return next(run.run_id for run in reversed(_main) if run.pid != os.getpid())
    return _process.inherited


def _join_outer(run_id: str | None) -> ActiveRun | None:
    """The run that this process was born into, joined the first time; None later, and where it does not record."""
    if run_id is None or _process.joined_in == os.getpid():
        return None
    with contextlib.suppress(NotFoundError):
        joined = recorder.join(repository(), run_id, _forget)
        _process.joined_in = os.getpid()
        return joined
    return None


def _forget(run: ActiveRun, status: str) -> None:
    """A run ends: it is active no more, nor are the runs that were started inside it and left open."""
    for stack in (_local.runs, _main):
        if run in stack:
            inner = stack[stack.index(run) + 1 :]
            del stack[stack.index(run) :]
            for left_open in reversed(inner):
                left_open.end(status)
    _export()


def _export() -> None:
    """Name the main thread's active run to the processes that we start; without one, leave things as they were."""
    pid = os.getpid()
    mine = [run for run in _main if run.pid == pid]
    saved_in, saved = _process.environment
    if mine:
        if saved_in != pid:
            _process.environment = pid, {name: os.environ.get(name) for name in _VARIABLES}
        # A child process that records a run of its own means the same experiment.
        values: dict[str, str | None] = dict(
            zip(_VARIABLES, (mine[-1].run_id, get_tracking_uri(), mine[-1].experiment), strict=True)
        )
    elif saved_in == pid:
        values = saved
        _process.environment = None, {}
    else:
        return
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _end_all(status: str) -> None:
    status = _left_open_as() or status
    for run in reversed([run for run in _main if run.pid == os.getpid()]):
        run.end(status)
    for run in recorder.open_runs():  # in other threads, or made by create_run
        run.end(status)
    recorder.commit_interrupted()


def _remember_failed_cell(status: str) -> None:
    if _main:
        _process.failed_cell = status, live.last_logged(_main[-1].folder)


def _left_open_as() -> str | None:
    """The status of runs that a notebook's failed cell left open; None where they went on after it."""
    if _process.failed_cell is None or not _main:
        return None
    status, last_sign = _process.failed_cell
    return status if live.last_logged(_main[-1].folder) <= last_sign else None


def _end_runs_of_failed_cell(stack: list[ActiveRun]) -> None:
    """A notebook's cell raised and left its run open: starting another one now means that it is over."""
    status = _left_open_as()
    if status is None or stack is not _main:
        return
    left = stack[-1]
    warnings.warn(GxtWarning(f"run {left.name} was left open by a cell that raised; it ends as {status}"), stacklevel=3)
    _end_all(status)


# --- logging to the active run ----------------------------------------------------------------------------------
# Where no run is active, each of these starts one, as MLflow's do.


def log_param(key: str, value: Any) -> Any:
    """Record a param of the active run and give its value back. See `ActiveRun.log_params`."""
    return _current().log_param(key, value)


def log_params(params: Mapping[str, Any]) -> None:
    """Record params of the active run. See `ActiveRun.log_params`."""
    _current().log_params(params)


def log_metric(key: str, value: Any, step: int | None = None, timestamp: int | datetime | None = None) -> None:
    """Record one value of a metric. See `ActiveRun.log_metric`."""
    _current().log_metric(key, value, step, timestamp)


def log_metrics(metrics: Mapping[str, Any], step: int | None = None, timestamp: int | datetime | None = None) -> None:
    """Record a value of each of several metrics. See `ActiveRun.log_metrics`."""
    _current().log_metrics(metrics, step, timestamp)


def log(values: Mapping[str, Any], step: int | None = None) -> None:
    """Record metrics at `step`, or one step after the last `log`. See `ActiveRun.log`."""
    _current().log(values, step)


def set_tag(key: str, value: Any) -> None:
    """Set a tag of the active run."""
    _current().set_tag(key, value)


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set several tags of the active run."""
    _current().set_tags(tags)


def delete_tag(key: str) -> None:
    """Take a tag of the active run away. Raises NotFoundError when it has none of that name."""
    _current().delete_tag(key)


def set_note(text: str) -> None:
    """Set the active run's note."""
    _current().set_note(text)


def log_artifact(local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Copy a file or folder into the active run. See `ActiveRun.log_artifact`."""
    _current().log_artifact(local_path, artifact_path)


def log_artifacts(local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Copy what is in a folder into the active run. See `ActiveRun.log_artifacts`."""
    _current().log_artifacts(local_dir, artifact_path)


def log_text(text: str, artifact_file: str) -> None:
    """Record text as an artifact of the active run."""
    _current().log_text(text, artifact_file)


def log_dict(dictionary: Mapping[str, Any] | list[Any], artifact_file: str) -> None:
    """Record a mapping or list as a YAML or JSON artifact. See `ActiveRun.log_dict`."""
    _current().log_dict(dictionary, artifact_file)


def log_figure(figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
    """Record a matplotlib or plotly figure. See `ActiveRun.log_figure`."""
    _current().log_figure(figure, artifact_file, save_kwargs=save_kwargs)


def log_image(image: Any, artifact_file: str | None = None, *, key: str | None = None, step: int = 0) -> None:
    """Record an image: a path, a PIL image or an array. See `ActiveRun.log_image`."""
    _current().log_image(image, artifact_file, key=key, step=step)


def log_table(data: Any, artifact_file: str) -> None:
    """Record a table. See `ActiveRun.log_table`."""
    _current().log_table(data, artifact_file)


def log_input(dataset: Any, context: str | None = None, name: str | None = None) -> None:
    """Record a dataset that the active run used. See `ActiveRun.log_input`."""
    _current().log_input(dataset, context, name)


def get_artifact_uri(artifact_path: str | None = None) -> str:
    """Where the active run's artifacts are. See `ActiveRun.get_artifact_uri`."""
    return _current().get_artifact_uri(artifact_path)
