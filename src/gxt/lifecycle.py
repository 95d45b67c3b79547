"""How the end of a process, of a notebook cell or a fork reaches the runs that are open in it."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from gxt.capture import ipython_shell
from gxt.model import FINISHED, KILLED
from gxt.recorder import hold_signal, status_after

# What a scheduler sends before it takes the machine away, and what a terminal sends when it is closed. (`nohup`
# ignores the latter, and then so do we.)
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_watching = False
_watching_signals = False
_watching_cells = False
_terminated = False
_exiting = False
_told_while_exiting: int | None = None


def watch(end_all: Callable[[str], None]) -> None:
    """Have `end_all(status)` called when this process ends, by SIGTERM and SIGHUP too. Once a process is enough."""
    global _watching, _watching_signals  # noqa: PLW0603 (atexit and signal handlers are one for a process as well)
    if not _watching:
        _watching = True
        atexit.register(_at_exit, end_all)
    # They end a process without a word by default. As an exception they unwind `with` blocks, like Ctrl-C.
    if _watching_signals or threading.current_thread() is not threading.main_thread():
        return
    _watching_signals = True
    ours = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _on_signal)
    if ours and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals, after_in_child=_after_fork)


def _at_exit(end_all: Callable[[str], None]) -> None:
    global _exiting  # noqa: PLW0603
    _exiting = True
    end_all(_status_at_exit())
    _restore_default()
    if _told_while_exiting is not None:
        os.kill(os.getpid(), _told_while_exiting)


def _on_signal(number: int, frame: FrameType | None) -> None:
    global _terminated, _told_while_exiting  # noqa: PLW0603
    if _exiting:  # the runs are just being committed; that comes first
        _told_while_exiting = number
        return
    _terminated = True
    if hold_signal(number):
        return
    raise SystemExit(128 + number)


# A forked worker is told to end by SIGTERM, and has no run of its own to care for: it gets the default back. Until
# then the signals are held, since Python forgets one that comes while a fork is under way.
_before_fork = threading.local()


def _hold_signals() -> None:
    _before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def _let_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.mask)


def _after_fork() -> None:
    _restore_default()
    _let_signals()


def _restore_default() -> None:
    for number in _ENDING:
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, signal.SIG_DFL)


def _status_at_exit() -> str:
    """The status of a run that nobody ended: what ended the program, where Python tells."""
    if _terminated:
        return KILLED
    if ipython_shell() is not None:
        return FINISHED  # any cell may have raised once, long ago; watch_cells knows better
    # Set when an exception reached the top and its traceback was printed.
    return status_after(getattr(sys, "last_value", None)) if hasattr(sys, "last_value") else FINISHED


def watch_cells(failed: Callable[[str], None]) -> None:
    """In IPython, have `failed(status)` called after each cell that raised."""
    global _watching_cells  # noqa: PLW0603
    shell = ipython_shell()
    if shell is None or _watching_cells:
        return
    _watching_cells = True

    def after_cell(result: Any) -> None:
        error = result.error_before_exec or result.error_in_exec
        if error is not None:
            failed(status_after(error))

    shell.events.register("post_run_cell", after_cell)
