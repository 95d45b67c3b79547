"""`gxt run`: record a command while it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO

import click

from gxt import capture, git, layout, recorder
from gxt.appender import Appender
from gxt.cli import output
from gxt.cli.params import Given, given_options, repository
from gxt.cli.record import begin, read_content
from gxt.errors import UsageError
from gxt.fluent import EXPERIMENT_VARIABLE, RUN_ID_VARIABLE, TRACKING_URI_VARIABLE, commit_interval
from gxt.model import FAILED, FINISHED, KILLED
from gxt.recorder import ActiveRun
from gxt.system import check_available

# Signals that ask a program to do something; the command gets them as if it had been started without us.
_PASSED_ON = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
_LONGEST_LINE = 1 << 16
_IDLE = 5.0  # seconds
_ENDING = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL")


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
    try:
        content.record(run, None)
        process = start(command, run, str(repo.work_tree or repo.common_dir))
    except BaseException:
        run.discard()
        raise
    if sampled:
        run.sample_system(process.pid)
    if seconds:
        run.commit_every(seconds)
    code = tee_until_exit(process, run)
    run.look_at_python(settings)
    run.end(status_of(code), exit_code_of(code))
    output.note(f"gxt: {status_of(code)} {run.name} ({run.run_id}) in {run.experiment}")
    return exit_code_of(code)


def start(
    command: Sequence[str],
    run: ActiveRun,
    repo_path: str,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a command whose own logging goes to a run, in a folder, with some more environment variables.

    Raises:
        UsageError: it cannot be started.
    """
    environment = {
        **(os.environ if variables is None else variables),
        RUN_ID_VARIABLE: run.run_id,
        TRACKING_URI_VARIABLE: repo_path,
        EXPERIMENT_VARIABLE: run.experiment,
        # Python buffers what it prints into a pipe, and the log would lag behind the metrics.
        "PYTHONUNBUFFERED": os.environ.get("PYTHONUNBUFFERED", "1"),
    }
    try:
        return subprocess.Popen(
            list(command), cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError:
        raise UsageError(f"no such command: {command[0]}") from None
    except OSError as error:
        raise UsageError(f"{command[0]} cannot be run: {error.strerror}") from None


def tee_until_exit(process: subprocess.Popen[bytes], run: ActiveRun, beside: bool = False) -> int:
    """Copy the command's output to ours and to output.log until it exits; returns its code, negative for a signal.

    With `beside`, all of it goes to standard error, since standard output has an answer.
    """
    assert process.stdout and process.stderr
    log = Appender(run.folder / layout.OUTPUT_LOG)
    before = {number: signal.signal(number, _passing_to(process)) for number in _PASSED_ON}
    tees = [
        _Tee(source, ours.buffer if ours is not None else None, log)
        for source, ours in ((process.stdout, sys.stderr if beside else sys.stdout), (process.stderr, sys.stderr))
    ]
    try:
        for tee in tees:
            tee.start()
        _wait_for_exit(process)
        for tee in tees:
            _wait_for(tee)
        return process.returncode
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        log.close()


def _wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    """In a thread: Python would handle a signal that comes just before it waits only when the command has ended."""
    waiting = threading.Thread(target=process.wait, daemon=True)
    waiting.start()
    while waiting.is_alive():
        waiting.join(1.0)


class _Tee(threading.Thread):
    """Passes bytes on as they come, and logs them by whole lines, so that two streams do not mix within one."""

    def __init__(self, source: IO[bytes], ours: IO[bytes] | None, log: Appender) -> None:
        super().__init__(daemon=True)
        self._source, self._ours, self._log = source, ours, log
        self.passed = 0

    def run(self) -> None:
        unfinished = b""
        while piece := os.read(self._source.fileno(), 1 << 16):
            unfinished += piece
            whole = max(unfinished.rfind(b"\n"), unfinished.rfind(b"\r")) + 1  # a progress bar never ends its line
            if len(unfinished) - whole > _LONGEST_LINE:
                whole = len(unfinished)
            _log(self._log, unfinished[:whole])
            unfinished = unfinished[whole:]
            self._pass_on(piece)
            self.passed += len(piece)
        _log(self._log, unfinished)

    def _pass_on(self, piece: bytes) -> None:
        if self._ours is None:
            return
        try:
            self._ours.write(piece)
            self._ours.flush()
        except (OSError, ValueError):  # nobody reads us any more; the command goes on, and so does its log
            self._ours = None


def _wait_for(tee: _Tee) -> None:
    """Until the pipe has ended, or has been idle for a while: a grandchild may hold it open for long."""
    before = -1
    while tee.is_alive() and tee.passed != before:
        before = tee.passed
        tee.join(_IDLE)


def _log(log: Appender, data: bytes) -> None:
    with contextlib.suppress(OSError):  # a full disk; the command goes on
        if data:
            log.append(data)


def _passing_to(process: subprocess.Popen[bytes]) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        # Ctrl-C on a terminal reaches the command by itself; passed on, it would get it twice.
        if number == signal.SIGINT and _in_foreground():
            return
        if process.poll() is None:
            process.send_signal(number)

    return handle


def _in_foreground() -> bool:
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def exit_code_of(code: int) -> int:
    """What a shell would say of a process that returned that code."""
    return code if code >= 0 else 128 - code


def status_of(code: int) -> str:
    """How a run ends whose command returned that code."""
    if code == 0:
        return FINISHED
    ending = {getattr(signal, name, None) for name in _ENDING}
    # A shell reports a signal's end as 128 + its number.
    number = -code if code < 0 else code - 128
    return KILLED if number in ending else FAILED
