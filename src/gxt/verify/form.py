"""A run's documents and files against docs/format.md: what no reader stumbles over, and is not as it should be."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gxt import layout
from gxt.errors import GxtError
from gxt.model import RUN_ID, RUNNING, check_artifact_path, check_name, parse_time
from gxt.showing import one_line, quoted, shortened
from gxt.verify.findings import FAILED, UNCHECKED

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


class Odd(NamedTuple):
    """Something that is not as it should be: the file in the run's folder, what, and FAILED or UNCHECKED."""

    name: str
    what: str
    status: str = FAILED


class _Kind(NamedTuple):
    """What a key may have for a value, and what that is called."""

    called: str
    fits: Callable[[Any], bool]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, (list, dict))


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: re.fullmatch(pattern, str(value)) is not None


_TEXT = _Kind("text", _is_scalar)  # a reader takes any scalar for its text
_WHOLE = _Kind("a whole number", _is_whole)
_COUNT = _Kind("a whole number, zero or more", lambda value: _is_whole(value) and value >= 0)
_FLAG = _Kind("true or false", lambda value: isinstance(value, bool))
_ID = _Kind("the id of a run", _matches(RUN_ID.pattern))
_OID = _Kind("the id of a commit", _matches(COMMIT.pattern))
_MAPPING = _Kind("a mapping", lambda value: isinstance(value, dict))
_TEXTS = _Kind("a mapping to text", lambda value: isinstance(value, dict) and all(map(_is_scalar, value.values())))
_LIST = _Kind("a list of text", lambda value: isinstance(value, list) and all(map(_is_scalar, value)))
_MAPPINGS = _Kind(
    "a list of mappings", lambda value: isinstance(value, list) and all(isinstance(one, dict) for one in value)
)
_COUNTS = _Kind("a list of whole numbers", lambda value: isinstance(value, list) and all(map(_is_whole, value)))
_SHA256 = _Kind("sha256: and 64 hexadecimal digits", _matches("sha256:[0-9a-f]{64}"))
_MD5 = _Kind("md5: and 32 hexadecimal digits", _matches(r"md5:[0-9a-f]{32}(\.dir)?"))

# The tables of docs/format.md; what the reader checks (times, mappings, the status) is not here once more.
_RUN = {"name": _TEXT, "exit_code": _WHOLE, "author": _TEXT, "parent": _ID, "tags": _TEXTS, "note": _TEXT}
_SOURCE = {
    **dict.fromkeys(("command", "entrypoint", "cwd", "branch", "remote", "problem"), _TEXT),
    **dict.fromkeys(("commit", "snapshot"), _OID),
    **dict.fromkeys(("reproduces", "rerun_of"), _ID),
    **dict.fromkeys(("left_out", "submodules"), _MAPPING),
    "dirty": _FLAG,
    "left_out_more": _COUNT,
    "edited": _LIST,
    "resumed": _MAPPINGS,
    "masked": _COUNTS,
}
_ENVIRONMENT = {
    **dict.fromkeys(("python", "implementation", "prefix", "platform", "distribution", "cpu"), _TEXT),
    **dict.fromkeys(("gpu_driver", "cuda", "python_of"), _TEXT),
    **dict.fromkeys(("cpus", "memory"), _COUNT),
    **dict.fromkeys(("variables", "container", "ci", "job"), _TEXTS),
    "gpus": _LIST,
}
_INPUT = {
    **dict.fromkeys(("context", "dtype", "source"), _TEXT),
    **dict.fromkeys(("digest", "lfs"), _SHA256),
    **dict.fromkeys(("files", "rows", "size"), _COUNT),
    "dvc": _MD5,
    "columns": _TEXTS,
    "shape": _COUNTS,
}
_SUMMARY = {"step": _WHOLE, "count": _COUNT}
_ALWAYS = ("id", "name", "status", "started", "ended")


def of_documents(run_id: str, documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Odd]:
    """What is odd in a run's documents, given by their names as far as they can be read."""
    about = documents.get(layout.RUN_YAML)
    if about is not None:
        yield from (Odd(layout.RUN_YAML, what) for what in _of_run(run_id, about))
        yield from (Odd(layout.RUN_YAML, what, UNCHECKED) for what in _of_times(run_id, about))
    for name, value in documents.get(layout.INPUTS_YAML, {}).items():
        if isinstance(value, dict):
            yield from (Odd(layout.INPUTS_YAML, what) for what in _misfits(value, _INPUT, f"{shortened(name, 60)}."))
    for name, value in documents.get(layout.METRICS_YAML, {}).items():
        if isinstance(value, dict):
            yield from (Odd(layout.METRICS_YAML, what) for what in _misfits(value, _SUMMARY, f"{shortened(name, 60)}."))
    for document, kind in _NAMES.items():
        yield from (Odd(document, what) for what in _bad_names(kind, documents.get(document, {})))


_NAMES = {layout.PARAMS_YAML: "param", layout.METRICS_YAML: "metric", layout.INPUTS_YAML: "input"}


