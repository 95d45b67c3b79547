"""A run's folder of two sides, or any other file of the branch: each file by the rule of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gxt import layout
from gxt.merging.documents import Lost, join_documents
from gxt.merging.edits import Edit, Rank, choose
from gxt.merging.lines import join_lines
from gxt.model import summarise

_DOCUMENTS = (layout.RUN_YAML, layout.PARAMS_YAML, layout.INPUTS_YAML, layout.EXPERIMENT_YAML, layout.GXT_YAML)
_LINES = {layout.METRICS_CSV: (layout.METRICS_HEADER, 3), layout.SYSTEM_CSV: (layout.SYSTEM_HEADER, 0)}


class Versions(NamedTuple):
    """What two sides have of a run, or of a file.

    Attributes:
        ours, theirs: its files: path to object id.
        bases: the same where the sides parted.
        edits: what each side did to a path since then.
        read: gives contents by their ids.
        rank: tells which of two commits is the later.
    """

    ours: Mapping[str, str]
    theirs: Mapping[str, str]
    bases: Sequence[Mapping[str, str]]
    edits: Mapping[str, Sequence[Edit]]
    read: Callable[[str], bytes]
    rank: Rank


class Joined(NamedTuple):
    """What both sides' versions come to.

    Attributes:
        files: path to an object id that one of the sides has, or to new content.
        lost: what gave way to a later edit: the file's path, and what it was.
    """

    files: dict[str, str | bytes]
    lost: list[tuple[str, Lost]]


def join(versions: Versions) -> Joined:
    """One version of two. The same whichever side is called ours."""
    joined = Joined({}, [])
    for path in sorted(versions.ours.keys() | versions.theirs.keys()):
        mine, other = versions.ours.get(path), versions.theirs.get(path)
        content = mine if mine == other else _join_file(versions, path, joined.lost)
        if content is not None:
            joined.files[path] = content
    _agree_on_metrics(versions, joined)
    folders = {path[:at] for path in joined.files for at, character in enumerate(path) if character == "/"}
    for path in folders & joined.files.keys():
        del joined.files[path]
        joined.lost.append((path, Lost("", "a file", "a folder of that name")))
    return joined


def _join_file(versions: Versions, path: str, lost: list[tuple[str, Lost]]) -> str | bytes | None:
    edits = versions.edits.get(path, ())
    mine, other = versions.ours.get(path), versions.theirs.get(path)
    by_us, by_them = (any(edit.ours == side for edit in edits) for side in (True, False))
    if by_us != by_them:
        return mine if by_us else other
    name = path.rpartition("/")[2] if path.startswith(layout.EXPERIMENTS + "/") else path
    read = versions.read
    if name in _LINES:
        header, time_at = _LINES[name]
        bases = [read(base[path]) for base in versions.bases if path in base]
        data = join_lines(read(mine) if mine else b"", read(other) if other else b"", bases, header, time_at)
        return data if data != header else None
    if mine is not None and other is not None:
        if name in _DOCUMENTS:
            document, gave_way = join_documents(name, read(mine), read(other), edits, read, versions.rank)
            lost += [(path, values) for values in gave_way]
            return document
        if name == layout.OUTPUT_LOG:
            return _longer(path, mine, other, read, lost)
    return _later(path, mine, other, edits, versions.rank, lost)


def _longer(path: str, mine: str, other: str, read: Callable[[str], bytes], lost: list[tuple[str, Lost]]) -> str:
    """Of a file that grows, the version that has more."""
    (shorter, _), (longer, kept) = sorted(((read(oid), oid) for oid in (mine, other)), key=lambda v: (len(v[0]), v[0]))
    if not longer.startswith(shorter):
        lost.append((path, Lost("", f"{len(shorter)} bytes of output", f"{len(longer)} bytes")))
    return kept


def _later(
    path: str, mine: str | None, other: str | None, edits: Sequence[Edit], rank: Rank, lost: list[tuple[str, Lost]]
) -> str | None:
    """The version that was written last. Who takes a file away does not take what another writes meanwhile."""
    if mine is None or other is None:
        is_ours = other is None
        if edits and not any(edit.after for edit in edits if edit.ours == is_ours):
            return None
        written = [edit for edit in edits if edit.ours != is_ours and edit.after]
        there = mine or other
        gone = max(written, key=lambda edit: rank(edit.commit)).after if written else there
        mine, other = (there, gone) if is_ours else (gone, there)
    assert mine is not None and other is not None
    if mine == other:
        return mine

    def writers(oid: str, ours: bool) -> list[str]:
        return [edit.commit for edit in edits if edit.ours == ours and edit.after == oid and oid not in edit.before]

    chosen = choose(writers(mine, True), writers(other, False), mine > other, rank)
    kept, given_up = (mine, other) if chosen.ours else (other, mine)
    if chosen.contested:
        lost.append((path, Lost("", given_up[:10], kept[:10])))
    return kept


def _agree_on_metrics(versions: Versions, joined: Joined) -> None:
    """Have metrics.yaml say what metrics.csv says."""
    points = joined.files.get(layout.METRICS_CSV)
    ours, theirs = (side.get(layout.METRICS_CSV) for side in (versions.ours, versions.theirs))
    if isinstance(points, bytes):
        joined.files[layout.METRICS_YAML] = layout.metrics_document(summarise(layout.read_points(points)))
    elif ours == theirs:
        return
    else:
        side = versions.ours if points == ours else versions.theirs
        if layout.METRICS_YAML in side:
            joined.files[layout.METRICS_YAML] = side[layout.METRICS_YAML]
    joined.lost[:] = [(path, values) for path, values in joined.lost if path != layout.METRICS_YAML]
