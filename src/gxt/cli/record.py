"""Recording from scripts in any language: log, start, finish."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from gxt import artifacts, capture, datasets, edits, fluent, intake, recorder, store
from gxt.cli import output
from gxt.cli.moving import transfer_progress
from gxt.cli.params import Given, complete_live, complete_run, given_options, read_input, repository
from gxt.errors import FormatError
from gxt.git import Repository
from gxt.intake import Row
from gxt.live import add_params
from gxt.model import DEFAULT_EXPERIMENT, FAILED, FINISHED, KILLED, RUN_ID, param_value
from gxt.recorder import ActiveRun
from gxt.showing import one_line

STATUS = click.Choice([FINISHED, FAILED, KILLED])


@dataclass
class Content:
    """What a command line says of a run, checked before a run is begun, so that nothing is recorded by halves."""

    params: dict[str, Any] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: list[Row] = field(default_factory=list)
    files: list[tuple[str, str | None]] = field(default_factory=list)
    inputs: list[tuple[str, dict[str, Any], str | None]] = field(default_factory=list)
    note: str | None = None

    def record(self, run: ActiveRun, step: int | None) -> None:
        """Log all of it."""
        run.log_params(self.params)
        run.set_tags(self.tags)
        if self.note:
            run.set_note(self.note)
        if self.metrics:
            run.log_metrics(self.metrics, step=step)
        for row in self.history:
            run.log_metrics(row.values, step=row.step, timestamp=row.time)
        for path, folder in self.files:
            run.log_artifact(path, folder)
        for name, values, context in self.inputs:
            run.record_input(name, values, context)


def read_content(given: Given, repo: Repository) -> Content:
    """Params, tags, note and inputs of a command line; -p wins over a file, and a later file over an earlier one."""
    params: dict[str, Any] = dict(map(intake.param_assignment, given.params))
    for name in reversed(given.params_files):
        values = intake.read_params(read_input(name), "standard input" if name == "-" else name)
        params = add_params(params, param_value(values))
    tags = dict(map(intake.tag_assignment, given.tags))
    return Content(params, tags, note=given.note, inputs=[_input(repo, text) for text in given.inputs])


def begin(
    repo: Repository,
    given: Given,
    origin: Mapping[str, Any],
    settings: Mapping[str, str] | None = None,
    owned: bool = True,
    starts: Sequence[str] = (),
) -> ActiveRun:
    """Start the run that a command line asks for; `starts` is the command that it is of."""
    parent = fluent.inherited_run()  # inside `gxt run`, that run
    if given.parent is not None:
        from gxt import catalog

        parent = catalog.find(repo, given.parent).id
    experiment = given.experiment or os.environ.get(fluent.EXPERIMENT_VARIABLE)
    settings = recorder.settings_of(repo) if settings is None else settings
    experiment = experiment or settings.get("gxt.experiment", DEFAULT_EXPERIMENT)
    return recorder.begin(
        repo, experiment, settings, name=given.name, parent=parent, origin=origin, owned=owned, starts=starts
    )


def _own_command() -> dict[str, Any]:
    return capture.command_about(["gxt", *sys.argv[1:]])


@click.command("log")
@click.argument("stream", required=False, metavar="[-]")
@given_options
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME=NUMBER", help="A metric's value.")
@click.option("--step", type=int, help="The step of the metrics given by -m. Default: 0.")
@click.option(
    "--metrics",
    "metrics_files",
    multiple=True,
    type=click.Path(allow_dash=True),
    metavar="FILE",
    help="Metric history: CSV, wide (step,loss,acc) or long (step,metric,value), or JSON lines; - is standard input.",
)
@click.option("--step-key", metavar="NAME", help="What histories call the step. Default: step, or epoch.")
@click.option(
    "-a",
    "--artifact",
    "files",
    multiple=True,
    type=click.Path(),
    metavar="PATH[:FOLDER]",
    help="A file or folder to keep with the run, in FOLDER of its artifacts.",
)
@click.option(
    "--run",
    "run_name",
    metavar="RUN",
    shell_complete=complete_run,
    help="Add to this run instead of a new one.",
)
@click.option("--status", type=STATUS, default=FINISHED, show_default=True, help="How the run ended.")
@click.option("--commit", "commit_now", is_flag=True, help="With --run: put the run on the branch while it goes on.")
@click.pass_context
def log_command(
    ctx: click.Context,
    stream: str | None,
    given: Given,
    metrics: Sequence[str],
    step: int | None,
    metrics_files: Sequence[str],
    step_key: str | None,
    files: Sequence[str],
    run_name: str | None,
    status: str,
    commit_now: bool,
) -> None:
    """Record a run, or add to one.

    With - a stream is recorded while it comes: JSON objects or name=number pairs, a point a line. Prints the run's
    id where the output is no terminal.

    \b
    gxt log -e nyc-taxi -p alpha=0.1 -p model=lasso -m rmse=6.30 -a models/lin_reg.bin
    gxt log -e nyc-taxi --params params.yaml --metrics history.csv
    gxt log --run RUN -m loss=0.5 --step 3 --commit
    train | gxt log -e nyc-taxi -
    """
    if stream not in (None, "-"):
        raise click.UsageError(f"unexpected argument {stream!r}; only - (a stream on standard input) can stand there")
    if [stream, *given.params_files, *metrics_files].count("-") > 1:
        raise click.UsageError("standard input can be read only once")
    if run_name and (given.experiment or given.name or given.parent):
        raise click.UsageError("--run adds to a run that has its experiment, name and parent already")
    if commit_now and not run_name:
        raise click.UsageError("--commit is for a run that goes on (--run); this one is committed when it ends")
    if step is not None and not metrics:
        raise click.UsageError("--step is the step of metrics given by -m")
    step_keys = [step_key] if step_key else intake.STEP_KEYS
    repo = repository(ctx)
    content = replace(
        read_content(given, repo),
        metrics=dict(map(intake.metric_assignment, metrics)),
        history=[row for file in metrics_files for row in _history(file, step_keys)],
        files=[_artifact(text) for text in files],
    )
    run = _existing_run(repo, run_name) if run_name else begin(repo, given, _own_command())
    try:
        content.record(run, step)
        if stream:
            _say(run, "recording")
            _record_stream(run, step_keys)
        if commit_now and not run.owner:
            store.checkpoint(repo, run.run_id)
    except KeyboardInterrupt:
        run.end(KILLED)
        output.note(f"gxt: kept {run.name} ({run.run_id}) as killed")
        raise
    except BaseException:
        if stream:
            run.end(FAILED)
        elif run.owner:
            run.discard()
        raise
    run.end(status)
    if stream or run_name:
        _remark(f"{'recorded' if stream else 'added to'} {run.name} ({run.run_id})")
    else:
        _say(run, "recorded")


def _history(file: str, step_keys: Sequence[str]) -> list[Row]:
    data = read_input(file)
    name = "standard input" if file == "-" else file
    try:
        return intake.read_history(data.decode("utf-8"), name, step_keys)
    except UnicodeDecodeError as error:
        raise FormatError(f"{name}: not UTF-8: {error.reason} at byte {error.start}") from None


def _artifact(text: str) -> tuple[str, str | None]:
    """`PATH[:FOLDER]`; a colon that is part of the path itself stays with it."""
    path, folder = text, None
    if ":" in text and not os.path.exists(text):
        path, _, folder = text.rpartition(":")
    artifacts.files_of(Path(path), folder)  # says now what is wrong with it
    return path, folder


def _input(repo: Repository, text: str) -> tuple[str, dict[str, Any], str | None]:
    given, path, context = datasets.parse(text)
    with transfer_progress(f"reading {one_line(Path(path).name)}") as progress:
        name, values = datasets.describe(path, repo, progress)
    return given or name, values, context


def _existing_run(repo: Repository, text: str) -> ActiveRun:
    if RUN_ID.fullmatch(text):
        run_id = text
    else:
        from gxt import catalog

        run_id = catalog.find(repo, text).id
    return recorder.amend(repo, run_id)


def _record_stream(run: ActiveRun, step_keys: Sequence[str]) -> None:
    skipped = 0
    for _, row in intake.stream_rows(_lines(), step_keys):
        if isinstance(row, FormatError):
            skipped += 1
            if skipped == 1:
                output.note(f"gxt: passed over {row.message}")
            continue
        run.log_metrics(row.values, step=row.step, timestamp=row.time)
    if skipped > 1:
        output.note(f"gxt: passed over {skipped} lines that say no metric")


def _lines() -> Iterator[str]:
    try:
        pieces = _pieces(sys.stdin.fileno())
    except OSError:  # it is no file of the system's
        pieces = iter(sys.stdin.buffer.readline, b"")
    line = b""
    for piece in pieces:
        *whole, line = (line + piece).split(b"\n")
        for text in whole:
            yield text.decode("utf-8", "replace")
    if line:
        yield line.decode("utf-8", "replace")


def _pieces(source: int) -> Iterator[bytes]:
    """What comes, as it comes. Python itself handles a signal that comes just before it waits for input only when there
    is some; so what is waited for is input or a signal (signal.set_wakeup_fd)."""
    import select  # these two here for start-up time
    import signal

    if os.name != "posix":  # where only sockets can be waited for
        yield from iter(sys.stdin.buffer.readline, b"")
        return
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    before = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
    try:
        while True:
            ready, _, _ = select.select([source, woken], [], [])
            if woken in ready:
                os.read(woken, 4096)
            elif piece := os.read(source, 1 << 16):
                yield piece
            else:
                return
    finally:
        signal.set_wakeup_fd(before)
        os.close(woken)
        os.close(wakes)


def _say(run: ActiveRun, what: str) -> None:
    if not output.is_terminal():
        click.echo(run.run_id)
        sys.stdout.flush()
        return
    output.say(f"{what} {output.paint(run.name, 'bold')} ({run.run_id}) in {run.experiment}")


def _remark(text: str) -> None:
    if output.is_terminal():
        output.say(text)


@click.command("start")
@given_options
@click.pass_context
def start_command(
    ctx: click.Context,
    given: Given,
) -> None:
    """Start a run that goes on until `gxt finish`, and print its id.

    \b
    id=$(gxt start -e nyc-taxi -p lr=0.1)
    gxt log --run $id -m loss=0.5 --step 3
    gxt finish $id
    """
    repo = repository(ctx)
    content = read_content(given, repo)
    run = begin(repo, given, _own_command(), owned=False)
    try:
        content.record(run, None)
    except BaseException:
        run.discard()
        raise
    run.end()
    _say(run, "started")


@click.command("finish")
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, shell_complete=complete_live)
@click.option("--status", type=STATUS, default=FINISHED, show_default=True, help="How the run ended.")
@click.pass_context
def finish_command(ctx: click.Context, runs: Sequence[str], status: str) -> None:
    """End runs that `gxt start` began, and commit them.

    Runs whose process is gone can be ended this way too.
    """
    from gxt import catalog

    repo = repository(ctx)
    ids = [catalog.find(repo, text).id for text in runs]
    for run_id in ids:
        edits.finish(repo, run_id, status)
    if output.is_terminal():
        output.say(f"{status}: {', '.join(ids)}")
