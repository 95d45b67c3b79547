"""A command as a run records it: started, its output kept and passed on, its end as the status of the run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, NamedTuple

from gxt import layout
from gxt.appender import Appender
from gxt.errors import UsageError
from gxt.fluent import AGAIN_VARIABLE, EXPERIMENT_VARIABLE, RUN_ID_VARIABLE, TRACKING_URI_VARIABLE
from gxt.model import FAILED, FINISHED, KILLED
from gxt.recorder import ActiveRun

# Signals that ask a program to do something; the command gets them as if it had been started without us.
_PASSED_ON = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
]
_ENDING = [
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL") if hasattr(signal, name)
]
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
_LONGEST_LINE = 1 << 16
_IDLE = 5.0  # seconds
_BRIEFLY = 0.5  # seconds
_GRACE = 10.0  # seconds, from being asked to end to being made to

Sink = Callable[[bytes], None]
"""Takes what a command prints, as it comes. Raises OSError or ValueError where nobody reads it any more."""


class Exit(NamedTuple):
    """How a command ended.

    Attributes:
        code: what it returned, negative for the signal that ended it.
        told: the signal that asked this process to end meanwhile.
        is_late: whether it took longer than it was given.
    """

    code: int
    told: int | None = None
    is_late: bool = False

    @property
    def status(self) -> str:
        """How the run ends whose command that was."""
        return KILLED if self.told is not None or self.is_late else status_of(self.code)


@dataclass
class Command:
    """A command that runs, or is just to be started.

    Attributes:
        is_apart: whether it is in a session of its own: then Ctrl-C on the terminal reaches us alone, and what it is
            told, all that it has started is told too. So is what is run again.
        told: the first signal that asked us to end.
    """

    is_apart: bool = False
    told: int | None = None
    _process: subprocess.Popen[bytes] | None = None
    _count: int = field(default=0, repr=False)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process. Only once it is started."""
        assert self._process is not None
        return self._process

    def start(
        self,
        words: Sequence[str],
        run: ActiveRun,
        repo_path: str,
        folder: Path | None = None,
        variables: Mapping[str, str] | None = None,
        held: Sequence[int] = (),
    ) -> None:
        """Start it, so that its own logging goes to a run.

        Args:
            folder: where. Default: here.
            variables: its environment. Default: ours.
            held: descriptors that are to stay open as long as it lives.

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
        if self.is_apart:
            environment[AGAIN_VARIABLE] = run.run_id
        if folder is not None and not folder.is_dir():
            raise UsageError(f"there is no folder {folder.name} to run it in")
        try:
            self._process = subprocess.Popen(
                list(words),
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL if self.is_apart and _is_terminal(0) else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=self.is_apart,
                pass_fds=list(held) if os.name == "posix" else (),
            )
        except FileNotFoundError:
            raise UsageError(f"no such command: {words[0]}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise UsageError(f"{words[0]} cannot be run: {why}") from None
        if self.told is not None:
            self.send(self.told)

    def handle(self, number: int, frame: FrameType | None = None) -> None:
        """Pass a signal of ours on. Who says it again and again means it."""
        if self._process is None:
            self.told = self.told or number
            return
        if not self.is_apart:
            # Ctrl-C on a terminal reaches the command by itself; passed on, it would get it twice.
            if not (number == signal.SIGINT and _in_foreground()):
                self.send(number)
            return
        if number in _ENDING:
            self._count += 1
            self.told = self.told or number
            number = number if self._count == 1 else signal.SIGTERM if self._count == 2 else _KILL
        self.send(number)

    def send(self, number: int) -> None:
        """Send it a signal, where it runs."""
        if self._process is None or (self._process.poll() is not None and not self.is_apart):
            return
        with contextlib.suppress(OSError):
            if self.is_apart and hasattr(os, "killpg"):
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)

    @property
    def has_left_any(self) -> bool:
        """Whether any process that it started is still in its session."""
        try:
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, 0)
        except OSError:
            return False
        return True


@contextlib.contextmanager
def commanding(is_apart: bool = False) -> Iterator[Command]:
    """A command to be started, which from now on is told what this process is told."""
    command = Command(is_apart)
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other thread gets signals, or may ask for them
        before = {number: signal.signal(number, command.handle) for number in _PASSED_ON}
    try:
        yield command
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def tee_until_exit(command: Command, run: ActiveRun, sinks: tuple[Sink, Sink], timeout: float | None = None) -> Exit:
    """Copy a command's output and its errors to two sinks, and to output.log, until it exits.

    With a `timeout` in seconds, it is told to end by then, and made to a little later.
    """
    process = command.process
    assert process.stdout and process.stderr
    log = Appender(run.folder / layout.OUTPUT_LOG)
    tees = [_Tee(source, sink, log) for source, sink in zip((process.stdout, process.stderr), sinks, strict=True)]
    try:
        for tee in tees:
            tee.start()
        is_late = _wait_for_exit(command, timeout)
        is_asked = command.is_apart and (is_late or command.told is not None)
        _wait_for(tees, lambda: _IDLE if not is_asked or command.has_left_any else _BRIEFLY)
        if is_asked:
            command.send(_KILL)  # what it started and left behind, in a folder that is to go
        return Exit(process.returncode, command.told, is_late)
    except BaseException:
        command.send(_KILL)
        raise
    finally:
        log.close()


def _wait_for_exit(command: Command, timeout: float | None) -> bool:
    """In a thread: Python would handle a signal that comes just before it waits only when the command has ended.
    Whether it took too long."""
    waiting = threading.Thread(target=command.process.wait, daemon=True)
    waiting.start()
    deadline = None if timeout is None else time.monotonic() + timeout
    is_late = False
    while waiting.is_alive():
        waiting.join(1.0 if deadline is None else max(0.0, min(1.0, deadline - time.monotonic())))
        if deadline is not None and time.monotonic() >= deadline and waiting.is_alive():
            command.send(_KILL if is_late else signal.SIGTERM)
            is_late, deadline = True, time.monotonic() + _GRACE
    return is_late


class _Tee(threading.Thread):
    """Passes bytes on as they come, and logs them by whole lines, so that two streams do not mix within one."""

    def __init__(self, source: IO[bytes], sink: Sink, log: Appender) -> None:
        super().__init__(daemon=True)
        self._source, self._log = source, log
        self._sink: Sink | None = sink
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
        if self._sink is None:
            return
        try:
            self._sink(piece)
        except (OSError, ValueError):  # nobody reads us any more; the command goes on, and so does its log
            self._sink = None


def _wait_for(tees: Sequence[_Tee], patience: Callable[[], float]) -> None:
    """Until the pipes have ended, or been idle for so many seconds: a grandchild may hold them open for long."""
    passed, since = -1, 0.0
    while alive := [tee for tee in tees if tee.is_alive()]:
        if (now := sum(tee.passed for tee in tees)) != passed:
            passed, since = now, time.monotonic()
        if time.monotonic() - since >= patience():
            return
        alive[0].join(_BRIEFLY / 5)


def _log(log: Appender, data: bytes) -> None:
    with contextlib.suppress(OSError):  # a full disk; the command goes on
        if data:
            log.append(data)


def _is_terminal(number: int) -> bool:
    try:
        return os.isatty(number)
    except OSError:
        return False


def _in_foreground() -> bool:
    try:
        return os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def exit_code_of(code: int) -> int:
    """What a shell would say of a process that returned that code.

    >>> exit_code_of(3), exit_code_of(-15)
    (3, 143)
    """
    return code if code >= 0 else 128 - code


def status_of(code: int) -> str:
    """How a run ends whose command returned that code.

    >>> status_of(0), status_of(1), status_of(-15), status_of(143)
    ('finished', 'failed', 'killed', 'killed')
    """
    if code == 0:
        return FINISHED
    number = -code if code < 0 else code - 128  # a shell reports a signal's end as 128 + its number
    return KILLED if number in _ENDING else FAILED


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end what happens here as Ctrl-C does: by an exception, so that it is cleared away."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
        before = {n: signal.signal(n, end) for n in numbers if signal.getsignal(n) is signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_as_told(number: int) -> None:
    """End by the signal that asked us to: Ctrl-C as Python has it, others as an exit.

    Raises:
        KeyboardInterrupt, SystemExit
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
