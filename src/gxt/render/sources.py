"""What a run's `source` says, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gxt.render.cells import size

_NAMES = {"left_out": "not kept", "left_out_more": "also not kept", "rerun_of": "rerun of"}
_MOST = 10


def source_pair(key: str, value: Any) -> tuple[str, Any]:
    """A key of `source` and its value as pages show them; what is no list of files stays as it is.

    >>> source_pair("left_out", {"trips.bin": {"size": 6000000}})
    ('not kept', 'trips.bin (6.0 MB)')
    """
    name = _NAMES.get(key, key)
    if key == "left_out" and isinstance(value, Mapping):
        return name, _listed(not_kept(value))
    if key == "left_out_more" and isinstance(value, int):
        return name, f"{value} more files"
    if key == "edited" and isinstance(value, list):
        return name, _listed([str(path) for path in value])
    if key == "masked" and isinstance(value, list):
        return name, f"{len(value)} of the command's words"
    if key == "resumed" and isinstance(value, list):
        return name, _listed([_resumed(about) for about in value])
    if key == "submodules" and isinstance(value, Mapping):
        return name, _listed([_submodule(str(path), about) for path, about in value.items()])
    return name, value


def not_kept(left_out: Mapping[str, Any]) -> list[str]:
    """Each file that is not in a snapshot, with its size or the reason.

    >>> not_kept({"a.bin": {"size": 6000000}, "b": {"problem": "no file"}})
    ['a.bin (6.0 MB)', 'b (no file)']
    """
    return [f"{path} ({_why(about)})" for path, about in left_out.items()]


def _why(about: Any) -> str:
    known = about if isinstance(about, Mapping) else {}
    return size(known["size"]) if isinstance(known.get("size"), int) else str(known.get("problem") or "no reason given")


def _submodule(path: str, about: Any) -> str:
    known = about if isinstance(about, Mapping) else {}
    commit = f" at {str(known['commit'])[:12]}" if known.get("commit") else ""
    return f"{path}{commit}{' with changes of its own, not kept' if known.get('dirty') else ''}"


def _resumed(about: Any) -> str:
    known = about if isinstance(about, Mapping) else {}
    code = f" with the code {str(known['snapshot'])[:12]}" if known.get("snapshot") else ""
    return f"{known.get('at', '')} by {known.get('command') or 'a notebook'}{code}".strip()


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return ", ".join(items[:_MOST]) + more
