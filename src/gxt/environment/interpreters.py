"""Other Pythons than the one that gxt runs in: what they are and have, asked of them by starting them once."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gxt import capture
from gxt.environment import prefix_kind
from gxt.errors import NotFoundError

_PATIENCE = 60.0
_LONGEST = 16 << 20  # bytes of an answer; that of a thousand packages has 100 KB
_AFTERWARDS = 1.0  # seconds, in which what has ended may still be read


class Interpreter(NamedTuple):
    """A Python and what it has.

    Attributes:
        executable: its path.
        version: such as 3.11.7.
        packages: as environment.txt has them.
        folders: where it imports from.
        has_notebooks: whether it can execute notebooks.
        implementation: CPython or another.
        prefix: where it is installed, and the Python that it was made from, if it is a virtual environment.
    """

    executable: str
    version: str
    packages: str
    folders: Sequence[str]
    has_notebooks: bool
    implementation: str = "CPython"
    prefix: tuple[str, str] = ("", "")

    @property
    def about(self) -> dict[str, Any]:
        """What run.yaml's `environment` says of it, where a command starts it."""
        kind = prefix_kind(*self.prefix)
        return {"python": self.version, "implementation": self.implementation, "prefix": kind, "python_of": "command"}

    def path_in(self, folder: Path, top: Path | None) -> list[str]:
        """The folders of the user's own work tree that it imports from (packages installed with `pip install -e`), as
        they are in a folder with the code of a run: what is to be imported instead."""
        if top is None:
            return []
        found = [Path(os.path.realpath(entry)) for entry in self.folders]
        inside = [folder / path.relative_to(top) for path in found if path.is_relative_to(top)]
        return list(dict.fromkeys(str(path) for path in inside if path.is_dir()))


def look_at(python: str, environment: Mapping[str, str] | None = None) -> Interpreter:
    """Ask a Python what it has.

    Raises:
        NotFoundError: there is none of that name, or it does not start.
    """
    return Question([python], environment).answer(_PATIENCE)


class Question:
    """A Python that has been asked what it has, and answers while others work.

    >>> Question([sys.executable]).answer().version == platform.python_version()
    True
    """

    def __init__(self, python: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """`python` is what starts it: its path, or a command such as `poetry run python`. Raises NotFoundError."""
        self._python = python
        source = Path(__file__).with_name("probe.py").read_text("utf-8")
        try:
            self._process = subprocess.Popen(
                [*python, "-c", source],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C is meant for the command
            )
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from None
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read_all, daemon=True)

    def answer(self, patience: float = _PATIENCE) -> Interpreter:
        """What it says within some seconds. Raises NotFoundError."""
        if self._reader.ident is None:
            self._reader.start()
        try:
            self._wait(patience)
            if len(self._said) > _LONGEST:
                raise self._unusable("it says too much")
            about: dict[str, Any] = json.loads(self._said.decode("utf-8", "replace").splitlines()[-1])
            return _read(self._python[-1], about)
        except (OSError, ValueError, IndexError, KeyError, TypeError) as error:
            raise self._unusable(getattr(error, "strerror", None) or "it does not answer") from None
        finally:
            self.close()

    def _wait(self, patience: float) -> None:
        """Until it has said all or has ended: what it started may hold its output open for ever."""
        until = time.monotonic() + patience
        while self._reader.is_alive() and self._process.poll() is None and time.monotonic() < until:
            self._reader.join(0.02)
        self._reader.join(_AFTERWARDS if self._process.poll() is not None else 0)

    def _read_all(self) -> None:
        assert self._process.stdout is not None
        while len(self._said) <= _LONGEST and (piece := os.read(self._process.stdout.fileno(), 1 << 16)):
            self._said += piece

    def close(self) -> None:
        """Nobody waits for the answer any more."""
        _end(self._process)
        if self._reader.ident is not None:
            self._reader.join(_AFTERWARDS)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()

    def _unusable(self, why: str) -> NotFoundError:
        return NotFoundError(f"the Python {' '.join(self._python)} cannot be used: {why}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """With what it has started: a wrapper may wait for the Python, or leave processes behind when it ends."""
    import contextlib
    import signal

    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _read(python: str, about: Mapping[str, Any]) -> Interpreter:
    lines = [capture.package_line(name, version, url) for name, version, url in about["packages"]]
    text = "".join(f"{line}\n" for line in lines)
    prefix = (str(about["prefix"]), str(about["base_prefix"]))
    return Interpreter(
        python, about["version"], text, about["folders"], about["notebooks"], about["implementation"], prefix
    )
