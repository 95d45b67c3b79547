"""Runs, experiments and metric points as frozen values, and the rules for their ids and names.

Times are integers: milliseconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import math
import operator
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple
from urllib.parse import unquote

from gxt.cards import Section, card
from gxt.errors import UsageError

RUN_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}")
"""A run id: UTC start to the second, then 32 random bits."""

RUNNING, FINISHED, FAILED, KILLED = "running", "finished", "failed", "killed"
STATUSES = (RUNNING, FINISHED, FAILED, KILLED)
"""What run.yaml's `status` may say."""

CRASHED = "crashed"
"""Shown for a live run whose process is gone; it is committed as killed."""

UNREADABLE = "unreadable"
"""Shown for a run whose run.yaml cannot be read."""

DEFAULT_EXPERIMENT = "default"
MAX_NAME_BYTES = 250


class MetricPoint(NamedTuple):
    """One value of one metric. `time` is in milliseconds since 1970 UTC."""

    step: int
    metric: str
    value: float
    time: int


@dataclass(frozen=True)
class Summary:
    """What is known of one metric without its history.

    `min` and `max` leave NaN out where there is any number at all. `step` is the step of `last`.
    """

    last: float
    min: float
    max: float
    first: float
    step: int
    count: int


@dataclass(frozen=True, repr=False)
class Run:
    """One trial, as it stands on the branch or, while it records, in the git directory.

    Attributes:
        params: name to value; values are text, numbers, booleans, None, lists or nested mappings.
        metrics: name to Summary.
        tags: name to text.
        inputs: dataset name to what is known of it (digest, source, rows, ...).
        source: the code it came from (command, entrypoint, commit, branch, dirty, remote).
        environment: Python, platform, processors.
        place: where it was read from: "branch", "pending" (finished, waiting to be committed) or "live".
        extra: fields of run.yaml that this version does not know; they are kept when the run is edited.
        problem: why a part of it could not be read, None where all could.
    """

    id: str
    experiment: str
    name: str = ""
    status: str = FINISHED
    started: int | None = None
    ended: int | None = None
    exit_code: int | None = None
    author: str | None = None
    parent: str | None = None
    deleted: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Summary] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    place: str = "branch"
    problem: str | None = None

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.name!r} of {self.experiment!r}, {self.status}>"

    def _repr_html_(self) -> str:
        """As notebooks show it (https://ipython.readthedocs.io/en/stable/config/integrating.html)."""
        commit = f"{self.source.get('commit') or ''}"[:12]
        facts = {
            "id": self.id,
            "experiment": self.experiment,
            "started": None if self.started is None else format_time(self.started),
            "duration": None if self.duration is None else format_duration(self.duration),
            "author": self.author,
            "parent": self.parent,
            "command": self.source.get("command"),
            "commit": f"{commit}, with uncommitted changes" if commit and self.source.get("dirty") else commit,
            "problem": self.problem,
        }
        summaries = [(name, *vars(summary).values()) for name, summary in sorted(self.metrics.items())]
        sections = [
            Section("note", text=self.note or ""),
            Section("metrics", summaries, ("", "last", "min", "max", "first", "step", "points")),
            Section("params", sorted(flatten(self.params).items())),
            Section("tags", sorted(self.tags.items())),
            Section("inputs", [(name, dict(about)) for name, about in sorted(self.inputs.items())], is_open=False),
            Section("environment", list(self.environment.items()), is_open=False),
        ]
        return card(self.name or self.id, "deleted" if self.deleted else self.status, facts, sections)

    @property
    def short_id(self) -> str:
        """The random part of the id; like the whole id, it names the run on the command line."""
        return self.id.rsplit("-", 1)[-1]

    @property
    def duration(self) -> float | None:
        """Seconds from start to end, None while it runs or where either is unknown; 0 where the clock was set back."""
        if self.started is None or self.ended is None:
            return None
        return max(0, self.ended - self.started) / 1000

    def reopened(self) -> Run:
        """The run as it goes on after it had ended."""
        return replace(self, status=RUNNING, ended=None, exit_code=None, metrics={}, place="live")

    @property
    def info(self) -> RunInfo:
        """The run's facts under MLflow's names."""
        return RunInfo(
            run_id=self.id,
            run_uuid=self.id,
            run_name=self.name,
            experiment_name=self.experiment,
            status=self.status.upper(),
            start_time=self.started,
            end_time=self.ended,
            lifecycle_stage="deleted" if self.deleted else "active",
        )

    @property
    def data(self) -> RunData:
        """Params, tags and each metric's last value, as MLflow groups them."""
        last = {name: summary.last for name, summary in self.metrics.items()}
        return RunData(params=flatten(self.params), metrics=last, tags=dict(self.tags))


