"""Recording one run: what `start_run` returns. gxt.fluent keeps the one that is active.

Every logging call is an append to the run's folder in the git directory. A mistake in a call raises; trouble
underneath (a full disk, a broken repository) warns once and lets the program go on.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, NoReturn

from gxt import artifacts, datasets, git, layout, live, media, store, uploads
from gxt.appender import RunGoneError
from gxt.capture import Known
from gxt.errors import FormatError, GitError, GxtError, GxtWarning, NoGitError, NotFoundError, UsageError
from gxt.git import Repository
from gxt.live import LiveRun
from gxt.masking.values import mask_value
from gxt.model import (
    FAILED,
    FINISHED,
    KILLED,
    MAX_STEP,
    RUNNING,
    STATUSES,
    Run,
    RunData,
    RunInfo,
    check_artifact_path,
    check_experiment_name,
    check_name,
    clean_text,
    flatten,
    new_run_id,
    now,
    number,
    param_value,
    step_number,
)
from gxt.names import readable_name
from gxt.pointers import SMALLEST
from gxt.provenance import Provenance
from gxt.system import SystemSampler

_ATTACH_TRIES = 50
_RETRY = 1.0  # seconds


_open_runs: set[ActiveRun] = set()


_interrupted: list[Repository] = []
"""Where Ctrl-C came while a run was being committed."""

_ending = 0
_held_signals: list[int] = []


@contextlib.contextmanager
def _holding_signals() -> Iterator[None]:
    """While a run begins or ends, a signal that asks the process to end waits: Ctrl-C, and what `hold_signal` holds."""
    global _ending  # noqa: PLW0603 (the handler of a signal is one for the process)
    in_main_thread = threading.current_thread() is threading.main_thread()
    ours = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    _ending += 1
    try:
        if ours:
            signal.signal(signal.SIGINT, _hold_interrupt)
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        _ending -= 1
        if not _ending and _held_signals:
            os.kill(os.getpid(), _held_signals.pop())


def _hold_interrupt(number: int, frame: FrameType | None) -> None:
    if number in _held_signals:  # the second time it is meant
        _held_signals.clear()
        raise KeyboardInterrupt
    _held_signals[:] = [number]


def hold_signal(number: int) -> bool:
    """Whether a run is just beginning or ending; then the signal comes again when it has."""
    if _ending:
        _held_signals[:] = [number]
    return _ending > 0


def commit_interrupted() -> None:
    """Commit what Ctrl-C left uncommitted."""
    while _interrupted:
        with contextlib.suppress(GxtError):
            store.commit_pending(_interrupted.pop())


def open_runs() -> list[ActiveRun]:
    """The runs that this process began and has not ended; held here, so that none is lost with its last name."""
    return [run for run in _open_runs if run.pid == os.getpid()]


def _after_fork() -> None:
    """A child has its parent's runs, and the parent may end them first."""
    global _ending  # noqa: PLW0603
    _ending = 0
    for run in _open_runs:
        run._append = run._live.metrics.append_checked
        # Other threads may have held these, and are not here.
        run._lock, run._checkpointing = threading.RLock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class ActiveRun:
    """A run that records. A context manager: leaving it ends the run.

    An exception on the way out marks the run failed; KeyboardInterrupt, SIGTERM and SIGHUP mark it killed.

    Attributes:
        run_id: the run's id.
        name: its readable name.
        experiment: the name of its experiment.
        owner: False where this process joined a run of another one; ending it here then only stops logging here.

    >>> with gxt.start_run(run_name="baseline") as run:  # doctest: +SKIP
    ...     run.log_param("alpha", 0.1)
    ...     run.log_metric("rmse", 6.3, step=1)
    """

    def __init__(
        self,
        repo: Repository,
        recording: LiveRun,
        run: Run,
        owner: bool,
        on_end: Callable[[ActiveRun, str], None] = lambda run, status: None,
    ) -> None:
        """Use `begin`, `join` or `resume`."""
        self.run_id = run.id
        self.name = run.name
        self.experiment = run.experiment
        self.owner = owner
        self.pid = os.getpid()
        self._repo = repo
        self._live = recording
        # Who does not hold the run's lock has to look whether it still is.
        self._append = recording.metrics.append if owner else recording.metrics.append_checked
        self._names: dict[str, str] = {}
        self._params: dict[str, Any] = {}
        self._params_read = 0
        self._next_step = 0
        self._warned = False
        self._not_before = 0.0
        self._ended = False
        self._on_end = on_end
        self.provenance: Provenance | None = None
        self._resumed = False
        self._sampler: SystemSampler | None = None
        self._committer: _Committer | None = None
        self._committed: store.Checkpoint | None = None
        self._checkpointing = threading.Lock()
        self._committed_by: int | None = None
        self._commit_again = False
        self._lock = threading.RLock()
        if owner:
            _open_runs.add(self)
        self._keep: tuple[str, int | None, int | None] | None = None  # status, exit code and end to keep (amend)

    # --- params, tags, note ---------------------------------------------------------------------------------

    def log_param(self, key: str, value: Any) -> Any:
        """Record a param and give its value back. See `log_params`."""
        self.log_params({key: value})
        return value

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record params: text, numbers, booleans, None, lists, nested mappings; anything else as its text.

        Values of secrets (`api_key`, `password`, ...) are masked, and those that look like one (`ghp_...`).

        Raises:
            UsageError: a name cannot be one, or the param was logged before with another value.
        """
        self._check_open()
        values = {check_name("param", key): mask_value(key, param_value(v)) for key, v in params.items()}
        if not values:
            return
        with self._lock:
            self._read_params()
            _check_same(self._params, values)
            self._record("params", values=values)

    def _read_params(self) -> None:
        """Learn what was logged so far, by other processes too."""
        logged: list[dict[str, Any]] = []
        for tries_left in reversed(range(_ATTACH_TRIES)):
            try:
                self._go_on_if_gone()
                logged, self._params_read = live.params_since(self._live.path, self._params_read)
                break
            except (OSError, GxtError) as error:
                if isinstance(error, FileNotFoundError) and tries_left:
                    continue  # it has just ended again
                self._trouble(error)
                return
        for values in logged:
            self._params = live.add_params(self._params, values)

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag, a text that may change, also after the run (`gxt tag`)."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags. MLflow's `mlflow.note.content` becomes the run's note."""
        self._check_open()
        values = {check_name("tag", key): mask_value(key, clean_text(str(v))) for key, v in tags.items()}
        if "mlflow.note.content" in values:
            self.set_note(values.pop("mlflow.note.content"))
        if values:
            self._record("tags", values=values)

    def delete_tag(self, key: str) -> None:
        """Take a tag away. Raises NotFoundError when the run has none of that name."""
        self._check_open()
        if key not in self.record.tags:
            raise NotFoundError(f"run {self.name} has no tag {key!r}")
        self._record("untag", key=key)

    def set_note(self, text: str) -> None:
        """Set the run's note: any text, markdown by custom."""
        self._check_open()
        self._record("set", values={"note": clean_text(text)})

    # --- metrics ----------------------------------------------------------------------------------------------

    def log_metric(
        self, key: str, value: Any, step: int | None = None, timestamp: int | datetime | None = None
    ) -> None:
        """Record one value of a metric.

        Args:
            key: the metric's name.
            value: a number; numpy and torch scalars and 0-d arrays are numbers.
            step: a whole number, 0 when not given (as in MLflow).
            timestamp: a datetime, or milliseconds since 1970 UTC; now when not given.

        Raises:
            UsageError: the value is no number, the step not whole, the name no name, or the run has ended.
        """
        # The hot path: one line, one write, no lock. Keep it so.
        name = self._names.get(key) or self._metric_name(key)
        if type(value) is not float:
            value = number(value)
        if step is None:
            step = 0
        elif type(step) is not int or not -MAX_STEP <= step <= MAX_STEP:
            step = step_number(step)
        when = time.time_ns() // 1_000_000 if timestamp is None else _milliseconds(timestamp)
        line = f"{step},{name},{layout.metric_value(value)},{when}\n".encode()
        try:
            self._append(line)
        except OSError as error:
            self._not_taken(error, line)

    def log_metrics(
        self, metrics: Mapping[str, Any], step: int | None = None, timestamp: int | datetime | None = None
    ) -> None:
        """Record a value of each of several metrics, at one step and time, in one write."""
        at = 0 if step is None else step_number(step)
        when = now() if timestamp is None else _milliseconds(timestamp)
        names = self._names
        lines = [
            f"{at},{names.get(key) or self._metric_name(key)},{layout.metric_value(number(value))},{when}\n"
            for key, value in metrics.items()
        ]
        data = "".join(lines).encode()
        try:
            self._append(data)
        except OSError as error:
            self._not_taken(error, data)

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Record a mapping of metrics, nested ones joined by dots, at `step` or one after the last `log` here."""
        for key in values:
            check_name("metric", key)
        at = self._next_step if step is None else step_number(step)
        self.log_metrics(flatten(values), step=at)
        self._next_step = at + 1

    def _metric_name(self, key: str) -> str:
        name = layout.csv_name(check_name("metric", key))
        self._names[key] = name
        return name

    # --- artifacts ----------------------------------------------------------------------------------------------

    def log_artifact(self, local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Copy a file, or a folder with its name, into the run, below the folder `artifact_path`.

        Raises:
            UsageError: nothing is there, or its name cannot be a path on every system.
        """
        self._log_files(artifacts.files_of(Path(local_path), artifact_path))

    def log_artifacts(self, local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
        """Copy what is in a folder into the run, below the folder `artifact_path`."""
        path = Path(local_dir)
        if not path.is_dir():
            raise UsageError(f"{str(path)!r} is not a folder", "log_artifact takes a single file")
        self._log_files(artifacts.files_of(path, artifact_path, contents_only=True))

    def _log_files(self, files: list[tuple[Path, str]]) -> None:
        self._check_open()
        self._live.check_distinct(f"{layout.ARTIFACTS}/{path}" for _, path in files)
        for source, path in files:
            self._write_artifact(path, artifacts.copier(source))

    def _write_artifact(self, path: str, fill: Callable[[IO[bytes]], object]) -> None:
        self._check_open()
        target = f"{layout.ARTIFACTS}/{check_artifact_path(path)}"
        try:
            for _ in range(_ATTACH_TRIES):
                self._go_on_if_gone()
                with contextlib.suppress(FileNotFoundError):  # it has just ended again
                    self._live.write_file(target, fill)
                    self._upload(target)
                    if not self._go_on_if_gone():
                        return
            raise GxtError("the run is being changed by others")
        except (OSError, GxtError) as error:
            if isinstance(error, UsageError):
                raise
            self._trouble(error, f"artifact {path} was not recorded")

    def _upload(self, path: str) -> None:
        with contextlib.suppress(OSError):  # it has just ended
            size = os.stat(self._live.path / path).st_size
            if size > SMALLEST:
                uploads.wake(self._repo, size)

    def log_text(self, text: str, artifact_file: str) -> None:
        """Record text as an artifact in UTF-8."""
        self._write_artifact(os.fspath(artifact_file), lambda out: out.write(clean_text(str(text)).encode()))

    def log_dict(self, dictionary: Mapping[str, Any] | list[Any], artifact_file: str) -> None:
        """Record a mapping or list as an artifact: YAML where the file is called .yaml or .yml, JSON otherwise."""
        self._write_artifact(artifact_file, media.document(dictionary, artifact_file))

    def log_figure(self, figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None) -> None:
        """Record a matplotlib or plotly figure as an artifact, in the format of its ending.

        matplotlib writes what `savefig` can; plotly .html and .json, and images where kaleido is installed.
        `save_kwargs` go to matplotlib's savefig or plotly's writer.
        """
        self._write_artifact(artifact_file, media.figure(figure, artifact_file, save_kwargs or {}))

    def log_image(self, image: Any, artifact_file: str | None = None, *, key: str | None = None, step: int = 0) -> None:
        """Record an image: a path of one, a PIL image, or a numpy array (H x W, or H x W x 1, 3 or 4 channels).

        Arrays hold 0 to 255 as integers, or 0.0 to 1.0 as floats. With `key`, the image is one of a series:
        `images/<key>/<step>.png`.
        """
        if (artifact_file is None) == (key is None):
            raise UsageError("log_image takes either an artifact_file or a key")
        path = artifact_file or f"images/{check_name('image', key)}/{step_number(step):08d}.png"
        self._write_artifact(path, media.image(image, path))

    def log_table(self, data: Any, artifact_file: str) -> None:
        """Record a table: a DataFrame, or a mapping of columns to values; rows are added where it exists already.

        The ending says the format: .json (columns and data, as MLflow's), .csv or .parquet. `load_table` reads it.
        """
        with self._lock:
            before = self._artifact_so_far(check_artifact_path(artifact_file))
            self._write_artifact(artifact_file, media.table(data, artifact_file, before))

    def _artifact_so_far(self, path: str) -> bytes | None:
        """An artifact's content, in a resumed run also from before; None where there is none yet."""
        present = self._live.read_artifact(f"{layout.ARTIFACTS}/{path}")
        if present is not None:
            return present
        return store.read_artifact(self._repo, self.experiment, self.run_id, path) if self._resumed else None

    def log_input(self, dataset: Any, context: str | None = None, name: str | None = None) -> None:
        """Record a dataset that the run used: a path or pattern (`data/*.parquet`) of files, a folder, a URL, a table
        of pandas, polars or pyarrow, or a numpy array.

        What is recorded is its name, a digest of its content, its size, and for tables rows and columns, not the
        data itself. `context` says what it was used for ("train"). A large folder is read by several threads, and by
        the next run only where its files were changed.

        Raises:
            UsageError: no such file, one that cannot be read, or nothing that a digest can be made of.

        >>> gxt.log_input("data/green_*.parquet", context="train")  # doctest: +SKIP
        """
        self._check_open()
        found, values = datasets.describe(dataset, self._repo)
        self.record_input(name or found, values, context)

    def record_input(self, name: str, values: Mapping[str, Any], context: str | None = None) -> None:
        """Record a dataset that was described before: what `datasets.describe` says of it, under a name."""
        self._check_open()
        known = self.record.inputs
        label = datasets.label(values, check_name("dataset", name), known)
        contexts = [text for text in (known.get(label, {}).get("context"), context) if text]
        if contexts:
            values = {"context": ", ".join(dict.fromkeys(contexts)), **values}
        self._record("input", name=label, values=dict(values))

    def get_artifact_uri(self, artifact_path: str | None = None) -> str:
        """Where the run's artifacts are: while it records, a folder; then what `git show` takes."""
        folder = self._live.path / layout.ARTIFACTS
        if folder.parent.is_dir():
            return str(folder / artifact_path if artifact_path else folder)
        branch = store.branch_name(git.config(self._repo))
        base = f"{branch}:{layout.run_path(self.experiment, self.run_id)}/{layout.ARTIFACTS}"
        return f"{base}/{artifact_path}" if artifact_path else base

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where the run's files are while it records."""
        return self._live.path

    @property
    def record(self) -> Run:
        """The run as it stands now: while it records, or on the branch."""
        base = store.root(self._repo)
        for folder in (live.live_path(base, self.run_id), live.pending_path(base, self.run_id)):
            with contextlib.suppress(GxtError, OSError):
                return live.read(folder)
        return store.read_run(self._repo, self.run_id)

    @property
    def info(self) -> RunInfo:
        """The run's facts under MLflow's names (`run.info.run_id`)."""
        return self.record.info

    @property
    def data(self) -> RunData:
        """Params, last metrics and tags under MLflow's names (`run.data.metrics`)."""
        return self.record.data

    def __repr__(self) -> str:
        state = "ended" if self._ended else "recording"
        return f"<gxt run {self.run_id} {self.name!r} of {self.experiment!r}, {state}>"

    # --- the end ----------------------------------------------------------------------------------------------------

    def end(self, status: str = FINISHED, exit_code: int | None = None) -> None:
        """End the run and commit it; a second call does nothing. MLflow's FINISHED, FAILED and KILLED are taken too.

        Where this process only joined the run, logging stops here and the run goes on.

        Raises:
            UsageError: no such status.
        """
        status = str(status).lower()
        if status not in STATUSES or status == RUNNING:
            raise UsageError(f"a run cannot end as {status!r}", f"one of {FINISHED}, {FAILED}, {KILLED}")
        with _holding_signals():
            with self._lock:
                if self._ended:
                    return
                self._ended = True
            self._append = self._refuse
            self._end(status, exit_code)

    def _end(self, status: str, exit_code: int | None) -> None:
        try:
            self._stop_threads()
        finally:  # Ctrl-C while we wait for them does not make a run that has ended a crashed one
            self._on_end(self, status)
            _open_runs.discard(self)
            if not self.owner or self.pid != os.getpid():
                self._live.close_files()
            else:
                try:
                    if self.provenance is not None:
                        self.provenance.write_cells()
                    self._live.finish(*(self._keep or (status, exit_code, None)))
                    store.commit_pending(self._repo, self.run_id)
                except Exception as error:  # of whatever kind: training comes first
                    self._live.close()
                    self._trouble(error, "it ended, but is not on the branch yet")
                except BaseException:
                    self._live.close()
                    _interrupted.append(self._repo)
                    raise

    def commit(self) -> None:
        """Put the run on the branch as it stands now, with the status running; it goes on recording.

        What a machine that is taken away has then lost is what came since. A commit that fails warns.

        >>> with gxt.start_run() as run:  # doctest: +SKIP
        ...     for epoch in range(100):
        ...         run.log_metric("loss", train(epoch), step=epoch)
        ...         run.commit()
        """
        self._check_open()
        if self._committed_by == threading.get_ident():  # a signal's handler, in the middle of a commit of this thread
            self._commit_again = True
            return
        with self._checkpointing:
            self._committed_by = threading.get_ident()
            try:
                self._checkpoint()
            except Exception as error:  # of whatever kind: training comes first
                self._trouble(error, "it is not on the branch yet")
            finally:
                self._committed_by = None

    def _checkpoint(self) -> None:
        self._commit_again = True
        while self._commit_again:
            self._commit_again = False
            self._go_on_if_gone()
            self._live.sync()
            self._committed = store.checkpoint(self._repo, self.run_id, self._committed)

    def commit_every(self, seconds: float) -> None:
        """Have the run committed that often while it records, by a thread: see `commit`."""
        self._committer = _Committer(self, seconds)
        self._committer.start()

    def discard(self) -> None:
        """Take the run away as if it had never begun."""
        self._ended = True
        _open_runs.discard(self)
        self._append = self._refuse
        self._stop_threads()
        self._on_end(self, FAILED)
        self._live.discard()
        if self._committed is not None:
            try:
                store.withdraw(self._repo, self._committed.snapshot.run)
            except GxtError as error:
                self._trouble(error, "it is on the branch still")

    def _stop_threads(self) -> None:
        if self.pid != os.getpid():
            return  # a fork has none of them
        if self._committer is not None:
            self._committer.stop()
        if self._sampler is not None:
            self._sampler.stop()
        if self.provenance is not None:
            self.provenance.finish()

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(status_after(error))

    def _check_open(self) -> None:
        if self._ended:
            self._refuse()

    def _refuse(self, line: bytes = b"") -> NoReturn:
        raise UsageError(f"run {self.name} ({self.run_id}) has ended", f'start_run(run_id="{self.run_id}") resumes it')

    def _record(self, op: str, **content: Any) -> None:
        self._check_open()
        try:
            for _ in range(_ATTACH_TRIES):
                self._live.record(op, **content)
                if not self._go_on_if_gone():
                    return
            raise GxtError("the run is being changed by others")
        except (OSError, GxtError) as error:
            self._trouble(error)

    def _not_taken(self, error: OSError, data: bytes) -> None:
        """Points could not be appended: because the run has ended elsewhere, or the disk is full."""
        if not isinstance(error, RunGoneError):
            self._trouble(error, level=4)
            return
        perhaps_written = error.perhaps_written
        for _ in range(_ATTACH_TRIES):
            try:
                self._go_on_if_gone()
            except (OSError, GxtError) as again:
                self._live.metrics.keep(data)  # it goes along when the run can be opened again
                self._trouble(again)
                return
            try:
                if not (perhaps_written and self._live.has_points(data)):
                    self._append(data)
                return
            except RunGoneError as again:  # it has just ended again
                perhaps_written = again.perhaps_written
            except FileNotFoundError:
                continue
            except (OSError, GxtError) as again:
                self._trouble(again)
                return
        self._live.metrics.keep(data)
        self._trouble(GxtError("the run is being changed by others"))

    def _go_on_if_gone(self) -> bool:
        """Where the run was ended and committed by the process that owns it, go on here as an edit of it."""
        with self._lock:
            mine = self.owner and self.pid == os.getpid()
            if mine or self._live.is_in_place():
                return False
            if time.monotonic() < self._not_before:  # it failed just now; training does not wait for it each time
                raise OSError(errno.EAGAIN, "the run could not be opened again")
            gone = self._live
            try:
                self._live, before = _attach(self._repo, self.run_id)
            except BaseException:
                self._not_before = time.monotonic() + _RETRY
                raise
            gone.hand_over(self._live)
            self.owner, self.pid, self.provenance = self._live.is_owner, os.getpid(), None
            self._resumed = True
            self._params_read = 0
            if self.owner:
                self._keep = (before.status, before.exit_code, before.ended)
                _open_runs.add(self)
            self._append = self._live.metrics.append if self.owner else self._live.metrics.append_checked
            return True

    def _trouble(self, error: Exception, what: str = "some of it is not on the disk", level: int = 3) -> None:
        """Warn once, as from `level` calls up; training comes first."""
        if self._warned:
            return
        self._warned = True
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        warnings.warn(
            GxtWarning(f"run {self.name} ({self.run_id}): {what}: {reason}; afterwards run `gxt recover`"),
            stacklevel=level,
        )

    def sample_system(self, pid: int | None = None) -> None:
        """Begin to record CPU, memory, disk, network and GPUs into system.csv, every few seconds until the end.

        `pid` is the process whose memory is meant, with its children's; this one when None.

        Raises:
            MissingPackageError: psutil is not installed.
        """
        self._sampler = SystemSampler(self._live.path / layout.SYSTEM_CSV, layout.SYSTEM_HEADER, pid)
        self._sampler.start()


class _Committer(threading.Thread):
    """Commits a run that records, every so often."""

    def __init__(self, run: ActiveRun, seconds: float) -> None:
        super().__init__(name="gxt-commit", daemon=True)
        self._run, self._seconds = run, seconds
        self._stopping = threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(self._seconds):
            with contextlib.suppress(UsageError):  # it has just ended
                self._run.commit()

    def stop(self) -> None:
        """No more after the one that is perhaps under way."""
        self._stopping.set()
        self.join()


def status_after(error: BaseException | None) -> str:
    """The status of a run whose block was left by that exception."""
    if error is None:
        return FINISHED
    if isinstance(error, SystemExit):
        # 128 + SIGHUP and SIGTERM are how a process says that such a signal ended it.
        return {None: FINISHED, 0: FINISHED, 128 + 1: KILLED, 128 + 15: KILLED}.get(error.code, FAILED)  # type: ignore[arg-type]
    return KILLED if isinstance(error, KeyboardInterrupt) else FAILED


def _check_same(known: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Raise UsageError where a param is there already with another value, nested or spelled with a dot."""
    flat = flatten(known)
    for key, value in flatten(new).items():
        if key in flat and repr(flat[key]) != repr(value) and flat[key] != value:
            raise UsageError(
                f"param {key!r} is {flat[key]!r} already and cannot become {value!r}",
                "a value that changes is a tag or a metric",
            )
    _check_shape(known, new, "")


def _check_shape(known: Mapping[str, Any], new: Mapping[str, Any], prefix: str) -> None:
    for key in known.keys() & new.keys():
        here, there = known[key], new[key]
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            _check_shape(here, there, f"{prefix}{key}.")
        elif isinstance(here, Mapping) != isinstance(there, Mapping):
            raise UsageError(f"param {prefix + key!r} is {here!r} already and cannot become {there!r}")


def _milliseconds(timestamp: int | datetime) -> int:
    if isinstance(timestamp, datetime):
        moment = timestamp if timestamp.tzinfo else timestamp.astimezone()
        return int(moment.astimezone(timezone.utc).timestamp() * 1000)
    if isinstance(timestamp, bool):
        raise UsageError(f"timestamp {timestamp} is no time", "milliseconds since 1970 UTC, or a datetime")
    if isinstance(timestamp, float) and math.isfinite(timestamp):
        timestamp = int(timestamp)
    return step_number(timestamp, "timestamp")


# --- starting -------------------------------------------------------------------------------------------------------


def begin(
    repo: Repository,
    experiment: str,
    settings: Mapping[str, str] | None = None,
    *,
    name: str | None = None,
    parent: str | None = None,
    tags: Mapping[str, Any] | None = None,
    note: str | None = None,
    origin: Mapping[str, Any] | Known | None = None,
    starts: Sequence[str] | None = None,
    owned: bool = True,
    on_end: Callable[[ActiveRun, str], None] = lambda run, status: None,
) -> ActiveRun:
    """Start a new run of an experiment.

    Args:
        settings: git's configuration, where the caller has it already.
        origin: the command and entrypoint to record, or all that is known of where it comes from; this Python program's
            command when None.
        starts: the command that is started, whose Python and packages are meant, an empty one if it is not known which;
            this program's own when None.
        owned: False for a run that goes on when this process ends, until `gxt finish`.

    Raises:
        UsageError: the experiment's name cannot be one, or the repository is only read.
    """
    store.check_writable(repo)
    check_experiment_name(experiment)
    with contextlib.suppress(GitError, FormatError, OSError):  # recording does not need the answer
        store.check_open(repo, experiment)
    started = now()
    run = Run(
        id=new_run_id(started),
        experiment=experiment,
        name=check_name("run", name) if name is not None else readable_name(),
        status=RUNNING,
        started=started,
        parent=parent,
        note=clean_text(note) if note else None,
    )
    with _holding_signals():  # a run that is there has somebody who ends it
        active = ActiveRun(repo, _create(repo, run, owned), run, owned, on_end)
    active.provenance = Provenance(repo, active._live, starts)
    active.provenance.begin(origin, settings, owned, active._record)
    if tags:
        active.set_tags(tags)
    return active


def settings_of(repo: Repository) -> dict[str, str]:
    """git's configuration, as far as there is a git: without one a run is recorded nevertheless, and waits here."""
    try:
        return git.config(repo)
    except NoGitError as error:
        what = f"{error.message}: the run is kept in {store.root(repo)}, and `gxt recover` commits it when there is one"
        warnings.warn(GxtWarning(what), stacklevel=4)
        return {}


def _create(repo: Repository, run: Run, owned: bool, files: Mapping[str, bytes] | None = None) -> LiveRun:
    try:
        return LiveRun.create(store.root(repo), run, owned, files)
    except OSError as error:
        # Better now than after hours of training.
        raise GxtError(
            f"cannot record in {store.root(repo)}: {error.strerror or error}",
            "gxt records inside the git directory",
        ) from None


def join(
    repo: Repository, run_id: str, on_end: Callable[[ActiveRun, str], None] = lambda run, status: None
) -> ActiveRun:
    """Log to a run that records elsewhere. Raises NotFoundError when it does not."""
    recording = LiveRun(store.root(repo), run_id)
    return ActiveRun(repo, recording, live.read(recording.path, summary=False), False, on_end)


def resume(
    repo: Repository,
    run_id: str,
    from_step: int | None = None,
    on_end: Callable[[ActiveRun, str], None] = lambda run, status: None,
) -> ActiveRun:
    """Go on with a run that has ended; its points after `from_step` are dropped.

    A crashed run is committed as killed first, and then goes on like any other.

    Raises:
        NotFoundError: no such run.
    """
    with _holding_signals():
        try:
            recording, before = _reopen(repo, run_id, from_step)
        except FileExistsError:
            raise GxtError(f"run {run_id} cannot be recovered yet", "make room on the disk; `gxt recover`") from None
        active = ActiveRun(repo, recording, before.reopened(), True, on_end)
    active._resumed = True
    last_step = live.last_step(recording.path)
    active._next_step = 0 if last_step is None else last_step + 1
    active.provenance = Provenance(repo, recording)
    active.provenance.resume(active._record)
    return active


def amend(repo: Repository, run_id: str) -> ActiveRun:
    """Add to a run that has ended, whose status and end stay as they are; to one that records, join it.

    Raises:
        NotFoundError: no such run.
    """
    with _holding_signals():
        recording, before = _attach(repo, run_id)
        active = ActiveRun(repo, recording, before, recording.is_owner, lambda run, status: None)
    active._resumed = True
    if recording.is_owner:
        active._keep = (before.status, before.exit_code, before.ended)
    return active


def _attach(repo: Repository, run_id: str) -> tuple[LiveRun, Run]:
    """A run's live folder: where it records, or opened again to add to it, by whoever comes first."""
    for attempt in range(_ATTACH_TRIES):
        with contextlib.suppress(NotFoundError, FileNotFoundError):
            folder = live.live_path(store.root(repo), run_id)
            if folder.is_dir() and live.is_alive(folder):
                return LiveRun(store.root(repo), run_id), live.read(folder, summary=False)
        try:
            recording, before = _reopen(repo, run_id)
        except FileExistsError:  # somebody else was first, and is just beginning or ending it
            time.sleep(min(0.001 * 2**attempt, 0.1))
            continue
        recording.record("amend", status=before.status, exit_code=before.exit_code, time=before.ended)
        return recording, before
    raise GxtError(f"run {run_id} is being changed by others", "try again")


def _reopen(repo: Repository, run_id: str, from_step: int | None = None) -> tuple[LiveRun, Run]:
    """A run of the branch as a live run again, and as it was. Raises FileExistsError where it records already."""
    with store.committing(repo):  # so that nobody changes it between reading and reopening
        pending = live.pending_path(store.root(repo), run_id)
        while True:
            waited = pending.is_dir()
            store.commit_waiting(repo)
            if live.live_path(store.root(repo), run_id).is_dir():
                raise FileExistsError(run_id)
            if not pending.is_dir():
                break
            if waited:  # else it has ended just now, which takes no lock
                raise GxtError(f"run {run_id} has ended and cannot be committed yet", "make room; then `gxt recover`")
        run = store.read_run(repo, run_id)
        if run.deleted:
            raise UsageError(f"run {run.name} is deleted", f"`gxt restore {run_id}` brings it back")
        files = store.resumable_files(repo, run)
        if from_step is not None:
            points = layout.read_points(files.get(layout.METRICS_CSV, b""))
            files[layout.METRICS_CSV] = layout.write_points(p for p in points if p.step <= from_step)
        return _create(repo, run.reopened(), True, files), run