def _of_run(run_id: str, about: Mapping[str, Any]) -> Iterator[str]:
    if (said := about.get("id")) not in (None, run_id):
        yield f"says that the id is {shortened(one_line(str(said)), 60)}; the folder's name is what counts"
    for key in _ALWAYS:
        if about.get(key) is None and not (key == "ended" and about.get("status") == RUNNING):
            yield f"has no {key}, which every run has"
    yield from _misfits(about, _RUN)
    if about.get("name") is not None:
        yield from _bad_names("run", [str(about["name"])])
    tags, source, environment = (_mapping(about.get(key)) for key in ("tags", "source", "environment"))
    yield from _bad_names("tag", tags)
    yield from _misfits(source, _SOURCE, "source.")
    yield from _misfits(environment, _ENVIRONMENT, "environment.")
    commit, snapshot = source.get("commit"), source.get("snapshot")
    if source.get("dirty") is False and None not in (commit, snapshot) and commit != snapshot:
        yield "says that the code had no changes (source.dirty), and names a snapshot that is not its commit"


def _of_times(run_id: str, about: Mapping[str, Any]) -> Iterator[str]:
    """A clock that was set back does this too."""
    started, ended = _time(about.get("started")), _time(about.get("ended"))
    if started is not None and ended is not None and ended < started:
        yield "says that it ended before it started: a clock was set back, or somebody changed it"
    of_id = _time(layout.start_in_id(run_id))
    if started is not None and of_id != started // 1000 * 1000:
        yield f"says that it started at {about['started']}, and the run's id something else"


def _time(value: object) -> int | None:
    try:
        return parse_time(str(value))
    except ValueError:
        return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _misfits(values: Mapping[str, Any], kinds: Mapping[str, _Kind], before: str = "") -> Iterator[str]:
    for key, kind in kinds.items():
        value = values.get(key)
        if value is not None and not kind.fits(value):
            yield f"{before}{key}: expected {kind.called}, found {quoted(value)}"


def _bad_names(kind: str, names: Mapping[str, Any] | list[str]) -> Iterator[str]:
    for name in names:
        try:
            check_name(kind, name)
        except GxtError as error:
            yield error.message


# --- files ----------------------------------------------------------------------------------------------------------


def of_files(modes: Mapping[str, str], documents: Mapping[str, Mapping[str, Any]]) -> Iterator[Odd]:
    """What is odd about which files are in a run's folder, and of what kind they are, as modes of git by path."""
    for name, mode in modes.items():
        if not mode.startswith("100"):
            yield Odd(name, "is a link or a submodule, which readers pass over")
        elif mode != "100644":
            yield Odd(name, "is marked as executable; no file of a run is", UNCHECKED)
        if name.startswith(f"{layout.ARTIFACTS}/"):
            try:
                check_artifact_path(name.removeprefix(f"{layout.ARTIFACTS}/"))
            except GxtError as error:
                yield Odd(name, error.message)
    if layout.METRICS_CSV not in modes and documents.get(layout.METRICS_YAML):
        yield Odd(layout.METRICS_CSV, "is missing: metrics.yaml has metrics")
    source = _mapping(documents.get(layout.RUN_YAML, {}).get("source"))
    is_clean = source.get("snapshot") is not None and source.get("snapshot") == source.get("commit")
    if layout.CODE_PATCH in modes and is_clean and not source.get("dirty"):
        yield Odd(layout.CODE_PATCH, "is there, and the snapshot has no changes", UNCHECKED)


TEXTS = {*layout.RUN_DOCUMENTS, layout.METRICS_CSV, layout.SYSTEM_CSV, layout.ENVIRONMENT_TXT, layout.NOTEBOOK_PY}
"""The files of a run that are text."""


def of_text(name: str, data: bytes) -> Iterator[Odd]:
    """What is odd in the bytes of a file of text."""
    if data.startswith(b"\xef\xbb\xbf"):
        yield Odd(name, "begins with a byte order mark", UNCHECKED)
    if name == layout.SYSTEM_CSV:
        yield from _of_samples(data)
    try:
        data.decode()
    except UnicodeDecodeError:
        yield Odd(name, "is not UTF-8")
        return
    if not data.endswith(b"\n") and (data or name in (layout.METRICS_CSV, layout.SYSTEM_CSV)):
        yield Odd(name, "does not end in a line break: what follows may be missing", UNCHECKED)
    if b"\r\n" in data:
        yield Odd(name, "has lines that end in CR LF", UNCHECKED)


_SAMPLE = re.compile(rb'-?[0-9]+,(?:[^,"\n]+|"(?:[^"\n]|"")+"),(?:[-+.0-9e]+|-?inf|nan)\r?', re.IGNORECASE)


def _of_samples(data: bytes) -> Iterator[Odd]:
    header, *lines = data.split(b"\n")
    if header.rstrip(b"\r") + b"\n" != layout.SYSTEM_HEADER:
        yield Odd(layout.SYSTEM_CSV, "there is no header")
    broken = next((at for at, line in enumerate(lines[:-1], 2) if not _SAMPLE.fullmatch(line)), None)
    if broken is not None:
        yield Odd(layout.SYSTEM_CSV, f"line {broken} is no sample")