class RunInfo(NamedTuple):
    """A run's facts under MLflow's names; `status` in MLflow's capitals, times in milliseconds."""

    run_id: str
    run_uuid: str
    run_name: str
    experiment_name: str
    status: str
    start_time: int | None
    end_time: int | None
    lifecycle_stage: str


class RunData(NamedTuple):
    """A run's content under MLflow's names. Params keep their types here; MLflow makes all of them text."""

    params: dict[str, Any]
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True, repr=False)
class Experiment:
    """A named set of runs. `goals` maps a metric to "min" or "max"; `id` never changes."""

    name: str
    id: str
    created: int | None = None
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    goals: Mapping[str, str] = field(default_factory=dict)
    deleted: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Experiment {self.name!r}, id {self.id}>"

    def _repr_html_(self) -> str:
        """As notebooks show it."""
        facts = {
            "id": self.id,
            "created": None if self.created is None else format_time(self.created),
            "description": self.description,
        }
        sections = [Section("goals", sorted(self.goals.items())), Section("tags", sorted(self.tags.items()))]
        return card(self.name, "deleted" if self.deleted else "", facts, sections)

    @property
    def experiment_id(self) -> str:
        """MLflow's name for `id`."""
        return self.id


# --- time ---------------------------------------------------------------------------------------


def now() -> int:
    """The time now, in milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def format_time(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-11-23T08:30:00.123Z`."""
    seconds, milliseconds = divmod(ms, 1000)
    try:
        moment = datetime.fromtimestamp(seconds, timezone.utc)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"time {ms} is out of range", "times are milliseconds since 1970 UTC") from None
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}.{milliseconds:03d}Z"


# The years 1 to 9999, all that RFC 3339 and datetime know.
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_999


def parse_time(text: str) -> int:
    """Milliseconds from RFC 3339 text. A time without a zone is taken as UTC.

    Raises:
        ValueError: it is none, or `format_time` could not write it.
    """
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        raise ValueError(f"not a time: {text!r}")
    # Python 3.10's fromisoformat knows neither Z nor fractions of any length but 3 and 6.
    fraction = re.search(r"\.(\d+)", text)
    digits = fraction.group(1) if fraction else ""
    plain = text.replace(f".{digits}", "", 1) if fraction else text
    moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", plain))
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    found = int(moment.timestamp()) * 1000 + int((digits + "000")[:3])
    if not _EARLIEST <= found <= _LATEST:
        raise ValueError(f"out of range: {text!r}")
    return found


