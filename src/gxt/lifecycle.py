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
from gxt.recorder import status_after

_SIGTERM_CODE = 128 + signal.SIGTERM
_watched_process: int | None = None
_watching_cells = False
_terminated = False


def watch(end_all: Callable[[str], None]) -> None:
    """Have `end_all(status)` called when this process ends, by SIGTERM too. Once a process is enough."""
    global _watched_process  # noqa: PLW0603 (atexit and signal handlers are one for a process as well)
    if _watched_process is not None:
        return
    _watched_process = os.getpid()
    atexit.register(lambda: end_all(_status_at_exit()))
    # SIGTERM ends a process without a word by default. As an exception it unwinds `with` blocks, like Ctrl-C.
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_after_fork)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    global _terminated  # noqa: PLW0603
    if os.getpid() != _watched_process:  # a forked worker, told to end before _after_fork had its turn
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
        return
    _terminated = True
    raise SystemExit(_SIGTERM_CODE)


def _after_fork() -> None:
    """A forked worker is told to end by SIGTERM, and has no run of its own to care for."""
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _status_at_exit() -> str:
    """The status of a run that nobody ended: what ended the program, where Python tells."""
    if _terminated:
        return KILLED
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
