"""The metrics of a run that still records, summed up from where the last reader stopped.

A run of a million points takes seconds to go through, and `gxt table --watch` asks every two. Whoever has gone through
many new points leaves what they came to in the run's folder, for the next one to go on from.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from gxt import layout
from gxt.model import Summary, add_points, random_digits, summaries

FILE = "summary.json"
"""The file's name in a live or pending run's folder. It is no part of the run, and can be deleted at any time."""

_WORTH_KEEPING = 1 << 20  # bytes of points
_TAIL = 256  # bytes before the place to go on from, by which it is known again


class _Kept(NamedTuple):
    """What the points in the first `size` bytes of a metrics.csv come to; the last of these bytes."""

    size: int
    tail: str
    state: dict[str, list[Any]]


def summarise_file(folder: Path) -> dict[str, Summary]:
    """The summary of each metric in the metrics.csv of a run's folder; a line that is still being written is left out.

    Raises:
        FileNotFoundError: the run is not there any more.
    """
    kept = _read_kept(folder)
    try:
        with (folder / layout.METRICS_CSV).open("rb") as file:
            file.seek(max(0, kept.size - _TAIL))
            if file.read(min(kept.size, _TAIL)).hex() != kept.tail:  # resumed from an earlier step, and written anew
                kept = _Kept(0, "", {})
            file.seek(kept.size)
            data = file.read()
    except FileNotFoundError:
        folder.stat()
        return {}
    whole = data.rfind(b"\n") + 1
    add_points(kept.state, layout.read_points(data[:whole]))
    if whole >= _WORTH_KEEPING:
        _keep(folder, _Kept(kept.size + whole, data[max(0, whole - _TAIL) : whole].hex(), kept.state))
    return summaries(kept.state)


def _read_kept(folder: Path) -> _Kept:
    try:
        size, tail, state = json.loads((folder / FILE).read_bytes())
        return _Kept(int(size), str(tail), dict(state))
    except (OSError, ValueError, TypeError):
        return _Kept(0, "", {})


def _keep(folder: Path, kept: _Kept) -> None:
    beside = folder / f"{random_digits(16)}.tmp"
    with contextlib.suppress(OSError):  # the run has just ended, or the disk is full: it is only for speed
        beside.write_text(json.dumps(kept), encoding="utf-8")
        beside.replace(folder / FILE)