def format_duration(seconds: float) -> str:
    """`41 ms`, `3.2 s`, `5 min 10 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s"))
    large, name, small, small_name = next(unit for unit in units if whole >= unit[0])
    rest = whole % large // small
    return f"{whole // large} {name} {rest} {small_name}" if rest else f"{whole // large} {name}"


# --- ids and names --------------------------------------------------------------------------------


def new_run_id(started: int) -> str:
    """A run id for a run that starts at `started`: sortable, unique across machines."""
    moment = datetime.fromtimestamp(started // 1000, timezone.utc)
    # Not %Y: a clock that was never set may say year 1, which that writes without its zeros.
    return f"{moment.year:04}{moment:%m%d-%H%M%S}-{random_digits(8)}"


def new_experiment_id() -> str:
    """16 random hexadecimal digits."""
    return random_digits(16)


def random_digits(count: int) -> str:
    """So many random hexadecimal digits, an even number of them."""
    return os.urandom(count // 2).hex()  # as the module `secrets`, which is slow to load


_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|d)?")
_UNITS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def seconds_of(duration: object) -> float:
    """A duration in seconds: a number of them, a timedelta, or text such as `90`, `30s`, `5m`, `1.5h`, `1d`.

    Raises:
        UsageError: it is none, or not positive.
    """
    seconds: float | None = None
    if isinstance(duration, timedelta):
        seconds = duration.total_seconds()
    elif isinstance(duration, (int, float)) and not isinstance(duration, bool):
        seconds = float(duration)
    elif isinstance(duration, str) and (match := _DURATION.fullmatch(duration.strip().lower())):
        seconds = float(match[1]) * _UNITS[match[2]]
    if seconds is None or not 0 < seconds < math.inf:
        raise UsageError(f"{duration!r} is no duration", "seconds, or text such as 30s, 5m or 1h")
    return seconds


def check_name(kind: str, name: object) -> str:
    """Give `name` back, or say why a param, metric, tag or experiment cannot be called that.

    Raises:
        UsageError: not text, empty, over 250 bytes of UTF-8, or with a control character in it.

    >>> check_name("param", "learning rate")
    'learning rate'
    """
    if not isinstance(name, str):
        raise UsageError(f"{kind} name {name!r} is not text", f"pass a str, for example {str(name)!r}")
    if not name.strip():
        raise UsageError(f"blank {kind} name: {name!r}")
    bad = next((c for c in name if not c.isprintable()), None)
    if bad is not None:
        raise UsageError(f"{kind} name {name[:40]!r} contains the unprintable character {bad!r}")
    if name != name.strip():
        raise UsageError(f"{kind} name {name!r} begins or ends with a space")
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        raise UsageError(f"{kind} name {name[:40] + '…'!r} is over {MAX_NAME_BYTES} bytes long")
    return name


def check_experiment_name(name: object) -> str:
    """As `check_name`; and the name has to fit a folder's, encoded as `experiment_folder` does."""
    checked = check_name("experiment", name)
    if len(experiment_folder(checked)) > _MAX_FOLDER:
        raise UsageError(
            f"experiment name {checked[:20] + '…'!r} is too long for a folder",
            f"letters outside A-Z take three bytes or more each, and {_MAX_FOLDER} fit",
        )
    return checked


_MAX_FOLDER = 240
_MAX_PATH, _MAX_PARTS = 1000, 50
_WINDOWS_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?")
_FOLDER_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def experiment_folder(name: str) -> str:
    """The folder an experiment lives in: its name, percent-encoded so that every file system takes it.

    Encoded are the bytes outside `A-Za-z0-9._-`, a leading `.` or `-`, a trailing `.`, and the first letter of
    what Windows reserves for devices.

    >>> experiment_folder("NYC taxi/2021")
    'NYC%20taxi%2F2021'
    """
    data = name.encode("utf-8")
    codes = [chr(b) if b in _FOLDER_SAFE else f"%{b:02X}" for b in data]
    if data[:1] in (b".", b"-") or _WINDOWS_DEVICE.fullmatch(name):
        codes[0] = f"%{data[0]:02X}"
    if data[-1:] == b".":
        codes[-1] = "%2E"
    return "".join(codes)


def experiment_name(folder: str) -> str:
    """The name that `experiment_folder` encoded."""
    return unquote(folder, errors="replace")


