"""Finding out where a run comes from while it goes on: who, which code, which Python with what, on what machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gxt import capture, environment, git, layout, live, loaded, snapshots
from gxt.capture import Known
from gxt.errors import GitError, GxtError
from gxt.git import Repository
from gxt.live import LiveRun
from gxt.model import clean_text, format_time

if TYPE_CHECKING:
    from gxt.environment.started import StartedPython

_PATIENCE = 20.0  # seconds
_MOST_EDITED = 100
_NO_PYTHON = dict.fromkeys(("python", "implementation", "prefix"))

Record = Callable[..., None]
"""`record("source", values={...})`: an entry of the run's journal. Never an error: training comes first."""


class Provenance:
    """Where one run comes from, from its start to its end."""

    def __init__(self, repo: Repository, recording: LiveRun, starts: Sequence[str] | None = None) -> None:
        """`starts` is a command whose Python is meant, not ours."""
        self.thread: threading.Thread | None = None
        self._op = "source"
        self._since = time.time()
        self._repo = repo
        self._live = recording
        self._keeps_cells = False
        self._started: StartedPython | None = None
        if starts is not None:
            from gxt.environment.started import StartedPython  # here for start-up time

            self._started = StartedPython(starts, live.home(repo.common_dir))

    def begin(
        self,
        origin: Mapping[str, Any] | Known | None,
        settings: Mapping[str, str] | None,
        background: bool,
        record: Record,
    ) -> None:
        """Record what is known at once, and then the rest.

        Args:
            origin: the command and entrypoint, or all there is to say; this Python program's if None.
            settings: git's configuration, where the caller has it already.
            background: whether the rest is found in a thread: git's answers take a moment in a large repository.
        """
        if isinstance(origin, Known):
            record("source", values=origin.source)
            self._record_known(origin, settings)
            return
        if background:
            # A fork while the thread imports would leave the child with an import lock that nobody ever releases.
            capture.preload()
            environment.preload()
        is_ours = origin is None  # else the code runs in another process, or has yet to begin
        about = dict(origin) if origin is not None else capture.python_origin(self._repo.work_tree)
        record("source", values=about, capture=live.CAPTURING)
        if background:
            self.thread = threading.Thread(
                target=self._find, args=(settings, is_ours), name="gxt-provenance", daemon=True
            )
            self.thread.start()
        else:
            self._find(settings, is_ours)

    def resume(self, record: Record) -> None:
        """Record that this program goes on with a run that had ended, and then, in a thread, with which code."""
        capture.preload()
        about = {"at": format_time(int(self._since * 1000)), **capture.python_origin(self._repo.work_tree)}
        record("resumed", values=about)
        self._op = "resumed_with"
        self.thread = threading.Thread(target=self._find_code, name="gxt-provenance", daemon=True)
        self.thread.start()

    def finish(self) -> None:
        """Wait until all is recorded, but not for ever."""
        if self.thread is None:
            return
        self.thread.join(_PATIENCE)
        if self.thread.is_alive():
            late = "no snapshot of the code: it was not finished when the run ended"
            with contextlib.suppress(OSError):
                self._live.record(self._op, values={"problem": late})

    def look_at_python(self, settings: Mapping[str, str]) -> None:
        """Record the Python of the command, which has ended, if only that has made its environment."""
        if self._started is not None and self._started.is_late:
            with contextlib.suppress(OSError):
                self._started.ask()
                self._record_environment(settings, *self._started.about())

    def write_cells(self) -> None:
        """Write down the cells that this notebook has run, if code is kept at all."""
        cells = capture.executed_cells() if self._keeps_cells else None
        if cells is not None:
            with contextlib.suppress(OSError):
                self._live.write_file(layout.NOTEBOOK_PY, lambda out: out.write(cells))

    # --- what is found ------------------------------------------------------------------------------------------------

    def _find(self, settings: Mapping[str, str] | None, is_ours: bool) -> None:
        try:
            settings = git.config(self._repo) if settings is None else settings
        except GxtError:
            settings = {}
        with contextlib.suppress(OSError):  # the disk is full, or the run was ended without waiting for us
            self._live.record("set", values={"author": str(git.identity(settings, "author"))})
            if self._started is None:
                self._record_environment(settings, {}, capture.packages())
            elif self._started.is_late or not self._started.ask():  # it answers while git looks at the code
                self._record_environment(settings, _NO_PYTHON, None)
            else:
                self._record_environment(settings, *self._started.about())
            # Last: in a large repository it may not be finished when the run ends.
            self._record_code(settings, is_ours)
            if self._started is not None and self._started.is_asked:
                self._record_environment(settings, *self._started.about())

    def _find_code(self) -> None:
        with contextlib.suppress(OSError, GxtError):
            self._record_code(git.config(self._repo), True)

    def _record_environment(self, settings: Mapping[str, str], python: Mapping[str, Any], packages: str | None) -> None:
        more = git.config_values(self._repo, "gxt.recordEnv") if "gxt.recordenv" in settings else []
        self._live.record("environment", values=environment.describe(more, python))
        self._write(layout.ENVIRONMENT_TXT, packages)

    def _record_code(self, settings: Mapping[str, str], is_ours: bool) -> None:
        until = snapshots.deadline()
        try:
            tree = snapshots.look(self._repo, settings, until)
        except GitError as error:
            unknown = capture.source_unknown(self._repo, settings, error)
            self._live.record(self._op, values=unknown, capture=live.CAPTURED)
            return
        known = capture.source(settings, tree)
        if self._repo.work_tree is None:  # what ran is from elsewhere
            del known["dirty"]
        self._live.record(self._op, values=known)
        snapshot = snapshots.take(self._repo, settings, tree, until)
        about = dict(snapshot.about)
        if self._repo.work_tree is not None:
            edited = set(snapshots.changed_since(self._repo.work_tree, tree, self._since))
            edited.update(loaded.edited(self._repo.work_tree) if is_ours else ())
            if edited:
                about["edited"] = [clean_text(path) for path in sorted(edited)[:_MOST_EDITED]]
        self._live.record(self._op, values=about, capture=live.CAPTURED)
        snapshots.check_kept(self._repo, snapshot)
        if self._op == "source":  # code.patch and notebook.py are of the run's first code
            self._write(layout.CODE_PATCH, snapshot.patch)
            self._keeps_cells = snapshots.is_on(settings)

    def _record_known(self, known: Known, settings: Mapping[str, str] | None) -> None:
        python: Mapping[str, Any] = {}
        packages = known.packages
        if packages is None and self._started is not None and not self._started.is_late:
            self._started.ask()
            python, packages = self._started.about()
        elif packages is None:
            python, packages = ({}, capture.packages()) if self._started is None else (_NO_PYTHON, None)
        with contextlib.suppress(OSError):
            self._live.record("set", values={"author": str(git.identity(settings or {}, "author"))})
            self._live.record("environment", values=environment.describe((), {**python, **known.environment}))
            self._write(layout.ENVIRONMENT_TXT, packages)
            self._write(layout.CODE_PATCH, known.patch)

    def _write(self, path: str, content: str | bytes | None) -> None:
        if content is not None:
            data = content.encode() if isinstance(content, str) else content
            self._live.write_file(path, lambda out: out.write(data))
