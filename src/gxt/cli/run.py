"""`gxt run`: record a command while it runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

import click

from gxt import capture, commands, git, recorder
from gxt.cli import output
from gxt.cli.params import Given, given_options, repository
from gxt.cli.record import begin, read_content
from gxt.commands import Sink, exit_code_of, status_of
from gxt.fluent import commit_interval
from gxt.system import check_available


@click.command("run", context_settings={"allow_interspersed_args": False})
@given_options
@click.option("--system", is_flag=True, help="Sample CPU, memory, disk, network and GPUs while it runs.")
@click.option(
    "--commit-every",
    metavar="TIME",
    help="Put the run on the branch that often while it runs: 30s, 5m, 1h. Default: git config gxt.commitEvery.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND…")
@click.pass_context
def run_command(
    ctx: click.Context,
    given: Given,
    system: bool,
    commit_every: str | None,
    command: Sequence[str],
) -> int:
    """Run a command and record its output, exit code and duration.

    What the command itself logs, by gxt.start_run() in Python or `gxt log --run $GXT_RUN_ID`, goes to the same run.
    Exits with the command's own exit code.

    \b
    gxt run -e nyc-taxi -p lr=0.1 -- python train.py --lr 0.1
    gxt run --input train=data/train.csv:train -- python train.py
    """
    repo = repository(ctx)
    content = read_content(given, repo)
    settings = recorder.settings_of(repo)
    sampled = system or git.is_true(settings.get("gxt.systemmetrics"))
    seconds = commit_interval(commit_every or None, settings)
    if sampled:
        check_available()
    run = begin(repo, given, capture.command_origin(command, repo.work_tree), settings, starts=command)
    with commands.commanding() as started:
        try:
            content.record(run, None)
            started.start(command, run, str(repo.work_tree or repo.common_dir))
        except BaseException:
            run.discard()
            raise
        if sampled:
            run.sample_system(started.process.pid)
        if seconds:
            run.commit_every(seconds)
        code = commands.tee_until_exit(started, run, (sink_of(sys.stdout), sink_of(sys.stderr))).code
    if run.provenance is not None:
        run.provenance.look_at_python(settings)
    run.end(status_of(code), exit_code_of(code))
    output.note(f"gxt: {status_of(code)} {run.name} ({run.run_id}) in {run.experiment}")
    return exit_code_of(code)


def sink_of(stream: TextIO | None) -> Sink:
    """Writes to one of our own streams; to nothing, where that is closed."""

    def write(piece: bytes) -> None:
        if stream is not None:
            stream.buffer.write(piece)
            stream.flush()

    return write