# Characters that macOS ignores when it compares file names: with one inside, `.git` would pass as another name.
# https://github.com/git/git/blob/v2.39.5/utf8.c (next_hfs_char)
_IGNORED_BY_HFS = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def check_artifact_path(path: str) -> str:
    """Give an artifact's path back in its one spelling (`a/b.txt`), or say why it cannot be a path everywhere.

    Raises:
        UsageError: absolute, climbing out by `..`, or with a part that Linux, macOS, Windows or git refuses.

    >>> check_artifact_path("./models/lin_reg.bin")
    'models/lin_reg.bin'
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if len(path) > _MAX_PATH or len(parts) > _MAX_PARTS:
        raise UsageError(
            f"artifact path {path[:40] + '…'!r} is too long", f"{_MAX_PATH} characters in {_MAX_PARTS} parts fit"
        )
    if path.startswith("/") or not parts:
        raise UsageError(f"artifact path {path!r} is not a relative path of a file")
    for part in parts:
        reason = _why_not_a_file_name(part)
        if reason:
            raise UsageError(f"artifact path {path!r} {reason}", "such a file could not be checked out everywhere")
    return "/".join(parts)


def _why_not_a_file_name(part: str) -> str | None:
    seen_as = part.translate(_IGNORED_BY_HFS).lower().rstrip(". ")
    bad = next((c for c in part if not c.isprintable() or c in '<>:"|?*\\'), None)
    if part == "..":
        return "climbs out of the run by '..'"
    if bad is not None:
        return f"contains {bad!r}, which a file name cannot hold on every system"
    if part[-1] in ". ":
        return f"has a part that ends in {part[-1]!r}, which Windows drops"
    if seen_as == ".git" or re.fullmatch(r"git~\d+", seen_as):
        return f"has a part that git keeps for itself: {part!r}"
    if _WINDOWS_DEVICE.fullmatch(part):
        return f"has a part that names a device on Windows: {part!r}"
    if len(part.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"has a part over {MAX_NAME_BYTES} bytes long"
    return None


# --- values ---------------------------------------------------------------------------------------


def clean_text(text: str) -> str:
    """Text that UTF-8 can hold: lone surrogates (from undecodable file names) become `\\udcXX`, spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def number(value: Any, what: str = "metric") -> float:
    """A metric's value as a float: Python, numpy and torch scalars, 0-d and one-element arrays are numbers.

    Raises:
        UsageError: anything else, and integers too large for a double.
    """
    if isinstance(value, (str, bytes)):
        raise UsageError(f"{what} value {value!r} is text, not a number", "pass a number, for example float(value)")
    item = getattr(value, "item", None)
    try:
        if item is not None and getattr(value, "size", 1) != 0:
            value = item()
        elif hasattr(value, "numpy"):  # TensorFlow's eager tensors have numpy() but no item()
            value = value.numpy()
        return float(value)
    except OverflowError:
        raise UsageError(f"{what} value {_short(value)} is too large for a double") from None
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"{what} value {str(value)[:60]!r} ({type(value).__name__}) is not one number") from None


def _short(value: Any) -> str:
    try:
        text = str(value)
    except ValueError:  # Python turns no integer of over 4,300 digits into text
        return f"of {value.bit_length()} bits"
    return text if len(text) <= 24 else f"{text[:20]}…"


MAX_STEP = 2**63 - 1
"""Steps, and times in milliseconds, are within 64 bits with a sign."""


def step_number(step: Any, what: str = "step") -> int:
    """A step as an int; 3.0 and numpy integers are taken, 3.5 is not. Raises UsageError."""
    try:
        whole = operator.index(step)
    except TypeError:
        as_float = number(step, what)
        if not math.isfinite(as_float) or as_float != int(as_float):
            raise UsageError(f"{what} {step!r} is not a whole number") from None
        whole = int(as_float)
    if not -MAX_STEP <= whole <= MAX_STEP:
        raise UsageError(f"{what} {_short(whole)} is too large", "64 bits with a sign")
    return whole


