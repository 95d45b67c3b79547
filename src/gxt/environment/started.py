"""The Python of a command that is started: asked beside it, or known from the last time it was."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gxt import capture, textmap
from gxt.environment.commands import Python, python_of
from gxt.environment.interpreters import Interpreter, Question
from gxt.errors import NotFoundError

FILE = "interpreters.json"
"""What is known of Pythons, in gxt's folder in the git directory; it can be deleted at any time."""

OURS, NONE, UNKNOWN = "gxt", "none", "unknown"
_PATIENCE = 10.0
_MOST = 32


class StartedPython:
    """What is recorded of the Python that a command starts.

    Attributes:
        is_late: whether it can be looked at only when the command has ended.
    """

    def __init__(self, command: Sequence[str], home: Path) -> None:
        """Find out which it is, our own for no command; `home` is gxt's folder in the git directory. Nothing is
        started yet."""
        self._file = home / FILE
        self._python = python_of(command) if command else Python((sys.executable,), OURS)
        self.is_late = self._python is not None and self._python.is_late
        self._question: Question | None = None
        self._found: Interpreter | None = None

    def ask(self) -> bool:
        """Look it up, or start it and let it work; whether `about` need not wait."""
        python = self._python
        if python is None or _is_ours(python):
            return True
        self._found = self._recall(python)
        if self._found is None:
            with contextlib.suppress(NotFoundError):
                self._question = Question(python.words)
        return self._question is None

    @property
    def is_asked(self) -> bool:
        """Whether it works on an answer."""
        return self._question is not None

    def about(self) -> tuple[dict[str, Any], str | None]:
        """What run.yaml's `environment` says of it, None for what it does not, and environment.txt, if there is one."""
        python = self._python
        if python is not None and _is_ours(python):
            return {"python_of": python.known_by}, capture.packages()
        if python is not None and self._question is not None:
            with contextlib.suppress(NotFoundError):
                self._found = self._question.answer(_PATIENCE)
                self._remember(python, self._found)
        if python is None or self._found is None:
            unknown = dict.fromkeys(("python", "implementation", "prefix"))
            return {**unknown, "python_of": NONE if python is None else UNKNOWN}, None
        return {**self._found.about, "python_of": python.known_by}, self._found.packages

    def _recall(self, python: Python) -> Interpreter | None:
        """What was found out before, if nothing was installed since."""
        with contextlib.suppress(ValueError, TypeError, KeyError, OSError):
            known = json.loads(textmap.read(self._file)[_key(python)])
            found = Interpreter(*known["about"])
            found = found._replace(prefix=(str(found.prefix[0]), str(found.prefix[1])))
            return found if known["stamps"] == _stamps(found) else None
        return None

    def _remember(self, python: Python, found: Interpreter) -> None:
        if len(python.words) > 1:  # what a tool chooses may be another one the next time
            return
        with contextlib.suppress(OSError):
            known = textmap.read(self._file)
            kept = dict(list(known.items())[-_MOST:])
            kept[_key(python)] = json.dumps({"about": found, "stamps": _stamps(found)})
            textmap.write(self._file, kept)


def _is_ours(python: Python) -> bool:
    """Whether it is the Python that we run in: `python3` beside our `python` is, a link in another folder is not."""
    (path, *more), ours = python.words, sys.executable
    same_folder = os.path.dirname(path) == os.path.dirname(ours)
    return not more and (path == ours or (same_folder and os.path.realpath(path) == os.path.realpath(ours)))


def _key(python: Python) -> str:
    return json.dumps([*python.words, *(os.environ.get(name) for name in ("PYTHONPATH", "PYTHONHOME"))])


def _stamps(found: Interpreter) -> list[list[Any]]:
    """What is otherwise where something was installed: the times of the folders that it imports from, and its own."""
    paths = [found.executable, *found.folders]
    return [[path, os.stat(path).st_mtime_ns] for path in paths]