def param_value(value: Any) -> Any:
    """A param as YAML holds it (see `plain`), the names in nested mappings checked. Raises UsageError."""
    document = plain(value)
    _check_names(document)
    return document


def _check_names(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            check_name("param", key)
            _check_names(item)
    elif isinstance(value, list):
        for item in value:
            _check_names(item)


MAX_DEPTH = 50
"""How deep a value may be nested."""
MAX_BITS = 10_000
"""How large a whole number may be; Python turns none of over 4,300 digits into text."""


def plain(value: Any, depth: int = 0) -> Any:
    """A value as YAML and JSON hold it: text, numbers, booleans, None, lists and mappings stay; all else is text.

    Raises:
        UsageError: nested too deep, or an integer too large.
    """
    if depth > MAX_DEPTH:
        raise UsageError(f"a value nested over {MAX_DEPTH} deep cannot be recorded", "log it as an artifact")
    if value is None or isinstance(value, (bool, int, float)):
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            raise UsageError(f"an integer of {value.bit_length()} bits is too large to write as a number", "pass a str")
        # Subclasses (numpy.float64, enum.IntEnum) are brought back to the plain type.
        return value if value is None or type(value) in (bool, int, float) else _base_number(value)
    if isinstance(value, str):
        return clean_text(str(value))
    if isinstance(value, Mapping):
        return {clean_text(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item, depth + 1) for item in value), key=str)
    if hasattr(value, "tolist"):  # numpy and torch: a scalar or nested lists
        return plain(value.tolist(), depth)
    return clean_text(str(value))


def _base_number(value: float) -> Any:
    return next(kind(value) for kind in (bool, int, float) if isinstance(value, kind))


_PLAIN_TYPES = frozenset({str, int, float, bool, list, type(None)})


def flatten(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested params as one level, joined by dots: `{"model": {"depth": 3}}` gives `{"model.depth": 3}`.

    An empty mapping stays as it is, so that nothing is lost from sight.
    """
    flat: dict[str, Any] = {}
    for key, value in params.items():
        # Asking first for what most values are: a table of many runs asks it a hundred thousand times.
        if type(value) not in _PLAIN_TYPES and isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def summarise(points: Iterable[MetricPoint]) -> dict[str, Summary]:
    """The summary of each metric, sorted by name.

    The last value is the one with the greatest (step, time), then the greatest value, NaN counting as the least:
    the rule of MLflow's latest metric. The first value is that with the least of all three.
    """
    state: dict[str, list[Any]] = {}
    add_points(state, points)
    return summaries(state)


def add_points(state: dict[str, list[Any]], points: Iterable[MetricPoint]) -> None:
    """Go on summarising: `state` holds what the points before came to, by metric, and is plain enough for JSON."""
    for step, metric, value, when in points:
        known = state.get(metric)
        if known is None:
            state[metric] = [step, when, value, value, value, 1, step, when, value]
            continue
        known[5] += 1
        if step > known[0] or (step == known[0] and _later(when, value, known[1], known[2])):
            known[0], known[1], known[2] = step, when, value
        elif step < known[6] or (step == known[6] and _later(known[7], known[8], when, value)):
            known[6], known[7], known[8] = step, when, value
        if value < known[3] or known[3] != known[3]:
            known[3] = value
        if value > known[4] or known[4] != known[4]:
            known[4] = value


def summaries(state: Mapping[str, Sequence[Any]]) -> dict[str, Summary]:
    """The summary of each metric in what `add_points` came to, sorted by name."""
    return {name: Summary(s[2], s[3], s[4], s[8], s[0], s[5]) for name, s in sorted(state.items())}


def _later(when: int, value: float, than: int, other: float) -> bool:
    """Whether of two points at one step the former counts as the later one."""
    if when != than:
        return when > than
    return value > other or (other != other and value == value)
